package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// TestUnheardBesideBusyOnes: a message that nobody told of is found although others of its unit are in flight at any time.
func TestUnheardBesideBusyOnes(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(ctx context.Context, _ *provider.Message) error { sleep(ctx, 300*time.Millisecond); return nil }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(nil, a, nil)
		for range 100 {
			s.send(srv, a, nil)
			time.Sleep(100 * time.Millisecond)
		}
		if st := s.status(id); st.Status != comm.Sent {
			t.Errorf("it is %v after ten seconds", st.Status)
		}
	})
}

// slowReads answers what it read some time ago.
type slowReads struct{ store.Queue }

func (q *slowReads) Windows(ctx context.Context, asks []store.Ask) ([][]store.Head, error) {
	out, err := q.Queue.Windows(ctx, asks)
	sleep(ctx, 300*time.Millisecond)
	return out, err
}

// TestAMessageStoredDuringARead: the read does not bring it, and it does not wait for the next look; where there are more
// than are kept one by one, for another read at most.
func TestAMessageStoredDuringARead(t *testing.T) {
	for _, tc := range []struct {
		name   string
		many   int
		within time.Duration
	}{{"some", 250, 350 * time.Millisecond}, {"more than are kept", 350, 2 * time.Second}} {
		play(t, tc.name, func(t *testing.T, s *stage) {
			edit := s.edit
			s.edit = func(c *Config) { edit(c); c.Queue = &slowReads{c.Queue} }
			s.act["ONE"] = func(ctx context.Context, _ *provider.Message) error { sleep(ctx, 5*time.Second); return nil }
			a := s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			s.send(nil, a, nil) // nobody is told, so that a poll finds it and reads
			time.Sleep(1100 * time.Millisecond)
			for range tc.many / 50 {
				for range 50 {
					s.send(srv, a, nil)
				}
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(tc.within)
			if n := s.called("ONE"); n != 1+tc.many {
				t.Errorf("%d of %d are called", n, 1+tc.many)
			}
		})
	}
}
