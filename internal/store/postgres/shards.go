package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Rows are locked nodes first, then shards, each in their order. A take holds the
// rows of its own node and of the owners while it decides, so that a heartbeat
// comes either before it, and keeps its shards, or after it, and sees them gone.
const (
	beatSQL = `
INSERT INTO nodes AS n (node, role, version, lease_until, started_at) VALUES ($1, $2, $3, ` + clock + ` + $4, ` + clock + `)
ON CONFLICT (node) DO UPDATE SET role = excluded.role, version = excluded.version, lease_until = excluded.lease_until
WHERE n.lease_until > ` + wallClock + ` RETURNING true`
	clusterSQL = `SELECT ` + wallClock + `, (SELECT version FROM config_version WHERE id = 1)`
	workersSQL = `SELECT node, role, lease_until FROM nodes ORDER BY node`
	ownersSQL  = `SELECT s.shard, s.owner, s.epoch, n.lease_until FROM shards s LEFT JOIN nodes n ON n.node = s.owner`
	// forgetSQL removes nodes that ended long ago without leaving. A process that
	// slept so long finds its row gone and is new, so the time is longer than any sleep.
	forgetSQL = `
WITH dead AS (DELETE FROM nodes WHERE lease_until < ` + clock + ` - 2592000000000 RETURNING node)
DELETE FROM holds h USING dead WHERE h.node = dead.node`

	takeLockSQL = `
SELECT true FROM nodes WHERE node = $1 OR node IN (SELECT s.owner FROM shards s WHERE s.shard = ANY ($2::smallint[])) ORDER BY node FOR SHARE`
	// isFree: nobody owns shard s, or an unknown node, or $1 itself, or one whose lease has ended; and $1 is alive.
	isFree = `(s.owner = '' OR s.owner = $1 OR NOT EXISTS (SELECT FROM nodes n WHERE n.node = s.owner AND n.lease_until > ` + wallClock + `))
  AND EXISTS (SELECT FROM nodes n WHERE n.node = $1 AND n.lease_until > ` + wallClock + `)`
	// dropAheadSQL removes nodes whose leases lie ahead only because the clock was set back.
	dropAheadSQL = `DELETE FROM nodes n USING unnest($1::text[], $2::bigint[]) AS d (node, until) WHERE n.node = d.node AND n.lease_until = d.until`
	takeSQL      = `
WITH f AS MATERIALIZED (
  SELECT s.shard FROM shards s WHERE s.shard = ANY ($2::smallint[]) AND ` + isFree + ` ORDER BY s.shard FOR UPDATE OF s SKIP LOCKED)
UPDATE shards s SET owner = $1, epoch = s.epoch + 1 FROM f WHERE s.shard = f.shard RETURNING s.shard, s.epoch`
	// takeHoldsSQL forgets why units waited under owners before; the new owner will say.
	takeHoldsSQL = `
DELETE FROM holds h WHERE h.shard = ANY ($2::smallint[]) AND h.node <> $1 AND EXISTS (SELECT FROM shards s WHERE s.shard = h.shard AND s.owner = $1)`
	stillFreeSQL = `SELECT s.shard FROM shards s WHERE s.shard = ANY ($2::smallint[]) AND s.owner <> $1 AND ` + isFree

	releaseSQL = `
WITH f AS MATERIALIZED (
  SELECT s.shard FROM unnest($2::smallint[], $3::bigint[]) AS l (shard, epoch) JOIN shards s ON s.shard = l.shard
  WHERE s.owner = $1 AND s.epoch = l.epoch ORDER BY s.shard FOR UPDATE OF s),
r AS (UPDATE shards s SET owner = '' FROM f WHERE s.shard = f.shard)
DELETE FROM holds h USING f WHERE h.node = $1 AND h.shard = f.shard`

	leaveNodeSQL   = `DELETE FROM nodes WHERE node = $1`
	leaveShardsSQL = `
WITH f AS MATERIALIZED (SELECT s.shard FROM shards s WHERE s.owner = $1 ORDER BY s.shard FOR UPDATE)
UPDATE shards s SET owner = '' FROM f WHERE s.shard = f.shard`
	leaveHoldsSQL = `DELETE FROM holds WHERE node = $1`
)

// Beat implements store.Shards.
func (s *Store) Beat(ctx context.Context, n store.NodeInfo) (store.Cluster, error) {
	var c store.Cluster
	kept := false
	b := &pgx.Batch{}
	b.Queue(forgetSQL)
	b.Queue(beatSQL, n.Node, n.Role, n.Version, n.Lease)
	b.Queue(clusterSQL)
	b.Queue(workersSQL)
	b.Queue(ownersSQL)
	err := s.write(ctx, s.control, "prolong the lease", func(conn *session) error {
		c, kept = store.Cluster{}, false
		return s.batch(ctx, conn, hotSettings(), b, func(r pgx.BatchResults) error {
			if _, err := r.Exec(); err != nil {
				return err
			}
			rows, err := r.Query()
			if err := each(rows, err, func(*reader) { kept = true }); err != nil {
				return err
			}
			return s.readCluster(r, n, &c)
		})
	})
	if err != nil {
		return store.Cluster{}, err
	}
	if !kept {
		return store.Cluster{}, store.ErrLeaseLost
	}
	return c, nil
}

func (s *Store) readCluster(r pgx.BatchResults, n store.NodeInfo, c *store.Cluster) error {
	rows, err := r.Query()
	if err := each(rows, err, func(r *reader) { c.Now, c.ConfigVersion = r.micros(), r.i64() }); err != nil {
		return err
	}
	rows, err = r.Query()
	err = each(rows, err, func(r *reader) {
		node, role, until := r.text(), r.text(), r.micros()
		if role != "api" && until > c.Now && !s.ahead.ended(node, until, c.Now, n.Lease) {
			c.Workers = append(c.Workers, node)
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(c.Workers) // by bytes, whatever the database's collation
	rows, err = r.Query()
	return each(rows, err, func(r *reader) {
		shard := r.i16()
		o := store.Ownership{Node: r.text(), Epoch: r.i64()}
		until := r.micros() // zero for an unknown node
		o.Free = o.Node == "" || until <= c.Now || s.ahead.ended(o.Node, until, c.Now, n.Lease)
		if shard >= 0 && shard < comm.ShardCount {
			c.Owners[shard] = o
		}
	})
}

// Shards that are free and yet cannot be taken are locked by a transaction of
// their last owner. It is given a moment; one that has been open for longer than
// any statement may take belongs to a process that is stopped or cut off.
const (
	lockPauses = 3
	lockPause  = 20 * time.Millisecond
	stuckAfter = 5 * time.Second
	lockWait   = "500ms"
)

// Take implements store.Shards.
func (s *Store) Take(ctx context.Context, node string, shards []comm.Shard) ([]store.Lease, error) {
	if nodes, untils := s.ahead.list(); nodes.n > 0 {
		if err := s.exec(ctx, "remove nodes of another time", func(b *pgx.Batch) { b.Queue(dropAheadSQL, nodes, untils) }); err != nil {
			return nil, err
		}
	}
	var won []store.Lease
	left := slices.Clone(shards)
	for try := 0; len(left) > 0; try++ {
		got, err := s.takeFree(ctx, node, left)
		if err != nil && len(won) > 0 {
			return nil, fmt.Errorf("%w: %w", store.ErrUncertain, err)
		}
		if err != nil {
			return nil, err
		}
		won = append(won, got...)
		if left, err = s.stillFree(ctx, node, left); err != nil || len(left) == 0 || try > lockPauses {
			break // what was won is won, the next call sees to the rest
		}
		if try == lockPauses {
			s.endHolders(ctx, left)
			continue
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
		}
	}
	slices.SortFunc(won, func(a, b store.Lease) int { return int(a.Shard) - int(b.Shard) })
	return won, nil
}

func (s *Store) takeFree(ctx context.Context, node string, shards []comm.Shard) (won []store.Lease, err error) {
	b := &pgx.Batch{}
	b.Queue(takeLockSQL, node, shardList(shards))
	b.Queue(takeSQL, node, shardList(shards))
	b.Queue(takeHoldsSQL, node, shardList(shards))
	err = s.write(ctx, s.control, "take shards", func(c *session) error {
		won = won[:0]
		return s.batch(ctx, c, hotSettings(), b, func(r pgx.BatchResults) error {
			if _, err := r.Exec(); err != nil {
				return err
			}
			rows, err := r.Query()
			if err := each(rows, err, func(r *reader) {
				won = append(won, store.Lease{Shard: comm.Shard(r.i16()), Epoch: r.i64()})
			}); err != nil {
				return err
			}
			_, err = r.Exec()
			return err
		})
	})
	return won, err
}

// stillFree lists the shards that are free and were not won: somebody holds their rows.
func (s *Store) stillFree(ctx context.Context, node string, shards []comm.Shard) (out []comm.Shard, err error) {
	err = s.read(ctx, "look for free shards", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, stillFreeSQL, node, shardList(shards))
		return each(rows, err, func(r *reader) { out = append(out, comm.Shard(r.i16())) })
	})
	return out, err
}

// endHolders ends the connections whose old transactions hold the rows of shards:
// one connection waits for a row, another asks the server whom it waits for.
func (s *Store) endHolders(ctx context.Context, shards []comm.Shard) {
	for _, shard := range shards {
		err := s.transaction(ctx, "wait for a shard", func(tx pgx.Tx) error {
			var waiter int32
			if err := tx.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&waiter); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', '`+lockWait+`', true)`); err != nil {
				return err
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.endBlockers(ctx, shard, waiter)
			}()
			_, err := tx.Exec(ctx, `SELECT true FROM shards WHERE shard = $1 FOR UPDATE`, int16(shard))
			<-ended
			return err
		})
		if err != nil {
			s.log.Warn("a shard without owner is locked", "shard", int(shard), "error", err)
			return // the next take tries again: waiting for each of them would take too long
		}
	}
}

func (s *Store) endBlockers(ctx context.Context, shard comm.Shard, waiter int32) {
	for range lockPauses {
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return
		}
		var n int64
		err := s.read(ctx, "end the transaction that holds a shard", func(c *pgx.Conn) error {
			return c.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) FROM unnest(pg_blocking_pids($1)) AS b (pid)
JOIN pg_stat_activity a ON a.pid = b.pid WHERE a.xact_start < clock_timestamp() - $2 * interval '1 microsecond'`, waiter, s.stuckAfter.Microseconds()).Scan(&n)
		})
		if err != nil {
			s.log.Warn("cannot end the transaction that holds a shard", "shard", int(shard), "error", err)
			return
		}
		if n > 0 {
			s.log.Warn("ended a transaction of a node that no longer owns the shard", "shard", int(shard), "connections", n)
			return
		}
	}
}

// Release implements store.Shards.
func (s *Store) Release(ctx context.Context, node string, leases []store.Lease) error {
	shard, epoch := int2s(len(leases)), int8s(len(leases))
	for _, l := range leases {
		shard.i16(int16(l.Shard))
		epoch.i64(l.Epoch)
	}
	return s.exec(ctx, "release shards", func(b *pgx.Batch) { b.Queue(releaseSQL, node, shard, epoch) })
}

// Leave implements store.Shards.
func (s *Store) Leave(ctx context.Context, node string) error {
	return s.exec(ctx, "leave", func(b *pgx.Batch) {
		b.Queue(leaveNodeSQL, node)
		b.Queue(leaveShardsSQL, node)
		b.Queue(leaveHoldsSQL, node)
	})
}

// exec runs statements without results as one transaction on a control connection.
func (s *Store) exec(ctx context.Context, what string, queue func(b *pgx.Batch)) error {
	return s.write(ctx, s.control, what, func(c *session) error {
		b := &pgx.Batch{}
		queue(b)
		n := b.Len()
		return s.batch(ctx, c, hotSettings(), b, func(r pgx.BatchResults) error {
			for range n {
				if _, err := r.Exec(); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
