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

// refusing makes the store refuse what bad says: at once, or as a row that somebody holds locked.
func (b *bubble) refusing(locked bool, bad func(id comm.ID) bool) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.m.refuse = func(ctx context.Context, a *store.Attempted) error {
		switch {
		case !bad(a.ID):
			return nil
		case locked:
			<-ctx.Done()
			return ctx.Err()
		}
		return errors.New("it does not fit")
	}
}

// One result cannot be stored, for ever. The others are; and it is neither posted all the time nor kept for ever.
func TestOneResultThatCannotBeStored(t *testing.T) {
	for name, locked := range map[string]bool{"refused": false, "locked": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 20, seldom, func(b *bubble) {
				b.refusing(locked, func(comm.ID) bool { return true }) // before it is made: it may be posted and recorded at once
				bad := b.made(0)
				b.refusing(locked, func(id comm.ID) bool { return id == bad })
				var ids []comm.ID
				for range 30 {
					for i := range 20 {
						ids = append(ids, b.made(i))
					}
					time.Sleep(2 * time.Second)
				}
				time.Sleep(30 * time.Second)
				for _, id := range ids {
					if d := b.delivery(id); d.State != store.DeliveryDone || d.Attempts != 1 {
						b.Fatalf("%+v", d)
					}
				}
				posts := len(b.receiver(0).got())
				time.Sleep(24 * time.Hour)
				if more := len(b.receiver(0).got()) - posts; more < 1 || more > 48 {
					b.Errorf("it was posted %d times more within a day", more)
				}
				b.m.mu.Lock()
				b.m.refuse = nil
				b.m.mu.Unlock()
				time.Sleep(2 * time.Hour)
				if d := b.delivery(bad); d.State != store.DeliveryDone {
					b.Errorf("%+v", d)
				}
			})
		})
	}
}

// A call that takes all its time and ends while others are being stored, as slowly as storing may be, is recorded within Lag and Recording: until then
// nobody tells its event otherwise.
func TestHowLongRecordingTakes(t *testing.T) {
	inBubble(t, 2, nil, func(b *bubble) {
		recorded := map[comm.ID]time.Time{}
		b.m.refuse = func(_ context.Context, a *store.Attempted) error {
			time.Sleep(recordFor - 100*time.Millisecond)
			b.m.mu.Lock()
			recorded[a.ID] = time.Now()
			b.m.mu.Unlock()
			return nil
		}
		const takes = usualTimeout - 200*time.Millisecond
		for i, after := range []time.Duration{takes, takes - 100*time.Millisecond} { // the second one is stored first
			b.receiver(i).mood = func(w http.ResponseWriter, _ *http.Request) { time.Sleep(after); w.WriteHeader(http.StatusOK) }
		}
		began := time.Now()
		slow := b.made(0)
		b.made(1)
		time.Sleep(time.Minute)
		b.m.mu.Lock()
		defer b.m.mu.Unlock()
		took := recorded[slow].Sub(began)
		if took > Lag+Recording || took < takes+recordFor {
			b.Errorf("it was recorded after %v; want at most %v", took, Lag+Recording)
		}
	})
}

// A row is held for a while: what was called is recorded once it is free, and not called again.
func TestAResultIsStoredWhenItsRowIsFree(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.refusing(true, func(comm.ID) bool { return true }) // before they are made: they may be posted and recorded at once
		held := map[comm.ID]bool{}
		for range 3 {
			held[b.made(0)] = true
		}
		time.Sleep(4 * time.Minute)
		b.m.mu.Lock()
		b.m.refuse = nil
		b.m.mu.Unlock()
		time.Sleep(2 * time.Minute)
		for id := range held {
			if d := b.delivery(id); d.State != store.DeliveryDone || d.Attempts != 1 {
				b.Errorf("%+v", d)
			}
		}
		if n := len(b.receiver(0).got()); n != len(held) {
			b.Errorf("%d posts", n)
		}
	})
}

// Nothing can be stored for an hour, of thousands: calls stop when there are no more places for what they came to, and go on then.
func TestNothingCanBeStored(t *testing.T) {
	inBubble(t, 50, func(c *Config) { c.Slots, c.Poll = 32, poll }, func(b *bubble) {
		b.refusing(false, func(comm.ID) bool { return true })
		var ids []comm.ID
		for n := range 1000 {
			ids = append(ids, b.made(n%50))
		}
		time.Sleep(50 * time.Minute)
		calls := 0
		for i := range 50 {
			calls += len(b.receiver(i).got())
		}
		if calls > 500 {
			b.Errorf("%d calls whose results cannot be stored", calls)
		}
		b.m.mu.Lock()
		b.m.refuse = nil
		b.m.mu.Unlock()
		time.Sleep(5 * time.Minute)
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone {
				b.Fatalf("%+v", d)
			}
		}
	})
}
