package scale

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/pgtest"
)

// backlog is a database in which one app has many BULK messages due and another
// has none. It is filled once for each store; tests get copies.
type backlog struct {
	n          int
	big, other tenant
	file       string // SQLite: what is copied
}

// bulk is the recipient of the i-th message of the backlog.
func bulk(i int) string { return fmt.Sprintf("bulk%07d", i) }

func isBulk(local string) bool { return strings.HasPrefix(local, "bulk") }

func fill(ctx context.Context, s store.Store, b *backlog) (err error) {
	if b.big, err = newTenant(ctx, s, "big"); err != nil {
		return err
	}
	if b.other, err = newTenant(ctx, s, "other"); err != nil {
		return err
	}
	return preload(ctx, s, b.n, func(i int) (store.Submission, error) { return submission(&b.big, bulk(i), comm.Bulk, 0) })
}

func backlogSize() int { return size(50_000, 1_000_000) }

var sqliteBacklog = sync.OnceValues(func() (*backlog, error) {
	path, err := product.Path()
	if err != nil {
		return nil, err
	}
	b := &backlog{n: backlogSize(), file: filepath.Join(filepath.Dir(path), "backlog.db")} // removed with the program
	return b, withStore(context.Background(), "SQLite", b.file, "", func(ctx context.Context, s store.Store) error { return fill(ctx, s, b) })
})

// postgresBacklog is filled by pgtest's template, which is made at most once.
var postgresBacklog = sync.OnceValue(func() *backlog { return &backlog{n: backlogSize()} })

// onBacklog gives a world with a copy of the backlog.
func onBacklog(t *testing.T, kind string) (*world, *backlog) {
	t.Helper()
	at := time.Now()
	if kind == "SQLite" {
		b, err := sqliteBacklog()
		if err != nil {
			t.Fatal(err)
		}
		w := onSQLite(t, b.file)
		t.Logf("%d messages queued; prepared in %s", b.n, short(time.Since(at)))
		return w, b
	}
	b := postgresBacklog()
	url := pgtest.Prepared(t, "scale backlog", func(ctx context.Context, url string) error {
		return withStore(ctx, "PostgreSQL", "", url, func(ctx context.Context, s store.Store) error { return fill(ctx, s, b) })
	})
	t.Logf("%d messages queued; prepared in %s", b.n, short(time.Since(at)))
	return onPostgres(t, url), b
}

// pause switches the queue of the backlog's big app on or off.
func (w *world) pause(who *tenant, paused bool) {
	w.t.Helper()
	w.open(func(ctx context.Context, s store.Store) error {
		app, err := s.AppByID(ctx, who.app.ID)
		if err != nil {
			return err
		}
		app.QueuePaused = paused
		return s.UpdateApp(ctx, app, comm.At(time.Now()))
	})
}
