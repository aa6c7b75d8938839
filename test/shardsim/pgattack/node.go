package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// node is one process: it accepts, owns shards, and calls the provider.
type node struct {
	o         options
	mu        sync.Mutex
	shards    map[int16]*owned
	gap       int
	beatBegan time.Time // began the last heartbeat that succeeded
	leaving   bool
	todo      []*flight
	calls     int
	wake      chan struct{}
	rejoin    chan struct{}
	provider  *provider
	member    *pgx.Conn
	turns     *pgx.Conn
	reads     *pgx.Conn
}

// owned is a shard in memory under one epoch.
type owned struct {
	epoch    int64
	draining time.Time
	flights  map[int64]*flight
	units    map[int32]*unit
}

type flight struct {
	id, due, epoch int64
	shard          int16
	app            int32
	no             int16
	gap            int
	outcome        int16 // 1 accepted, 2 refused for now, 3 certainly not called
}

func runNode(ctx context.Context, o options) error {
	n := &node{o: o, shards: map[int16]*owned{}, wake: make(chan struct{}, 1), rejoin: make(chan struct{}, 1)}
	var err error
	if n.provider, err = dialProvider(o); err != nil {
		return err
	}
	for _, c := range []**pgx.Conn{&n.member, &n.turns, &n.reads} {
		if *c, err = connect(ctx, o); err != nil {
			return err
		}
	}
	beats, err := connect(ctx, o)
	if err != nil {
		return err
	}
	if err := n.beat(ctx, beats); err != nil {
		return err
	}
	go n.forever(func() error { time.Sleep(o.lease / 5); return n.beat(ctx, beats) })
	go n.forever(func() error { return n.listen(ctx) })
	go n.forever(func() error { return n.acceptLoop(ctx) })
	go n.forever(func() error { return n.pollLoop(ctx) })
	go n.forever(func() error { return n.dispatch(ctx) })
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for {
		select {
		case <-term:
			n.mu.Lock()
			n.leaving = true
			n.mu.Unlock()
			if err := n.beat(ctx, n.member); err != nil {
				return err
			}
		case <-n.rejoin:
		case <-time.After(o.lease / 20):
		}
		if done, err := n.membership(ctx); err != nil || done {
			return err
		}
	}
}

// forever repeats a step; an error of a small attack program ends the process, as a crash would.
func (n *node) forever(step func() error) {
	for {
		if err := step(); err != nil {
			fmt.Fprintln(os.Stderr, "node", n.o.id, err)
			os.Exit(3)
		}
	}
}

// beat renews the lease. After a gap, attempts started before it are not called any more.
func (n *node) beat(ctx context.Context, c *pgx.Conn) error {
	began := time.Now()
	n.mu.Lock()
	leaving := n.leaving
	n.mu.Unlock()
	_, err := c.Exec(ctx, `INSERT INTO nodes VALUES ($1, now() + $2::interval, $3)
 ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, leaving = excluded.leaving`, n.o.id, n.o.lease.String(), leaving)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if began.Sub(n.beatBegan) >= n.o.lease*4/5 {
		n.gap++
	}
	n.beatBegan = began
	return nil
}

func (n *node) leased(f *flight) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return f.gap == n.gap && time.Since(n.beatBegan) < n.o.lease*4/5
}

// membership compares memory with the table, then takes or gives.
func (n *node) membership(ctx context.Context) (done bool, err error) {
	var alive int
	var taken []int16
	rows, err := n.member.Query(ctx, `SELECT s.shard, s.owner, s.epoch, NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = s.owner AND n.lease_until > now()),
 (SELECT count(*) FROM nodes WHERE lease_until > now() + $1::interval / 2 AND NOT leaving) FROM shards s ORDER BY shard`, n.o.lease.String())
	if err != nil {
		return false, fmt.Errorf("reading shards: %w", err)
	}
	n.mu.Lock()
	mine := 0
	var free, forgotten []int16
	for rows.Next() {
		var s int16
		var owner string
		var epoch int64
		var open bool
		if err := rows.Scan(&s, &owner, &epoch, &open, &alive); err != nil {
			n.mu.Unlock()
			return false, fmt.Errorf("reading shards: %w", err)
		}
		o := n.shards[s]
		switch {
		case o != nil && owner == n.o.id && epoch == o.epoch:
			mine++
		case owner == n.o.id:
			forgotten = append(forgotten, s)
			delete(n.shards, s)
		default:
			delete(n.shards, s)
			if open {
				free = append(free, s)
			}
		}
	}
	leaving, fresh := n.leaving, time.Since(n.beatBegan) < n.o.lease*2/5
	n.mu.Unlock()
	if rows.Err() != nil {
		return false, fmt.Errorf("reading shards: %w", rows.Err())
	}
	share := (64 + max(alive, 1) - 1) / max(alive, 1)
	if leaving {
		share = 0
	}
	taken = forgotten
	if mine < share && fresh {
		taken = append(taken, free[:min(len(free), share-mine)]...)
	}
	if len(taken) > 0 && !leaving {
		return false, n.take(ctx, taken)
	}
	n.give(ctx, mine-share)
	return leaving && mine == 0, nil
}

func (n *node) take(ctx context.Context, want []int16) error {
	rows, err := n.member.Query(ctx, takeSQL, n.o.id, want)
	if err != nil {
		return fmt.Errorf("take: %w", err)
	}
	got := map[int16]int64{}
	var s int16
	var e int64
	if _, err = pgx.ForEachRow(rows, []any{&s, &e}, func() error { got[s] = e; return nil }); err != nil {
		return fmt.Errorf("take: %w", err)
	}
	for s, e := range got {
		b := &pgx.Batch{}
		b.Queue(fenceSQL, []int16{s}, []int64{e}, n.o.id)
		b.Queue(recoverSQL, s, e, n.o.id)
		b.Queue(`INSERT INTO moves(kind, shard, epoch, node) VALUES ('recovered', $1, $2, $3)`, s, e, n.o.id)
		err := n.member.SendBatch(ctx, b).Close()
		if lost(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		n.mu.Lock()
		n.shards[s] = &owned{epoch: e, flights: map[int64]*flight{}, units: map[int32]*unit{}}
		n.mu.Unlock()
	}
	if err := n.poll(ctx, n.member); err != nil {
		return err
	}
	n.nudge()
	return nil
}

// give hands idle surplus shards over; a shard with calls in flight stops starting for a while.
func (n *node) give(ctx context.Context, surplus int) {
	type out struct {
		s int16
		e int64
	}
	var outs []out
	n.mu.Lock()
	order := make([]int16, 0, len(n.shards))
	for s, o := range n.shards {
		order = append(order, s)
		if !n.leaving && time.Since(o.draining) > n.o.lease/5 {
			o.draining = time.Time{} // called off: its calls take too long, or the surplus is gone
		}
	}
	sort.Slice(order, func(i, j int) bool { return len(n.shards[order[i]].flights) < len(n.shards[order[j]].flights) })
	for _, s := range order[:min(max(surplus, 0), len(order))] {
		o := n.shards[s]
		if o.draining.IsZero() {
			o.draining = time.Now()
		}
		if len(o.flights) == 0 {
			outs = append(outs, out{s, o.epoch})
			delete(n.shards, s)
		}
	}
	n.mu.Unlock()
	for _, x := range outs {
		if _, err := n.member.Exec(ctx, giveSQL, x.s, n.o.id, x.e); err != nil {
			fmt.Fprintln(os.Stderr, "give:", err) // the table still says mine: retaken at the next tick
		}
	}
}

func (n *node) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
