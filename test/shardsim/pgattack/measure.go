package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// heartbeat measures what renewing leases costs beside turns that lock the
// shards: in one row of the node, or in the 64 rows that the turns lock.
func heartbeat(ctx context.Context, o options) error {
	db, err := connect(ctx, o)
	if err != nil {
		return err
	}
	if _, err := db.Exec(ctx, ddl+`; INSERT INTO attack.nodes VALUES ('me', now()); UPDATE attack.shards SET owner = 'me', epoch = 1;
 ALTER TABLE attack.shards ADD lease_until timestamptz; INSERT INTO attack.state SELECT i, i % 64, i % 128, 0, 1 FROM generate_series(1, 20000) i`); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	beats := []struct{ name, sql string }{
		{"none", "SELECT 1"},
		{"one row of nodes", "UPDATE nodes SET lease_until = now() WHERE id = 'me'"},
		{"64 rows of shards", "UPDATE shards SET lease_until = now() WHERE owner = 'me'"},
	}
	for _, every := range []time.Duration{2 * time.Second, 20 * time.Millisecond} {
		for range 3 {
			for _, b := range beats {
				if err := beside(ctx, o, b.name, b.sql, every); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// beside runs two connections of turns and one of heartbeats for a while.
func beside(ctx context.Context, o options, name, sql string, every time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
	defer cancel()
	var turns, deadlocks atomic.Int64
	fail := make(chan error, 3)
	for k := range 2 {
		c, err := connect(ctx, o)
		if err != nil {
			return err
		}
		defer c.Close(context.Background())
		go func() { fail <- turnOver(ctx, c, int64(k), &turns, &deadlocks) }()
	}
	c, err := connect(ctx, o)
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	var took []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		var pg *pgconn.PgError
		if _, err := c.Exec(ctx, sql); errors.As(err, &pg) && pg.Code == "40P01" {
			deadlocks.Add(1)
		} else if err != nil {
			break
		}
		took = append(took, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
	for range 2 {
		if err := <-fail; err != nil {
			return err
		}
	}
	fmt.Printf("heartbeat: every %v, %s: %.0f turns/s of 16 shards and 50 rows, %d deadlocks; heartbeat took %s\n", every, name, float64(turns.Load())/float64(o.seconds), deadlocks.Load(), spread(took))
	return nil
}

func turnOver(ctx context.Context, c *pgx.Conn, k int64, turns, deadlocks *atomic.Int64) error {
	for n := int64(0); ; n++ {
		var shards []int16
		var epochs, ids []int64
		for i := range int16(16) {
			shards, epochs = append(shards, (i*4+int16(n%4))), append(epochs, 1)
		}
		for i := range int64(50) {
			ids = append(ids, 1+k*10000+(n*50+i)%10000)
		}
		b := &pgx.Batch{}
		b.Queue(fenceSQL, shards, epochs, "me")
		b.Queue("UPDATE state SET attempts = (attempts + 1) % 100 WHERE id = ANY($1::bigint[])", ids)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			var pg *pgconn.PgError
			if errors.As(err, &pg) && pg.Code == "40P01" {
				deadlocks.Add(1)
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("turn: %w", err)
		}
		turns.Add(1)
	}
}

// snapshot measures the reading of a unit's head while an old snapshot keeps
// every deleted queue row: from the start, from a horizon, from the cursor.
func snapshot(ctx context.Context, o options) error {
	db, err := connect(ctx, o)
	if err != nil {
		return err
	}
	if _, err := db.Exec(ctx, ddl); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	holder, err := pgx.Connect(ctx, o.dsn)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer holder.Close(ctx)
	if _, err := holder.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM attack.queue"); err != nil {
		return fmt.Errorf("holding a snapshot: %w", err)
	}
	began, dead := time.Now(), 0
	var cur entry
	for {
		rows, err := db.Query(ctx, `INSERT INTO queue SELECT 1, 1, `+nowSQL+` + i, i FROM generate_series(1, 500) i RETURNING due, id`)
		if err != nil {
			return fmt.Errorf("filling: %w", err)
		}
		es, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
		if err != nil {
			return fmt.Errorf("filling: %w", err)
		}
		if dead%50000 == 0 {
			if err := readings(ctx, db, time.Since(began), dead, cur); err != nil {
				return err
			}
		}
		if _, err := db.Exec(ctx, "DELETE FROM queue"); err != nil {
			return fmt.Errorf("emptying: %w", err)
		}
		cur, dead = es[len(es)-1], dead+500
		time.Sleep(45 * time.Millisecond)
		if time.Since(began) > time.Duration(o.seconds)*time.Second {
			return readings(ctx, db, time.Since(began), dead, cur)
		}
	}
}

func readings(ctx context.Context, db *pgx.Conn, at time.Duration, dead int, cur entry) error {
	horizon := entry{time.Now().Add(-5 * time.Second).UnixMicro(), -1}
	var line strings.Builder
	for _, r := range []struct {
		name string
		from entry
	}{{"cursor", cur}, {"horizon of 5 s", horizon}, {"start", entry{}}} {
		var took []time.Duration
		for range 3 {
			began := time.Now()
			rows, err := db.Query(ctx, windowSQL, 1, 1, r.from.Due, r.from.ID, 1000)
			if err != nil {
				return fmt.Errorf("window: %w", err)
			}
			if _, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry]); err != nil {
				return fmt.Errorf("window: %w", err)
			}
			took = append(took, time.Since(began))
		}
		fmt.Fprintf(&line, "; from the %s %s", r.name, spread(took))
	}
	fmt.Printf("snapshot held: %5.1f s, %d dead rows%s\n", at.Seconds(), dead, line.String())
	return nil
}
