package postgres_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

const benchApps = 100

// benchWorld is a store that owns every shard, with a hundred apps.
type benchWorld struct {
	s      *postgres.Store
	apps   []*comm.App
	leases map[comm.Shard]store.Lease
	serial atomic.Int64
}

func newBenchWorld(b *testing.B) *benchWorld {
	b.Helper()
	s := opened(b, postgres.Options{URL: migrated(b)})
	w := &benchWorld{s: s, leases: own(b, s, "bench", time.Hour)}
	for range benchApps {
		w.apps = append(w.apps, newApp(b, s))
	}
	return w
}

func (w *benchWorld) group(b *testing.B, n int) []store.Submission {
	b.Helper()
	out := make([]store.Submission, n)
	for i := range out {
		k := w.serial.Add(1)
		out[i] = keyed(b, w.apps[int(k)%benchApps], fmt.Sprint(k))
		out[i].Recipient = address(int(k))
		payload, err := store.EncodeContent(&comm.Content{To: out[i].Recipient, From: "App <no-reply@example.com>", Subject: "Your code",
			Body: strings.Repeat("Your code is 123456. ", 12), Metadata: `{"order":"1","lang":"en"}`, IdempotencyKey: fmt.Sprint(k)})
		must(b, err)
		out[i].Payload = payload
	}
	return out
}

func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{1, 25, 200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := newBenchWorld(b)
			groups := make([][]store.Submission, b.N)
			for i := range groups {
				groups[i] = w.group(b, size)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, g := range groups {
				_, err := w.s.Accept(b.Context(), g)
				must(b, err)
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkAcceptCapped accepts groups of 25 SMS of as many apps with so many caps each.
func BenchmarkAcceptCapped(b *testing.B) {
	const size = 25
	for _, caps := range [][]comm.SMSCap{nil, {{PerDay: 1 << 30}}, {{PerDay: 1 << 30}, {Prefix: "1", PerDay: 1 << 30}, {Prefix: "1876", PerDay: 1 << 30}}} {
		b.Run(fmt.Sprint(len(caps)), func(b *testing.B) {
			w := newBenchWorld(b)
			groups := make([][]store.Submission, b.N)
			for i := range groups {
				groups[i] = w.group(b, size)
				for n := range groups[i] {
					x := &groups[i][n]
					x.Channel, x.Mode, x.Segments, x.Caps = comm.SMS, comm.Live, 1, caps
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, g := range groups {
				_, err := w.s.Accept(b.Context(), g)
				must(b, err)
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkTurn drains a backlog: each turn finishes the messages that the one
// before started and starts the next ones.
func BenchmarkTurn(b *testing.B) { benchTurns(b, false) }

// BenchmarkTurnReported is BenchmarkTurn for a type of provider that reports later: its ids are kept.
func BenchmarkTurnReported(b *testing.B) { benchTurns(b, true) }

func benchTurns(b *testing.B, traced bool) {
	b.Helper()
	for _, c := range []struct{ size, pipes int }{{1, 1}, {50, 1}, {500, 1}, {500, 2}} {
		b.Run(fmt.Sprintf("%d by %d", c.size, c.pipes), func(b *testing.B) {
			w := newBenchWorld(b)
			turns := make([][]store.Turn, c.pipes)
			for i := range b.N {
				turns[i%c.pipes] = append(turns[i%c.pipes], w.backlog(b, c.size))
			}
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for p := range c.pipes {
				wg.Go(func() { w.drain(b, turns[p], traced) })
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*c.size)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// backlog accepts messages and answers the turn that starts them.
func (w *benchWorld) backlog(b *testing.B, size int) store.Turn {
	b.Helper()
	g := w.group(b, size)
	out, err := w.s.Accept(b.Context(), g)
	must(b, err)
	due := make([]comm.Micros, size)
	for i := range out {
		due[i] = out[i].Due
	}
	return startAll(b, w.s, "bench", w.leases, g, due)
}

func (w *benchWorld) drain(b *testing.B, turns []store.Turn, traced bool) {
	var open []store.Finish
	for _, t := range append(turns, store.Turn{Node: "bench"}) {
		t.Finishes = open
		t.Leases = t.Leases[:0:0]
		for _, l := range w.leases {
			t.Leases = append(t.Leases, l)
		}
		res, err := w.s.Turn(b.Context(), t)
		if err != nil {
			b.Error(err)
			return
		}
		for _, ok := range res.Finished {
			if !ok {
				b.Error("a finish was refused")
				return
			}
		}
		open = nil
		for i, x := range res.Started {
			if x.Verdict != store.Go || len(x.Payload) == 0 {
				b.Errorf("verdict %d", x.Verdict)
				return
			}
			u, ref := t.Starts[i].Unit, "ref"
			if traced {
				ref = "SM" + rand.Text()
			}
			open = append(open, store.Finish{App: u.App, ID: x.State.ID, Unit: u, From: comm.Sending, Attempt: x.State.Attempts, Epoch: x.State.Epoch,
				Want: store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "sandbox", Ref: ref, Detail: "accepted", Traced: traced}})
		}
	}
}
