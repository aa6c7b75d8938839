package memory

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestBorrow: runs share the folder, the last one leaves nothing in it, and what a killed one left goes with the next.
func TestBorrow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tests")
	borrowed := func() *Folder {
		f, err := borrow(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	write := func(name string) string {
		file := filepath.Join(path, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	there := func(file string, want bool) {
		t.Helper()
		if _, err := os.Stat(file); err == nil != want || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want it to be there: %t", filepath.Base(file), err, want)
		}
	}
	one, two := borrowed(), borrowed()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o711 || one.Path != path {
		t.Errorf("%s: %v %v", one.Path, info, err)
	}
	file := write("one")
	if err := two.GiveBack(); err != nil {
		t.Fatal(err)
	}
	there(file, true)
	if err := one.GiveBack(); err != nil {
		t.Fatal(err)
	}
	there(file, false)
	left := write("left")
	three := borrowed()
	there(left, false)
	if err := three.GiveBack(); err != nil {
		t.Fatal(err)
	}
}

// TestOthersFolders: what stands there under the name and is no folder of ours is not used.
func TestOthersFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, file} {
		if f, err := borrow(path); err == nil {
			t.Errorf("%s is used: %+v", path, f)
		}
	}
	if !Holds("/dev/shm/x") || Holds("/dev/shmx") || Holds("/tmp") {
		t.Error("Holds is wrong")
	}
}
