package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// shelf is a store of alerts; everything else of store.Alerts is not used here.
type shelf struct {
	store.Alerts
	mu   sync.Mutex
	rows map[key]store.Alert
}

func (s *shelf) all() []store.Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []store.Alert
	for _, a := range s.rows {
		out = append(out, a)
	}
	return out
}

// world is some nodes on one store, and a receiver.
type world struct {
	t     *testing.T
	shelf *reading

	mu     sync.Mutex
	leader int             // -1: all lead
	wrong  map[string]bool // subjects of provider_down
	since  map[string]comm.Micros
	outage map[string]*Outage
	most   int           // a look finds no more; 0: it finds all
	down   error         // of the store
	still  bool          // whether a node leads while it is down, as on a disk that is nearly full
	refuse error         // of the receiver
	slow   time.Duration // of the receiver
	tries  int
	got    []string
	hung   chan struct{} // calls of the store hang until it is closed, whatever their time; nil: they do not
	other  bool          // whether key_expiring finds something
	noLook bool          // whether the look at providers hangs
}

// hangs is a call of a store that may hang.
func (w *world) hangs() {
	w.mu.Lock()
	hung := w.hung
	w.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

// reading is shelf with the method that its name would hide.
type reading struct {
	*shelf
	w *world
}

func (r *reading) Alerts(_ context.Context, limit int) ([]store.Alert, error) {
	r.w.hangs()
	all := r.all()
	slices.SortFunc(all, func(a, b store.Alert) int {
		openA, openB := a.ClearedAt == 0, b.ClearedAt == 0
		switch {
		case openA != openB && openA:
			return -1
		case openA != openB:
			return 1
		}
		return cmp.Or(cmp.Compare(b.ClearedAt, a.ClearedAt), cmp.Compare(a.Subject, b.Subject))
	})
	return all[:min(limit, len(all))], nil
}

func (r *reading) Alert(_ context.Context, kind, subject string) (*store.Alert, error) {
	r.w.hangs()
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.rows[key{kind, subject}]
	if !ok {
		return nil, comm.E("not_found")
	}
	return &a, nil
}

func (r *reading) SaveAlert(_ context.Context, a *store.Alert) (bool, error) {
	r.w.hangs()
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{a.Kind, a.Subject}
	if r.rows[k].Version != a.Version {
		return false, nil
	}
	a.Version++
	r.rows[k] = *a
	return true, nil
}

func (r *reading) TrimAlerts(context.Context, comm.Micros) error { return nil }

func play(t *testing.T, nodes int, do func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, wrong: map[string]bool{}, since: map[string]comm.Micros{}, outage: map[string]*Outage{}}
		w.shelf = &reading{&shelf{rows: map[key]store.Alert{}}, w}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range nodes {
			s := New(Config{Store: w.shelf, Now: func(context.Context) (comm.Micros, error) { return comm.At(time.Now()), nil },
				Leads: func() bool {
					w.mu.Lock()
					defer w.mu.Unlock()
					return (w.leader == i || w.leader < 0) && (w.down == nil || w.still)
				},
				Ping:  func(context.Context) error { w.hangs(); w.mu.Lock(); defer w.mu.Unlock(); return w.down },
				Looks: []Look{{[]string{ProviderDown}, 0, w.look}, {[]string{KeyEnding}, 0, w.keys}}, Tellers: map[string]Teller{"webhook": w.take}})
			running.Go(func() { _ = s.Run(ctx) })
		}
		do(w)
		stop()
		running.Wait()
	})
}

func (w *world) keys(context.Context, comm.Micros) (out Found, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.other {
		out.All = []Finding{{KeyEnding, "k", "k ends.", 0, nil, ""}}
	}
	return out, nil
}

func (w *world) look(context.Context, comm.Micros) (out Found, err error) {
	w.mu.Lock()
	if w.noLook {
		w.mu.Unlock()
		time.Sleep(time.Hour) // whatever its time
		return out, errors.New("hung")
	}
	defer w.mu.Unlock()
	for subject, wrong := range w.wrong {
		if wrong {
			out.All = append(out.All, Finding{ProviderDown, subject, subject + " does not work.", w.since[subject], w.outage[subject], "shop"})
		}
	}
	if w.most > 0 && len(out.All) > w.most {
		out.All, out.More = newest(kindOf(ProviderDown), out.All)[:w.most], true
	}
	return out, nil
}

func (w *world) take(ctx context.Context, n *Note) error {
	w.mu.Lock()
	slow, refuse := w.slow, w.refuse
	w.tries++
	w.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	if refuse != nil {
		return refuse
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, fmt.Sprint(n.Alert, " ", n.Subject, " ", n.State))
	return nil
}

func (w *world) set(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// is wants the receiver to have got exactly this.
func (w *world) is(want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.got, want) {
		w.t.Fatalf("%q, want %q", w.got, want)
	}
}

func TestOneAlertAndOneAllClear(t *testing.T) {
	play(t, 1, func(w *world) {
		time.Sleep(time.Minute)
		w.set(func() { w.wrong["a"] = true })
		time.Sleep(10 * time.Second)
		w.is()
		time.Sleep(15 * time.Second)
		w.is("provider_down a raised")
		time.Sleep(6 * time.Hour)
		w.is("provider_down a raised")
		w.set(func() { w.wrong["a"] = false })
		time.Sleep(50 * time.Second)
		w.is("provider_down a raised")
		time.Sleep(6 * time.Hour)
		w.is("provider_down a raised", "provider_down a cleared")
		w.set(func() { w.wrong["a"] = true })
		time.Sleep(time.Minute)
		w.is("provider_down a raised", "provider_down a cleared", "provider_down a raised")
	})
}

func TestWhatWasRemovedIsToldAgain(t *testing.T) {
	play(t, 1, func(w *world) {
		for _, wrong := range []bool{true, false} {
			w.set(func() { w.wrong["a"] = wrong })
			time.Sleep(5 * time.Minute)
		}
		w.is("provider_down a raised", "provider_down a cleared")
		w.shelf.mu.Lock()
		clear(w.shelf.rows) // as TrimAlerts does after a month
		w.shelf.mu.Unlock()
		w.set(func() { w.wrong["a"] = true })
		time.Sleep(time.Minute)
		w.is("provider_down a raised", "provider_down a cleared", "provider_down a raised")
	})
}

func TestFlappingIsNotTold(t *testing.T) {
	play(t, 1, func(w *world) {
		for range 100 { // wrong for too short a time
			w.set(func() { w.wrong["a"] = !w.wrong["a"] })
			time.Sleep(10 * time.Second)
		}
		w.is()
		w.set(func() { w.wrong["a"] = true })
		time.Sleep(time.Minute)
		for range 100 { // well for too short a time
			w.set(func() { w.wrong["a"] = !w.wrong["a"] })
			time.Sleep(40 * time.Second)
		}
		w.is("provider_down a raised")
	})
}

func TestAnotherNodeLeads(t *testing.T) {
	play(t, 3, func(w *world) {
		w.set(func() { w.wrong["a"] = true })
		for i := range 30 {
			time.Sleep(time.Minute)
			w.set(func() { w.leader = i % 3 })
		}
		w.is("provider_down a raised")
		w.set(func() { w.wrong["a"], w.leader = false, 0 })
		time.Sleep(2 * time.Minute)
		w.is("provider_down a raised") // the new leader has not watched it for long
		time.Sleep(10 * time.Minute)
		w.is("provider_down a raised", "provider_down a cleared")
		w.set(func() { w.leader = 2 })
		time.Sleep(time.Hour)
		w.is("provider_down a raised", "provider_down a cleared")
	})
}

func TestLeadingEndsDuringACall(t *testing.T) {
	play(t, 2, func(w *world) {
		w.set(func() { w.wrong["a"], w.slow = true, 10*time.Second })
		time.Sleep(20 * time.Second) // the call is under way
		w.is()
		w.set(func() { w.leader = 1 })
		time.Sleep(time.Hour)
		w.is("provider_down a raised")
		w.set(func() {
			if w.tries != 1 {
				w.t.Errorf("%d calls", w.tries)
			}
		})
	})
}

func TestWhatIsNotTakenIsTriedAgain(t *testing.T) {
	play(t, 1, func(w *world) {
		w.set(func() { w.wrong["a"], w.refuse = true, errors.New("503") })
		time.Sleep(time.Hour)
		w.set(func() {
			if w.tries < 5 || w.tries > 12 {
				w.t.Errorf("%d tries in an hour", w.tries)
			}
			w.refuse = nil
		})
		time.Sleep(15 * time.Minute)
		w.is("provider_down a raised")
		// An all-clear that nobody took is dropped when it is wrong again.
		w.set(func() { w.wrong["a"], w.refuse = false, errors.New("503") })
		time.Sleep(5 * time.Minute)
		w.set(func() { w.wrong["a"] = true })
		time.Sleep(time.Minute)
		w.set(func() { w.refuse = nil })
		time.Sleep(time.Hour)
		w.is("provider_down a raised")
	})
}

func TestAnAlertThatNobodyTookHasNoAllClear(t *testing.T) {
	play(t, 1, func(w *world) {
		w.set(func() { w.wrong["a"], w.refuse = true, errors.New("503") })
		time.Sleep(5 * time.Minute)
		w.set(func() { w.wrong["a"] = false })
		time.Sleep(5 * time.Minute)
		w.set(func() { w.refuse = nil })
		time.Sleep(time.Hour)
		w.is()
	})
}

func TestTheStoreIsAway(t *testing.T) {
	play(t, 3, func(w *world) {
		time.Sleep(61 * time.Second) // between two looks: in the middle of one a node may have lost the lead before the store is away
		w.set(func() { w.down = errors.New("connection refused") })
		time.Sleep(30 * time.Minute)
		w.is("storage_failing storage raised")
		w.set(func() { w.down, w.leader = nil, 1 }) // the node that told it does not lead any more
		time.Sleep(30 * time.Minute)
		w.is("storage_failing storage raised", "storage_failing storage cleared")
		if a := w.shelf.rows[key{StorageFailing, "storage"}]; a.RaisedAt == 0 || a.ClearedAt == 0 {
			t.Errorf("it is not listed: %+v", a)
		}
	})
}

// A process that starts while nothing can be stored tells it all the same.
func TestTheStoreIsAwayFromTheStart(t *testing.T) {
	play(t, 2, func(w *world) {
		w.set(func() { w.down, w.still = errors.New("the disk is almost full"), true })
		time.Sleep(5 * time.Minute)
		w.is("storage_failing storage raised")
		w.set(func() { w.down = nil })
		time.Sleep(5 * time.Minute)
		w.is("storage_failing storage raised", "storage_failing storage cleared")
	})
}

func TestAFloodIsBounded(t *testing.T) {
	play(t, 1, func(w *world) {
		old := comm.At(time.Now().Add(-72 * time.Hour))
		w.set(func() {
			for i := range 200 {
				w.wrong[fmt.Sprint(i)], w.since[fmt.Sprint(i)] = true, old
			}
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		w.set(func() {
			if len(w.got) != mostRaised {
				t.Errorf("%d were told", len(w.got))
			}
		})
	})
}

// TestWhatNeverEndsSilencesNothing: fifty alerts that stay open, more of them than a look finds, keep no new one from being told,
// and what is not found any more for their number is not called over.
func TestWhatNeverEndsSilencesNothing(t *testing.T) {
	play(t, 1, func(w *world) {
		w.set(func() {
			w.most = 60
			for i := range mostRaised {
				w.wrong[fmt.Sprint(i)], w.since[fmt.Sprint(i)] = true, comm.At(time.Now())
			}
		})
		time.Sleep(2 * time.Hour)
		w.set(func() {
			for i := range 100 {
				k := fmt.Sprint("older ", i)
				w.wrong[k], w.since[k] = true, comm.At(time.Now().Add(-time.Hour-time.Duration(i)*time.Second))
			}
			w.wrong["new"], w.since["new"] = true, comm.At(time.Now())
		})
		time.Sleep(time.Minute)
		w.set(func() {
			if len(w.got) != 2*mostRaised || !slices.Contains(w.got, "provider_down new raised") {
				t.Errorf("%d were told: %q", len(w.got), w.got)
			}
		})
		time.Sleep(time.Hour)
		w.set(func() {
			if i := slices.IndexFunc(w.got, func(got string) bool { return strings.HasSuffix(got, Cleared) }); i >= 0 {
				t.Errorf("%q is not over", w.got[i])
			}
		})
	})
}

// TestTwoLead: two nodes that both lead, as after the end of all workers, tell once between them.
func TestTwoLead(t *testing.T) {
	play(t, 3, func(w *world) {
		w.set(func() { w.leader, w.slow = -1, 3*time.Second })
		var want []string
		for range 3 {
			w.set(func() { w.wrong["a"] = true })
			time.Sleep(time.Hour)
			want = append(want, "provider_down a raised")
			w.is(want...)
			w.set(func() { w.wrong["a"] = false })
			time.Sleep(time.Hour)
			want = append(want, "provider_down a cleared")
			w.is(want...)
		}
		w.set(func() { w.wrong["a"], w.refuse = true, errors.New("503") })
		time.Sleep(time.Hour)
		w.set(func() {
			w.refuse, w.leader = nil, 1
			if tries := w.tries - len(want); tries > 12 {
				t.Errorf("%d tries in an hour", tries)
			}
		})
		time.Sleep(time.Hour)
		w.is(append(want, "provider_down a raised")...)
	})
}

// TestManyOldAlerts: what was told long ago, and more of it than is read, keeps nothing from being told again.
func TestManyOldAlerts(t *testing.T) {
	play(t, 1, func(w *world) {
		for i := range 3 * Listed {
			k := key{ProviderDown, fmt.Sprint("old ", i)}
			w.shelf.rows[k] = store.Alert{Kind: k.kind, Subject: k.subject, Body: "{}", Told: `{"webhook":{"state":"cleared"}}`, RaisedAt: comm.Micros(i + 1), ClearedAt: comm.Micros(i + 2), Version: 4}
		}
		w.set(func() { w.wrong["old 7"], w.wrong["new"] = true, true })
		time.Sleep(30 * time.Second)
		w.set(func() { slices.Sort(w.got) })
		w.is("provider_down new raised", "provider_down old 7 raised")
		w.set(func() { w.other = true })
		time.Sleep(10 * time.Second)
		w.is("provider_down new raised", "provider_down old 7 raised", "key_expiring k raised")
		w.set(func() { w.wrong["old 7"] = false })
		time.Sleep(2 * time.Minute)
		w.is("provider_down new raised", "provider_down old 7 raised", "key_expiring k raised", "provider_down old 7 cleared")
	})
}

// TestALookHangs: the others go on, and so does it once it returns.
func TestALookHangs(t *testing.T) {
	play(t, 1, func(w *world) {
		w.set(func() { w.noLook = true })
		time.Sleep(time.Minute)
		w.set(func() { w.noLook, w.other, w.wrong["a"] = false, true, true })
		time.Sleep(time.Minute)
		w.is("key_expiring k raised")
		time.Sleep(time.Hour)
		w.is("key_expiring k raised", "provider_down a raised")
	})
}

// TestTheStoreHangs: every call of the store hangs, whatever its time. It is told all the same, and so is its end.
func TestTheStoreHangs(t *testing.T) {
	play(t, 2, func(w *world) {
		w.set(func() { w.wrong["a"] = true })
		time.Sleep(time.Minute)
		w.is("provider_down a raised")
		hung := make(chan struct{})
		w.set(func() { w.hung, w.wrong["a"], w.wrong["b"] = hung, false, true })
		time.Sleep(time.Minute)
		w.is("provider_down a raised", "storage_failing storage raised")
		time.Sleep(time.Hour)
		w.is("provider_down a raised", "storage_failing storage raised")
		w.set(func() { w.hung = nil })
		close(hung)
		time.Sleep(5 * time.Minute)
		w.set(func() { slices.Sort(w.got) })
		w.is("provider_down a cleared", "provider_down a raised", "provider_down b raised", "storage_failing storage cleared", "storage_failing storage raised")
	})
}
