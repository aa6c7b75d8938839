package feed

import (
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// damaged is a service on a database into which rows are planted that no store writes.
type damaged struct {
	*testing.T
	*Service
	path   string
	s      *sqlite.Store
	leases []store.Lease
	apps   [2]comm.ID
	log    strings.Builder
}

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	w := &damaged{T: t, path: filepath.Join(t.TempDir(), "comm.db")}
	w.open()
	t.Cleanup(func() { w.must(w.s.Close()) })
	_, err := w.s.Beat(t.Context(), store.NodeInfo{Node: "n", Role: "all", Version: "test", Lease: time.Hour.Microseconds()})
	w.must(err)
	all := make([]comm.Shard, comm.ShardCount)
	for i := range all {
		all[i] = comm.Shard(i)
	}
	w.leases, err = w.s.Take(t.Context(), "n", all)
	w.must(err)
	for i := range w.apps {
		now := comm.At(time.Now())
		w.apps[i] = comm.NewID(now)
		_, err = w.s.CreateApp(t.Context(), &comm.App{ID: w.apps[i], Slug: w.apps[i].String(), Name: "App", Active: true, Sandbox: true, RatePerMinute: 1000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}, nil)
		w.must(err)
	}
	return w
}

func (w *damaged) open() {
	w.Helper()
	s, err := sqlite.Open(w.Context(), sqlite.Options{Path: w.path})
	w.must(err)
	w.must(s.Migrate(w.Context()))
	w.s = s
	w.Service = New(Config{Store: s, Endpoints: s, Owned: func() (string, []store.Lease) { return "n", w.leases }, Now: s.Now, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
}

func (w *damaged) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// do runs a statement while the store is closed.
func (w *damaged) do(query string, args ...any) {
	w.Helper()
	w.must(w.s.Close())
	db, err := sql.Open("sqlite", w.path)
	w.must(err)
	_, err = db.ExecContext(w.Context(), query, args...)
	w.must(errors.Join(err, db.Close()))
	w.open()
}

func (w *damaged) accept(app comm.ID) {
	w.Helper()
	id := comm.NewID(comm.At(time.Now()))
	out, err := w.s.Accept(w.Context(), []store.Submission{{App: app, ID: id, Shard: comm.ShardOf(app, id, 1), Channel: comm.Email, Lane: comm.Normal, Mode: comm.Sandbox, Node: "n",
		Recipient: "a@example.org", Payload: []byte(`{"to":"a@example.org"}`), RatePerMinute: 1000}})
	if w.must(err); out[0].Result != store.New {
		w.Fatalf("%+v", out)
	}
}

// has wants so many events in each app's feed, as whoever reads it gets them.
func (w *damaged) has(one, two int) {
	w.Helper()
	for i, want := range []int{one, two} {
		got, after := 0, int64(0)
		for {
			items, next, err := w.Page(w.Context(), w.apps[i], after, 2)
			w.must(err)
			if got += len(items); next == after {
				break
			}
			after = next
		}
		if got != want {
			w.Errorf("the feed of app %d has %d events, want %d; %s", i, got, want, w.log.String())
		}
	}
}

// TestAnUnreadableListOfEventsCostsItselfAlone: everything before and behind it is stamped at once, whatever app it is of, and it is said once, without what it holds.
func TestAnUnreadableListOfEventsCostsItselfAlone(t *testing.T) {
	t.Parallel()
	w := newDamaged(t)
	w.accept(w.apps[0])
	for range 2 {
		w.do(`INSERT INTO outbox (at, items) VALUES (1, $1)`, []byte("secret"))
	}
	w.accept(w.apps[1])
	if n, err := w.Step(t.Context()); n != 2 || err != nil {
		t.Errorf("%d events were stamped, %v", n, err)
	}
	w.accept(w.apps[0])
	if n, err := w.Step(t.Context()); n != 1 || err != nil {
		t.Errorf("%d events were stamped, %v", n, err)
	}
	w.has(2, 1)
	if got := w.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "rows=2") || strings.Contains(got, "secret") {
		t.Errorf("%s", got)
	}
}

// TestAPileOfUnreadableListsHidesNothing that comes behind it.
func TestAPileOfUnreadableListsHidesNothing(t *testing.T) {
	t.Parallel()
	w := newDamaged(t)
	w.do(`INSERT INTO outbox (at, items) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= $1) SELECT i, x'00' FROM n`, 2*rowsAtOnce)
	w.accept(w.apps[0])
	for range 5 {
		if _, err := w.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.has(1, 0)
}

// TestAnUnreadableRowOfAFeedIsPassedBy by whoever reads the feed, and said once.
func TestAnUnreadableRowOfAFeedIsPassedBy(t *testing.T) {
	t.Parallel()
	w := newDamaged(t)
	for range 5 {
		w.accept(w.apps[0])
		if _, err := w.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.do(`UPDATE feed SET items = x'73656372' WHERE last IN (2, 3)`)
	w.has(3, 0)
	w.has(3, 0)
	if got := w.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, w.apps[0].String()) {
		t.Errorf("%s", got)
	}
}

// TestAPlaceBehindEverything is of a database that was set back: whoever asks for what is behind it is sent to the end, and gets what comes.
func TestAPlaceBehindEverything(t *testing.T) {
	t.Parallel()
	w := newDamaged(t)
	step := func() {
		w.accept(w.apps[0])
		if _, err := w.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step()
	items, next, err := w.Page(t.Context(), w.apps[0], 1000, 10)
	if err != nil || len(items) != 0 || next != 1 {
		t.Fatalf("%d events, go on behind %d, %v", len(items), next, err)
	}
	if _, same, err := w.Page(t.Context(), w.apps[0], next, 10); err != nil || same != next {
		t.Errorf("the end is %d, %v", same, err)
	}
	step()
	if items, next, err = w.Page(t.Context(), w.apps[0], next, 10); err != nil || len(items) != 1 || next != 2 {
		t.Errorf("%d events, go on behind %d, %v", len(items), next, err)
	}
	if _, next, err = w.Page(t.Context(), w.apps[1], 1000, 10); err != nil || next != 0 {
		t.Errorf("an app without events: go on behind %d, %v", next, err)
	}
}
