package postgres_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/test/pgtest"
)

// TestKeyRace lets two nodes accept the same keys at once.
func TestKeyRace(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	nodes := []*postgres.Store{opened(t, postgres.Options{URL: url}), opened(t, postgres.Options{URL: url})}
	a, b := newApp(t, nodes[0]), newApp(t, nodes[0])
	const callers, keys = 16, 40
	names := make([]string, keys)
	for k := range names {
		names[k] = address(k)
	}
	fresh := make([]atomic.Int64, keys)
	ids := make([]sync.Map, keys)
	var wg sync.WaitGroup
	for n, s := range nodes {
		for range callers {
			wg.Go(func() {
				for k := 0; k+4 <= keys; k += 2 { // groups overlap
					var subs []store.Submission
					for _, key := range names[k : k+4] {
						subs = append(subs, keyed(t, a, key), keyed(t, b, key))
					}
					if n == 1 { // another order in each node
						for i, j := 0, len(subs)-1; i < j; i, j = i+1, j-1 {
							subs[i], subs[j] = subs[j], subs[i]
						}
					}
					out, err := s.Accept(t.Context(), subs)
					if err != nil {
						t.Error(err)
						return
					}
					for i, r := range out {
						if r.Result != store.New && r.Result != store.Replay {
							t.Errorf("%+v", r)
						}
						if subs[i].App != a.ID {
							continue
						}
						for j, key := range names {
							if keyed(t, a, key).KeyHash == subs[i].KeyHash {
								ids[j].Store(r.ID, true)
								if r.Result == store.New {
									fresh[j].Add(1)
								}
							}
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for k := range keys {
		var n int
		ids[k].Range(func(any, any) bool { n++; return true })
		if fresh[k].Load() != 1 || n != 1 {
			t.Errorf("key %d: %d new, %d ids", k, fresh[k].Load(), n)
		}
	}
	if n := scalar(t, url, `SELECT count(*) FROM state`); n != 2*keys {
		t.Errorf("%d messages, want %d", n, 2*keys)
	}
}

// TestTwoNodesStart takes the shards away from a node that goes on starting.
func TestTwoNodesStart(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	a, b := opened(t, postgres.Options{URL: url}), opened(t, postgres.Options{URL: url})
	var apps []*comm.App
	for range 6 {
		apps = append(apps, newApp(t, a))
	}
	const messages = 240
	var subs []store.Submission
	for i := range messages {
		subs = append(subs, submission(t, apps[i%len(apps)], address(i)))
	}
	out, err := a.Accept(t.Context(), subs)
	must(t, err)
	due := make([]comm.Micros, messages)
	for i := range out {
		due[i] = out[i].Due
	}
	leases := own(t, a, "a", time.Minute)
	beat(t, b, "b", time.Minute)

	// Two pipelines of the old owner, started messages by epoch.
	var taken atomic.Bool
	var wg sync.WaitGroup
	goes := make([]atomic.Int64, messages)
	start := func(s *postgres.Store, node string, leases map[comm.Shard]store.Lease, from int) error {
		turn := startAll(t, s, node, leases, subs[from:from+10], due[from:from+10])
		before := taken.Load()
		res, err := s.Turn(t.Context(), turn)
		if err != nil {
			return err
		}
		if before && node == "a" {
			t.Error("the old owner wrote after its shards were taken")
		}
		for i, x := range res.Started {
			if x.Verdict == store.Go {
				goes[from+i].Add(1)
			}
		}
		return nil
	}
	for p := range 2 {
		wg.Go(func() {
			for i := p; ; i += 2 {
				err := start(a, "a", leases, i*10%messages)
				var lost *store.LostShards
				if errors.As(err, &lost) && len(lost.Shards) > 0 {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	eventually(t, "the first owner has started something", func() bool { return goes[0].Load()+goes[10].Load() > 0 })
	sql(t, url, `UPDATE nodes SET lease_until = (extract(epoch FROM now()) * 1000000)::bigint - 1 WHERE node = 'a'`) // it has not been heard of for long
	taking := map[comm.Shard]store.Lease{}
	eventually(t, "the new owner has every shard", func() bool {
		won, err := b.Take(t.Context(), "b", allShards())
		must(t, err)
		for _, l := range won {
			if l.Epoch <= leases[l.Shard].Epoch {
				t.Fatalf("shard %d: epoch %d after %d", l.Shard, l.Epoch, leases[l.Shard].Epoch)
			}
			taking[l.Shard] = l
		}
		return len(taking) == comm.ShardCount
	})
	taken.Store(true)
	wg.Wait()
	for from := 0; from < messages; from += 10 {
		must(t, start(b, "b", taking, from))
	}
	for i := range goes {
		if n := goes[i].Load(); n != 1 {
			t.Errorf("message %d was started %d times", i, n)
		}
	}
	if _, err := a.Beat(t.Context(), store.NodeInfo{Node: "a", Role: "all", Lease: 1}); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("heartbeat after the lease: %v", err)
	}
	if c := beat(t, b, "b", time.Minute); len(c.Workers) != 1 || c.Workers[0] != "b" || c.Owners[0].Node != "b" {
		t.Errorf("%v %+v", c.Workers, c.Owners[0])
	}
}

// TestTakeNeedsALease refuses shards to a node whose own lease has ended.
func TestTakeNeedsALease(t *testing.T) {
	t.Parallel()
	s := opened(t, postgres.Options{URL: migrated(t)})
	if won, err := s.Take(t.Context(), "unknown", allShards()); err != nil || len(won) != 0 {
		t.Fatal(won, err)
	}
	beat(t, s, "late", time.Microsecond)
	if won, err := s.Take(t.Context(), "late", allShards()); err != nil || len(won) != 0 {
		t.Fatal(won, err)
	}
}

func TestMigrateRace(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var wg sync.WaitGroup
	for range 4 {
		s := opened(t, postgres.Options{URL: url})
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := scalar(t, url, `SELECT count(*) FROM schema_migrations`); n == 0 {
		t.Error("no migration is recorded")
	}
	s := opened(t, postgres.Options{URL: url})
	acceptOne(t, s, submission(t, newApp(t, s), "x@example.org"))
}

// TestDatabaseSwitchesDurabilityOff opens a store in a database whose owner gave up durable commits.
func TestDatabaseSwitchesDurabilityOff(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		url := migrated(t)
		sql(t, url, `DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET synchronous_commit = off'; END $$`)
		s := opened(t, postgres.Options{URL: url, Pooled: pooled})
		got, err := s.SynchronousCommit(t.Context())
		must(t, err)
		if got != "on" {
			t.Errorf("pooled %v: synchronous_commit = %s", pooled, got)
		}
	}
}

// Who folds while an app is removed still sees it: rows of statistics do not outlive it for that.
func TestFoldingBringsNoRemovedAppBack(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	now, err := s.Now(t.Context())
	must(t, err)
	must(t, s.DeleteApp(t.Context(), a.ID, now))
	// What another node folds, up to its commit.
	end := locked(t, url, `SELECT pg_try_advisory_xact_lock(`+sqlstore.FoldLock+`)`,
		`INSERT INTO stats (app_id, span, start, counts) SELECT id, 60000000, 0, '' FROM apps WHERE id = '`+hexOf(a.ID)+`'`)
	done := make(chan error, 1)
	go func() {
		for {
			out, err := s.RemoveApp(t.Context(), a.ID, now+1, 100)
			if err != nil || out.Gone {
				done <- err
				return
			}
		}
	}()
	eventually(t, "the removal waits, or has ended", func() bool { return len(done) > 0 || waiting(t, url) })
	end("COMMIT")
	must(t, <-done)
	if n := scalar(t, url, `SELECT count(*) FROM stats WHERE app_id = '`+hexOf(a.ID)+`'`); n != 0 {
		t.Errorf("%d rows of statistics are left", n)
	}
}
