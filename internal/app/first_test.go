package app

import (
	"log/slog"
	"testing"

	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

// TestTheFirstKeyCanBeRotated: the key that the first start prints is one that
// provisioning's rotateKey ends and whose scopes it hands on.
func TestTheFirstKeyCanBeRotated(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := firstApp(t.Context(), s, nil)
	if err != nil || first == nil {
		t.Fatalf("%v, %v", first, err)
	}
	app, err := s.AppBySlug(t.Context(), demoSlug)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.AppKeys(t.Context(), app.ID)
	if err != nil || len(keys) != 1 || !keys[0].Provisioned {
		t.Fatalf("%+v, %v", keys, err)
	}
	if again, err := firstApp(t.Context(), s, nil); again != nil || err != nil {
		t.Errorf("a second one: %v, %v", again, err)
	}
}
