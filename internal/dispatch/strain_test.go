package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// strained makes a stage whose nodes tell how calls go, and answers what was told last, and how often.
func strained(s *stage) func() (last []store.ProviderStrain, times int) {
	w := newWard(s)
	first := s.edit
	s.edit = func(c *Config) { first(c); c.Troubles = w }
	return func() ([]store.ProviderStrain, int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.strains) == 0 {
			return nil, 0
		}
		return w.strains[len(w.strains)-1], len(w.strains)
	}
}

func TestAPauseThatAProviderAsksForIsTold(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		told := strained(s)
		s.acts("ONE", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.RateLimited, RetryAfter: 40 * time.Second}
		})
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		asked := time.Now()
		s.send(srv, a, nil)
		time.Sleep(30 * time.Second)
		last, times := told()
		end := comm.At(asked.Add(40 * time.Second))
		if len(last) != 1 || last[0].App != a.ID || last[0].ID != s.store.configs[a.ID][0].ID || last[0].ThrottledUntil < end || last[0].ThrottledUntil > end.Add(time.Second) || last[0].Failed != 0 || last[0].Calls != 1 {
			t.Errorf("told %+v, want a pause until %s", last, end)
		}
		if times != 1 {
			t.Errorf("told %d times of one pause", times)
		}
		s.acts("ONE", nil)
		time.Sleep(10*time.Second + 2*figuresEvery)
		if last, times := told(); len(last) != 0 || times != 2 {
			t.Errorf("when it is over, %+v is told, the %d. time", last, times)
		}
	})
}

// TestHowManyCallsFailIsTold: of the last minute, exactly, and seldom enough.
func TestHowManyCallsFailIsTold(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		told := strained(s)
		calls, failed := 0, 0
		s.acts("ONE", func(context.Context, *provider.Message) error {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			if calls++; calls%4 == 0 {
				failed++
				return &provider.Error{Class: provider.Transient, Code: "451"}
			}
			return nil
		})
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 40 {
			s.send(srv, a, nil)
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(2 * figuresEvery)
		last, times := told()
		if len(last) != 1 || last[0].ID != s.store.configs[a.ID][0].ID || failed != 10 || last[0].Calls != int64(calls) || last[0].Failed != int64(failed) || last[0].ThrottledUntil != 0 {
			t.Errorf("told %+v, of %d calls %d failed", last, calls, failed)
		}
		if most := int(30*time.Second/figuresEvery) + 1; times > most {
			t.Errorf("told %d times, want %d at most", times, most)
		}
		time.Sleep(lately + 2*figuresEvery)
		if last, _ := told(); len(last) != 0 {
			t.Errorf("a minute later %+v is told", last)
		}
	})
}
