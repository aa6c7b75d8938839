package dispatch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// TestHangingCallsAndAJoiningNode: a shard whose calls do not end cannot be handed over;
// trying again and again would stop what starts in it as often.
func TestHangingCallsAndAJoiningNode(t *testing.T) {
	play(t, "what can be sent goes on", func(t *testing.T, s *stage) {
		var mu sync.Mutex
		sent := map[comm.ID]time.Time{}
		s.act["ONE"] = func(ctx context.Context, m *provider.Message) error {
			mu.Lock()
			_, hangs := sent[m.ID]
			sent[m.ID] = time.Now()
			mu.Unlock()
			if hangs {
				<-ctx.Done()
				return &provider.Error{Class: provider.PermanentHere}
			}
			return nil
		}
		first := s.boot(0)
		time.Sleep(time.Second)
		var apps []*comm.App
		for range 120 { // in nearly every shard
			a := s.app(nil, emailConfig("ONE", 1))
			apps = append(apps, a)
			s.send(first, a, func(st *comm.State) { mu.Lock(); sent[st.ID] = time.Time{}; mu.Unlock() })
		}
		time.Sleep(3 * time.Second)
		s.boot(0)
		slow, all := 0, 0
		for range 60 {
			at := time.Now()
			var ids []comm.ID
			for _, a := range apps[:20] {
				ids = append(ids, s.send(first, a, nil))
			}
			time.Sleep(time.Second)
			mu.Lock()
			for _, id := range ids {
				all++
				if called, ok := sent[id]; !ok || called.Sub(at) > 500*time.Millisecond {
					slow++
				}
			}
			mu.Unlock()
		}
		if slow*10 > all {
			t.Errorf("%d of %d waited for more than half a second", slow, all)
		}
	})
}
