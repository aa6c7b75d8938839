package webhook

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// fails gives an endpoint that answers 500 so much that its trouble is noted.
func (b *bubble) fails() {
	b.Helper()
	b.answer(0, 500)
	for range 4 {
		b.made(0)
		time.Sleep(time.Minute)
	}
	if len(b.troubles()) != 1 {
		b.Fatalf("troubles: %v", b.troubles())
	}
	time.Sleep(6 * time.Minute) // nothing is queued then
	b.nothingWaits()
}

// nothingWaits ends what waits to be tried again, so that a test knows when calls are.
func (b *bubble) nothingWaits() {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	for _, d := range b.m.rows {
		d.State = store.DeliveryDone
	}
}

// works lets events through, and wants it to be noted.
func (b *bubble) works() {
	b.Helper()
	b.answer(0, 0)
	for range 3 {
		b.made(0)
		time.Sleep(6 * time.Minute)
	}
	if len(b.troubles()) != 0 {
		b.Errorf("troubles: %v", b.troubles())
	}
}

// oneFailure starts a node that knows what is stored alone, lets one call fail, and wants the endpoint to be on.
func (b *bubble) oneFailure() {
	b.Helper()
	b.stop()
	b.run()
	b.answer(0, 500)
	b.made(0)
	time.Sleep(2 * poll)
	if why := b.off()[b.endpoint(0).ID]; why != "" || !b.endpoint(0).Active {
		b.Errorf("one call failed and the endpoint is off: %q", why)
	}
}

// An endpoint's secret is sealed again while it fails. It recovers, and fails once days later.
func TestARotationOfKeysHidesNoRecovery(t *testing.T) {
	inBubble(t, 1, seldom, func(b *bubble) {
		b.fails()
		b.m.edit(0, false, func(*comm.Endpoint) {})
		b.made(0) // it fails once more, and the new version is read
		time.Sleep(2 * poll)
		b.nothingWaits()
		b.works()
		time.Sleep(100 * time.Hour)
		b.oneFailure()
	})
}

// A rotation is no pardon either: what fails all the time goes off when it would have.
func TestARotationOfKeysIsNoPardon(t *testing.T) {
	inBubble(t, 1, seldom, func(b *bubble) {
		b.fails()
		for range 100 {
			b.m.edit(0, false, func(*comm.Endpoint) {})
			b.made(0)
			time.Sleep(time.Hour)
		}
		if b.off()[b.endpoint(0).ID] != comm.EndpointFailed {
			b.Errorf("off: %v", b.off())
		}
	})
}

// That an endpoint works again cannot be noted when it does so. It is noted later.
func TestARecoveryIsNotedLater(t *testing.T) {
	inBubble(t, 1, seldom, func(b *bubble) {
		b.fails()
		b.m.mu.Lock()
		b.m.unnoted = errors.New("not now")
		b.m.mu.Unlock()
		b.answer(0, 0)
		b.made(0)
		time.Sleep(6 * time.Minute)
		b.m.mu.Lock()
		b.m.unnoted = nil
		b.m.mu.Unlock()
		b.works()
		time.Sleep(100 * time.Hour)
		b.oneFailure()
	})
}

// Another node notes a trouble when this one has read that there is none.
func TestATroubleThatIsNotedLate(t *testing.T) {
	inBubble(t, 1, seldom, func(b *bubble) {
		b.made(0)
		time.Sleep(time.Minute)
		b.m.mu.Lock()
		b.m.troubles[b.m.endpoints[0].ID] = store.Trouble{App: b.m.endpoints[0].App, Endpoint: b.m.endpoints[0].ID, Since: comm.At(time.Now())}
		b.m.mu.Unlock()
		b.works()
		time.Sleep(100 * time.Hour)
		b.oneFailure()
	})
}

// A call is under way to an address that is changed meanwhile. What the old address says is not about the new one.
func TestTheOldAddressSwitchesNothingOff(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		late := func(status int) func(http.ResponseWriter, *http.Request) {
			return func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(14 * time.Second)
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(status)
			}
		}
		b.receivers["moved"] = &receiver{}
		b.receiver(0).mood = late(http.StatusServiceUnavailable)
		throttled := b.made(0)
		time.Sleep(time.Second)
		old := b.receiver(0)
		old.mu.Lock()
		old.mood = late(http.StatusGone)
		old.mu.Unlock()
		gone := b.made(0)
		time.Sleep(time.Second)
		b.m.edit(0, true, func(e *comm.Endpoint) { e.URL = "http://moved/" })
		time.Sleep(30 * time.Second)
		if len(b.off()) != 0 || !b.endpoint(0).Active {
			b.Fatalf("off: %v", b.off())
		}
		id := b.made(0)
		time.Sleep(time.Second)
		if d := b.delivery(id); d.State != store.DeliveryDone {
			b.Errorf("the new address waits: %+v", d)
		}
		time.Sleep(2 * time.Hour)
		for _, id := range []comm.ID{gone, throttled} {
			if d := b.delivery(id); d.State != store.DeliveryDone || d.Attempts != 2 {
				b.Errorf("%+v", d)
			}
		}
	})
}

// A change that is said is seen by the next event, however lately the endpoint was read and whatever waits for it.
func TestAChangeThatIsSaidIsSeenAtOnce(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		before := b.receiver(0)
		before.mood = func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusNoContent)
		}
		for n := range 20 {
			b.made(0)
			time.Sleep(time.Duration(n) * 10 * time.Millisecond)
			for range 8 {
				b.made(0) // some wait in the queue
			}
			host := "moved-" + string(rune('a'+n))
			fresh := b.another(host)
			synctest.Wait() // what has begun has arrived
			calls := len(before.got())
			b.m.edit(0, true, func(e *comm.Endpoint) { e.URL = "http://" + host + "/" })
			b.s.Changed(b.endpoint(0).App)
			b.made(0)
			time.Sleep(1100 * time.Millisecond) // calls that have begun take a second
			if got, old := len(fresh.got()), len(before.got())-calls; got == 0 || old > 0 {
				b.Errorf("change %d: the new address got %d, the old one %d more", n, got, old)
			}
			time.Sleep(15 * time.Second)
			before = fresh
		}
	})
}

// A change is said while the endpoint is being read as it was before, by a node that knows it and by one that does not. What was read is not believed.
func TestAChangeWhileTheEndpointIsRead(t *testing.T) {
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, nil, func(b *bubble) {
				before, fresh := b.receiver(0), b.another("moved")
				if known {
					b.made(0)
					time.Sleep(time.Minute)
				}
				b.m.mu.Lock()
				b.m.looked = func() { time.Sleep(300 * time.Millisecond) }
				b.m.mu.Unlock()
				calls := len(before.got())
				b.made(0)
				time.Sleep(100 * time.Millisecond)
				b.m.edit(0, true, func(e *comm.Endpoint) { e.URL = "http://moved/" })
				b.s.Changed(b.endpoint(0).App)
				time.Sleep(2 * time.Second)
				if got, old := len(fresh.got()), len(before.got())-calls; got != 1 || old != 0 {
					b.Errorf("the new address got %d, the old one %d", got, old)
				}
			})
		})
	}
}

// An endpoint that gets something seldom is asked for its address again all the same.
func TestAChangeIsSeenByTheNextEvent(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		fresh := &receiver{}
		b.receivers["moved"] = fresh
		for range 5 {
			b.made(0)
			time.Sleep(20*time.Second + 123*time.Millisecond)
		}
		b.m.edit(0, true, func(e *comm.Endpoint) { e.URL = "http://moved/" })
		time.Sleep(20 * time.Second)
		for n := range 5 {
			b.made(0)
			time.Sleep(time.Second + 77*time.Millisecond)
			if len(fresh.got()) != n+1 {
				b.Errorf("the new address got %d of %d", len(fresh.got()), n+1)
			}
		}
	})
}
