package batch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBad = errors.New("bad item")

// recorder is a Commit that doubles its items and remembers the groups.
type recorder struct {
	mu     sync.Mutex
	groups [][]int
	delay  time.Duration
	fail   func(group []int) error
}

func (r *recorder) commit(_ context.Context, items []int) ([]int, error) {
	r.mu.Lock()
	r.groups = append(r.groups, slices.Clone(items))
	r.mu.Unlock()
	if r.delay > 0 {
		time.Sleep(r.delay)
	}
	if r.fail != nil {
		if err := r.fail(items); err != nil {
			return nil, err
		}
	}
	outs := make([]int, len(items))
	for i, item := range items {
		outs[i] = 2 * item
	}
	return outs, nil
}

// running starts Run; the returned stop ends it, waits, and checks its error.
func running[In, Out any](t *testing.T, g *Group[In, Out]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// outcome is what one Do returned.
type outcome struct {
	out int
	err error
}

// doEach calls Do for every item in its own goroutine, started in order, and
// returns the outcomes once all are back.
func doEach(ctx context.Context, g *Group[int, int], items ...int) func() []outcome {
	got := make([]outcome, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { got[i].out, got[i].err = g.Do(ctx, item) })
		synctest.Wait() // one after the other, so that the order is known
	}
	return func() []outcome { wg.Wait(); return got }
}

func TestGathersWhileCommitting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Second}
		g := New(Config[int, int]{Commit: r.commit, MaxItems: 3})
		stop := running(t, g)
		synctest.Wait()
		begin := time.Now()
		wait := doEach(t.Context(), g, 1, 2, 3, 4, 5)
		for i, o := range wait() {
			if o.err != nil || o.out != 2*(i+1) {
				t.Errorf("item %d: %d, %v", i+1, o.out, o.err)
			}
		}
		// The first does not linger for company; the others fill groups of three.
		want := [][]int{{1}, {2, 3, 4}, {5}}
		if !slices.EqualFunc(r.groups, want, slices.Equal) {
			t.Errorf("groups %v, want %v", r.groups, want)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
		stop()
	})
}

func TestBytesBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Second}
		g := New(Config[int, int]{Commit: r.commit, Size: func(in int) int { return in }, MaxBytes: 100})
		stop := running(t, g)
		synctest.Wait()
		doEach(t.Context(), g, 1, 60, 40, 1, 500, 99, 2)()
		want := [][]int{{1}, {60, 40}, {1}, {500}, {99}, {2}}
		if !slices.EqualFunc(r.groups, want, slices.Equal) {
			t.Errorf("groups %v, want %v", r.groups, want)
		}
		stop()
	})
}

func TestPoisonedItems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		n     int
		bad   []int
		calls int // most calls of Commit after the first item's
	}{
		{"none", 8, nil, 1},
		{"first", 8, []int{0}, 7},
		{"last", 8, []int{7}, 7},
		{"middle of a thousand", 1000, []int{501}, 21},
		{"two", 16, []int{3, 12}, 17},
		{"neighbours", 9, []int{4, 5}, 17},
		{"all", 5, []int{0, 1, 2, 3, 4}, 9},
		{"alone", 1, []int{0}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{delay: time.Second}
				r.fail = func(group []int) error {
					for _, item := range group {
						if slices.Contains(test.bad, item) {
							rand.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
							return fmt.Errorf("insert: %w", Isolate(errBad))
						}
					}
					return nil
				}
				g := New(Config[int, int]{Commit: r.commit})
				stop := running(t, g)
				synctest.Wait()
				first := doEach(t.Context(), g, -1) // holds the committer while the rest gathers
				items := make([]int, test.n)
				for i := range items {
					items[i] = i
				}
				rest := doEach(t.Context(), g, items...)
				first()
				for i, o := range rest() {
					if slices.Contains(test.bad, i) {
						if !errors.Is(o.err, errBad) {
							t.Errorf("bad item %d: %d, %v", i, o.out, o.err)
						}
					} else if o.err != nil || o.out != 2*i {
						t.Errorf("good item %d: %d, %v", i, o.out, o.err)
					}
				}
				if calls := len(r.groups) - 1; calls > test.calls {
					t.Errorf("%d calls of Commit, want at most %d", calls, test.calls)
				}
				stop()
			})
		})
	}
}

func TestUnmarkedErrorGoesToAll(t *testing.T) {
	t.Parallel()
	unknown := errors.New("commit: no answer")
	tests := []struct {
		name string
		fail func([]int) error
		want func(error) bool
	}{
		{"unknown outcome", func([]int) error { return unknown }, func(err error) bool { return errors.Is(err, unknown) }},
		{"panic with an error", func(g []int) error { _ = g[len(g)]; return nil }, func(err error) bool {
			var p *PanicError
			return errors.As(err, &p) && strings.Contains(err.Error(), "index out of range") && len(p.Stack) > 0
		}},
		{"panic with a value", func([]int) error { panic("secret contents") }, func(err error) bool {
			var p *PanicError
			return errors.As(err, &p) && p.Value == "secret contents" && !strings.Contains(err.Error(), "secret")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{delay: time.Second}
				r.fail = func(group []int) error {
					if group[0] < 0 {
						return nil
					}
					return test.fail(group)
				}
				g := New(Config[int, int]{Commit: r.commit})
				stop := running(t, g)
				synctest.Wait()
				first := doEach(t.Context(), g, -1)
				rest := doEach(t.Context(), g, 1, 2, 3)
				first()
				for i, o := range rest() {
					if !test.want(o.err) || o.out != 0 {
						t.Errorf("item %d: %d, %v", i+1, o.out, o.err)
					}
				}
				if len(r.groups) != 2 {
					t.Errorf("the group was tried again: %v", r.groups)
				}
				if out, err := g.Do(t.Context(), -7); err != nil || out != -14 {
					t.Errorf("Run does not go on: %d, %v", out, err)
				}
				stop()
			})
		})
	}
}

func TestWrongNumberOfAnswers(t *testing.T) {
	t.Parallel()
	g := New(Config[int, int]{Commit: func(context.Context, []int) ([]int, error) { return []int{1, 2}, nil }})
	stop := running(t, g)
	defer stop()
	if _, err := g.Do(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "2 answers for 1 items") {
		t.Errorf("err = %v", err)
	}
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Minute}
		g := New(Config[int, int]{Commit: r.commit})
		stop := running(t, g)
		synctest.Wait()
		cause := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		taken := doEach(ctx, g, 1)
		waiting := doEach(ctx, g, 2, 3)
		kept := doEach(t.Context(), g, 4)
		begin := time.Now()
		cancel(cause)
		for i, o := range waiting() {
			if !errors.Is(o.err, cause) {
				t.Errorf("waiting item %d: %v, want the cause", i+2, o.err)
			}
		}
		if time.Since(begin) != 0 {
			t.Error("a waiting caller does not leave at once")
		}
		if o := taken()[0]; o.err != nil || o.out != 2 {
			t.Errorf("taken item: %d, %v; want its answer", o.out, o.err)
		}
		if o := kept()[0]; o.err != nil || o.out != 8 {
			t.Errorf("other caller's item: %d, %v", o.out, o.err)
		}
		if _, err := g.Do(ctx, 5); !errors.Is(err, cause) {
			t.Errorf("ended context: %v", err)
		}
		if want := [][]int{{1}, {4}}; !slices.EqualFunc(r.groups, want, slices.Equal) {
			t.Errorf("groups %v, want %v", r.groups, want)
		}
		stop()
	})
}

func TestBackPressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Minute}
		g := New(Config[int, int]{Commit: r.commit, MaxQueue: 2})
		stop := running(t, g)
		synctest.Wait()
		early := doEach(t.Context(), g, 1, 2, 3) // 1 is committing, 2 and 3 fill the queue
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Do(ctx, 4); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("full queue: %v", err)
		}
		late := doEach(t.Context(), g, 5)
		for i, o := range append(early(), late()...) {
			if o.err != nil {
				t.Errorf("item %d: %v", i, o.err)
			}
		}
		if len(g.ones.room)+len(g.lists.room) != 0 {
			t.Errorf("%d places of the queue are lost", len(g.ones.room)+len(g.lists.room))
		}
		stop()
	})
}

func TestStopDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Minute}
		g := New(Config[int, int]{
			MaxItems: 2, MaxQueue: 3,
			Commit: func(ctx context.Context, items []int) ([]int, error) {
				outs, err := r.commit(ctx, items)
				return outs, errors.Join(err, ctx.Err())
			},
		})
		stop := running(t, g)
		synctest.Wait()
		accepted := doEach(t.Context(), g, 1, 2, 3, 4)
		outside := doEach(t.Context(), g, 5, 6) // wait for room
		var stopped sync.WaitGroup
		stopped.Go(stop)
		synctest.Wait()
		time.Sleep(time.Minute) // 1 is answered, Run notices the stop
		for i, o := range accepted() {
			if o.err != nil || o.out != 2*(i+1) {
				t.Errorf("waiting item %d: %d, %v", i+1, o.out, o.err)
			}
		}
		for _, o := range outside() {
			if o.err != nil && !errors.Is(o.err, ErrClosed) {
				t.Errorf("item outside the queue: %v", o.err)
			}
		}
		stopped.Wait()
		if _, err := g.Do(t.Context(), 7); !errors.Is(err, ErrClosed) {
			t.Errorf("after Run: %v, want ErrClosed", err)
		}
		if _, errs := g.DoAll(t.Context(), []int{7, 8}); len(errs) != 2 || !errors.Is(errs[0], ErrClosed) || !errors.Is(errs[1], ErrClosed) {
			t.Errorf("after Run: %v, want ErrClosed", errs)
		}
		if err := g.Run(t.Context()); err == nil {
			t.Error("a second Run succeeds")
		}
	})
}

func TestStopsUnderConstantLoad(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	g := New(Config[int, int]{Commit: r.commit})
	stop := running(t, g)
	var wg sync.WaitGroup
	var answered atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				out, err := g.Do(context.Background(), i)
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("Do: %v", err)
					}
					return
				}
				if out != 2*i {
					t.Errorf("Do(%d) = %d", i, out)
				}
				answered.Add(1)
			}
		})
	}
	for answered.Load() < 1000 {
		if _, err := g.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	wg.Wait()
}

func TestDoAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Second, fail: func(group []int) error {
			if slices.Contains(group, 13) {
				return Isolate(errBad)
			}
			return nil
		}}
		g := New(Config[int, int]{Commit: r.commit, MaxItems: 8, MaxQueue: 5})
		stop := running(t, g)
		if outs, errs := g.DoAll(t.Context(), nil); outs != nil || errs != nil {
			t.Errorf("nothing: %v, %v", outs, errs)
		}
		outs, errs := g.DoAll(t.Context(), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
		if want := []int{2, 4, 6, 8, 10, 12, 14, 16, 18, 20}; !slices.Equal(outs, want) || errs != nil {
			t.Errorf("DoAll = %v, %v", outs, errs)
		}
		outs, errs = g.DoAll(t.Context(), []int{12, 13, 14})
		if !slices.Equal(outs, []int{24, 0, 28}) || len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], errBad) || errs[2] != nil {
			t.Errorf("DoAll = %v, %v", outs, errs)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		items := make([]int, 20)
		for i := range items {
			items[i] = 100 + i
		}
		outs, errs = g.DoAll(ctx, items)
		if len(errs) != 20 || errs[0] != nil || outs[0] != 200 || !errors.Is(errs[19], context.DeadlineExceeded) {
			t.Errorf("DoAll with a deadline = %v, %v", outs, errs)
		}
		committed := 0
		for i := range items {
			if errs[i] == nil {
				committed++
				if outs[i] != 2*items[i] {
					t.Errorf("item %d = %d", items[i], outs[i])
				}
			}
		}
		seen := 0
		for _, group := range r.groups {
			for _, item := range group {
				if item >= 100 {
					seen++
				}
			}
		}
		if seen != committed {
			t.Errorf("%d items committed, %d reported so", seen, committed)
		}
		if len(g.ones.room)+len(g.lists.room) != 0 {
			t.Errorf("%d places of the queue are lost", len(g.ones.room)+len(g.lists.room))
		}
		stop()
	})
}

// TestRandomWalk lets many callers come, give up and fail, and holds the
// ledger: committed exactly the items whose callers were told so, each once.
func TestRandomWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomWalk(t, seed) })
		})
	}
}

func randomWalk(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	stored := map[int]int{}
	bad := func(item int) bool { return item%17 == 0 }
	g := New(Config[int, int]{
		MaxItems: 1 + rng.IntN(20), MaxQueue: 1 + rng.IntN(30), MaxBytes: 50, Size: func(in int) int { return in % 10 },
		Commit: func(_ context.Context, items []int) ([]int, error) {
			time.Sleep(time.Duration(len(items)) * time.Millisecond)
			if slices.ContainsFunc(items, bad) {
				return nil, Isolate(errBad)
			}
			for _, item := range items {
				stored[item]++
			}
			return slices.Clone(items), nil
		},
	})
	stop := running(t, g)
	results := make([]outcome, 400)
	var wg sync.WaitGroup
	for i := range results {
		patience := time.Duration(1+rng.IntN(60)) * time.Millisecond
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if i%5 == 0 {
				outs, errs := g.DoAll(ctx, []int{i})
				results[i].out = outs[0]
				if errs != nil {
					results[i].err = errs[0]
				}
				return
			}
			results[i].out, results[i].err = g.Do(ctx, i)
		})
		if rng.IntN(10) == 0 {
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
	}
	wg.Wait()
	stop()
	succeeded := 0
	for i, r := range results {
		switch {
		case r.err == nil:
			succeeded++
			if stored[i] != 1 || r.out != i {
				t.Errorf("item %d: told stored, is %d times, answer %d", i, stored[i], r.out)
			}
		case stored[i] != 0:
			t.Errorf("item %d: told %v, is stored", i, r.err)
		case errors.Is(r.err, errBad) && !bad(i):
			t.Errorf("item %d is blamed for another", i)
		}
	}
	if succeeded == 0 || succeeded == len(results) {
		t.Errorf("%d of %d succeeded: the walk proves nothing", succeeded, len(results))
	}
}

func TestIsolate(t *testing.T) {
	t.Parallel()
	if Isolate(nil) != nil {
		t.Error("Isolate(nil) is an error")
	}
	err := Isolate(errBad)
	if !errors.Is(err, errBad) || err.Error() != errBad.Error() {
		t.Errorf("Isolate hides its cause: %v", err)
	}
}

func TestNewWithoutCommit(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("New without Commit does not panic")
		}
	}()
	New(Config[int, int]{})
}

func TestAllocations(t *testing.T) {
	outs := make([]int, 1)
	g := New(Config[int, int]{Commit: func(context.Context, []int) ([]int, error) { return outs, nil }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	for range 100 {
		_, _ = g.Do(ctx, 1)
	}
	if got := testing.AllocsPerRun(1000, func() { _, _ = g.Do(ctx, 1) }); got >= 1 {
		t.Errorf("%v allocations per item, want 0", got)
	}
	cancel()
	<-ended
}

func BenchmarkDo(b *testing.B) {
	outs := make([]int, defaultMaxItems)
	g := New(Config[int, int]{Commit: func(_ context.Context, items []int) ([]int, error) { return outs[:len(items)], nil }})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = g.Do(ctx, 1)
		}
	})
	cancel()
	<-ended
}
