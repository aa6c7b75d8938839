package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/commserver/commserver/internal/bench/load"
	"github.com/commserver/commserver/internal/comm"
)

// acceptSteps measures POST /messages until the 202: all features on, every
// message stored durably. The product's apps are paused, so that the figure is
// that of accepting alone.
func (s *subject) acceptSteps() []step {
	var out []step
	for _, conns := range s.size.connections {
		title := fmt.Sprintf("accept, %d connections", conns)
		sides := []step{
			{title, func(ctx context.Context) error { return s.acceptProduct(ctx, title, conns) }},
			{title + " (baseline)", func(ctx context.Context) error { return s.acceptBaseline(ctx, title, conns) }},
		}
		if s.cfg.Beside != "" {
			sides = append(sides, step{title + " (beside)", func(ctx context.Context) error {
				addr, err := address(s.cfg.Beside)
				if err != nil {
					return err
				}
				return s.accept(ctx, title, beside, besideDialect("/v1/messages").target(addr), conns, nil)
			}})
		}
		out = append(out, alternate(s.size.runs, sides...)...)
	}
	return out
}

func (s *subject) acceptProduct(ctx context.Context, title string, conns int) (err error) {
	w, err := s.newWorld(ctx, tenants, func(a *comm.App) { a.QueuePaused = true })
	if err != nil {
		return err
	}
	srv, err := w.serve(ctx)
	if err != nil {
		return errors.Join(err, w.drop(ctx))
	}
	err = s.accept(ctx, title, product, w.dialect().target(srv.addr), conns, srv.process)
	if resident, ok := residentBytes(srv.cmd.Process.Pid); ok {
		s.add(title, "server memory", "MiB", product, float64(resident)/(1<<20))
	}
	return errors.Join(err, srv.stop(), w.drop(ctx))
}

func (s *subject) acceptBaseline(ctx context.Context, title string, conns int) error {
	return s.onBaseline(ctx, func(database string) error {
		p, err := s.baseline(ctx, database, false, 1, 0)
		if err != nil {
			return err
		}
		return errors.Join(s.accept(ctx, title, yardstick, baselineDialect().target(p.addr), conns, p.process), p.stop())
	})
}

// onBaseline makes an empty database for the baseline and removes it.
func (s *subject) onBaseline(ctx context.Context, do func(database string) error) error {
	database, err := s.scratch.create(ctx, s.name())
	if err != nil {
		return err
	}
	return errors.Join(do(database), s.scratch.drop(context.WithoutCancel(ctx), database))
}

// warmUp comes before every measured load, so that connections, plans and caches are there.
const warmUp = 300 * time.Millisecond

func (s *subject) accept(ctx context.Context, title string, who side, target load.Target, conns int, p *process) error {
	if _, err := load.Run(ctx, target, load.Options{Connections: min(conns, 16), Duration: warmUp}); err != nil {
		return err
	}
	target = restart(target)
	res, err := s.measured(ctx, title, who, target, conns, p)
	if err != nil {
		return err
	}
	s.add(title, "rate", "msgs/s", who, res.PerSecond())
	s.add(title, "p50", "ms", who, ms(res.Latencies.Quantile(0.5)))
	s.add(title, "p99", "ms", who, ms(res.Latencies.Quantile(0.99)))
	return nil
}

// restart keeps the numbers of a second load apart from those of the first.
func restart(t load.Target) load.Target {
	request := t.Request
	t.Request = func(b []byte, n uint64) []byte { return request(b, n+100_000_000) }
	return t
}

// measured puts the target under load and notes who used the processors.
func (s *subject) measured(ctx context.Context, title string, who side, target load.Target, conns int, p *process) (*load.Result, error) {
	profiled := s.profile(ctx, title, who, p)
	before := s.clocks(p)
	res, err := load.Run(ctx, target, load.Options{Connections: conns, Duration: s.size.load})
	if err := errors.Join(err, profiled()); err != nil {
		return nil, err
	}
	if res.Refused > 0 {
		return nil, fmt.Errorf("%d requests were refused, the first with %d", res.Refused, res.FirstOdd)
	}
	s.split(title, who, before, s.clocks(p), res.Elapsed, float64(res.Answered))
	return res, nil
}

// clocks are processor times at one moment.
type clocks struct {
	server, database, generator time.Duration
	hasServer, hasDatabase      bool
	hasGenerator                bool
}

func (s *subject) clocks(p *process) (c clocks) {
	if p != nil {
		c.server, c.hasServer = p.used()
	}
	c.database, c.hasDatabase = s.scratch.processor()
	self, ok := readProcess(os.Getpid())
	c.generator, c.hasGenerator = self.used, ok
	return c
}

// split adds who used how many processors, and what a message cost of them: that
// figure suffers least from other programs on the machine.
func (s *subject) split(title string, who side, from, to clocks, took time.Duration, messages float64) {
	server, database := to.server-from.server, to.database-from.database
	for _, part := range []struct {
		name  string
		known bool
		used  time.Duration
	}{
		{"CPU server", from.hasServer && to.hasServer, server},
		{"CPU database", from.hasDatabase && to.hasDatabase, database},
		{"CPU generator", from.hasGenerator && to.hasGenerator, to.generator - from.generator},
	} {
		if part.known {
			s.add(title, part.name, "cores", who, part.used.Seconds()/took.Seconds())
		}
	}
	if from.hasServer && to.hasServer && messages > 0 { // a database on another machine is not in it, on either side
		s.add(title, "CPU a message, server and database", "µs", who, float64((server+database).Microseconds())/messages)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
