package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What a process leaves that is killed while it makes a backup holds everything that the database does: the next start removes
// it, and nothing that somebody else put beside the database.
func TestACopyOfAKilledBackupDoesNotStay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "comm.db")
	ours, theirs := []string{path + ".copying", path + ".copying-journal"}, path+".backup"
	for _, name := range append([]string{theirs}, ours...) {
		if err := os.WriteFile(name, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openFile(t, path)
	for _, name := range ours {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s stays: %v", filepath.Base(name), err)
		}
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
}
