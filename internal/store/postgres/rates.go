package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// minute is what rates are counted in.
const minute = 60_000_000

// resetAfter is when the minute of an instant ends.
func resetAfter(now comm.Micros) comm.Micros { return (now/minute + 1) * minute }

// limited remembers which apps were over their rates, until their minutes end: a
// hint that spares their groups a statement that would be refused. It is safe for
// concurrent use.
type limited struct {
	mu   sync.Mutex
	apps map[comm.ID]comm.Micros
}

func (l *limited) any(subs []store.Submission, group []int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.apps) == 0 {
		return false
	}
	now := comm.At(time.Now())
	maps.DeleteFunc(l.apps, func(_ comm.ID, until comm.Micros) bool { return until <= now })
	return slices.ContainsFunc(group, func(i int) bool { return l.apps[subs[i].App] != 0 })
}

func (l *limited) note(subs []store.Submission, group []int, out []store.Accepted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range group {
		if out[i].Result == store.RateLimited {
			if l.apps == nil {
				l.apps = map[comm.ID]comm.Micros{}
			}
			l.apps[subs[i].App] = out[i].RateReset
		}
	}
}

// overRate notes which apps are over their rates. A submission that was refused for that while
// it waited for the very transaction that stored its key is to be asked again: it is a replay.
func (s *Store) overRate(ctx context.Context, subs []store.Submission, group []int, out []store.Accepted) (again []int) {
	s.limited.note(subs, group, out)
	var refused []int
	for _, i := range group {
		if out[i].Result == store.RateLimited && subs[i].HasKey {
			refused = append(refused, i)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	var there []bool
	if err := s.read(ctx, "look for idempotency keys", func(c *pgx.Conn) (err error) {
		there, err = keysThere(ctx, c, subs, refused)
		return err
	}); err != nil {
		return nil // the refusal stands: whoever repeats the request later learns what became of it
	}
	for n, i := range refused {
		if there[n] {
			again = append(again, i)
		}
	}
	return again
}
