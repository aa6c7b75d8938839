package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/bench/load"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// startSteps measures from the start of the process to the first 200 of
// /readyz, on a new database (which is migrated) and on an empty one that is
// there, and the memory of a server that does nothing.
func (s *subject) startSteps() []step {
	const title = "start"
	one := step{title, func(ctx context.Context) error {
		w := &world{subject: s}
		var err error
		if w.ring, err = newRing(); err != nil {
			return err
		}
		if w.database, err = s.scratch.create(ctx, s.name()); err != nil {
			return err
		}
		err = func() error {
			for _, metric := range []string{"ready, new database", "ready"} {
				srv, err := w.serve(ctx)
				if err != nil {
					return err
				}
				s.add(title, metric, "ms", product, ms(srv.ready))
				if metric == "ready" {
					pause(ctx, s.size.rest)
					if resident, ok := residentBytes(srv.cmd.Process.Pid); ok {
						s.add(title, "memory, idle", "MiB", product, float64(resident)/(1<<20))
					}
				}
				if err := srv.stop(); err != nil {
					return err
				}
			}
			return nil
		}()
		return errors.Join(err, w.drop(ctx))
	}}
	return alternate(s.size.runs, one)
}

// idleSteps measures, on a server that does nothing else, from the moment before
// a request is written to the moment its recipient reaches the mail server. The
// baseline's provider is a function call inside its process, so its figure
// begins in its handler and ends there: it lacks the network on both ends.
func (s *subject) idleSteps() []step {
	const title = "one message at a time"
	return alternate(s.size.runs,
		step{title, func(ctx context.Context) error { return s.idleProduct(ctx, title) }},
		step{title + " (baseline)", func(ctx context.Context) error {
			return s.onBaseline(ctx, func(database string) error {
				p, err := s.baseline(ctx, database, true, 1, 0)
				if err != nil {
					return err
				}
				// The first message of each app is read from the database and has no time of arrival: it is not counted.
				total := tenants + s.size.single
				_, err = load.Run(ctx, baselineDialect().target(p.addr), load.Options{Connections: 1, Count: uint64(total), Pause: idlePause})
				var c map[string]float64
				if err == nil {
					c, err = finished(ctx, p.process, float64(total), settleLimit)
				}
				if err == nil {
					s.add(title, "accept to provider call, p50", "ms", yardstick, c["call_p50_ns"]/1e6)
					s.add(title, "accept to provider call, p99", "ms", yardstick, c["call_p99_ns"]/1e6)
				}
				return errors.Join(err, p.stop())
			})
		}})
}

const idlePause = 10 * time.Millisecond

func (s *subject) idleProduct(ctx context.Context, title string) error {
	w, err := s.newWorld(ctx, tenants, func(a *comm.App) { a.Sandbox = false })
	if err != nil {
		return err
	}
	warm := uint64(tenants) // the first message of each app opens what the later ones use
	total := warm + uint64(s.size.single)
	var mu sync.Mutex
	sent := make([]time.Time, total)
	var calls load.Histogram
	k, err := newSink(func(address []byte) {
		at := time.Now()
		n, err := strconv.ParseUint(string(address[len("user"):len("user")+numberWidth]), 10, 64)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && n >= warm && n < total {
			calls.Add(at.Sub(sent[n]))
		}
	})
	if err != nil {
		return errors.Join(err, w.drop(ctx))
	}
	defer k.close()
	err = func() error {
		host, port := hostPort(k.addr)
		if err := w.relay(ctx, host, port, sessions); err != nil {
			return err
		}
		srv, err := w.serve(ctx)
		if err != nil {
			return err
		}
		target := w.dialect().target(srv.addr)
		request := target.Request
		target.Request = func(b []byte, n uint64) []byte {
			b = request(b, n)
			mu.Lock()
			sent[n] = time.Now()
			mu.Unlock()
			return b
		}
		res, err := load.Run(ctx, target, load.Options{Connections: 1, Count: total, Pause: idlePause})
		if err == nil && res.Refused > 0 {
			err = fmt.Errorf("%d requests were refused, the first with %d", res.Refused, res.FirstOdd)
		}
		if err == nil {
			err = srv.settled(ctx, settleLimit)
		}
		return errors.Join(err, srv.stop())
	}()
	if err == nil {
		mu.Lock()
		if n := calls.Count(); n != uint64(s.size.single) {
			err = fmt.Errorf("%d of %d messages reached the mail server", n, s.size.single)
		}
		s.add(title, "accept to provider call, p50", "ms", product, ms(calls.Quantile(0.5)))
		s.add(title, "accept to provider call, p99", "ms", product, ms(calls.Quantile(0.99)))
		mu.Unlock()
	}
	return errors.Join(err, w.drop(ctx))
}

// bigSteps fills one app with many messages that wait because it is paused,
// beside some that were sent, and measures what that costs: starting, memory,
// writes while nothing can be sent, and lists.
func (s *subject) bigSteps() []step {
	title := fmt.Sprintf("%d messages waiting", s.size.big)
	var w *world
	ready := false
	prepare := step{title + ", preparing", func(ctx context.Context) (err error) {
		if w, err = s.newWorld(ctx, 1, nil); err != nil {
			return err
		}
		if _, err := w.preload(ctx, w.apps, s.size.done, comm.Normal); err != nil {
			return err
		}
		srv, err := w.serve(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(srv.settled(ctx, settleLimit), srv.stop()); err != nil {
			return err
		}
		err = w.with(ctx, func(st store.Store) error {
			w.apps[0].app.QueuePaused = true
			return st.UpdateApp(ctx, w.apps[0].app, comm.At(time.Now()))
		})
		if err != nil {
			return err
		}
		if _, err = w.preload(ctx, w.apps, s.size.big, comm.Bulk); err == nil {
			ready = true
		}
		return err
	}}
	watch := step{title + ", idle server beside it", func(ctx context.Context) error { return s.idleWrites(ctx, title) }}
	look := step{title, func(ctx context.Context) error {
		if !ready {
			return errNotPrepared
		}
		return s.big(ctx, title, w)
	}}
	clean := step{title + ", cleaning up", func(ctx context.Context) error {
		if w == nil {
			return nil
		}
		return w.drop(ctx)
	}}
	return []step{prepare, watch, look, clean}
}

// idleWrites counts what a server without any message writes: its heartbeats.
func (s *subject) idleWrites(ctx context.Context, title string) error {
	w, err := s.newWorld(ctx, 1, nil)
	if err != nil {
		return err
	}
	srv, err := w.serve(ctx)
	if err != nil {
		return errors.Join(err, w.drop(ctx))
	}
	pause(ctx, s.size.rest)
	n, unit, err := s.writesOf(ctx, w)
	if err == nil {
		s.add(title, "written while nothing can be sent", unit+" in "+s.size.watch.String(), idleSide, float64(n))
	}
	return errors.Join(err, srv.stop(), w.drop(ctx))
}

func (s *subject) writesOf(ctx context.Context, w *world) (int64, string, error) {
	count, unit, err := s.scratch.written(ctx, w.database)
	if err != nil {
		return 0, "", err
	}
	pause(ctx, s.size.watch)
	n, err := count()
	return n, unit, err
}

func (s *subject) big(ctx context.Context, title string, w *world) error {
	srv, err := w.serve(ctx)
	if err != nil {
		return err
	}
	s.add(title, "ready", "ms", product, ms(srv.ready))
	pause(ctx, s.size.rest)
	err = func() error {
		if resident, ok := residentBytes(srv.cmd.Process.Pid); ok {
			s.add(title, "memory", "MiB", product, float64(resident)/(1<<20))
		}
		n, unit, err := s.writesOf(ctx, w)
		if err != nil {
			return err
		}
		s.add(title, "written while nothing can be sent", unit+" in "+s.size.watch.String(), product, float64(n))
		return s.lists(ctx, title, srv)
	}()
	return errors.Join(err, srv.stop())
}

// lists asks for pages of 100 with every filter.
func (s *subject) lists(ctx context.Context, title string, srv *server) error {
	t := srv.world.apps[0]
	var first page
	if err := srv.get(ctx, t, "/api/v1/messages?limit=100&status=SENT", &first); err != nil {
		return err
	}
	if len(first.Data) == 0 {
		return errors.New("the prepared app has no sent message")
	}
	now := time.Now().UTC()
	filters := []struct{ name, query string }{
		{"no filter", ""},
		{"status QUEUED", "status=QUEUED"},
		{"status SENT", "status=SENT"},
		{"status FAILED (none)", "status=FAILED"},
		{"channel EMAIL", "channel=EMAIL"},
		{"channel SMS (none)", "channel=SMS"},
		{"status and channel", "status=QUEUED&channel=EMAIL"},
		{"status and channel (none)", "status=SENT&channel=SMS"},
		{"created before now", "createdBefore=" + url.QueryEscape(now.Format(time.RFC3339Nano))},
		{"created in the last hour", "createdAfter=" + url.QueryEscape(now.Add(-time.Hour).Format(time.RFC3339Nano))},
		{"created long ago (none)", "createdBefore=" + url.QueryEscape(now.Add(-1000*time.Hour).Format(time.RFC3339Nano))},
	}
	header := http.Header{"X-App-Id": {t.app.Slug}, "X-Api-Key": {t.key}}
	for _, f := range filters {
		var all []time.Duration
		cursor := ""
		for range s.size.lists {
			path := "/api/v1/messages?limit=100&" + f.query
			if cursor != "" {
				path += "&cursor=" + cursor
			}
			began := time.Now()
			status, body, err := srv.call(ctx, http.MethodGet, path, header, nil)
			if err != nil {
				return err
			}
			all = append(all, time.Since(began))
			if status != http.StatusOK {
				return fmt.Errorf("list with %s: %d %.200s", f.name, status, body)
			}
			if cursor, err = cursorOf(body); err != nil { // the next page, and from the front again after the last
				return err
			}
		}
		slices.Sort(all)
		s.add(title, "list, "+f.name+", p50", "ms", product, ms(all[len(all)/2]))
		s.add(title, "list, "+f.name+", p95", "ms", product, ms(all[len(all)*95/100]))
	}
	return nil
}
