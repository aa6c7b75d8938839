package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const apps = 128

const acceptSQL = `WITH x AS (SELECT id, (app % 64)::smallint AS shard, app, ` + nowSQL + ` AS due FROM unnest($1::bigint[], $2::int[]) x(id, app)),
 s AS (INSERT INTO state(id, shard, app, due) SELECT id, shard, app, due FROM x),
 e AS (INSERT INTO event(id, kind, node) SELECT id, 'accepted', $3 FROM x)
 INSERT INTO queue SELECT shard, app, due, id FROM x RETURNING shard, app, due, id`

// acceptLoop stores messages until the provider says stop. One group in twenty
// is held open for a while after its rows are written, so that it commits late.
func (n *node) acceptLoop(ctx context.Context) error {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	base := r.Int64N(1<<31) << 31
	plain, err := connect(ctx, n.o)
	if err != nil {
		return err
	}
	go n.forever(func() error { return n.acceptHeld(ctx) })
	for {
		time.Sleep(time.Second * 10 / time.Duration(n.o.rate))
		base += 100
		if err := n.accept(ctx, plain, base, 0); err != nil && !plain.IsClosed() {
			return err
		}
		if plain.IsClosed() {
			return nil
		}
	}
}

// acceptHeld accepts in transactions that stay open for a while. A stopped
// process loses its connection to the server's time-out and makes a new one.
func (n *node) acceptHeld(ctx context.Context) error {
	c, err := connect(ctx, n.o)
	if err != nil {
		return err
	}
	for !c.IsClosed() {
		time.Sleep(rand.N(100 * time.Millisecond))
		if err := n.accept(ctx, c, rand.Int64N(1<<31)<<31, rand.N(n.o.lease*2/5)); err != nil && !c.IsClosed() {
			return err
		}
	}
	return nil
}

// accept stores ten messages, tells the ledger, and then the owners.
func (n *node) accept(ctx context.Context, c *pgx.Conn, base int64, hold time.Duration) error {
	if n.provider.stopped() {
		time.Sleep(50 * time.Millisecond)
		return nil
	}
	var ids []int64
	var as []int32
	for i := range int64(10) {
		ids, as = append(ids, base+i), append(as, rand.Int32N(apps))
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	rows, err := tx.Query(ctx, acceptSQL, ids, as, n.o.id)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	type row struct {
		shard   int16
		app     int32
		due, id int64
	}
	var got []row
	var x row
	if _, err := pgx.ForEachRow(rows, []any{&x.shard, &x.app, &x.due, &x.id}, func() error { got = append(got, x); return nil }); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	time.Sleep(hold)
	if err := tx.Commit(ctx); err != nil {
		return nil // refused by the time-out of idle transactions, or unknown: no 202
	}
	n.provider.accepted(ids)
	var foreign []string
	n.mu.Lock()
	for _, x := range got {
		if o := n.shards[x.shard]; o != nil {
			o.push(x.app, entry{x.due, x.id})
		} else {
			foreign = append(foreign, fmt.Sprint(x.shard, ",", x.app, ",", x.due))
		}
	}
	n.mu.Unlock()
	n.nudge()
	if len(foreign) > 0 && rand.Float64() >= n.o.lostNotify {
		if _, err := c.Exec(ctx, `SELECT pg_notify('work', $1)`, strings.Join(foreign, ";")); err != nil {
			return fmt.Errorf("notify: %w", err)
		}
	}
	return nil
}

// listen rewinds the units that other nodes announce and wakes membership when a shard is given.
func (n *node) listen(ctx context.Context) error {
	c, err := connect(ctx, n.o)
	if err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "LISTEN work; LISTEN shards"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for {
		m, err := c.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		if m.Channel == "shards" {
			select {
			case n.rejoin <- struct{}{}:
			default:
			}
			continue
		}
		n.mu.Lock()
		for x := range strings.SplitSeq(m.Payload, ";") {
			var s int16
			var app int32
			var due int64
			if _, err := fmt.Sscanf(strings.ReplaceAll(x, ",", " "), "%d %d %d", &s, &app, &due); err == nil && n.shards[s] != nil {
				n.shards[s].rewind(app, due)
			}
		}
		n.mu.Unlock()
		n.nudge()
	}
}

// provider is the node's end of the line to the parent's ledger.
type provider struct {
	mu   sync.Mutex
	c    net.Conn
	wait map[string]func(int16)
	off  bool
}

func dialProvider(o options) (*provider, error) {
	c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", o.sink)
	if err != nil {
		return nil, fmt.Errorf("connecting to the provider: %w", err)
	}
	p := &provider{c: c, wait: map[string]func(int16){}}
	fmt.Fprintln(c, "N", o.id)
	go func() {
		for sc := bufio.NewScanner(c); sc.Scan(); {
			f := strings.Fields(sc.Text())
			p.mu.Lock()
			var back func(int16)
			if f[0] == "S" {
				p.off = true
			} else {
				back = p.wait[f[1]]
				delete(p.wait, f[1])
			}
			p.mu.Unlock()
			if back != nil {
				back(map[string]int16{"ok": 1, "no": 2}[f[2]])
			}
		}
	}()
	return p, nil
}

func (p *provider) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.off
}

func (p *provider) call(id int64, no int16, back func(int16)) {
	key := fmt.Sprintf("%d/%d", id, no)
	p.mu.Lock()
	p.wait[key] = back
	p.mu.Unlock()
	p.line("C " + key)
}

func (p *provider) accepted(ids []int64) { p.line("A " + strings.Trim(fmt.Sprint(ids), "[]")) }

func (p *provider) line(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.c.Write([]byte(s + "\n")) // the parent is gone: so are we soon
}
