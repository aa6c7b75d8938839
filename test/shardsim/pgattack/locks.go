package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// locks measures how long an owner that stopped in the middle of a turn keeps
// others from taking its shard, and what frees it.
func locks(ctx context.Context, o options) error {
	db, err := pgx.Connect(ctx, o.dsn)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer db.Close(ctx)
	if _, err := db.Exec(ctx, ddl+"; UPDATE attack.shards SET owner = 'stopped', epoch = 1"); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	const wait = 15 * time.Second
	cases := []struct {
		name, idle string
		rest       string // what the stopped client had sent after the fence
	}{
		{"transaction open, no time-out", "0", ""},
		{"transaction open, idle_in_transaction_session_timeout half a lease", fmt.Sprint(o.lease.Milliseconds() / 2), ""},
		{"blocked sending 64 MB to a client that does not read, the same time-out", fmt.Sprint(o.lease.Milliseconds() / 2), "SELECT repeat('x', 65536) FROM generate_series(1, 1000); COMMIT"},
		{"whole turn sent, small answer", "0", "SELECT 1; COMMIT"},
	}
	for _, c := range cases {
		pid, end, err := stopped(ctx, o, c.idle, c.rest)
		if err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond)
		began := time.Now()
		var skipped int
		if err := db.QueryRow(ctx, "SELECT 64 - count(*) FROM (SELECT 1 FROM attack.shards FOR UPDATE SKIP LOCKED) x").Scan(&skipped); err != nil {
			return fmt.Errorf("take: %w", err)
		}
		for skipped > 0 && time.Since(began) < wait {
			time.Sleep(20 * time.Millisecond)
			if err := db.QueryRow(ctx, "SELECT 64 - count(*) FROM (SELECT 1 FROM attack.shards FOR UPDATE SKIP LOCKED) x").Scan(&skipped); err != nil {
				return fmt.Errorf("take: %w", err)
			}
		}
		held := time.Since(began).Round(10 * time.Millisecond)
		after := "-"
		if skipped > 0 {
			began = time.Now()
			if _, err := db.Exec(ctx, "SELECT pg_terminate_backend($1, 5000)", pid); err != nil {
				return fmt.Errorf("terminate: %w", err)
			}
			after = time.Since(began).Round(time.Millisecond).String()
		}
		fmt.Printf("locks: %s: shard locked for %v (looked at for %v at most), still locked %v; pg_terminate_backend then took %s\n", c.name, held, wait, skipped > 0, after)
		end()
	}
	return nil
}

// stopped opens a turn on a connection of its own, sends what follows and never reads the answer.
func stopped(ctx context.Context, o options, idle, rest string) (pid uint32, end func(), err error) {
	c, err := pgx.Connect(ctx, o.dsn)
	if err != nil {
		return 0, nil, fmt.Errorf("connecting: %w", err)
	}
	if _, err := c.Exec(ctx, "SET idle_in_transaction_session_timeout = "+idle+"; BEGIN; SELECT 1 FROM attack.shards WHERE shard = 7 FOR SHARE"); err != nil {
		return 0, nil, fmt.Errorf("fence: %w", err)
	}
	if rest != "" {
		c.PgConn().Exec(ctx, rest) // sends; the results are left unread
	}
	return c.PgConn().PID(), func() { _ = c.PgConn().Conn().Close() }, nil
}
