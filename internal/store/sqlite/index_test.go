package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// What was accepted just before a stop is indexed by the next process, and a mark
// that fits no row (a copy may number rows anew) makes everything be indexed again.
func TestIndexingGoesOnAfterAStop(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	start := func() *Store { return openedWith(t, Options{Path: path}) }
	count := func(s *Store, app comm.ID, to string) int {
		found, err := s.Search(t.Context(), app, store.Filter{Recipient: to, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(found.Messages)
	}
	wait := func(s *Store, app comm.ID, to string, want int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); count(s, app, to) != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d found, want %d", count(s, app, to), want)
			}
		}
	}
	accept := func(s *Store, app comm.ID) {
		t.Helper()
		sub := submission()
		sub.App, sub.ID, sub.Recipient, sub.HasKey = app, comm.NewID(s.now()), "ama@example.org", false
		if _, err := s.Accept(t.Context(), []store.Submission{sub}); err != nil {
			t.Fatal(err)
		}
	}
	app := comm.NewID(1)
	s := start()
	accept(s, app)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start()
	wait(s, app, "ama@example.org", 1)
	for _, text := range []string{`DELETE FROM terms`, `UPDATE settings SET value = '1 00' WHERE name = 'search_indexed'`} {
		q := &query{text}
		if err := s.w.hot(t.Context(), 1, func(r *raw) error { _, err := r.run(q); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(s, app, "ama@example.org"); n != 0 {
		t.Fatalf("%d found without terms", n)
	}
	accept(s, app)
	wait(s, app, "ama@example.org", 2)
}
