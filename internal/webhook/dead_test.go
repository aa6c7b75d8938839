package webhook

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// soon gives the last endpoint an event and wants it there within a second.
func (b *bubble) soon(i int, when string) {
	b.Helper()
	id := b.made(i)
	time.Sleep(time.Second)
	if d := b.delivery(id); d.State != store.DeliveryDone {
		b.Errorf("%s the healthy endpoint waits: %+v", when, d)
	}
}

// Two hundred endpoints are dead, with much that waits for each: they leave the queue to the others, and get everything when they are back.
func TestTheDeadTakeNoPlaces(t *testing.T) {
	const dead = 200
	inBubble(t, dead+1, seldom, func(b *bubble) {
		var ids []comm.ID
		for i := range dead {
			b.answer(i, []int{500, 503, 429}[i%3], "Retry-After", []string{"", "3600", "1800"}[i%3])
		}
		for range 40 {
			for i := range dead {
				ids = append(ids, b.made(i))
			}
		}
		for _, wait := range []time.Duration{0, 10 * time.Second, time.Minute, 10 * time.Minute} {
			time.Sleep(wait)
			b.soon(dead, "after "+wait.String())
		}
		b.s.mu.Lock()
		if b.s.queued > dead {
			b.Errorf("%d deliveries are held", b.s.queued)
		}
		b.s.mu.Unlock()
		for i := range dead {
			b.answer(i, 0)
		}
		time.Sleep(75 * time.Minute)
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone {
				b.Fatalf("%+v", d)
			}
		}
	})
}

// The same of endpoints that let every call time out: until that is known they have a place each, and no more.
func TestTheHangingLeavePlaces(t *testing.T) {
	const dead = 200
	inBubble(t, dead+1, nil, func(b *bubble) {
		for i := range dead {
			b.receiver(i).mood = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}
		for range 40 {
			for i := range dead {
				b.made(i)
			}
		}
		for _, wait := range []time.Duration{0, 10 * time.Second, time.Minute} {
			time.Sleep(wait)
			b.soon(dead, "after "+wait.String())
		}
	})
}

// Bodies are bounded by their bytes, however few they are.
func TestTheQueueIsBoundedInBytes(t *testing.T) {
	const many = 50
	inBubble(t, many+1, seldom, func(b *bubble) {
		most, large := 0, bytes.Repeat([]byte("x"), 400<<10)
		for i := range many {
			b.receiver(i).mood = func(w http.ResponseWriter, _ *http.Request) { time.Sleep(10 * time.Second); w.WriteHeader(204) }
		}
		var ids []comm.ID
		for range 4 {
			for i := range many {
				ids = append(ids, b.madeOf(i, large))
				b.s.mu.Lock()
				held := 0
				for _, t := range b.s.targets {
					for _, d := range t.queue {
						held += len(d.Body)
					}
				}
				b.s.mu.Unlock()
				most = max(most, held)
			}
			time.Sleep(time.Second)
		}
		if most > queueBytes+len(large) {
			b.Errorf("%d bytes were held", most)
		}
		b.soon(many, "beside much that is large")
		time.Sleep(10 * time.Minute)
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone {
				b.Fatalf("%+v", d.EventRef)
			}
		}
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		if b.s.queued != 0 || b.s.bytes != 0 {
			b.Errorf("%d deliveries, %d bytes of nothing", b.s.queued, b.s.bytes)
		}
	})
}
