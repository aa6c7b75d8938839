package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

func newApp(t testing.TB, s *postgres.Store) *comm.App {
	t.Helper()
	now := comm.At(time.Now())
	id := comm.NewID(now)
	a := &comm.App{ID: id, Slug: id.String(), Name: "App", Active: true, Sandbox: true, RatePerMinute: 1_000_000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	if created, err := s.CreateApp(t.Context(), a, nil); err != nil || !created {
		t.Fatal(created, err)
	}
	return a
}

func submission(t testing.TB, a *comm.App, to string) store.Submission {
	t.Helper()
	payload, err := store.EncodeContent(&comm.Content{To: to, Subject: "Hello", Body: "Body"})
	if err != nil {
		t.Fatal(err)
	}
	id := comm.NewID(comm.At(time.Now()))
	return store.Submission{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, a.ShardSpread), Channel: comm.Email, Lane: comm.Normal, Mode: a.Mode(),
		Node: "api-1", Recipient: to, Payload: payload, RatePerMinute: a.RatePerMinute}
}

func keyed(t testing.TB, a *comm.App, key string) store.Submission {
	t.Helper()
	s := submission(t, a, "user@example.org")
	h := sha256.Sum256([]byte(key))
	s.HasKey = true
	copy(s.KeyHash[:], h[:])
	copy(s.Fingerprint[:], "the same request")
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func allShards() []comm.Shard {
	out := make([]comm.Shard, comm.ShardCount)
	for i := range out {
		out[i] = comm.Shard(i)
	}
	return out
}

func beat(t testing.TB, s *postgres.Store, node string, lease time.Duration) store.Cluster {
	t.Helper()
	c, err := s.Beat(t.Context(), store.NodeInfo{Node: node, Role: "all", Version: "test", Lease: lease.Microseconds()})
	must(t, err)
	return c
}

// own makes a node owner of every shard that is free and answers the leases by shard.
func own(t testing.TB, s *postgres.Store, node string, lease time.Duration) map[comm.Shard]store.Lease {
	t.Helper()
	beat(t, s, node, lease)
	leases, err := s.Take(t.Context(), node, allShards())
	must(t, err)
	out := map[comm.Shard]store.Lease{}
	for _, l := range leases {
		out[l.Shard] = l
	}
	return out
}

// startAll is a turn that starts submissions at their present heads.
func startAll(t testing.TB, s *postgres.Store, node string, leases map[comm.Shard]store.Lease, subs []store.Submission, due []comm.Micros) store.Turn {
	t.Helper()
	turn := store.Turn{Node: node}
	seen := map[comm.Shard]bool{}
	for i, x := range subs {
		u := comm.Unit{Shard: x.Shard, App: x.App, Channel: x.Channel, Lane: x.Lane}
		turn.Starts = append(turn.Starts, store.Start{Unit: u, Head: store.Head{Due: due[i], ID: x.ID}, Provider: "sandbox"})
		if !seen[x.Shard] {
			seen[x.Shard] = true
			turn.Leases = append(turn.Leases, leases[x.Shard])
		}
	}
	return turn
}

// sql runs statements past the store.
func sql(t testing.TB, url string, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer func() { _ = c.Close(t.Context()) }()
	for _, x := range statements {
		if _, err := c.Exec(t.Context(), x); err != nil {
			t.Fatalf("%s: %v", x, err)
		}
	}
}

// scalar reads one number past the store.
func scalar(t testing.TB, url, query string, args ...any) (n int64) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer func() { _ = c.Close(t.Context()) }()
	if err := c.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// eventually waits until a condition holds that others bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func acceptOne(t testing.TB, s *postgres.Store, sub store.Submission) store.Accepted {
	t.Helper()
	out, err := s.Accept(t.Context(), []store.Submission{sub})
	must(t, err)
	return out[0]
}

func address(n int) string { return fmt.Sprintf("user%d@example.org", n) }
