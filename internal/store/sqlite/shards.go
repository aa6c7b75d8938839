package sqlite

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

var (
	qNode       = &query{`SELECT lease_until FROM nodes WHERE node = ?`}
	qNodeUpsert = &query{`INSERT INTO nodes (node, role, version, lease_until, started_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (node) DO UPDATE SET role = excluded.role, version = excluded.version, lease_until = excluded.lease_until`}
	qNodes         = &query{`SELECT node, role, lease_until FROM nodes ORDER BY node`}
	qNodeDelete    = &query{`DELETE FROM nodes WHERE node = ?`}
	qConfigVersion = &query{`SELECT version FROM config_version WHERE id = 1`}
	qShardTake     = &query{`UPDATE shards SET owner = ?, epoch = ? WHERE shard = ?`}
	qShardRelease  = &query{`UPDATE shards SET owner = '' WHERE shard = ? AND owner = ? AND epoch = ?`}
	qShardLeave    = &query{`UPDATE shards SET owner = '' WHERE owner = ?`}
)

// Beat implements store.Shards.
func (s *Store) Beat(ctx context.Context, n store.NodeInfo) (c store.Cluster, err error) {
	err = s.w.hot(ctx, 1, func(r *raw) error {
		c = store.Cluster{Now: s.now()}
		row, err := r.one(qNode, n.Node)
		if err != nil {
			return err
		}
		if row != nil && num(row[0]) < int64(c.Now) {
			return refusal{store.ErrLeaseLost}
		}
		if _, err := r.run(qNodeUpsert, n.Node, n.Role, n.Version, int64(c.Now)+n.Lease, int64(c.Now)); err != nil {
			return err
		}
		live, err := nodes(r, &c)
		if err != nil {
			return err
		}
		if row, err = r.one(qConfigVersion); err != nil {
			return err
		}
		c.ConfigVersion = num(row[0])
		return r.each(qShards, nil, func(v []value) error {
			if shard := num(v[0]); shard < comm.ShardCount {
				owner := text(v[1])
				c.Owners[shard] = store.Ownership{Node: owner, Epoch: num(v[2]), Free: !live[owner]}
			}
			return nil
		})
	})
	if err != nil {
		return store.Cluster{}, fmt.Errorf("heartbeat: %w", err)
	}
	return c, nil
}

// nodes answers who is alive at c.Now and lists those that take shards.
func nodes(r *raw, c *store.Cluster) (live map[string]bool, err error) {
	live = map[string]bool{}
	err = r.each(qNodes, nil, func(v []value) error {
		if num(v[2]) < int64(c.Now) {
			return nil
		}
		live[text(v[0])] = true
		if text(v[1]) != "api" {
			c.Workers = append(c.Workers, text(v[0]))
		}
		return nil
	})
	return live, err
}

// Take implements store.Shards. Owners of earlier processes are unknown here, hence dead.
func (s *Store) Take(ctx context.Context, node string, shards []comm.Shard) (won []store.Lease, err error) {
	err = s.w.hot(ctx, len(shards), func(r *raw) error {
		won = nil
		live, err := nodes(r, &store.Cluster{Now: s.now()})
		if err != nil || !live[node] {
			return err
		}
		var owned [comm.ShardCount]store.Ownership
		err = r.each(qShards, nil, func(v []value) error {
			if shard := num(v[0]); shard < comm.ShardCount {
				owned[shard] = store.Ownership{Node: text(v[1]), Epoch: num(v[2])}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, shard := range shards {
			if int(shard) >= len(owned) || owned[shard].Node != node && live[owned[shard].Node] {
				continue
			}
			l := store.Lease{Shard: shard, Epoch: owned[shard].Epoch + 1}
			if _, err := r.run(qShardTake, node, l.Epoch, int64(shard)); err != nil {
				return err
			}
			owned[shard] = store.Ownership{Node: node, Epoch: l.Epoch}
			won = append(won, l)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take shards: %w", err)
	}
	return won, nil
}

// Release implements store.Shards.
func (s *Store) Release(ctx context.Context, node string, leases []store.Lease) error {
	err := s.w.hot(ctx, len(leases), func(r *raw) error {
		for _, l := range leases {
			if _, err := r.run(qShardRelease, int64(l.Shard), node, l.Epoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("release shards: %w", err)
	}
	return nil
}

// Leave implements store.Shards.
func (s *Store) Leave(ctx context.Context, node string) error {
	err := s.w.hot(ctx, 1, func(r *raw) error {
		for _, q := range []*query{qHoldDelete, qShardLeave, qNodeDelete} {
			if _, err := r.run(q, node); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}
