package webhook

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// hang makes endpoints let every call time out from now on, or answer again.
func (b *bubble) hang(first, n int, hang bool) {
	for i := first; i < first+n; i++ {
		r := b.receiver(i)
		r.mu.Lock()
		if r.mood = nil; hang {
			r.mood = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}
		r.mu.Unlock()
	}
}

// waits gives n endpoints an event each every so often, for so long, and answers how long each waited for its call, the shortest first.
func (b *bubble) waits(n int, every, long time.Duration) (waits []time.Duration) {
	b.Helper()
	made := map[string]time.Time{}
	before := make([]int, n)
	for i := range n {
		before[i] = len(b.receiver(i).got())
	}
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(every) {
		for i := range n {
			made[new(b.delivery(b.made(i))).EventID()] = time.Now()
		}
	}
	time.Sleep(20 * time.Second)
	for i := range n {
		for _, p := range b.receiver(i).got()[before[i]:] {
			waits = append(waits, p.at.Sub(made[p.head.Get("Webhook-Id")]))
		}
	}
	if len(waits) != len(made) {
		b.Fatalf("%d of %d arrived", len(waits), len(made))
	}
	slices.Sort(waits)
	return waits
}

// unhurt wants healthy endpoints to be called at once: all but one of a hundred events, and the others within half of one.
func (b *bubble) unhurt(when string, waits []time.Duration) {
	b.Helper()
	p99, most := waits[len(waits)*99/100], waits[len(waits)-1]
	b.Logf("%s healthy endpoints wait: p99 %v, %v at most", when, p99, most)
	if p99 > 50*time.Millisecond || most > 500*time.Millisecond {
		b.Errorf("%s healthy endpoints wait", when)
	}
}

// More endpoints than there are places let every call time out, all at once and with more that waits for each: when nobody knows of it, when all of them
// worked until now, and after a start. The healthy ones, of which one is busy, do not notice; and those get everything once they answer.
func TestMoreThatHangThanPlaces(t *testing.T) {
	const healthy, hanging = 4, 300
	const round = 20 * time.Second     // a time-out, and what comes after it
	const busy = 50 * time.Millisecond // between two events of each; the one that takes 120 ms for an answer needs three calls at once
	inBubble(t, healthy+hanging, nil, func(b *bubble) {
		r := b.receiver(0)
		r.mu.Lock()
		r.mood = func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(120 * time.Millisecond)
			w.WriteHeader(http.StatusNoContent)
		}
		r.mu.Unlock()
		var ids []comm.ID
		burst := func(n int) {
			for range n {
				for i := range hanging {
					ids = append(ids, b.made(healthy+i))
				}
			}
		}
		b.hang(healthy, hanging, true)
		burst(5)
		b.unhurt("when it begins", b.waits(healthy, busy, round))
		b.unhurt("later", b.waits(healthy, busy, 10*time.Second))
		b.stop()
		b.run()
		b.unhurt("after a start", b.waits(healthy, busy, 10*time.Second))
		b.hang(healthy, hanging, false)
		time.Sleep(15 * time.Minute)
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone {
				b.Fatalf("%+v", d)
			}
		}
		burst(1) // all of them work, and are called at once
		time.Sleep(time.Second)
		b.hang(healthy, hanging, true)
		burst(5)
		b.unhurt("when what worked hangs", b.waits(healthy, busy, round))
	})
}

// Calls that take long are bounded too: what is under way is three times the places at most, whoever hangs.
func TestCallsThatTakeLongAreBounded(t *testing.T) {
	const slots, many = 16, 120
	inBubble(t, many, func(c *Config) { c.Slots = slots }, func(b *bubble) {
		b.hang(0, many, true)
		for range 4 {
			for i := range many {
				b.made(i)
			}
		}
		most, late := 0, 0
		for range 60 {
			time.Sleep(time.Second)
			b.s.mu.Lock()
			if most, late = max(most, b.s.inflight), max(late, b.s.late); b.s.late > (slots+1)/2 || b.s.long > b.s.inflight {
				b.Errorf("%d calls, %d of them long, %d of the late", b.s.inflight, b.s.long, b.s.late)
			}
			b.s.mu.Unlock()
		}
		if most != (1+longTimes)*slots || late != slots/2 {
			b.Errorf("%d calls at once, %d of endpoints that were late", most, late)
		}
		b.hang(0, many, false)
		time.Sleep(time.Hour)
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		if b.s.inflight+b.s.long+b.s.late != 0 {
			b.Errorf("%d calls, %d long, %d late of nobody", b.s.inflight, b.s.long, b.s.late)
		}
	})
}
