package backlog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// faulty is a store whose transactions of clearing fail, or look at nothing, while told to.
type faulty struct {
	Store
	calls int
	fails func(call int) error
	blind bool
	away  error // of its clock
}

func (f *faulty) Now(ctx context.Context) (comm.Micros, error) {
	if f.away != nil {
		return 0, f.away
	}
	return f.Store.Now(ctx)
}

func (f *faulty) CancelQueued(ctx context.Context, u comm.Unit, heads []store.Head, until comm.Micros, actor string) (store.CancelledSlice, error) {
	f.calls++
	if err := f.fails(f.calls); err != nil || f.blind {
		return store.CancelledSlice{}, err
	}
	return f.Store.CancelQueued(ctx, u, heads, until, actor)
}

func never(int) error { return nil }

var errAway = errors.New("the database is away")

// overFaulty makes the world's service work on a store that can fail.
func (w *world) overFaulty() *faulty {
	f := &faulty{Store: w.s, fails: never}
	w.b = New(f, Rules{})
	w.b.pause = func(context.Context, time.Duration) {}
	return f
}

// pass waits until the clock has passed an instant.
func (w *world) pass(at comm.Micros) {
	w.Helper()
	for now := at; now <= at; {
		var err error
		if now, err = w.s.Now(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
}

// orders is how often clearing was noted in the audit log.
func (w *world) orders() int {
	w.Helper()
	notes, err := w.s.AuditList(w.Context(), store.AuditFilter{Action: comm.AuditQueueCancelled, Limit: 10})
	if err != nil {
		w.Fatal(err)
	}
	return len(notes.Entries)
}

// TestAnErrorDoesNotRenewTheOrder: whatever fails once clearing was ordered, it goes on as of the order. What was accepted since stays.
func TestAnErrorDoesNotRenewTheOrder(t *testing.T) {
	t.Parallel()
	for name, failsAt := range map[string]int{"at once": 1, "in the middle": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f, a := w.overFaulty(), w.app(1)
			w.fill(a, comm.Bulk, 200)
			all := Scope{App: a}
			f.fails = func(call int) error {
				if call >= failsAt {
					return errAway
				}
				return nil
			}
			first, err := w.b.Cancel(t.Context(), all, nil)
			if err != nil || first.Next == nil || !errors.Is(first.Stopped, errAway) || w.left(all) != 200-first.Cancelled || first.Cancelled > 0 != (failsAt > 1) {
				t.Fatalf("%+v %v", first, err)
			}
			w.pass(first.Next.Until)
			w.fill(a, comm.Bulk, 11)
			for range 3 { // it is an error, not an answer that leads nowhere
				if got, err := w.b.Cancel(t.Context(), all, first.Next); !errors.Is(err, errAway) || got != nil {
					t.Fatalf("%+v %v", got, err)
				}
			}
			f.calls, f.fails = 0, func(call int) error {
				if call == 2 {
					return errAway
				}
				return nil
			}
			second, err := w.b.Cancel(t.Context(), all, first.Next)
			if err != nil || second.Next == nil || second.Cancelled == 0 || second.Next.Until != first.Next.Until {
				t.Fatalf("%+v %v", second, err)
			}
			third, err := w.b.Cancel(t.Context(), all, second.Next)
			if err != nil || third.Next != nil || third.Stopped != nil || first.Cancelled+second.Cancelled+third.Cancelled != 200 {
				t.Fatalf("%+v %v", third, err)
			}
			if w.left(all) != 11 || w.orders() != 1 {
				t.Errorf("%d are left, ordered %d times", w.left(all), w.orders())
			}
		})
	}
}

// TestWhatWasNotOrderedIsAnError: nothing was noted or cancelled, and the call can be repeated.
func TestWhatWasNotOrderedIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f, a := w.overFaulty(), w.app(1)
	w.fill(a, comm.Bulk, 3)
	f.away = errAway
	if got, err := w.b.Cancel(t.Context(), Scope{App: a}, nil); !errors.Is(err, errAway) || got != nil {
		t.Errorf("%+v %v", got, err)
	}
	f.away = nil
	if w.orders() != 0 || w.left(Scope{App: a}) != 3 {
		t.Errorf("ordered %d times", w.orders())
	}
	f.blind = true // as no store is
	if got, err := w.b.Cancel(t.Context(), Scope{App: a}, nil); err != nil || got.Stopped == nil || got.Next == nil || got.Cancelled != 0 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestClearingEndsThoughAnAppSendsOn: what is accepted while an app's queue is cleared, faster than it is cleared, is not stepped over for ever.
func TestClearingEndsThoughAnAppSendsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app(1)
	w.fill(a, comm.Bulk, 300)
	all := Scope{App: a}
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.ahead.Store(int64(2 * comm.IDSlack)) // clearing has gone on for a while
	w.b.pause = func(context.Context, time.Duration) { w.fill(a, comm.Bulk, 2*sliceHeads) }
	w.b.callTime = 30 * time.Second // however slow the machine is
	cancelled := 0
	for step := (&Step{Until: now}); step != nil; {
		got, err := w.b.Cancel(t.Context(), all, step)
		if err != nil {
			t.Fatal(err)
		}
		if step = got.Next; step != nil && cancelled > 0 {
			t.Fatal("a second call is needed, and a third, and so on")
		}
		cancelled += got.Cancelled
	}
	if cancelled != 300 {
		t.Errorf("%d are cancelled, want those that waited", cancelled)
	}
}
