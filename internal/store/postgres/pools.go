package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/commserver/commserver/internal/store"
)

// Pools says how the pools of connections are used: for accepts, turns, what must not wait behind them (control), and reads.
func (s *Store) Pools() []store.PoolUse {
	pools := []*pgxpool.Pool{s.accepts, s.turns, s.control, s.reads}
	out := make([]store.PoolUse, len(pools))
	for i, name := range store.PoolNames() {
		x := pools[i].Stat()
		out[i] = store.PoolUse{Name: name, Used: int(x.AcquiredConns()), Open: int(x.TotalConns()), Most: int(x.MaxConns()),
			Taken: x.AcquireCount(), Waited: x.EmptyAcquireCount(), Waiting: x.EmptyAcquireWaitTime(), Opened: x.NewConnsCount()}
	}
	return out
}
