package dispatch

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestPickEndsWhileHeadsComeDue is named after what broke: a head that came due
// between two readings of the clock was offered and refused for ever, under the
// scheduler's lock. Fake time cannot show it, since it stands still in between.
func TestPickEndsWhileHeadsComeDue(t *testing.T) {
	s := benchScheduler(t)
	tick := time.Now()
	s.clock.now = func() time.Time { tick = tick.Add(time.Microsecond); return tick }
	app := s.benchApp(0)
	const heads = 500
	start := s.clock.db()
	for i := range heads {
		h := store.Head{Due: start + comm.Micros(i)}
		binary.BigEndian.PutUint64(h.ID[8:], uint64(i+1))
		s.push(comm.Unit{Shard: comm.ShardOf(app, comm.ID{}, 1), App: app, Channel: comm.Email, Lane: comm.Normal}, h)
	}
	done := make(chan int)
	go func() {
		picked := 0
		for range 10 * heads {
			s.advance()
			picked += len(s.pick(turnSize, nil))
			if picked == heads {
				break
			}
		}
		done <- picked
	}()
	select {
	case picked := <-done:
		if picked != heads {
			t.Fatalf("%d of %d heads were picked", picked, heads)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("pick does not end")
	}
}
