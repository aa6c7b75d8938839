package erased

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

// counted is a store that counts how often it is asked about hashes.
type counted struct {
	*sqlite.Store
	asked     int
	meanwhile func() // happens just before a hash goes
}

func (c *counted) HasErased(ctx context.Context, app comm.ID) (bool, error) {
	c.asked++
	return c.Store.HasErased(ctx, app)
}

func (c *counted) ErasedSuppression(ctx context.Context, app comm.ID, ch comm.Channel, hash []byte) (*store.Suppression, error) {
	c.asked++
	return c.Store.ErasedSuppression(ctx, app, ch, hash)
}

func (c *counted) UnsuppressErased(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte) (bool, error) {
	c.asked++
	if c.meanwhile != nil {
		c.meanwhile()
	}
	return c.Store.UnsuppressErased(ctx, app, ch, address, hash)
}

// fresh is an empty store and a ring of keys.
func fresh(t *testing.T) (*sqlite.Store, *seal.Ring) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t)})
	must(err)
	t.Cleanup(func() { must(s.Close()) })
	must(s.Migrate(t.Context()))
	text, err := seal.GenerateRing("k1")
	must(err)
	ring, err := seal.ParseRing(text)
	must(err)
	return s, ring
}

// opened is a Book on a store of its own, in which there is one app.
func opened(t *testing.T) (*counted, *Book, *comm.App) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, ring := fresh(t)
	c := &counted{Store: s}
	book, err := Open(ctx, c, ring)
	must(err)
	now := comm.At(time.Now())
	app := &comm.App{ID: comm.NewID(now), Slug: "one", Active: true, RatePerMinute: 1, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	_, err = s.CreateApp(ctx, app, nil)
	must(err)
	return c, book, app
}

// TestAnOptOutGoesAtOnce: who takes an address off is not undone by an accept that finds the hash a moment before it goes.
func TestAnOptOutGoesAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, book, app := opened(t)
	const to = "ama@example.org"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Suppress(ctx, store.Suppression{App: app.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressComplaint, CreatedAt: app.CreatedAt})
	must(err)
	hash := book.Hash(app.ID, comm.Email, to)
	must(c.EraseSuppression(ctx, app.ID, comm.Email, to, hash))
	c.meanwhile = func() { must(book.Return(ctx, app.ID, comm.Email, to)) }
	if removed, err := book.Unsuppress(ctx, app.ID, comm.Email, to); err != nil || !removed {
		t.Fatalf("%v %v", removed, err)
	}
	if got, err := book.Suppression(ctx, app.ID, comm.Email, to); !comm.IsKind(err, comm.Missing) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestASliceOfAnImportIsOneQuestion: the hashes of a whole slice are looked for together, and those that are listed again go.
func TestASliceOfAnImportIsOneQuestion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c, book, app := opened(t)
	s, now := c.Store, app.CreatedAt
	var all []store.Suppression
	for i := range store.SuppressMost {
		ch := comm.Channels()[i%2]
		all = append(all, store.Suppression{App: app.ID, Channel: ch, Address: fmt.Sprintf("user%d@example.org", i), Reason: comm.SuppressComplaint, CreatedAt: now})
	}
	add := func(list []store.Suppression, want, questions int) {
		t.Helper()
		c.asked = 0
		if n, err := book.SuppressAll(ctx, list); err != nil || n != want || c.asked > questions {
			t.Errorf("%d added, want %d, with %d questions about hashes, %d at most, %v", n, want, c.asked, questions, err)
		}
	}
	add(all, len(all), 1) // whether there are any
	add(nil, 0, 0)
	for i := range all[:10] {
		x, hash := &all[i], book.Hash(app.ID, all[i].Channel, all[i].Address)
		must(s.EraseSuppression(ctx, app.ID, x.Channel, x.Address, hash))
		must(s.DropSuppression(ctx, app.ID, x.Channel, x.Address, hash, comm.At(time.Now())))
	}
	book.Forget(app.ID)
	add(all[:5], 5, 1)
	add(all, 5, 1)
	add(all, 0, 1) // the app may have none now, and need not be asked about them any more
	book.Forget(app.ID)
	if has, err := book.has(ctx, app.ID); err != nil || has {
		t.Errorf("hashes are left: %v", err)
	}
	for i := range all {
		if on, err := s.Suppressed(ctx, app.ID, all[i].Channel, all[i].Address); err != nil || !on {
			t.Fatalf("%s is not on the list, %v", all[i].Address, err)
		}
	}
}
