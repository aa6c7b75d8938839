package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/commserver/commserver/internal/bench/baseline"
	"github.com/commserver/commserver/internal/bench/load"
	"github.com/commserver/commserver/internal/comm"
)

// settleLimit bounds how long a backlog may take to be gone.
const settleLimit = 5 * time.Minute

// drainSteps measures a backlog through a provider that answers at once: the
// sandbox of the product, nothing at all in the baseline. Both start on a copy
// of one preloaded database.
func (s *subject) drainSteps() []step {
	title := fmt.Sprintf("drain %d messages, instant provider", s.size.drain)
	var world *world
	var first []comm.ID
	var yard string
	prepare := step{"drain, preparing", func(ctx context.Context) (err error) {
		if world, err = s.newWorld(ctx, tenants, nil); err != nil {
			return err
		}
		if first, err = world.preload(ctx, world.apps, s.size.drain, comm.Normal); err != nil {
			return err
		}
		if yard, err = s.scratch.create(ctx, s.name()); err != nil {
			return err
		}
		if err := baseline.Preload(ctx, yard, s.size.drain); err != nil {
			return err
		}
		return s.scratch.settle(ctx, yard)
	}}
	sides := alternate(s.size.runs,
		step{title, func(ctx context.Context) error {
			if world == nil {
				return errNotPrepared
			}
			return s.drainProduct(ctx, title, world, first)
		}},
		step{title + " (baseline)", func(ctx context.Context) error {
			if yard == "" {
				return errNotPrepared
			}
			return s.drainBaseline(ctx, title, yard)
		}})
	clean := step{"drain, cleaning up", func(ctx context.Context) (err error) {
		if world != nil {
			err = world.drop(ctx)
		}
		if yard != "" {
			err = errors.Join(err, s.scratch.drop(ctx, yard))
		}
		return err
	}}
	return append(append([]step{prepare}, sides...), clean)
}

var errNotPrepared = errors.New("left out: what it needs could not be prepared")

func (s *subject) drainProduct(ctx context.Context, title string, from *world, first []comm.ID) error {
	w, err := from.twin(ctx)
	if err != nil {
		return err
	}
	before := s.clocks(nil)
	srv, err := w.serve(ctx)
	if err != nil {
		return errors.Join(err, w.drop(ctx))
	}
	profiled := s.profile(ctx, title, product, srv.process)
	err = func() error {
		if err := srv.settled(ctx, settleLimit); err != nil {
			return err
		}
		after := s.clocks(srv.process)
		if err := profiled(); err != nil {
			return err
		}
		begin, err := srv.firstStarted(ctx, first)
		if err != nil {
			return err
		}
		end, err := srv.lastSent(ctx)
		if err != nil {
			return err
		}
		took := end.Sub(begin)
		s.add(title, "rate", "msgs/s", product, float64(s.size.drain)/took.Seconds())
		before.hasServer = true // a new process: it began at zero
		before.hasGenerator = false
		s.split(title, product, before, after, took, float64(s.size.drain))
		return nil
	}()
	return errors.Join(err, srv.stop(), w.drop(ctx))
}

func (s *subject) drainBaseline(ctx context.Context, title, from string) error {
	database, err := s.scratch.copy(ctx, from, s.name())
	if err != nil {
		return err
	}
	before := s.clocks(nil)
	p, err := s.baseline(ctx, database, true, 2, 0)
	if err != nil {
		return errors.Join(err, s.scratch.drop(ctx, database))
	}
	c, err := finished(ctx, p.process, float64(s.size.drain), settleLimit)
	if err == nil {
		took := time.Duration(c["last_ns"] - c["first_ns"])
		s.add(title, "rate", "msgs/s", yardstick, float64(s.size.drain)/took.Seconds())
		before.hasServer, before.hasGenerator = true, false
		s.split(title, yardstick, before, s.clocks(p.process), took, float64(s.size.drain))
	}
	return errors.Join(err, p.stop(), s.scratch.drop(context.WithoutCancel(ctx), database))
}

// sessions is how many SMTP sessions both sides of the mail workload use.
const sessions = 16

// mailSteps measures a backlog through SMTP, beside a bare loop of the mail library over the same sink.
func (s *subject) mailSteps() []step {
	title := fmt.Sprintf("SMTP, %d messages, %d sessions", s.size.mail, sessions)
	var world *world
	prepare := step{"SMTP, preparing", func(ctx context.Context) (err error) {
		if world, err = s.newWorld(ctx, tenants, func(a *comm.App) { a.Sandbox = false }); err != nil {
			return err
		}
		_, err = world.preload(ctx, world.apps, s.size.mail, comm.Normal)
		return err
	}}
	sides := alternate(s.size.runs,
		step{title, func(ctx context.Context) error {
			if world == nil {
				return errNotPrepared
			}
			return s.mailProduct(ctx, title, world)
		}},
		step{title + " (bare loop)", func(ctx context.Context) error { return s.mailBare(ctx, title) }})
	clean := step{"SMTP, cleaning up", func(ctx context.Context) error {
		if world == nil {
			return nil
		}
		return world.drop(ctx)
	}}
	return append(append([]step{prepare}, sides...), clean)
}

func (s *subject) mailProduct(ctx context.Context, title string, from *world) error {
	w, err := from.twin(ctx)
	if err != nil {
		return err
	}
	k, err := newSink(nil)
	if err != nil {
		return errors.Join(err, w.drop(ctx))
	}
	defer k.close()
	err = func() error {
		host, port := hostPort(k.addr)
		if err := w.relay(ctx, host, port, sessions); err != nil {
			return err
		}
		before := s.clocks(nil)
		srv, err := w.serve(ctx)
		if err != nil {
			return err
		}
		profiled := s.profile(ctx, title, product, srv.process)
		err = srv.settled(ctx, settleLimit)
		after := s.clocks(srv.process)
		err = errors.Join(err, profiled(), srv.stop())
		if n := int(k.taken.Load()); err == nil && n != s.size.mail {
			err = fmt.Errorf("the sink took %d messages of %d", n, s.size.mail)
		}
		if err != nil {
			return err
		}
		s.add(title, "rate", "msgs/s", product, k.perSecond())
		before.hasServer = true
		s.split(title, product, before, after, time.Duration(k.last.Load()-k.first.Load()), float64(s.size.mail))
		return nil
	}()
	return errors.Join(err, w.drop(ctx))
}

func hostPort(addr string) (host string, port int) {
	host, text, _ := net.SplitHostPort(addr)
	port, _ = strconv.Atoi(text)
	return host, port
}

// mailBare is what a program does that loses everything when it is killed: build the mail, send it, next.
func (s *subject) mailBare(ctx context.Context, title string) error {
	k, err := newSink(nil)
	if err != nil {
		return err
	}
	defer k.close()
	host, port := hostPort(k.addr)
	var next atomic.Int64
	errs := make([]error, sessions)
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() { errs[i] = bareLoop(ctx, host, port, &next, int64(s.size.mail)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.add(title, "rate", "msgs/s", yardstick, k.perSecond())
	return nil
}

func bareLoop(ctx context.Context, host string, port int, next *atomic.Int64, n int64) error {
	c, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("localhost"), mail.WithoutNoop())
	if err != nil {
		return err
	}
	if err := c.DialWithContext(ctx); err != nil {
		return err
	}
	for i := next.Add(1); i <= n && ctx.Err() == nil; i = next.Add(1) {
		m := mail.NewMsg()
		if err := errors.Join(m.FromFormat("App", "no-reply@example.com"), m.To("user"+strconv.FormatInt(i, 10)+"@example.org")); err != nil {
			return err
		}
		m.Subject(mailSubject)
		m.SetBodyString(mail.TypeTextPlain, mailText)
		m.AddAlternativeString(mail.TypeTextHTML, mailText)
		if err := c.Send(m); err != nil {
			return err
		}
	}
	return c.Close()
}

// lifeSteps measures accepting and dispatching at once until everything is finished.
func (s *subject) lifeSteps() []step {
	const conns = 64
	title := fmt.Sprintf("whole life, %d connections", conns)
	sides := []step{
		{title, func(ctx context.Context) error { return s.lifeProduct(ctx, title, conns) }},
		{title + " (baseline)", func(ctx context.Context) error {
			return s.onBaseline(ctx, func(database string) error {
				p, err := s.baseline(ctx, database, true, 1, 5*time.Millisecond)
				if err != nil {
					return err
				}
				return errors.Join(s.life(ctx, title, yardstick, baselineDialect().target(p.addr), conns, p.process), p.stop())
			})
		}},
	}
	if s.cfg.Beside != "" {
		sides = append(sides, step{title + " (beside)", func(ctx context.Context) error { return s.lifeBeside(ctx, title, conns) }})
	}
	return alternate(s.size.runs, sides...)
}

func (s *subject) lifeProduct(ctx context.Context, title string, conns int) error {
	w, err := s.newWorld(ctx, tenants, nil)
	if err != nil {
		return err
	}
	srv, err := w.serve(ctx)
	if err != nil {
		return errors.Join(err, w.drop(ctx))
	}
	err = func() error {
		begin := time.Now()
		res, err := s.measured(ctx, title, product, w.dialect().target(srv.addr), conns, srv.process)
		if err != nil {
			return err
		}
		if err := srv.settled(ctx, settleLimit); err != nil {
			return err
		}
		end, err := srv.lastSent(ctx)
		if err != nil {
			return err
		}
		s.lived(title, product, res, end.Sub(begin))
		return nil
	}()
	return errors.Join(err, srv.stop(), w.drop(ctx))
}

func (s *subject) life(ctx context.Context, title string, who side, target load.Target, conns int, p *process) error {
	begin := time.Now()
	res, err := s.measured(ctx, title, who, target, conns, p)
	if err != nil {
		return err
	}
	c, err := finished(ctx, p, 0, settleLimit)
	if err != nil {
		return err
	}
	s.lived(title, who, res, time.Duration(int64(c["last_ns"])-begin.UnixNano()))
	return nil
}

// lifeBeside uses the counters that the other server keeps since its start; it has to dispatch.
func (s *subject) lifeBeside(ctx context.Context, title string, conns int) error {
	addr, err := address(s.cfg.Beside)
	if err != nil {
		return err
	}
	p := &process{addr: addr, web: newTransport()}
	defer p.web.CloseIdleConnections()
	before, err := stats(ctx, p)
	if err != nil {
		return err
	}
	begin := time.Now()
	res, err := s.measured(ctx, title, beside, besideDialect("/v1/messages").target(addr), conns, nil)
	if err != nil {
		return err
	}
	want := before["accepted"] + float64(res.Answered)
	if _, err := finished(ctx, p, want, settleLimit); err != nil {
		return err
	}
	s.lived(title, beside, res, time.Since(begin))
	return nil
}

func (s *subject) lived(title string, who side, res *load.Result, took time.Duration) {
	s.add(title, "rate", "msgs/s", who, float64(res.Answered)/max(took, res.Elapsed).Seconds())
	s.add(title, "accept p50", "ms", who, ms(res.Latencies.Quantile(0.5)))
	s.add(title, "accept p99", "ms", who, ms(res.Latencies.Quantile(0.99)))
}
