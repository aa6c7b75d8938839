package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Calls that the stop cuts off are no failures of their endpoints: they are made again at once by the next process, nothing is noted of the endpoint, and it is not left alone.
func TestAStopIsNotAFailure(t *testing.T) {
	inBubble(t, 2, func(c *Config) { c.Drain = 2 * time.Second }, func(b *bubble) {
		b.hang(0, 2, true)
		var ids []comm.ID
		for range 4 {
			ids = append(ids, b.made(0), b.made(1))
		}
		time.Sleep(time.Second)
		began := time.Now()
		b.stop()
		if took := time.Since(began); took > 3*time.Second {
			b.Errorf("it stopped after %v", took)
		}
		for _, id := range ids {
			d := b.delivery(id)
			if d.State != store.DeliveryWaiting || d.Attempts != 1 || d.Tries != 0 || d.Due.Time().After(time.Now()) || !strings.Contains(d.Log, `"fault":"server_stopped"`) {
				b.Errorf("%+v", d)
			}
		}
		if len(b.troubles())+len(b.off()) != 0 {
			b.Errorf("troubles %v, off %v", b.troubles(), b.off())
		}
		for _, x := range b.s.targets {
			if _, ok := x.breaker.Allow(time.Now()); !ok || x.failures != 0 || x.late {
				b.Errorf("%d failures, late: %v, allowed: %v", x.failures, x.late, ok)
			}
		}
	})
}

// A server is stopped again and again while an endpoint is being called: the event has all its tries before it all the same, at
// the times that it would have had, and the log tells of the calls that were cut off.
func TestAStopIsNoTry(t *testing.T) {
	const stops = 15 // more than there are tries
	inBubble(t, 1, func(c *Config) { c.Drain, c.Poll = 2*time.Second, poll }, func(b *bubble) {
		b.hang(0, 1, true)
		id := b.made(0)
		for range stops {
			time.Sleep(poll + time.Second)
			b.stop()
			b.run()
		}
		b.answer(0, http.StatusInternalServerError)
		time.Sleep(120 * time.Hour)
		tries := len(Patience().Steps) + 1
		d, posts := b.delivery(id), b.receiver(0).got()
		if d.State != store.DeliveryExhausted || d.Tries != tries || d.Attempts != stops+tries || len(posts) != stops+tries || strings.Count(d.Log, `"fault":"server_stopped"`) != stops {
			b.Fatalf("%d posts, %+v", len(posts), d)
		}
		for _, p := range posts {
			if p.head.Get("X-Comms-Event-Id") != posts[0].head.Get("X-Comms-Event-Id") || p.body != posts[0].body {
				b.Errorf("%+v is another event", p)
			}
		}
		for i, step := range Patience().Steps {
			if wait := posts[stops+i+1].at.Sub(posts[stops+i].at); wait < step*8/10 || wait > step*12/10+2*poll {
				b.Errorf("wait %d is %v", i, wait)
			}
		}
	})
}
