package webhook

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// look is how often a node looks for what is due.
const look = 500 * time.Millisecond

// log is what the API reads of deliveries.
func (b *bubble) log() *Log {
	return NewLog(LogConfig{Store: b.m, Now: b.cfg.Now, Stir: func() { b.s.Stir() }, Endpoint: func(context.Context, comm.ID, comm.ID) (*comm.Endpoint, error) {
		e := b.endpoint(0)
		return &e, nil
	}})
}

// failing is what is said of the first endpoint while it fails.
func (b *bubble) failing() (f Failing, fails bool) {
	b.Helper()
	all, err := b.log().Failing(b.Context(), b.endpoint(0).App)
	if err != nil {
		b.Fatal(err)
	}
	f, fails = all[b.endpoint(0).ID]
	return f, fails
}

// next is when a delivery is tried next, as a list and its page say.
func (b *bubble) next(id comm.ID) comm.Micros {
	b.Helper()
	one, err := b.log().One(b.Context(), b.endpoint(0).App, b.endpoint(0).ID, id)
	if err != nil {
		b.Fatal(err)
	}
	list, err := b.log().List(b.Context(), b.endpoint(0).App, b.endpoint(0).ID, store.DeliveryFilter{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range list {
		if list[i].ID == id && list[i].Due != one.Due {
			b.Errorf("the list says %s, the page %s", list[i].Due, one.Due)
		}
	}
	return one.Due
}

func (b *bubble) notes() int {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.m.notes
}

// rows is how many troubles are stored.
func (b *bubble) rows() int {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return len(b.m.troubles)
}

// opened makes five calls fail, which opens the breaker just now.
func (b *bubble) opened() {
	for range 5 {
		b.made(0)
	}
	time.Sleep(time.Millisecond)
	if n := len(b.receiver(0).got()); n != 5 {
		b.Fatalf("%d calls", n)
	}
}

// While the breaker lets nothing through, everything that is told of a next try lies ahead, and the call comes then. A write is made when that
// instant changes, and none while it does not.
func TestWhatIsLeftAloneSaysUntilWhen(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.answer(0, 500)
		b.opened()
		untried := b.made(0)
		notes := b.notes()
		for _, rest := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
			rest *= time.Second
			now, calls := comm.At(time.Now()), len(b.receiver(0).got())
			for range 3 { // what comes meanwhile waits, too
				b.made(0)
			}
			f, fails := b.failing()
			if wait := f.Next.Sub(now); !fails || wait < rest-look-2*time.Millisecond || wait > rest {
				b.Fatalf("it rests for %s: %+v, %s", rest, f, wait)
			}
			if d := b.delivery(untried); d.State == store.DeliveryWaiting && b.next(untried) < f.Next {
				b.Errorf("a delivery is tried at %s, the endpoint at %s", b.next(untried), f.Next)
			}
			time.Sleep(f.Next.Sub(now) - time.Millisecond)
			if n := len(b.receiver(0).got()); n != calls {
				b.Fatalf("%d calls while it was left alone for %s", n-calls, rest)
			}
			time.Sleep(look + 2*time.Millisecond)
			if n := len(b.receiver(0).got()); n != calls+1 {
				b.Fatalf("%d calls after %s", n-calls, rest)
			}
		}
		if n := b.notes() - notes; n != 8 {
			b.Errorf("%d writes for 8 rests", n)
		}
	})
}

// With a success it is gone, and what waits is due as it is stored.
func TestARestIsOverWithASuccess(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.answer(0, 500)
		b.opened()
		if f, fails := b.failing(); !fails || f.Next <= comm.At(time.Now()) {
			b.Fatalf("%+v %v", f, fails)
		}
		b.answer(0, 0)
		b.made(0)
		time.Sleep(6 * time.Second)
		if f, fails := b.failing(); fails {
			b.Errorf("%+v", f)
		}
		if left := b.rows(); left != 0 {
			b.Errorf("%d rows are left", left)
		}
		notes := b.notes()
		for range 20 {
			b.made(0)
			time.Sleep(time.Second)
		}
		if n := b.notes() - notes; n != 0 {
			b.Errorf("%d writes of an endpoint that works", n)
		}
	})
}

// Who is asked to wait says so at once, however few calls have failed: the endpoint does not fail for that. What is shorter than a breaker's first rest is not worth a write.
func TestARetryAfterIsToldAndIsNoTrouble(t *testing.T) {
	for _, status := range []int{429, 503} {
		inBubble(t, 1, nil, func(b *bubble) {
			b.answer(0, status, "Retry-After", "600")
			b.made(0)
			time.Sleep(time.Second)
			untried := b.made(0)
			if wait := b.next(untried).Sub(comm.At(time.Now())); wait < 598*time.Second || wait > 600*time.Second {
				b.Errorf("%d: the next try is in %s", status, wait)
			}
			if f, fails := b.failing(); fails {
				b.Errorf("%d: one call failed: %+v", status, f)
			}
			b.answer(0, 0)
			time.Sleep(10 * time.Minute)
			if d := b.delivery(untried); d.State != store.DeliveryDone || b.rows() != 0 {
				b.Errorf("%d: %+v, %d rows are left", status, d, b.rows())
			}
			notes := b.notes()
			b.answer(0, status, "Retry-After", "4")
			b.made(0)
			time.Sleep(time.Second)
			if n := b.notes() - notes; n != 0 {
				b.Errorf("%d: %d writes for four seconds", status, n)
			}
		})
	}
}

// A call that took long is answered well while the breaker is open: the endpoint does not fail, and is left alone all the same.
func TestAnEndpointThatWorksMayRestStill(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.receiver(0).mood = func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			w.WriteHeader(http.StatusNoContent)
		}
		b.made(0)
		time.Sleep(time.Second)
		b.answer(0, 500)
		for range 8 {
			b.made(0)
			time.Sleep(100 * time.Millisecond)
		}
		if f, fails := b.failing(); !fails || f.Next <= comm.At(time.Now()) {
			b.Fatalf("%+v %v", f, fails)
		}
		id := b.made(0)
		time.Sleep(1500 * time.Millisecond)
		if f, fails := b.failing(); fails || b.next(id) <= comm.At(time.Now()) {
			b.Errorf("%+v %v, a delivery is tried at %s", f, fails, b.next(id))
		}
	})
}

// The next owner of the shard leaves it alone for as long as was said, unless no endpoint may ask for so long.
func TestTheNextOwnerGoesOnResting(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.answer(0, 503, "Retry-After", "600")
		b.made(0)
		time.Sleep(time.Second)
		b.stop()
		b.run()
		b.answer(0, 0)
		id := b.made(0)
		time.Sleep(9 * time.Minute)
		if n := len(b.receiver(0).got()); n != 1 {
			b.Errorf("%d calls", n-1)
		}
		if next := b.next(id); next <= comm.At(time.Now()) {
			b.Errorf("the next try was at %s", next)
		}
		time.Sleep(time.Minute)
		if d := b.delivery(id); d.State != store.DeliveryDone {
			b.Errorf("%+v", d)
		}
		b.stop()
		e := b.endpoint(0)
		b.m.mu.Lock()
		b.m.troubles[e.ID] = store.Trouble{App: e.App, Endpoint: e.ID, RestsUntil: comm.At(time.Now().Add(1000 * time.Hour))}
		b.m.mu.Unlock()
		b.run()
		id = b.made(0)
		time.Sleep(time.Second)
		if d := b.delivery(id); d.State != store.DeliveryDone {
			b.Errorf("%+v", d)
		}
	})
}

// Somebody changes the endpoint, or its secret is sealed again: it is called at once, and nothing says otherwise any more.
func TestAChangeEndsTheRest(t *testing.T) {
	rests := map[string]func(b *bubble){
		"of one that failed": func(b *bubble) {
			b.answer(0, 500)
			b.opened()
		},
		"of one that asked for it": func(b *bubble) {
			b.answer(0, 503, "Retry-After", "600")
			b.made(0)
		},
	}
	for name, anew := range map[string]bool{"changed": true, "sealed again": false} {
		for whose, rest := range rests {
			t.Run(name+" "+whose, func(t *testing.T) {
				inBubble(t, 1, nil, func(b *bubble) {
					rest(b)
					time.Sleep(time.Second)
					b.m.edit(0, anew, func(*comm.Endpoint) {})
					b.answer(0, 500)
					b.s.Changed(b.endpoint(0).App)
					id := b.made(0)
					time.Sleep(2 * time.Second)
					if d := b.delivery(id); d.Attempts != 1 || b.next(id) != d.Due {
						b.Errorf("%+v, said to be tried at %s", d, b.next(id))
					}
				})
			})
		}
	}
}

// That cannot be noted when it begins. The next call notes it.
func TestARestThatCannotBeNoted(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		note := func(err error) {
			b.m.mu.Lock()
			b.m.unnoted = err
			b.m.mu.Unlock()
		}
		note(errors.New("not now"))
		b.answer(0, 500)
		b.opened()
		note(nil)
		b.made(0)
		time.Sleep(7 * time.Second)
		if f, fails := b.failing(); !fails || f.Next <= comm.At(time.Now()) {
			b.Errorf("%+v %v", f, fails)
		}
	})
}
