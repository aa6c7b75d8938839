package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const window, batch, maxCalls = 200, 200, 400

// unit is the window on one app: heads in key order and the cursor behind them.
type unit struct {
	win     []entry
	cur     entry
	more    bool
	gen     int
	filling bool
}

type entry struct{ Due, ID int64 }

func (a entry) before(b entry) bool { return a.Due < b.Due || a.Due == b.Due && a.ID < b.ID }

// lost says whether the fence refused: the whole turn did nothing.
func lost(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "22012"
}

// push adds an entry that is not known yet. The caller holds the lock.
func (o *owned) push(app int32, e entry) {
	u := o.units[app]
	if u == nil {
		u = &unit{more: true}
		o.units[app] = u
	}
	if u.filling {
		u.gen++
	}
	if o.flights[e.ID] != nil || len(u.win) >= window && u.win[len(u.win)-1].before(e) {
		u.more = true
		return
	}
	i := sort.Search(len(u.win), func(i int) bool { return !u.win[i].before(e) })
	if i < len(u.win) && u.win[i] == e {
		return
	}
	u.win = append(u.win, entry{})
	copy(u.win[i+1:], u.win[i:])
	u.win[i] = e
	if len(u.win) > window {
		u.win = u.win[:window]
	}
	if last := u.win[len(u.win)-1]; len(u.win) == window && last.before(u.cur) {
		u.cur, u.more = last, true
		u.gen++
	}
}

func (o *owned) rewind(app int32, due int64) {
	u := o.units[app]
	if u == nil {
		u = &unit{}
		o.units[app] = u
	}
	if at := (entry{due, -1}); at.before(u.cur) {
		u.cur = at
	}
	u.gen++
	u.more = true
}

// refill reads on from the cursors of the units that need it.
func (n *node) refill(ctx context.Context) error {
	type want struct {
		s     int16
		app   int32
		o     *owned
		u     *unit
		from  entry
		gen   int
		limit int
	}
	var ws []want
	n.mu.Lock()
	for s, o := range n.shards {
		for app, u := range o.units {
			if u.more && len(u.win) < window/2 && len(ws) < 64 {
				u.more, u.filling = false, true
				ws = append(ws, want{s, app, o, u, u.cur, u.gen, window + len(u.win) + len(o.flights)})
			}
		}
	}
	n.mu.Unlock()
	for _, w := range ws {
		rows, err := n.reads.Query(ctx, windowSQL, w.s, w.app, w.from.Due, w.from.ID, w.limit)
		if err != nil {
			return fmt.Errorf("window: %w", err)
		}
		es, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
		if err != nil {
			return fmt.Errorf("window: %w", err)
		}
		n.mu.Lock()
		w.u.filling = false
		gen := w.u.gen
		for _, e := range es {
			w.o.push(w.app, e)
		}
		switch {
		case gen != w.gen || w.u.gen != gen:
			w.u.more = true
		case len(es) > 0:
			w.u.cur = es[len(es)-1]
			w.u.more = len(es) == w.limit
		}
		n.mu.Unlock()
	}
	return nil
}

// pollLoop is the safety net, once a half second.
func (n *node) pollLoop(ctx context.Context) error {
	c, err := connect(ctx, n.o)
	if err != nil {
		return err
	}
	for {
		time.Sleep(500 * time.Millisecond)
		if err := n.poll(ctx, c); err != nil {
			return err
		}
		n.nudge()
	}
}

// poll rewinds every unit that has rows to its start, and finishes as certainly
// not called what is open under my epoch without a flight.
func (n *node) poll(ctx context.Context, c *pgx.Conn) error {
	n.mu.Lock()
	var mine []int16
	epochs := map[int16]int64{}
	for s, o := range n.shards {
		mine = append(mine, s)
		epochs[s] = o.epoch
	}
	n.mu.Unlock()
	rows, err := c.Query(ctx, unitsSQL, mine)
	if err != nil {
		return fmt.Errorf("units: %w", err)
	}
	var s int16
	var app int32
	if _, err = pgx.ForEachRow(rows, []any{&s, &app}, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if o := n.shards[s]; o != nil {
			o.rewind(app, 0)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("units: %w", err)
	}
	if rows, err = c.Query(ctx, orphanSQL, mine); err != nil {
		return fmt.Errorf("orphans: %w", err)
	}
	f := flight{}
	if _, err = pgx.ForEachRow(rows, []any{&f.id, &f.due, &f.no, &f.epoch, &f.shard, &f.app}, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if o := n.shards[f.shard]; o != nil && o.epoch == f.epoch && epochs[f.shard] == f.epoch && o.flights[f.id] == nil {
			x := f
			x.outcome = 3
			o.flights[x.id] = &x
			n.calls++
			n.todo = append(n.todo, &x)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("orphans: %w", err)
	}
	return nil
}

// dispatch is one turn: finishes and starts in one round trip.
func (n *node) dispatch(ctx context.Context) error {
	if err := n.refill(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	fin := n.todo[:min(len(n.todo), batch)]
	n.todo = append([]*flight(nil), n.todo[len(fin):]...)
	var starts []*flight
	for s, o := range n.shards {
		if !o.draining.IsZero() {
			continue
		}
		for app, u := range o.units {
			for len(u.win) > 0 && len(starts) < batch && n.calls < maxCalls {
				e := u.win[0]
				u.win = u.win[1:]
				if o.flights[e.ID] != nil {
					continue // swept as an orphan meanwhile
				}
				f := &flight{id: e.ID, due: e.Due, epoch: o.epoch, shard: s, app: app, gap: n.gap}
				o.flights[e.ID] = f
				n.calls++
				starts = append(starts, f)
			}
		}
	}
	n.mu.Unlock()
	if len(fin)+len(starts) == 0 {
		select {
		case <-n.wake:
		case <-time.After(20 * time.Millisecond):
		}
		return nil
	}
	return n.turn(ctx, fin, starts)
}

func (n *node) turn(ctx context.Context, fin, starts []*flight) error {
	sort.Slice(fin, func(i, j int) bool { return fin[i].id < fin[j].id })
	sort.Slice(starts, func(i, j int) bool { return starts[i].id < starts[j].id })
	seen := map[[2]int64]bool{}
	var ss []int16
	var se []int64
	for _, f := range append(append([]*flight(nil), fin...), starts...) {
		if k := [2]int64{int64(f.shard), f.epoch}; !seen[k] {
			seen[k] = true
			ss, se = append(ss, f.shard), append(se, f.epoch)
		}
	}
	fi, si := columns(fin), columns(starts)
	b := &pgx.Batch{}
	b.Queue(fenceSQL, ss, se, n.o.id)
	b.Queue(finishSQL, fi.id, fi.no, fi.epoch, fi.outcome, fi.due, n.o.id)
	b.Queue(startSQL, si.id, si.due, si.epoch, n.o.id)
	br := n.turns.SendBatch(ctx, b)
	_, err := br.Exec()
	done, started := map[int64]int64{}, map[int64]int16{}
	if err == nil {
		err = collect(br, done)
	}
	if err == nil {
		err = collect(br, started)
	}
	if e := br.Close(); err == nil {
		err = e
	}
	if lost(err) {
		return n.refused(ctx, fin, starts, ss, se)
	}
	if err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	for _, f := range fin {
		due, applied := done[f.id]
		n.land(f)
		if !applied && f.outcome == 1 {
			if err := n.file(ctx, f); err != nil {
				return err
			}
		}
		if n.mu.Lock(); applied && f.outcome > 1 && n.shards[f.shard] != nil {
			n.shards[f.shard].rewind(f.app, due)
		}
		n.mu.Unlock()
	}
	for _, f := range starts {
		if no, ok := started[f.id]; ok {
			f.no = no
			n.begin(f)
		} else {
			n.land(f)
		}
	}
	return nil
}

func collect[T int16 | int64](br pgx.BatchResults, into map[int64]T) error {
	rows, err := br.Query()
	if err != nil {
		return err
	}
	var id int64
	var v T
	_, err = pgx.ForEachRow(rows, []any{&id, &v}, func() error { into[id] = v; return nil })
	return err
}

type cols struct {
	id, due, epoch []int64
	no, outcome    []int16
}

func columns(fs []*flight) (c cols) {
	for _, f := range fs {
		c.id, c.due, c.epoch = append(c.id, f.id), append(c.due, f.due), append(c.epoch, f.epoch)
		c.no, c.outcome = append(c.no, f.no), append(c.outcome, f.outcome)
	}
	return c
}

// refused finds out which shards are lost; their results become evidence, the rest is repeated.
func (n *node) refused(ctx context.Context, fin, starts []*flight, ss []int16, se []int64) error {
	gone := map[[2]int64]bool{}
	for i, s := range ss {
		var ok bool
		if err := n.turns.QueryRow(ctx, `SELECT owner = $1 AND epoch = $2 FROM shards WHERE shard = $3`, n.o.id, se[i], s).Scan(&ok); err != nil {
			return fmt.Errorf("reading shards: %w", err)
		}
		if !ok {
			gone[[2]int64{int64(s), se[i]}] = true
		}
	}
	n.mu.Lock()
	for s, o := range n.shards {
		if gone[[2]int64{int64(s), o.epoch}] {
			delete(n.shards, s)
		}
	}
	n.mu.Unlock()
	for _, f := range fin {
		if !gone[[2]int64{int64(f.shard), f.epoch}] {
			n.mu.Lock()
			n.todo = append(n.todo, f)
			n.mu.Unlock()
			continue
		}
		n.land(f)
		if f.outcome == 1 {
			if err := n.file(ctx, f); err != nil {
				return err
			}
		}
	}
	for _, f := range starts {
		n.land(f)
		n.mu.Lock()
		if o := n.shards[f.shard]; o != nil {
			o.push(f.app, entry{f.due, f.id})
		}
		n.mu.Unlock()
	}
	return nil
}

// file keeps the answer of an attempt that was lost to another owner.
func (n *node) file(ctx context.Context, f *flight) error {
	if _, err := n.turns.Exec(ctx, evidenceSQL, f.id, f.no, n.o.id); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

func (n *node) land(f *flight) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls--
	if o := n.shards[f.shard]; o != nil && o.flights[f.id] == f {
		delete(o.flights, f.id)
	}
}

// begin calls the provider, unless the lease may have lapsed since the start was picked.
func (n *node) begin(f *flight) {
	back := func(outcome int16) {
		n.mu.Lock()
		f.outcome = outcome
		n.todo = append(n.todo, f)
		n.mu.Unlock()
		n.nudge()
	}
	if !n.leased(f) {
		back(3)
		return
	}
	n.provider.call(f.id, f.no, back)
}
