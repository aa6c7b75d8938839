package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// fleet is the set of node processes.
type fleet struct {
	o     options
	p     *ledger
	db    *pgx.Conn
	procs []*exec.Cmd
	count int
}

func newFleet(ctx context.Context, o options) (*fleet, error) {
	db, err := pgx.Connect(ctx, o.dsn)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if _, err := db.Exec(ctx, ddl); err != nil {
		return nil, fmt.Errorf("creating the schema: %w", err)
	}
	p, err := newLedger(o.lease * 2)
	if err != nil {
		return nil, err
	}
	f := &fleet{o: o, p: p, db: db, procs: make([]*exec.Cmd, o.nodes)}
	for i := range f.procs {
		if err := f.start(i); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fleet) id(i int) string { return f.procs[i].Args[2] }

func (f *fleet) start(i int) error {
	f.count++
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	c := exec.CommandContext(context.Background(), self, "-id", fmt.Sprintf("n%d.%d", i+1, f.count), "-sink", f.p.l.Addr().String(), "-dsn", f.o.dsn, "-lease", f.o.lease.String(),
		"-rate", fmt.Sprint(f.o.rate), "-lostnotify", fmt.Sprint(f.o.lostNotify), "node")
	c.Stderr = os.Stderr
	f.procs[i] = c
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting a node: %w", err)
	}
	return nil
}

func (f *fleet) kill(i int, sig syscall.Signal) {
	_ = f.procs[i].Process.Signal(sig) // a process that has ended already is as good
	if sig == syscall.SIGKILL {
		_ = f.procs[i].Wait()
	}
}

func (f *fleet) close() {
	for i := range f.procs {
		f.kill(i, syscall.SIGKILL)
	}
	f.p.l.Close()
}

// chaos runs faults against a fleet under load, heals, drains and compares ledger and tables.
func chaos(ctx context.Context, o options) error {
	f, err := newFleet(ctx, o)
	if err != nil {
		return err
	}
	defer f.close()
	r := rand.New(rand.NewPCG(o.seed, 7))
	began := time.Now()
	time.Sleep(2 * time.Second)
	var kills, stops, terms int
	for range o.rounds {
		i := r.IntN(o.nodes)
		switch r.IntN(5) {
		case 0, 1:
			kills++
			f.kill(i, syscall.SIGKILL)
			time.Sleep(time.Duration(r.Int64N(int64(o.lease * 2))))
			err = f.start(i)
		case 2, 3:
			stops++
			f.kill(i, syscall.SIGSTOP)
			time.Sleep(o.lease + time.Duration(r.Int64N(int64(o.lease*2))))
			f.kill(i, syscall.SIGCONT)
		case 4:
			terms++
			f.kill(i, syscall.SIGTERM)
			_ = f.procs[i].Wait()
			err = f.start(i)
		}
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(r.Int64N(int64(o.lease))))
	}
	f.p.stop()
	drained, err := f.drain(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("chaos: seed %d, lease %v, %d nodes, %v: %d SIGKILL, %d SIGSTOP, %d SIGTERM; drained after the faults in %v\n",
		o.seed, o.lease, o.nodes, time.Since(began).Round(time.Second), kills, stops, terms, drained.Round(100*time.Millisecond))
	return f.judge(ctx)
}

func (f *fleet) drain(ctx context.Context) (time.Duration, error) {
	began, left := time.Now(), 1
	for left > 0 && time.Since(began) < 60*time.Second {
		time.Sleep(300 * time.Millisecond)
		if err := f.db.QueryRow(ctx, "SELECT count(*) FROM attack.state WHERE status <> 2").Scan(&left); err != nil {
			return 0, fmt.Errorf("counting what is left: %w", err)
		}
	}
	return time.Since(began), nil
}

// judge prints the sums and fails on a lost, invented, stuck or unexplained message.
func (f *fleet) judge(ctx context.Context) error {
	rows, err := f.db.Query(ctx, "SELECT id, status, unknown, proofs FROM attack.state")
	if err != nil {
		return fmt.Errorf("reading states: %w", err)
	}
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	var id int64
	var status, unknown, proofs int
	var n, stuck, unsent, extra, unexplained, unknowns, settled, acked int
	if _, err := pgx.ForEachRow(rows, []any{&id, &status, &unknown, &proofs}, func() error {
		c := f.p.copies[id]
		n++
		unknowns += unknown
		settled += proofs
		if f.p.acked[id] {
			acked++
		}
		if status != 2 {
			stuck++
		} else if c == 0 {
			unsent++
		}
		extra += max(0, c-1)
		if c > 1+unknown {
			unexplained++
		}
		return nil
	}); err != nil {
		return fmt.Errorf("reading states: %w", err)
	}
	lost := len(f.p.acked) - acked
	var bad int
	if err := f.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT id, attempt FROM attack.event WHERE kind = 'start' GROUP BY 1, 2 HAVING count(*) > 1) x`).Scan(&bad); err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	fmt.Printf("  accepted %d (answered 202: %d), lost %d, stuck %d, sent without a call %d, unknown attempts %d, settled by late answers %d, extra copies %d, unexplained %d, attempts started twice %d\n",
		n, len(f.p.acked), lost, stuck, unsent, unknowns, settled, extra, unexplained, bad)
	if lost+stuck+unsent+unexplained+bad > 0 {
		return fmt.Errorf("the protocol failed")
	}
	return nil
}
