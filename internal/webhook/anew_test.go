package webhook

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// What was posted of the one before is left to the upkeep: the next one's events do not wait until it is gone.
func TestAnEndpointMadeAnewDoesNotWaitForWhatIsDone(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.m.edit(0, false, func(e *comm.Endpoint) { e.CreatedAt = comm.At(time.Now()) })
		var done []comm.ID
		for range 150 {
			done = append(done, b.made(0))
		}
		time.Sleep(time.Minute)
		b.answer(0, 500)
		var waiting []comm.ID
		for range 150 {
			waiting = append(waiting, b.made(0))
		}
		time.Sleep(3 * time.Second)
		fresh := b.another("fresh")
		b.m.edit(0, true, func(e *comm.Endpoint) { e.URL, e.CreatedAt = "http://fresh/", comm.At(time.Now()) })
		b.made(0)
		time.Sleep(20 * time.Minute)
		b.m.mu.Lock()
		defer b.m.mu.Unlock()
		there := func(all []comm.ID) (n int) {
			for _, id := range all {
				if b.m.rows[id] != nil {
					n++
				}
			}
			return n
		}
		if got, left, kept := len(fresh.got()), there(waiting), there(done); got != 1 || left != 0 || kept != len(done) {
			b.Errorf("%d was posted, %d of %d that waited and %d of %d that were done are there", got, left, len(waiting), kept, len(done))
		}
	})
}

// An endpoint is deleted and made again under its id, as an app's webhook is, while much waits for the first one. What waits goes with that one:
// the next one gets what was made for it alone, whether a node knew the one before or not.
func TestAnEndpointMadeAnewGetsNothingOld(t *testing.T) {
	for name, start := range map[string]bool{"a node that knew the one before": false, "a node that is started": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, nil, func(b *bubble) {
				b.m.edit(0, false, func(e *comm.Endpoint) { e.CreatedAt = comm.At(time.Now()) })
				before := b.receiver(0)
				b.answer(0, 500)
				var old, young []comm.ID
				for range 250 { // more than a queue and a slice hold
					old = append(old, b.made(0))
				}
				time.Sleep(3 * time.Second)
				calls := len(before.got())
				fresh := b.another("fresh")
				b.m.edit(0, true, func(e *comm.Endpoint) { e.URL, e.CreatedAt = "http://fresh/", comm.At(time.Now()) })
				for range 5 {
					young = append(young, b.made(0))
				}
				if start {
					b.stop()
					b.run()
				}
				time.Sleep(20 * time.Minute)
				if n := len(fresh.got()); n != len(young) {
					b.Errorf("the endpoint that was made anew got %d events of %d", n, len(young))
				}
				for _, id := range young {
					if d := b.delivery(id); d.State != store.DeliveryDone {
						b.Errorf("%+v", d)
					}
				}
				left := 0
				b.m.mu.Lock()
				for _, id := range old {
					if b.m.rows[id] != nil {
						left++
					}
				}
				b.m.mu.Unlock()
				if left > 0 || calls == 0 {
					b.Errorf("after %d calls %d of what was made for the one before is there", calls, left)
				}
			})
		})
	}
}
