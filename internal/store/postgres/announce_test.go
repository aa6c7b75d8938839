package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// ear gathers what a node hears.
type ear struct {
	mu    sync.Mutex
	polls int
	wakes map[comm.Unit]comm.Micros
}

func listen(t *testing.T, s *postgres.Store) *ear {
	t.Helper()
	e := &ear{wakes: map[comm.Unit]comm.Micros{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Listen(ctx, e.hear) // ends with ctx
	}()
	t.Cleanup(func() { cancel(); <-done })
	return e
}

func (e *ear) hear(list []store.Wake) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if list == nil {
		e.polls++
	}
	for _, w := range list {
		e.wakes[w.Unit] = w.Due
	}
}

func (e *ear) count() (polls, wakes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.polls, len(e.wakes)
}

func wakesOf(app comm.ID, n int) []store.Wake {
	var out []store.Wake
	for i := range n {
		app[15] = byte(i)
		app[14] = byte(i >> 8)
		out = append(out, store.Wake{Unit: comm.Unit{Shard: comm.Shard(i % 64), App: app, Channel: comm.SMS, Lane: comm.Bulk}, Due: comm.Micros(i + 1)})
	}
	return out
}

func TestAnnounce(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	a, b := opened(t, postgres.Options{URL: url}), opened(t, postgres.Options{URL: url, DirectURL: url})
	mine, theirs := listen(t, a), listen(t, b)
	eventually(t, "both listen", func() bool {
		p, _ := mine.count()
		q, _ := theirs.count()
		return p > 0 && q > 0
	})
	// Many units need several payloads; the earliest due of a unit counts.
	list := wakesOf(comm.NewID(comm.At(time.Now())), 1000)
	later := list[7]
	later.Due += 1000
	list[8] = store.SettingsChanged(list[8].Unit.App)
	must(t, a.Announce(t.Context(), append([]store.Wake{later}, list...)))
	eventually(t, "the other node heard everything", func() bool { _, n := theirs.count(); return n == 1000 })
	theirs.mu.Lock()
	for _, w := range list {
		if theirs.wakes[w.Unit] != w.Due {
			t.Errorf("%+v was heard as %d", w, theirs.wakes[w.Unit])
		}
	}
	theirs.mu.Unlock()
	must(t, b.Announce(t.Context(), list[:1]))
	eventually(t, "the answer arrived", func() bool { _, n := mine.count(); return n == 1 })
	if _, n := mine.count(); n != 1 {
		t.Errorf("a node heard %d units, one of them was another node's", n)
	}
	must(t, a.Announce(t.Context(), nil))
}

func TestListenComesBack(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	a, b := opened(t, postgres.Options{URL: url}), opened(t, postgres.Options{URL: url})
	e := listen(t, b)
	eventually(t, "it listens", func() bool { p, _ := e.count(); return p > 0 })
	before, _ := e.count()
	if n := scalar(t, url, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`); n != 1 {
		t.Fatalf("%d connections listen", n)
	}
	eventually(t, "the gap was reported and it listens again", func() bool {
		p, _ := e.count()
		return p > before && scalar(t, url, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`) == 1
	})
	wake := wakesOf(comm.NewID(1), 1)
	eventually(t, "it hears again", func() bool {
		must(t, a.Announce(t.Context(), wake))
		_, n := e.count()
		return n == 1
	})
}

func TestPoolerIsRecognised(t *testing.T) {
	t.Parallel()
	direct := migrated(t)
	disguised := through(t, direct, &proxy{disguise: true})
	plain := opened(t, postgres.Options{URL: direct})
	if plain.Pooled() {
		t.Error("a server was taken for a pooler")
	}
	for name, o := range map[string]postgres.Options{
		"found":            {URL: disguised},
		"direct is pooled": {URL: direct, DirectURL: disguised},
	} {
		s := opened(t, o)
		if !s.Pooled() {
			t.Errorf("%s: not recognised", name)
		}
		e := listen(t, s)
		eventually(t, name+": it polls", func() bool { p, _ := e.count(); return p > 3 })
		acceptOne(t, s, submission(t, newApp(t, s), "x@example.org"))
	}
}

// TestStuckOwner takes a shard from a process that stopped in the middle of a turn.
func TestStuckOwner(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	leases := own(t, s, "stuck", time.Minute)
	c, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	_, err = c.Exec(t.Context(), `BEGIN; SELECT true FROM shards WHERE shard = 5 FOR SHARE`)
	must(t, err)
	sql(t, url, `UPDATE nodes SET lease_until = 1`)
	beat(t, s, "next", time.Minute)
	won, err := s.Take(t.Context(), "next", allShards())
	must(t, err)
	if len(won) != comm.ShardCount-1 {
		t.Fatalf("%d shards won beside one that is locked", len(won))
	}
	s.SetStuckAfter(time.Millisecond)
	eventually(t, "the last shard is free", func() bool {
		won, err = s.Take(t.Context(), "next", []comm.Shard{5})
		must(t, err)
		return len(won) == 1 && won[0].Epoch > leases[5].Epoch
	})
}

// TestClockSetBack frees the shards of a dead node whose lease lies in another time.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	own(t, s, "dead", time.Minute)
	sql(t, url, `UPDATE nodes SET lease_until = lease_until + 3600000000 WHERE node = 'dead'`)
	if won := own(t, s, "next", time.Minute); len(won) != 0 {
		t.Fatalf("%d shards of a node that looks alive", len(won))
	}
	eventually(t, "the shards are free", func() bool {
		c := beat(t, s, "next", time.Second)
		won, err := s.Take(t.Context(), "next", allShards())
		must(t, err)
		return len(c.Workers) == 1 && len(won) == comm.ShardCount
	})
}
