package prove

import (
	"context"
	"syscall"
	"time"
)

// Fault is something that the nemesis does to a node or to the database.
type Fault uint8

// The faults.
const (
	Kill     Fault = iota + 1 // SIGKILL, then a new process at the same address
	Pause                     // SIGSTOP past the lease, then SIGCONT
	Stop                      // SIGTERM, must end clean, then a new process
	Database                  // the database is restarted under all nodes
)

func (f Fault) String() string {
	return [...]string{"", "kill", "pause", "stop", "database"}[f]
}

// nemesis does one fault after another, in the order that the seed gives.
func (r *run) nemesis(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(150+r.rnd.IntN(900))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		n := r.nodes[r.rnd.IntN(len(r.nodes))]
		fault := Kill
		if len(r.cfg.Faults) > 0 && (r.cfg.Kills == 0 || r.rnd.IntN(100) >= 80) {
			fault = r.cfg.Faults[r.rnd.IntN(len(r.cfg.Faults))]
		}
		r.do(ctx, n, fault)
	}
}

func (r *run) do(ctx context.Context, n *node, fault Fault) {
	if fault == Database && r.cfg.RestartDatabase == nil {
		fault = Kill
	}
	n.mu.Lock()
	n.down = fault == Kill || fault == Stop
	n.mu.Unlock()
	switch fault {
	case Kill:
		n.signal(syscall.SIGKILL)
		n.wait(10 * time.Second)
		r.restart(ctx, n)
	case Stop:
		n.signal(syscall.SIGTERM)
		if !n.wait(45 * time.Second) {
			r.history.note("%s did not end clean on SIGTERM", n.name)
		}
		r.restart(ctx, n)
	case Pause:
		n.signal(holdUp)
		pause(ctx, r.cfg.Pauses.Min+time.Duration(r.rnd.Int64N(int64(r.cfg.Pauses.Max-r.cfg.Pauses.Min)+1)))
		n.signal(goOn)
	case Database:
		if err := r.cfg.RestartDatabase(ctx); err != nil && ctx.Err() == nil {
			r.history.note("database restart: %v", err)
		}
	}
	r.counted(fault)
}

// restart starts the process again and measures how long it takes to accept.
func (r *run) restart(ctx context.Context, n *node) {
	at := time.Now()
	if err := n.start(); err != nil {
		r.history.note("%v", err)
		return
	}
	if err := n.ready(ctx, 30*time.Second); err != nil && ctx.Err() == nil {
		r.history.note("%s was not ready 30 s after its restart; its stacks are in its log", n.name)
		n.dump()
		if err := n.start(); err != nil {
			r.history.note("%v", err)
		}
		return
	}
	if ctx.Err() == nil {
		r.history.recovered(time.Since(at))
	}
}
