package app

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/backup"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// checked is what a check says of a PostgreSQL backup with this head and a table, with no PostgreSQL there.
func checked(t *testing.T, h store.BackupHead, table string) error {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "comms.backup"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	w, err := backup.NewWriter(file, "v1")
	if err == nil {
		err = w.Head(h)
	}
	if err == nil {
		err = w.Part(table, func(io.Writer) (map[string]int64, error) { return map[string]int64{table: 0}, nil })
	}
	if err == nil {
		_, err = w.Finish()
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = Restore(t.Context(), postgresAt(t, "127.0.0.1:1"), file, true, nil, slog.New(slog.DiscardHandler))
	return err
}

// A check of a PostgreSQL backup refuses what a restore of it would, though it has no database to try it on.
func TestACheckOfAPostgreSQLBackupLooksAtItsSchema(t *testing.T) {
	t.Parallel()
	ours, err := sqlstore.LoadMigrations(os.DirFS("../store/postgres"), "migrations")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(h *store.BackupHead)
		table  string
		want   string // "": it is taken
	}{
		"as it should be":  {func(*store.BackupHead) {}, "apps", ""},
		"no schema":        {func(h *store.BackupHead) { h.Schema = nil }, "apps", "names no schema"},
		"a newer version":  {func(h *store.BackupHead) { h.Schema = append(h.Schema, store.SchemaStep{Name: "9999_later"}) }, "apps", "step 9999_later"},
		"another build":    {func(h *store.BackupHead) { h.Schema[3].Sum = "x" }, "apps", "another build"},
		"a step is gone":   {func(h *store.BackupHead) { h.Schema = slices.Delete(h.Schema, 2, 3) }, "apps", "lacks step " + ours[2].Name},
		"without the feed": {func(h *store.BackupHead) { h.Schema = h.Schema[:5] }, "apps", "0015_feed"},
		"a foreign table":  {func(*store.BackupHead) {}, "pg_authid", `table "pg_authid"`},
		"without columns":  {func(h *store.BackupHead) { h.Columns = nil }, "apps", `table "apps"`},
	} {
		h := store.BackupHead{Store: "postgresql", TakenAt: 5, Columns: map[string]string{"apps": "id", "pg_authid": "id"}}
		for _, m := range ours {
			h.Schema = append(h.Schema, store.SchemaStep{Name: m.Name, Sum: m.Sum})
		}
		c.change(&h)
		err := checked(t, h, c.table)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
