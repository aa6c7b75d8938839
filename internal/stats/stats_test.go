package stats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func TestAReportAddsPeriodsUp(t *testing.T) {
	t.Parallel()
	w, _ := WindowNamed("24h")
	from := 1000 * store.Day
	now := from + 24*store.Hour - 1
	email, sms := store.CountKey{Channel: comm.Email, Counter: comm.CountSent}, store.CountKey{Channel: comm.SMS, Counter: comm.CountSent}
	try := func(c comm.Counter, ch comm.Channel) store.CountKey {
		return store.CountKey{Channel: ch, Counter: c, Provider: "smtp"}
	}
	r, top := makeReport(w, from, now, []store.Period{
		{Start: from, Span: store.Hour, Counts: store.Counts{email: 3, try(comm.TriesStarted, comm.Email): 4, try(comm.TriesFailed, comm.Email): 1}.Encode(), Top: store.Top{comm.ID{1}: 2}.Encode()},
		{Start: from + store.Hour, Span: store.Hour, Counts: store.Counts{sms: 5, {Channel: comm.SMS, Counter: comm.CountCancelled}: 2}.Encode(), Top: store.Top{comm.ID{1}: 3}.Encode()},
		{Start: from + 23*store.Hour + 59*store.Minute, Span: store.Minute, Counts: store.Counts{email: 7, try(comm.TriesSent, comm.SMS): 9}.Encode()},
		{Start: from + 24*store.Hour, Span: store.Minute, Counts: store.Counts{email: 1}.Encode()}, // a clock a little ahead
		{Start: from, Span: store.Hour, Counts: []byte("no figures"), Top: []byte("no apps")},      // it costs itself
	})
	if !maps.Equal(top, store.Top{comm.ID{1}: 5}) {
		t.Errorf("%v", top)
	}
	if r.Messages != (Messages{Sent: 16, Cancelled: 2}) || r.Channels[0].Messages != (Messages{Sent: 11}) || r.Channels[1].Messages != (Messages{Sent: 5, Cancelled: 2}) {
		t.Errorf("%+v", r)
	}
	if len(r.Steps) != 24 || r.Steps[0].Messages.Sent != 3 || r.Steps[1].Messages.Sent != 5 || r.Steps[23].Messages.Sent != 8 || r.Steps[23].At != from+23*store.Hour {
		t.Errorf("%+v", r.Steps)
	}
	if want := []Provider{{Provider: "smtp", Channel: comm.Email, Attempts: 4, Failed: 1}, {Provider: "smtp", Channel: comm.SMS, Sent: 9}}; !slices.Equal(r.Providers, want) {
		t.Errorf("%+v", r.Providers)
	}
}

// Each step of a chart has the waits of what was sent in it, of all channels, and none where nothing was.
func TestAStepHasItsOwnLatency(t *testing.T) {
	t.Parallel()
	w, _ := WindowNamed("1h")
	wait := func(ch comm.Channel, c comm.Counter, took time.Duration) store.CountKey {
		return store.CountKey{Channel: ch, Counter: c, Bucket: comm.WaitBucket(took)}
	}
	r, _ := makeReport(w, 0, store.Hour-1, []store.Period{
		{Start: 0, Span: store.Minute, Counts: store.Counts{wait(comm.SMS, comm.WaitAccepted, time.Second): 90, wait(comm.Email, comm.WaitAccepted, time.Minute): 10, wait(comm.SMS, comm.WaitScheduled, time.Hour): 300}.Encode()},
		{Start: 2 * store.Minute, Span: store.Minute, Counts: store.Counts{wait(comm.SMS, comm.WaitAccepted, 10*time.Millisecond): 1, {Channel: comm.SMS, Counter: comm.CountFailed}: 3}.Encode()},
		{Start: 3 * store.Minute, Span: store.Minute, Counts: store.Counts{{Channel: comm.SMS, Counter: comm.CountFailed}: 3}.Encode()},
	})
	near := func(got, want time.Duration) bool { return math.Abs(float64(got)/float64(want)-1) < 0.1 }
	first, third := r.Steps[0].Latency, r.Steps[2].Latency
	if first.Accepted.Count != 100 || !near(first.Accepted.P50, time.Second) || !near(first.Accepted.P95, time.Minute) || first.Due.Count != 400 || !near(first.Due.P50, time.Hour) {
		t.Errorf("%+v", first)
	}
	if third.Accepted.Count != 1 || !near(third.Accepted.P50, 10*time.Millisecond) || third.Accepted.P95 != third.Accepted.P50 || third.Due != third.Accepted {
		t.Errorf("%+v", third)
	}
	for _, n := range []int{1, 3, 59} {
		if r.Steps[n].Latency != (Latency{}) {
			t.Errorf("%d: %+v", n, r.Steps[n].Latency)
		}
	}
	if r.Latency.Accepted.Count != 101 || r.Latency.Due.Count != 401 {
		t.Errorf("%+v", r.Latency)
	}
}

// Quantiles are within a tenth of those of the waits themselves.
func TestQuantilesAreWithinTenPercent(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 99, 5000} {
		waits, counts := make([]time.Duration, n), store.Counts{}
		for i := range waits {
			waits[i] = time.Duration(math.Exp(rnd.NormFloat64()*3)*20) * time.Millisecond
			waits[i] += time.Millisecond
			k := store.CountKey{Channel: comm.SMS, Counter: comm.WaitAccepted, Bucket: comm.WaitBucket(waits[i])}
			if i%2 == 1 {
				k.Counter = comm.WaitScheduled
			}
			counts[k]++
		}
		slices.Sort(waits)
		r, _ := makeReport(Windows()[0], 0, 1, []store.Period{{Counts: counts.Encode()}})
		got := r.Channels[1].Latency
		if got.Due.Count != int64(n) || got.Accepted.Count != int64((n+1)/2) || r.Channels[0].Latency != (Latency{}) || r.Latency != got {
			t.Errorf("%d waits: %+v", n, got)
		}
		for q, is := range map[float64]time.Duration{0.50: got.Due.P50, 0.95: got.Due.P95, 0.99: got.Due.P99} {
			want := waits[int(math.Ceil(q*float64(n)))-1]
			if off := math.Abs(float64(is)/float64(want) - 1); off > 0.1 {
				t.Errorf("%d waits: the quantile %.2f is %v, answered %v", n, q, want, is)
			}
		}
	}
}

// A step of a window is never finer than the rows that are kept of its oldest part.
func TestWindowsFitWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, w := range Windows() {
		length := comm.Micros(w.Steps) * w.Step
		if w.Step < store.Hour && length > store.KeepMinutes-store.Hour+store.Hour || w.Step < store.Day && length > store.KeepHours || length > store.KeepDays {
			t.Errorf("%s in steps of %d is longer than its rows are kept", w.Name, w.Step)
		}
	}
	if _, ok := WindowNamed(DefaultWindow); !ok {
		t.Error("the default is none")
	}
}

// folds counts calls, and answers what it is told to.
type folds struct {
	store.Stats
	calls atomic.Int64
	next  func(call int64) (store.Folded, error)
}

func (f *folds) Fold(context.Context) (store.Folded, error) { return f.next(f.calls.Add(1)) }

func TestFoldingGoesOnAndSparesTheDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		next     func(call int64) (store.Folded, error)
		min, max int64 // calls within a minute
	}{
		"idle":      {func(int64) (store.Folded, error) { return store.Folded{}, nil }, 50, 70},
		"away":      {func(int64) (store.Folded, error) { return store.Folded{}, errors.New("away") }, 50, 70},
		"many apps": {func(int64) (store.Folded, error) { return store.Folded{Rows: 5000}, nil }, 6, 8},
		"a backlog": {func(n int64) (store.Folded, error) { return store.Folded{Rows: 1, More: n < 500}, nil }, 550, 570},
		// Three quarters of the time are left to others.
		"what others wait for": {func(int64) (store.Folded, error) {
			time.Sleep(5 * time.Millisecond)
			return store.Folded{Rows: 1, More: true, Took: 5 * time.Millisecond}, nil
		}, 2990, 3010},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &folds{next: c.next}
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			if err := New(Config{Store: f}).Run(ctx); err != nil {
				t.Error(err)
			}
			if n := f.calls.Load(); n < c.min || n > c.max {
				t.Errorf("%s: %d calls in a minute, want %d to %d", name, n, c.min, c.max)
			}
		})
	}
}

// What cannot be read is logged once, with how much it is, and folding goes on.
func TestWhatIsSetAsideIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &folds{next: func(call int64) (store.Folded, error) {
			if call == 3 {
				return store.Folded{Aside: 2}, nil
			}
			return store.Folded{Rows: 1}, nil
		}}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var log bytes.Buffer
		if err := New(Config{Store: f, Log: slog.New(slog.NewTextHandler(&log, nil))}).Run(ctx); err != nil {
			t.Error(err)
		}
		if n := f.calls.Load(); n < 50 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "rows=2") {
			t.Errorf("%d calls, %s", n, log.String())
		}
	})
}

// tables answers from memory, and counts how often shares were read.
type tables struct {
	store.Stats
	store.Apps
	of    map[comm.ID][]store.Period
	reads atomic.Int32
}

func (x *tables) Periods(_ context.Context, apps []comm.ID, _ comm.Micros) (out [][]store.Period, err error) {
	for _, app := range apps {
		out = append(out, x.of[app])
	}
	return out, nil
}

func (x *tables) Shares(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]store.Period, error) {
	x.reads.Add(1)
	return x.Periods(ctx, apps, from)
}

func (x *tables) AppsByID(_ context.Context, ids []comm.ID) (out []comm.App, err error) {
	for _, id := range ids {
		out = append(out, comm.App{ID: id, Slug: fmt.Sprint("app-", id[0])})
	}
	return out, nil
}

// A report on all apps is right also when others were first the last time, and reads their parts once when nothing changed.
func TestWhoAcceptedMostIsReadBeside(t *testing.T) {
	t.Parallel()
	now := 1000*store.Day + 5*store.Hour
	x := &tables{of: map[comm.ID][]store.Period{}}
	s := New(Config{Store: x, Apps: x, Now: func(context.Context) (comm.Micros, error) { return now, nil }})
	w, _ := WindowNamed("24h")
	ask := func(accepted ...int64) {
		t.Helper()
		top := store.Top{}
		for i, n := range accepted {
			id := comm.ID{byte(i + 1)}
			top[id] = n
			x.of[id] = []store.Period{{Start: now - store.Hour, Span: store.Hour, Counts: store.Counts{{Channel: comm.SMS, Counter: comm.CountAccepted}: n}.Encode()}}
		}
		x.of[comm.ID{}] = []store.Period{{Start: now - store.Hour, Span: store.Hour, Top: top.Encode()}}
		r, err := s.All(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, app := range r.Apps {
			got = append(got, fmt.Sprint(app.Slug, " ", app.Messages.Accepted))
		}
		for _, id := range top.First(topApps) {
			want = append(want, fmt.Sprint("app-", id[0], " ", top[id]))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, not %v", got, want)
		}
	}
	ask(5, 4, 3)
	before := x.reads.Load()
	ask(5, 6, 3)
	if n := x.reads.Load() - before; n != 1 {
		t.Errorf("read %d times where the same apps are first", n)
	}
	ask(1, 2, 3, 4)
	ask(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	ask(12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
}
