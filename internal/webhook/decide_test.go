package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/store"
)

// Retry-After is read in all its forms, and by the answer's own clock.
func TestEveryFormOfRetryAfter(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		for _, c := range []struct {
			wait time.Duration
			head []string
		}{
			{2 * time.Minute, []string{"Retry-After", "120"}},
			{2 * time.Minute, []string{"Retry-After", "119.9"}},
			{2 * time.Minute, []string{"Retry-After", "Fri, 03 Jul 2026 10:02:10 GMT", "Date", "Fri, 03 Jul 2026 10:00:10 GMT"}},
			{time.Hour, []string{"Retry-After", strings.Repeat("9", 40)}},
			{0, []string{"Retry-After", "-5"}},
			{0, []string{"Retry-After", "soon"}},
		} {
			b.answer(0, http.StatusTooManyRequests, c.head...)
			b.made(0)
			time.Sleep(time.Second)
			b.answer(0, 0)
			began := time.Now()
			id := b.made(0)
			for b.delivery(id).State != store.DeliveryDone && time.Since(began) < 2*time.Hour {
				time.Sleep(100 * time.Millisecond)
			}
			if waited := time.Since(began); waited < c.wait-2*time.Second || waited > c.wait+2*time.Second {
				b.Errorf("%v: left alone for %v, want %v", c.head, waited, c.wait)
			}
			time.Sleep(time.Minute)
		}
	})
}
