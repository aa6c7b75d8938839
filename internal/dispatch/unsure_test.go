package dispatch

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestUncertainStartOfAnOpenAttempt: a start of which nobody knows whether it was stored does not
// make the attempt of an earlier owner, left open because its end was refused, one without a call.
func TestUncertainStartOfAnOpenAttempt(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(func(a *comm.App) { a.QueuePaused = true }, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		st := s.status(id)
		sched := srv.d.sched
		sched.mu.Lock()
		defer sched.mu.Unlock()
		sh := sched.shards[st.Shard]
		for _, own := range []bool{false, true} {
			st.Epoch = sh.epoch - 1
			if own {
				st.Epoch = sh.epoch
			}
			j := &job{unit: sh.units[unitKey{st.App, st.Channel, st.Lane}], shard: sh, head: store.HeadOf(&st)}
			j.unit.inflight++
			sh.inflight[id], sh.suspects[id] = j, j
			sched.unsure(sh, j, &st)
			if released := len(sched.results) == 1; released != own {
				t.Errorf("own %v, returned as never called %v", own, released)
			}
			sched.results = nil
		}
		sh.forget(id)
	})
}
