package webhook

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// A call's place is free once its result is handed over, not before: while results cannot be stored no more calls are made than
// there are places for them, and afterwards everything was posted once.
func TestResultsComeBeforePlaces(t *testing.T) {
	const slots = 4
	inBubble(t, 3, func(c *Config) { c.Slots = slots }, func(b *bubble) {
		b.m.mu.Lock()
		b.m.fail = fmt.Errorf("away: %w", io.EOF)
		b.m.mu.Unlock()
		var ids []comm.ID
		for range 40 {
			for i := range 3 {
				ids = append(ids, b.made(i))
			}
		}
		time.Sleep(10 * time.Minute)
		called := 0
		for i := range 3 {
			called += len(b.receiver(i).got())
		}
		// Those that are being stored, those that wait for it, and those that wait to be handed over.
		if called > 3*slots {
			b.Errorf("%d calls of %d places while nothing could be stored", called, slots)
		}
		b.m.mu.Lock()
		b.m.fail = nil
		b.m.mu.Unlock()
		time.Sleep(2 * time.Minute)
		posts := 0
		for i := range 3 {
			posts += len(b.receiver(i).got())
		}
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone || d.Attempts != 1 {
				b.Fatalf("%+v", d)
			}
		}
		if posts != len(ids) {
			b.Errorf("%d posts of %d", posts, len(ids))
		}
	})
}
