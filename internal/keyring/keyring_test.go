package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

// world is a database with values, and keys k1, k2 and k3.
type world struct {
	*testing.T
	s    *sqlite.Store
	keys map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, s: s, keys: map[string]string{}}
	for _, id := range []string{"k1", "k2", "k3"} {
		text, err := seal.GenerateRing(id)
		if err != nil {
			t.Fatal(err)
		}
		w.keys[id] = text.Reveal()
	}
	return w
}

// ring is a ring of these keys, the first of which seals.
func (w *world) ring(ids ...string) *seal.Ring {
	w.Helper()
	var text []string
	for _, id := range ids {
		text = append(text, w.keys[id])
	}
	ring, err := seal.ParseRing(seal.Secret(strings.Join(text, ",")))
	if err != nil {
		w.Fatal(err)
	}
	return ring
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// fill stores n configurations with their secret, the first 50 at the server level and as many for each of some apps,
// and one app with a webhook secret, sealed by the ring.
func (w *world) fill(ring *seal.Ring, n int) (ids []comm.ID) {
	w.Helper()
	col := store.ProviderSecrets()
	var owner comm.ID
	for i := range n {
		now := comm.At(time.Now())
		if i > 0 && i%50 == 0 {
			a := newApp()
			_, err := w.s.CreateApp(w.Context(), a, nil)
			w.must(err)
			owner = a.ID
		}
		c := &comm.ProviderConfig{ID: comm.NewID(now), App: owner, Type: "SMTP", Channel: comm.Email, Name: "x", Active: true, Version: 1, CreatedAt: now, UpdatedAt: now}
		v, err := ring.For(col.Purpose).Seal(fmt.Append(nil, "secret ", i), col.Place(c.App, c.ID))
		w.must(err)
		c.Secrets, c.KeyID = v.Box, v.KeyID
		w.must(w.s.CreateProviderConfig(w.Context(), c))
		ids = append(ids, c.ID)
	}
	a := newApp()
	hooks := store.WebhookSecrets()
	v, err := ring.For(hooks.Purpose).Seal([]byte("whsec"), hooks.Place(a.ID, a.ID))
	w.must(err)
	a.WebhookSecret = v.Pack()
	_, err = w.s.CreateApp(w.Context(), a, nil)
	w.must(err)
	return ids
}

func newApp() *comm.App {
	now := comm.At(time.Now())
	return &comm.App{ID: comm.NewID(now), Slug: "a" + strings.ToLower(comm.NewID(now).String()), Name: "A", RatePerMinute: 1, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
}

func (w *world) rotation(ring *seal.Ring) Rotation {
	return Rotation{Values: w.s, Ring: ring, Columns: store.SealedColumns()}
}

// opens counts the values of all columns that the ring opens.
func (w *world) opens(ring *seal.Ring) (n int) {
	w.Helper()
	for _, col := range store.SealedColumns() {
		all, err := w.s.SealedAfter(w.Context(), col, comm.ID{}, comm.ID{}, 10_000)
		w.must(err)
		for _, v := range all {
			if _, err := ring.For(col.Purpose).Open(v.Value, col.Place(v.App, v.ID)); err == nil {
				n++
			}
		}
	}
	return n
}

func TestThreeSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.ring("k1")
	w.must(Prove(w.Context(), w.s, old, false))
	w.fill(old, 120)
	// Step 1: the new key behind the old one. Step 2: before it.
	w.must(Prove(w.Context(), w.s, w.ring("k1", "k2"), false))
	both := w.ring("k2", "k1")
	w.must(Prove(w.Context(), w.s, both, false))
	w.fill(both, 30)
	// Removed too early, either key is missed; a foreign key of the same name is told.
	for _, ids := range [][]string{{"k1"}, {"k2"}, {"k3"}, {"k3", "k1"}} {
		if err := Prove(w.Context(), w.s, w.ring(ids...), false); !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), "COMMS_ENCRYPTION_KEYS") || !strings.Contains(err.Error(), "rotate-keys") {
			t.Errorf("%v: %v", ids, err)
		}
	}
	w.keys["k1"], w.keys["k3"] = "k1:"+strings.TrimPrefix(w.keys["k3"], "k3:"), w.keys["k1"]
	if err := Prove(w.Context(), w.s, w.ring("k1", "k2"), false); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("%v", err)
	}
	// Step 3. First as a dry run, which changes nothing.
	r := w.rotation(both)
	r.DryRun = true
	report, err := Rotate(w.Context(), r)
	if err != nil || report.ByKey["k1"] != 121 || report.ByKey["k2"] != 31 || report.Columns[0].Done != 120 || report.Columns[1].Done != 1 || !slices.Equal(report.Old(), []string{"k1"}) || w.opens(w.ring("k2")) != 31 {
		t.Errorf("%+v %v", report, err)
	}
	r.DryRun = false
	if report, err = Rotate(w.Context(), r); err != nil || report.ByKey["k2"] != 152 || len(report.ByKey) != 1 || report.Columns[0].Done != 120 || report.Columns[0].Fresh != 30 || report.Columns[1].Done != 1 || len(report.Old()) != 0 {
		t.Errorf("%+v %v", report, err)
	}
	if n := w.opens(w.ring("k2")); n != 152 {
		t.Errorf("the new key opens %d", n)
	}
	w.must(Prove(w.Context(), w.s, w.ring("k2"), false)) // the old key can be removed
	if report, err = Rotate(w.Context(), w.rotation(w.ring("k2"))); err != nil || report.Columns[0].Done != 0 || report.Columns[0].Fresh != 150 {
		t.Errorf("again: %+v %v", report, err)
	}
}

func TestRotationIsRestartable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(Prove(w.Context(), w.s, w.ring("k1"), false))
	w.fill(w.ring("k1"), 3*slice)
	both := w.ring("k2", "k1")
	w.must(Prove(w.Context(), w.s, both, false))
	ctx, cancel := context.WithCancel(w.Context())
	r := w.rotation(both)
	r.Progress = func(string, int) { cancel() }
	report, err := Rotate(ctx, r)
	if !errors.Is(err, context.Canceled) || report.Columns[0].Done != slice {
		t.Fatalf("%+v %v", report, err)
	}
	if n := w.opens(both); n != 3*slice+1 {
		t.Errorf("in the middle %d open", n)
	}
	if report, err = Rotate(w.Context(), w.rotation(both)); err != nil || report.Columns[0].Done != 2*slice || w.opens(w.ring("k2")) != 3*slice+1 {
		t.Errorf("%+v %v", report, err)
	}
}

// Values that do not open (damaged, moved from another row, under a key that nobody has) are named and left alone.
func TestClosedValuesAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(Prove(w.Context(), w.s, w.ring("k1"), false))
	ids := w.fill(w.ring("k1"), 10)
	damage := func(id comm.ID, change func(*comm.ProviderConfig)) {
		c, err := w.s.ProviderConfig(w.Context(), comm.ID{}, id)
		w.must(err)
		change(c)
		w.must(w.s.UpdateProviderConfig(w.Context(), c))
	}
	damage(ids[2], func(c *comm.ProviderConfig) { c.Secrets[len(c.Secrets)-1] ^= 1 })
	w.lose(ids[4])
	var fifth []byte
	damage(ids[5], func(c *comm.ProviderConfig) { fifth = bytes.Clone(c.Secrets) })
	damage(ids[6], func(c *comm.ProviderConfig) { c.Secrets = fifth })
	for _, dry := range []bool{true, false} { // all of them are under the first key or one that is not there
		r := w.rotation(w.ring("k1"))
		r.DryRun = dry
		if report, err := Rotate(w.Context(), r); err != nil || report.Unopened() != 3 || report.Columns[0].Fresh != 7 || report.ByKey["k1"] != 10 || report.ByKey["lost"] != 1 {
			t.Errorf("under the first key: %+v %v", report, err)
		}
	}
	both := w.ring("k2", "k1")
	w.must(Prove(w.Context(), w.s, both, false))
	report, err := Rotate(w.Context(), w.rotation(both))
	var named []comm.ID
	for _, v := range report.Columns[0].Closed {
		named = append(named, v.ID)
	}
	if err != nil || report.Columns[0].Done != 7 || !slices.Equal(named, []comm.ID{ids[2], ids[4], ids[6]}) || report.ByKey["k1"] != 2 || report.ByKey["lost"] != 1 || !slices.Equal(report.Old(), []string{"k1", "lost"}) {
		t.Errorf("%+v %v", report, err)
	}
	if err := Prove(w.Context(), w.s, w.ring("k2"), false); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("k1 is still needed: %v", err)
	}
}

// lose puts the configuration's secrets under a key that nobody has.
func (w *world) lose(id comm.ID) {
	w.Helper()
	c, err := w.s.ProviderConfig(w.Context(), comm.ID{}, id)
	w.must(err)
	was := store.SealedValue{App: c.App, ID: c.ID, Value: seal.Sealed{KeyID: c.KeyID, Box: c.Secrets}}
	n, err := w.s.Reseal(w.Context(), store.ProviderSecrets(), []store.Resealed{{SealedValue: was, New: seal.Sealed{KeyID: "lost", Box: c.Secrets}}})
	if w.must(err); n != 1 {
		w.Fatalf("%d values changed", n)
	}
}

// meddler changes a value between its reading and its writing.
type meddler struct {
	*sqlite.Store
	before func()
	last   func() // before the canaries are dropped
}

func (m *meddler) DropCanaries(ctx context.Context, first string) ([]string, error) {
	if m.last != nil {
		m.last()
	}
	return m.Store.DropCanaries(ctx, first)
}

func (m *meddler) Reseal(ctx context.Context, c store.SealedColumn, changes []store.Resealed) (int, error) {
	if m.before != nil {
		m.before()
		m.before = nil
	}
	return m.Store.Reseal(ctx, c, changes)
}

func TestAValueThatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(Prove(w.Context(), w.s, w.ring("k1"), false))
	ids := w.fill(w.ring("k1"), 5)
	both := w.ring("k2", "k1")
	w.must(Prove(w.Context(), w.s, both, false))
	col := store.ProviderSecrets()
	r := w.rotation(both)
	r.Values = &meddler{Store: w.s, before: func() { // a node one step behind seals anew
		behind := w.ring("k1", "k2")
		w.must(Prove(w.Context(), w.s, behind, false))
		defer func() { w.must(Prove(w.Context(), w.s, both, false)) }()
		c, err := w.s.ProviderConfig(w.Context(), comm.ID{}, ids[3])
		w.must(err)
		v, err := behind.For(col.Purpose).Seal([]byte("newer"), col.Place(c.App, c.ID))
		w.must(err)
		c.Secrets, c.KeyID = v.Box, v.KeyID
		w.must(w.s.UpdateProviderConfig(w.Context(), c))
	}}
	report, err := Rotate(w.Context(), r)
	if err != nil || report.ByKey["k2"] != 6 || len(report.Old()) != 0 {
		t.Errorf("%+v %v", report, err)
	}
	c, err := w.s.ProviderConfig(w.Context(), comm.ID{}, ids[3])
	w.must(err)
	plain, err := w.ring("k2").For(col.Purpose).Open(seal.Sealed{KeyID: c.KeyID, Box: c.Secrets}, col.Place(c.App, c.ID))
	if err != nil || string(plain) != "newer" {
		t.Errorf("%s %v", plain, err)
	}
}

// TestAValueBehindTheRotation: what a node one step behind stores where the rotation has been
// already is not told as done: the old key is still needed, and the report says so.
func TestAValueBehindTheRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(Prove(w.Context(), w.s, w.ring("k1"), false))
	w.fill(w.ring("k1"), 3)
	both := w.ring("k2", "k1")
	w.must(Prove(w.Context(), w.s, both, false))
	r := w.rotation(both)
	r.Values = &meddler{Store: w.s, last: func() {
		behind := w.ring("k1", "k2")
		w.must(Prove(w.Context(), w.s, behind, false))
		w.fill(behind, 1)
		w.must(Prove(w.Context(), w.s, both, false))
	}}
	report, err := Rotate(w.Context(), r)
	if err != nil || report.ByKey["k2"] != 4 || !slices.Equal(report.Late, []string{"k1"}) || !slices.Equal(report.Old(), []string{"k1"}) {
		t.Errorf("%+v %v", report, err)
	}
	if err := Prove(w.Context(), w.s, w.ring("k2"), false); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("k1 is still needed: %v", err)
	}
	if report, err = Rotate(w.Context(), w.rotation(both)); err != nil || len(report.Old()) != 0 || report.ByKey["k2"] != 6 {
		t.Errorf("again: %+v %v", report, err)
	}
	w.must(Prove(w.Context(), w.s, w.ring("k2"), false))
}
