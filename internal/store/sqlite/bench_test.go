//go:build unix

package sqlite_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// The benchmarks count messages: b.N of them over 100 apps, in groups. Run them
// with a fixed number, beside a yardstick of the same shape:
//
//	go test -run - -bench . -benchtime 300000x ./internal/store/sqlite

const benchApps = 100

// bench is a store with apps, owned by one node.
type bench struct {
	b      *testing.B
	s      *sqlite.Store
	apps   []comm.App
	leases []store.Lease
	units  []*benchUnit
	traced bool // the provider reports later: its ids are kept

	before usage // the measurement
}

func newBench(b *testing.B) *bench {
	b.Helper()
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "comm.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	w := &bench{b: b, s: s}
	w.must(s.Migrate(b.Context()))
	now := comm.At(time.Now())
	for i := range benchApps {
		a := comm.App{ID: comm.NewID(now), Slug: fmt.Sprint("app-", i), Name: "App", Active: true, RatePerMinute: 1 << 30, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
		_, err := s.CreateApp(b.Context(), &a, nil)
		w.must(err)
		w.apps = append(w.apps, a)
	}
	_, err = s.Beat(b.Context(), store.NodeInfo{Node: "node", Role: "all", Lease: int64(time.Hour / time.Microsecond)})
	w.must(err)
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	w.leases, err = s.Take(b.Context(), "node", shards)
	w.must(err)
	return w
}

func (w *bench) must(err error) {
	w.b.Helper()
	if err != nil {
		w.b.Fatal(err)
	}
}

// group is the n submissions after the first i.
func (w *bench) group(i, n int) []store.Submission {
	payload := []byte(`{"to":"user` + strconv.Itoa(i) + `@example.org","from":"App <no-reply@example.com>","subject":"Your code","body":"` +
		strings.Repeat("Your code is 123456. ", 12) + `","metadata":{"order":"1","lang":"en"}}`)
	subs := make([]store.Submission, n)
	now := comm.At(time.Now())
	for k := range subs {
		a := &w.apps[(i+k)%benchApps]
		lane := comm.Normal
		if (i+k)/benchApps%10 == 0 {
			lane = comm.Critical
		}
		sum := sha256.Sum256([]byte(strconv.Itoa(i + k)))
		subs[k] = store.Submission{App: a.ID, ID: comm.NewID(now), Shard: comm.ShardOf(a.ID, comm.ID{}, 1), Channel: comm.Email, Lane: lane, Mode: comm.Live,
			Node: "node", HasKey: true, KeyHash: [16]byte(sum[:16]), Fingerprint: [16]byte(sum[16:]), Recipient: "user" + strconv.Itoa(i+k) + "@example.org",
			Payload: payload, RatePerMinute: a.RatePerMinute}
	}
	return subs
}

func (w *bench) fill(total, size int) {
	w.b.Helper()
	for i := 0; i < total; i += size {
		out, err := w.s.Accept(w.b.Context(), w.group(i, min(size, total-i)))
		w.must(err)
		for _, o := range out {
			if o.Result != store.New {
				w.b.Fatalf("%+v", o)
			}
		}
	}
}

// begin starts the measurement. Besides the rate, which other work on the
// machine disturbs, it counts processor time and what was handed to the file system.
func (w *bench) begin() {
	w.b.ReportAllocs()
	w.before = used(w.b)
	w.b.ResetTimer()
}

func (w *bench) end() {
	w.b.StopTimer()
	after := used(w.b)
	n := float64(w.b.N)
	w.b.ReportMetric(n/w.b.Elapsed().Seconds(), "msgs/s")
	w.b.ReportMetric((after.cpu-w.before.cpu).Seconds()*1e6/n, "cpu-us/msg")
	if after.written > 0 {
		w.b.ReportMetric((after.written-w.before.written)/n, "written-B/msg")
		w.b.ReportMetric((after.read-w.before.read)/n, "read-B/msg")
	}
}

// usage is the process's processor time and, on Linux, the bytes that it has handed to the file system and got from it.
type usage struct {
	cpu           time.Duration
	written, read float64
}

func used(b *testing.B) (u usage) {
	b.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	u.cpu = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	io, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(io)) {
		for name, to := range map[string]*float64{"wchar: ": &u.written, "rchar: ": &u.read} {
			if n, ok := strings.CutPrefix(line, name); ok {
				*to, _ = strconv.ParseFloat(strings.TrimSpace(n), 64)
			}
		}
	}
	return u
}

func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{25, 200} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			w := newBench(b)
			w.begin()
			w.fill(b.N, size)
			w.end()
		})
	}
}

// BenchmarkLife accepts in groups of 25 and sends each at once: the finishes of one group and the starts of the next are one turn.
func BenchmarkLife(b *testing.B) {
	const size = 25
	w := newBench(b)
	w.begin()
	var fin []store.Finish
	for i := 0; i < b.N; i += size {
		subs := w.group(i, min(size, b.N-i))
		out, err := w.s.Accept(b.Context(), subs)
		w.must(err)
		starts := make([]store.Start, len(subs))
		for k := range subs {
			u := comm.Unit{Shard: subs[k].Shard, App: subs[k].App, Channel: subs[k].Channel, Lane: subs[k].Lane}
			starts[k] = store.Start{Unit: u, Head: store.Head{Due: out[k].Due, ID: out[k].ID}, Provider: "smtp", ProviderID: w.apps[0].ID, Live: true}
		}
		fin = w.turn(fin, starts)
	}
	w.turn(fin, nil)
	w.end()
}

// turn is a turn in which everything is as expected; it answers the finishes of what it started.
func (w *bench) turn(fin []store.Finish, starts []store.Start) []store.Finish {
	w.b.Helper()
	r, err := w.s.Turn(w.b.Context(), store.Turn{Node: "node", Leases: w.leases, Finishes: fin, Starts: starts})
	w.must(err)
	for _, ok := range r.Finished {
		if !ok {
			w.b.Fatal("finish refused")
		}
	}
	fin = fin[:0]
	for i := range r.Started {
		st := &r.Started[i].State
		if r.Started[i].Verdict != store.Go {
			w.b.Fatalf("verdict %d", r.Started[i].Verdict)
		}
		ref := "ref-0123456789abcdef"
		if w.traced {
			ref = "SM" + rand.Text()
		}
		fin = append(fin, store.Finish{App: st.App, ID: st.ID, Unit: starts[i].Unit, From: comm.Sending, Attempt: st.Attempts, Epoch: st.Epoch,
			Want: store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "smtp", ProviderID: w.apps[0].ID, Ref: ref, Detail: "250 2.0.0 Ok: queued", Traced: w.traced}})
	}
	return fin
}

// BenchmarkTurn drains a backlog: the finishes of one group and the starts of the next are one turn.
func BenchmarkTurn(b *testing.B) { benchTurns(b, false) }

// BenchmarkTurnReported is BenchmarkTurn for a type of provider that reports later.
func BenchmarkTurnReported(b *testing.B) { benchTurns(b, true) }

func benchTurns(b *testing.B, traced bool) {
	b.Helper()
	const size = 500
	w := newBench(b)
	w.traced = traced
	w.fill(b.N, 1000)
	w.begin()
	var fin []store.Finish
	for done := 0; done < b.N; {
		done += len(fin)
		fin = w.turn(fin, w.heads(size))
	}
	w.end()
}

// heads takes the next heads of every unit in turns, from windows that it keeps.
func (w *bench) heads(n int) []store.Start {
	if w.units == nil {
		shards := make([]comm.Shard, comm.ShardCount)
		for i := range shards {
			shards[i] = comm.Shard(i)
		}
		wakes, err := w.s.Units(w.b.Context(), shards)
		w.must(err)
		for _, x := range wakes {
			w.units = append(w.units, &benchUnit{unit: x.Unit, more: true})
		}
	}
	var out []store.Start
	for quantum := max(1, n/len(w.units)); len(out) < n; {
		before := len(out)
		for _, u := range w.units {
			if len(u.heads) == 0 && u.more {
				got, err := w.s.Windows(w.b.Context(), []store.Ask{{Unit: u.unit, After: u.cursor, Limit: 1000}})
				w.must(err)
				heads := got[0]
				u.heads, u.more = heads, len(heads) == 1000
				if len(heads) > 0 {
					u.cursor = heads[len(heads)-1]
				}
			}
			k := min(quantum, len(u.heads), n-len(out))
			for _, h := range u.heads[:k] {
				out = append(out, store.Start{Unit: u.unit, Head: h, Provider: "smtp", ProviderID: w.apps[0].ID, Live: true})
			}
			u.heads = u.heads[k:]
		}
		if len(out) == before {
			break
		}
	}
	return out
}

type benchUnit struct {
	unit   comm.Unit
	heads  []store.Head
	cursor store.Head
	more   bool
}
