package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config is one run of the baseline.
type Config struct {
	// Database is a postgres:// URL, or the path of an SQLite file.
	Database string
	// Dispatch says that accepted messages are also attempted.
	Dispatch bool
	// Pipes is how many connections take turns (PostgreSQL).
	Pipes int
	// Pace is the least time between the starts of two small turns, so that groups grow under load.
	Pace time.Duration
}

func open(ctx context.Context, database string) (store, error) {
	if strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://") {
		return openPostgres(ctx, database)
	}
	return openSQLite(ctx, database)
}

// Preload stores n messages as accepts would and ends.
func Preload(ctx context.Context, database string, n int) (err error) {
	st, err := open(ctx, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close(context.WithoutCancel(ctx))) }()
	due := now() - int64(time.Hour/time.Microsecond)
	id := due << 10
	body := []byte(`{"channel":"EMAIL","to":"somebody@example.org","from":"App <no-reply@example.com>","subject":"Your code","body":"` +
		strings.Repeat("Your code is 123456. ", 12) + `","metadata":{"order":"1","lang":"en"}}`)
	for i := 0; i < n; i += acceptGroup {
		group := make([]*message, 0, acceptGroup)
		for k := i; k < min(n, i+acceptGroup); k++ {
			id++
			app := int64(k % Apps)
			group = append(group, &message{unit: unit{shardOf(app), app, 1, 1}, id: id, due: due + int64(k), recipient: "user" + strconv.Itoa(k) + "@example.org",
				body: body, key: keyHash("preload-" + strconv.Itoa(k))})
		}
		if err := st.accept(ctx, group); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	return nil
}

// server is a running baseline.
type server struct {
	cfg   Config
	st    store
	stats *stats
	in    chan *message
	queue *queue // nil: nothing is dispatched
	keys  map[string]int64
}

// Serve answers POST /api/v1/messages and GET /stats on l until ctx ends.
func Serve(ctx context.Context, cfg Config, l net.Listener) (err error) {
	st, err := open(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close(context.WithoutCancel(ctx))) }()
	s := &server{cfg: cfg, st: st, stats: &stats{}, in: make(chan *message, 4096), keys: map[string]int64{}}
	for i := range Apps {
		name, key := App(i)
		s.keys[name+"\x00"+string(keyHash(key))] = int64(i)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	if cfg.Dispatch {
		if err := st.own(ctx); err != nil {
			return err
		}
		pipes, err := st.pipes(ctx, cfg.Pipes)
		if err != nil {
			return err
		}
		s.queue = newQueue(pipes, s.stats, cfg.Pace)
		for i := range pipes {
			run(func(ctx context.Context) error { return s.queue.run(ctx, i) })
		}
	}
	run(s.commit)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/messages", s.post)
	mux.HandleFunc("GET /stats", s.report)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	run(func(ctx context.Context) error { <-ctx.Done(); return web.Close() })
	if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// commit is the only committer: it takes whatever waits, stores it and answers.
func (s *server) commit(ctx context.Context) error {
	id := now() << 10
	due := int64(0)
	for {
		var group []*message
		select {
		case m := <-s.in:
			group = append(make([]*message, 0, 64), m)
		case <-ctx.Done():
			return nil
		}
	gather:
		for len(group) < acceptGroup {
			select {
			case m := <-s.in:
				group = append(group, m)
			default:
				break gather
			}
		}
		due = max(due, now())
		for _, m := range group {
			id++
			m.id, m.due = id, due
		}
		err := s.st.accept(context.WithoutCancel(ctx), group)
		if err == nil {
			s.stats.accepted.Add(int64(len(group)))
			if s.queue != nil {
				s.queue.push(group)
			}
		}
		for _, m := range group {
			m.answer <- err
		}
	}
}

type request struct {
	Channel        string            `json:"channel"`
	To             string            `json:"to"`
	From           string            `json:"from"`
	Subject        string            `json:"subject"`
	Body           string            `json:"body"`
	IdempotencyKey string            `json:"idempotencyKey"`
	Metadata       map[string]string `json:"metadata"`
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	app, ok := s.keys[r.Header.Get("X-App-Id")+"\x00"+string(keyHash(r.Header.Get("X-Api-Key")))]
	if !ok {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	if r.ContentLength <= 0 || r.ContentLength > 1<<20 {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	body := make([]byte, r.ContentLength) // kept: the dispatcher sends from it
	var m request
	if _, err := io.ReadFull(r.Body, body); err != nil || json.Unmarshal(body, &m) != nil || m.Channel != "EMAIL" || m.To == "" || m.Body == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	j := &message{unit: unit{shardOf(app), app, 1, 1}, recipient: m.To, body: body, key: keyHash(m.IdempotencyKey), arrived: arrived, answer: make(chan error, 1)}
	s.in <- j
	if err := <-j.answer; err != nil {
		http.Error(w, "not stored", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"id":"`+strconv.FormatInt(j.id, 36)+`","status":"QUEUED"}`)
}

// report writes the counters as words of the form name=value.
func (s *server) report(w http.ResponseWriter, _ *http.Request) {
	s.stats.mu.Lock()
	p50, p99 := s.stats.calls.Quantile(0.5), s.stats.calls.Quantile(0.99)
	s.stats.mu.Unlock()
	fmt.Fprintf(w, "accepted=%d started=%d finished=%d first_ns=%d last_ns=%d call_p50_ns=%d call_p99_ns=%d\n", s.stats.accepted.Load(), s.stats.started.Load(),
		s.stats.finished.Load(), s.stats.first.Load(), s.stats.last.Load(), p50.Nanoseconds(), p99.Nanoseconds())
}
