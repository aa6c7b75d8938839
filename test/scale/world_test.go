package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/test/pgtest"
)

// world is a database with the environment of the processes that use it.
type world struct {
	t         *testing.T
	store     string // "SQLite" or "PostgreSQL"
	dir       string
	url       string // PostgreSQL
	file      string // SQLite
	env       []string
	processes atomic.Int32
}

// adminKey is the administrator's, of every process.
const adminKey = "scale-admin-key-0123456789abcdef0123"

// admin makes a call of the process's administrator and reads its answer.
func (w *world) admin(p *process, q client.Request, into any) {
	w.t.Helper()
	admin, err := client.NewRaw(client.Options{BaseURL: p.url, HTTP: web, Timeout: web.Timeout}, adminKey)
	if err != nil {
		w.t.Fatal(err)
	}
	q.Admin = true
	raw, err := admin.Do(context.Background(), q)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// onEach runs a test on both stores, one after the other.
func onEach(t *testing.T, test func(w *world)) {
	t.Run("SQLite", func(t *testing.T) { test(onSQLite(t, "")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(onPostgres(t, pgtest.Database(t))) })
}

func newWorld(t *testing.T, kind string) *world {
	t.Helper()
	if _, err := product.Path(); err != nil { // of the same source as this test, not of what it is when the data is stored
		t.Fatal(err)
	}
	ring, err := seal.GenerateRing("scale")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: kind, dir: t.TempDir()}
	w.env = []string{"COMMS_ADDR=127.0.0.1:0", "COMMS_LOG_FORMAT=json", "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_DATA_DIR=" + filepath.Join(w.dir, "data"),
		"COMMS_ADMIN_KEY=" + adminKey, "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()}
	return w
}

// onSQLite makes a world on a new file, or on a copy of one.
func onSQLite(t *testing.T, copyOf string) *world {
	t.Helper()
	w := newWorld(t, "SQLite")
	w.file = filepath.Join(w.dir, "scale.db")
	w.env = append(w.env, "COMMS_DATABASE_URL=sqlite://"+w.file)
	if copyOf != "" {
		copyFile(t, copyOf, w.file)
	}
	return w
}

func onPostgres(t *testing.T, url string) *world {
	t.Helper()
	w := newWorld(t, "PostgreSQL")
	w.url = url
	w.env = append(w.env, "COMMS_DATABASE_URL="+url)
	return w
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.ReadFrom(in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// open gives the store itself, migrated, for as long as use runs. On SQLite no
// process may have it meanwhile.
func (w *world) open(use func(ctx context.Context, s store.Store) error) {
	w.t.Helper()
	if err := withStore(w.t.Context(), w.store, w.file, w.url, use); err != nil {
		w.t.Fatal(err)
	}
}

func withStore(ctx context.Context, kind, file, url string, use func(ctx context.Context, s store.Store) error) (err error) {
	var s store.Store
	if kind == "SQLite" {
		s, err = sqlite.Open(ctx, sqlite.Options{Path: file})
	} else {
		s, err = postgres.Open(ctx, postgres.Options{URL: url})
	}
	if err != nil {
		return err
	}
	if err = s.Migrate(ctx); err == nil {
		err = use(ctx, s)
	}
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

// tenant is an app with a key that opens it.
type tenant struct {
	app comm.App
	key string
}

// newTenant makes a live app without a rate worth speaking of.
func newTenant(ctx context.Context, s store.Store, slug string, edit ...func(*comm.App)) (tenant, error) {
	now := comm.At(time.Now())
	minted := apikey.Mint(true)
	out := tenant{key: minted.Text, app: comm.App{ID: comm.NewID(now), Slug: slug, Name: "Scale " + slug, Active: true, RatePerMinute: 1_000_000_000, ShardSpread: 1,
		CreatedAt: now, UpdatedAt: now}}
	for _, f := range edit {
		f(&out.app)
	}
	created, err := s.CreateApp(ctx, &out.app, &comm.Key{ID: comm.NewID(now), App: out.app.ID, Hash: minted.Hash, Prefix: minted.Prefix, LastFour: minted.Last4,
		Scopes: comm.AllScopes, CreatedAt: now})
	if err == nil && !created {
		err = fmt.Errorf("the app %s exists", slug)
	}
	return out, err
}

// sendTo makes the server-level chain: one mail server for every app.
func sendTo(ctx context.Context, s store.Store, addr string, limits comm.ProviderLimits) error {
	return chainOf(ctx, s, comm.ID{}, addr, limits)
}

// chainOf gives an app a mail server of its own.
func chainOf(ctx context.Context, s store.Store, app comm.ID, addr string, limits comm.ProviderLimits) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	now := comm.At(time.Now())
	return s.CreateProviderConfig(ctx, &comm.ProviderConfig{ID: comm.NewID(now), App: app, Type: "SMTP", Channel: comm.Email, Name: "Sink", Priority: 100, Active: true,
		Settings: map[string]string{"host": host, "port": port, "from": "Scale <scale@example.com>"}, Limits: limits, Version: 1, CreatedAt: now, UpdatedAt: now})
}

// domain is where all mail goes: the checker of package prove expects it.
const domain = "prove.example.com"

// submission is an email of the tenant as intake would hand it to the store.
func submission(who *tenant, local string, lane comm.Lane, scheduled comm.Micros) (store.Submission, error) {
	id := comm.NewID(comm.At(time.Now()))
	to := local + "@" + domain
	payload, err := store.EncodeContent(&comm.Content{To: to, Subject: "Scale " + local, Body: "<p>A message for " + local + " that is about as long as a short notice usually is.</p>"})
	return store.Submission{App: who.app.ID, ID: id, Shard: comm.ShardOf(who.app.ID, id, who.app.ShardSpread), Channel: comm.Email, Lane: lane, Mode: who.app.Mode(),
		OnUnknown: who.app.OnUnknown, Node: "scale", ScheduledAt: scheduled, Recipient: to, Payload: payload, RatePerMinute: who.app.RatePerMinute}, err
}

// group is how many submissions the store is given at once, as much as intake gives at most.
const group = 512

// preload stores n messages through the store's contract.
func preload(ctx context.Context, s store.Store, n int, make func(i int) (store.Submission, error)) error {
	for from := 0; from < n; from += group {
		subs := []store.Submission(nil)
		for i := from; i < min(n, from+group); i++ {
			sub, err := make(i)
			if err != nil {
				return err
			}
			subs = append(subs, sub)
		}
		out, err := s.Accept(ctx, subs)
		if err != nil {
			return fmt.Errorf("accept %d messages: %w", len(subs), err)
		}
		for i := range out {
			if out[i].Result != store.New {
				return fmt.Errorf("message %d was not taken: %+v", from+i, out[i])
			}
		}
	}
	return nil
}
