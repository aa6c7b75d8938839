package erased

import (
	"context"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// meanwhile is a store in which something happens before a hash is looked for.
type meanwhile struct {
	*sqlite.Store
	do func()
}

func (m *meanwhile) ErasedSuppression(ctx context.Context, app comm.ID, ch comm.Channel, hash []byte) (*store.Suppression, error) {
	if m.do != nil {
		m.do()
	}
	return m.Store.ErasedSuppression(ctx, app, ch, hash)
}

// TestWhoComesBackInBetweenIsFound: between the looks at the list and at the hashes the app adds the address again.
func TestWhoComesBackInBetweenIsFound(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, ring := fresh(t)
	m := &meanwhile{Store: s}
	book, err := Open(ctx, m, ring)
	must(err)
	app, other := comm.NewID(1), "esi@example.org"
	const to = "ama@example.org"
	listed := store.Suppression{App: app, Channel: comm.Email, Address: to, Reason: comm.SuppressManual, CreatedAt: 1}
	hash := book.Hash(app, comm.Email, to)
	for name, ask := range map[string]func() (bool, error){
		"Suppressed": func() (bool, error) { return book.Suppressed(ctx, app, comm.Email, to) },
		"Suppression": func() (bool, error) {
			got, err := book.Suppression(ctx, app, comm.Email, to)
			return err == nil && got.Address == to, err
		},
		"SuppressedOf": func() (bool, error) {
			got, err := book.SuppressedOf(ctx, app, comm.Email, []string{other, to})
			return len(got) == 1 && got[0] == to, err
		},
	} {
		_, err := s.Suppress(ctx, listed)
		must(err)
		must(s.EraseSuppression(ctx, app, comm.Email, to, hash))
		must(s.DropSuppression(ctx, app, comm.Email, to, hash, 2))
		book.Forget(app)
		again := listed
		again.Hash = string(hash)
		m.do = func() {
			_, err := s.SuppressAll(ctx, []store.Suppression{again})
			must(err)
		}
		if on, err := ask(); err != nil || !on {
			t.Errorf("%s does not find it: %v", name, err)
		}
		m.do = nil
		_, err = s.Unsuppress(ctx, app, comm.Email, to)
		must(err)
	}
}
