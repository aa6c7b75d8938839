package sqlite

import (
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var qCount = &query{sqlstore.CountDay(`VALUES (?, ?, ?, ?)`)}

// count adds the attempts that began to the days of configurations that are limited by day.
func (g *turnGroup) count(r *raw, now comm.Micros) error {
	type config struct{ app, id comm.ID }
	var used map[config]int64
	for i := range g.t.Starts {
		if x := &g.t.Starts[i]; x.Daily && g.result.Started[i].Verdict == store.Go {
			if used == nil {
				used = map[config]int64{}
			}
			used[config{x.Owner, x.ProviderID}]++
		}
	}
	for c, n := range used {
		if _, err := r.run(qCount, c.app[:], c.id[:], now.Day(), n); err != nil {
			return fmt.Errorf("count the day of a configuration: %w", err)
		}
	}
	return nil
}
