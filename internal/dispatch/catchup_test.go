package dispatch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// A message whose attempt nobody can tell about is not tried again before what providers have reported is applied.
func TestReportsBeforeARetryInDoubt(t *testing.T) {
	const retryBy = 10 * time.Second // the first retry in doubt goes after 5 s +-20 %
	for name, c := range map[string]struct {
		caughtUp func(s *stage, n int) error // the n-th time
		calls    int
		status   comm.Status
	}{
		"a report says that it arrived": {func(s *stage, _ int) error {
			s.store.change(func() {
				for _, m := range s.store.msgs {
					if m.state.Status == comm.Queued {
						s.store.move(m, store.Outcome{To: comm.Sent, Cause: comm.CauseSettledByProof}, "reports", 0)
					}
				}
			})
			return nil
		}, 1, comm.Sent},
		"nothing is reported":        {func(*stage, int) error { return nil }, 2, comm.Sent},
		"it cannot be known for now": {func(*stage, int) error { return errors.New("away") }, 1, comm.Queued},
		"it can be known later": {func(_ *stage, n int) error {
			if n < 3 {
				return errors.New("away")
			}
			return nil
		}, 2, comm.Sent},
	} {
		play(t, name, func(t *testing.T, s *stage) {
			var asked atomic.Int64
			first := s.edit
			s.edit = func(cfg *Config) {
				first(cfg)
				cfg.Retry = pace.Retry()
				cfg.CatchUp = func(context.Context) error { return c.caughtUp(s, int(asked.Add(1))) }
			}
			s.act["ONE"] = func(context.Context, *provider.Message) error {
				if s.called("ONE") == 1 {
					return &provider.Error{Class: provider.Ambiguous, Code: "timeout", Text: "no answer"}
				}
				return nil
			}
			a := s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			id := s.send(srv, a, nil)
			time.Sleep(100 * time.Millisecond)
			other := s.send(srv, a, nil)
			time.Sleep(time.Second)
			if asked.Load() != 0 || s.status(other).Status != comm.Sent {
				t.Errorf("a first attempt asked for reports %d times and is %s", asked.Load(), s.status(other).Status)
			}
			time.Sleep(retryBy)
			if st := s.status(id); s.called("ONE") != 1+c.calls || st.Status != c.status || asked.Load() == 0 {
				t.Errorf("%d calls, %s, asked %d times", s.called("ONE")-1, st.Status, asked.Load())
			}
		})
	}
}
