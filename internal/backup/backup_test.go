package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/store"
)

// source is a store with two parts, one of them large and hard to compress.
type source struct{ large []byte }

func newSource() *source {
	s := &source{large: make([]byte, 300<<10)}
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(s.large)
	return s
}

func (s *source) Backup(_ context.Context, to store.BackupTo) error {
	if err := to.Head(store.BackupHead{Store: "sqlite", TakenAt: 5, Schema: []store.SchemaStep{{Name: "0001", Sum: "x"}}}); err != nil {
		return err
	}
	for name, data := range map[string][]byte{"large": s.large} {
		if err := to.Part(name, func(w io.Writer) (map[string]int64, error) {
			_, err := w.Write(data)
			return map[string]int64{name: 7}, err
		}); err != nil {
			return err
		}
	}
	return to.Part("empty", func(io.Writer) (map[string]int64, error) { return map[string]int64{"empty": 0}, nil })
}

func written(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), newSource(), &b, "v1"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(b []byte) error {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return r.ReadThrough()
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	t.Parallel()
	r, err := NewReader(bytes.NewReader(written(t)))
	if err != nil || r.Head().TakenAt != 5 || r.Version() != "v1" {
		t.Fatal(err)
	}
	if _, err := r.End(); err == nil {
		t.Error("it ends before its end")
	}
	name, part, err := r.Next()
	if err != nil || name != "large" {
		t.Fatal(name, err)
	}
	if b, err := io.ReadAll(part); err != nil || !bytes.Equal(b, newSource().large) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if name, part, err = r.Next(); err != nil || name != "empty" {
		t.Fatal(name, err)
	}
	if b, err := io.ReadAll(part); err != nil || len(b) != 0 {
		t.Errorf("%q %v", b, err)
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if rows, err := r.End(); err != nil || fmt.Sprint(rows) != "map[empty:0 large:7]" {
		t.Errorf("%v %v", rows, err)
	}
}

// TestWhatIsSaidOfTheEnd: a file that is too short and one that is too long are told apart, in one sentence.
func TestWhatIsSaidOfTheEnd(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	w, err := NewWriter(&file, "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Head(store.BackupHead{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"a byte short":                 {file.Bytes()[:file.Len()-1], "the backup is damaged or was cut off: use another one (unexpected EOF)"},
		"two bytes more":               {append(bytes.Clone(file.Bytes()), "xy"...), "the backup is damaged or was cut off: use another one (something stands behind its end)"},
		"the beginning of another one": {append(bytes.Clone(file.Bytes()), 0x1f, 0x8b), "the backup is damaged or was cut off: use another one (something stands behind its end)"},
	} {
		r, err := NewReader(bytes.NewReader(c.content))
		if err == nil {
			err = r.ReadThrough()
		}
		if !errors.Is(err, ErrDamaged) || err.Error() != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is cut off, changed or appended, the file is refused, and with an error that says so.
func TestWhatIsNotAsWrittenIsRefused(t *testing.T) {
	t.Parallel()
	whole := written(t)
	if err := readAll(whole); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		cut := random.IntN(len(whole))
		if err := readAll(whole[:cut]); err == nil {
			t.Fatalf("cut off at %d of %d", cut, len(whole))
		} else if !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut off at %d: %v", cut, err)
		}
		changed := bytes.Clone(whole)
		at := random.IntN(len(whole))
		changed[at] ^= byte(1 + random.IntN(255))
		// The head of the gzip stream has fields that say nothing: time, system, flags of speed.
		if err := readAll(changed); err == nil && (at < len(magic)+3 || at > len(magic)+9) {
			t.Fatalf("changed at %d of %d", at, len(whole))
		}
	}
	for _, more := range []string{"\x00", "more", string(whole[len(magic):])} {
		if err := readAll(append(bytes.Clone(whole), more...)); err == nil {
			t.Errorf("%d bytes appended", len(more))
		}
	}
	for cut := range len(magic) {
		if err := readAll(whole[:cut]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut off at %d: %v", cut, err)
		}
	}
	for name, text := range map[string]string{"a text": "hello", "a later form": "commserver-backup 2\n"} {
		if err := readAll([]byte(text)); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileGetsItsNameOnceItIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.backup")
	left := func(want ...string) {
		t.Helper()
		all, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range all {
			names = append(names, e.Name())
		}
		if strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("left: %q, want %q", names, want)
		}
	}
	full := &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
	for name, fill := range map[string]func(io.Writer) error{
		"a full disk": func(w io.Writer) error { _, err := w.Write(written(t)[:1000]); return errors.Join(err, full) },
		"a lost end":  func(w io.Writer) error { b := written(t); _, err := w.Write(b[:len(b)-9]); return err },
		"nothing":     func(io.Writer) error { return nil },
	} {
		if _, err := Create(t.Context(), path, fill, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
		left()
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	whole := func(w io.Writer) error { return Write(t.Context(), newSource(), w, "v1") }
	if _, err := Create(stopped, path, whole, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	left()
	var seen int64
	sum, err := Create(t.Context(), path, whole, func(n int64) { seen = n })
	if err != nil || sum.Rows["large"] != 7 || sum.Bytes != seen || sum.FinishedAt == 0 {
		t.Fatalf("%+v %v", sum, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := Create(t.Context(), path, whole, nil); err == nil || !strings.Contains(err.Error(), "never written over") {
		t.Error(err)
	}
	left("a.backup")
}

// What a killed process has left goes with the next backup into the folder; what one writes now stays, and what is not ours.
func TestWhatAKilledBackupLeftIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := time.Now().Add(-2 * foreignFor)
	for name, at := range map[string]time.Time{"a.backup.1" + ownSuffix(): time.Now(), "a.backup.2" + ownSuffix(): old, "film.part": old,
		"d.backup.1.of-another-machine.commserver.part": time.Now(), "d.backup.2.of-another-machine.commserver.part": old} {
		err := os.WriteFile(filepath.Join(dir, name), written(t)[:50], 0o600)
		if err := errors.Join(err, os.Chtimes(filepath.Join(dir, name), at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Create(t.Context(), filepath.Join(dir, "e.commserver.part"), func(io.Writer) error { return nil }, nil); err == nil || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("a name that would be removed: %v", err)
	}
	var under []string
	_, err := Create(t.Context(), filepath.Join(dir, "b.backup"), func(w io.Writer) error {
		if _, err := Create(t.Context(), filepath.Join(dir, "c.backup"), func(w io.Writer) error { return Write(t.Context(), newSource(), w, "v1") }, nil); err != nil {
			t.Error(err)
		}
		under, _ = filepath.Glob(filepath.Join(dir, "*"))
		return Write(t.Context(), newSource(), w, "v1")
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := filepath.Glob(filepath.Join(dir, "*"))
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	if got := strings.Join(all, " "); got != "b.backup c.backup d.backup.1.of-another-machine.commserver.part film.part" || len(under) != 4 {
		t.Errorf("left: %s; while it was written: %q", got, under)
	}
}

func FuzzReader(f *testing.F) {
	var b bytes.Buffer
	if err := Write(context.Background(), &source{large: []byte("small")}, &b, "v1"); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(magic))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = readAll(data) }) // it ends, and takes no memory that was not sent
}

// unnamed is a store whose backups name no schema, as one of no CommServer would.
type unnamed struct{}

func (unnamed) Backup(_ context.Context, to store.BackupTo) error {
	return to.Head(store.BackupHead{Store: "postgresql", TakenAt: 5})
}

// A file that names no schema gets no name, and is refused with what is wrong with it.
func TestABackupWithoutSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "comms.backup")
	_, err := Create(t.Context(), path, func(w io.Writer) error { return Write(t.Context(), unnamed{}, w, "v1") }, nil)
	if err == nil || !strings.Contains(err.Error(), "names no schema") {
		t.Errorf("without a schema: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
}
