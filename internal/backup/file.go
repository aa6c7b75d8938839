package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Summary says what a file holds.
type Summary struct {
	Head
	FinishedAt comm.Micros      `json:"finishedAt"`
	Rows       map[string]int64 `json:"rows"`
	Bytes      int64            `json:"bytes"`
	Keys       []string         `json:"keys"` // ids of the ring's keys that it cannot be used without
}

// Write writes everything that s has to w.
func Write(ctx context.Context, s store.Backups, w io.Writer, version string) error {
	out, err := NewWriter(w, version)
	if err != nil {
		return err
	}
	if err := s.Backup(ctx, out); err != nil {
		return err
	}
	_, err = out.Finish()
	return err
}

// Create makes the file at path from what fill writes, readable by its owner alone, and reads it again before it gets its
// name; progress is told how many bytes were written. Where a file is, nothing is written. A process that is killed leaves a file
// that ends in .part, which the next one that writes into the folder removes.
func Create(ctx context.Context, path string, fill func(io.Writer) error, progress func(int64)) (sum Summary, err error) {
	if strings.HasSuffix(path, partSuffix) {
		return sum, fmt.Errorf("%s is how files end that are not finished, and are removed; choose another name", partSuffix)
	}
	if err := absent(path); err != nil {
		return sum, err
	}
	sweep(filepath.Dir(path))
	part, err := newPart(path)
	if errors.Is(err, os.ErrNotExist) {
		return sum, fmt.Errorf("write the backup: the folder %s does not exist; make it, or choose another one", filepath.Dir(path))
	}
	if err != nil {
		return sum, fmt.Errorf("write the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, part.Close(), os.Remove(part.Name()))
		}
	}()
	if err := fill(&counter{to: part, ctx: ctx, tell: progress}); err != nil {
		return sum, err
	}
	if err := part.Sync(); err != nil {
		return sum, fmt.Errorf("write the backup: %w", err)
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return sum, fmt.Errorf("read the backup again: %w", err)
	}
	if sum, err = Look(part); err != nil {
		return sum, fmt.Errorf("what was written cannot be read again: %w", err)
	}
	if err := take(part.Name(), path); err != nil {
		return sum, fmt.Errorf("name the backup: %w", err)
	}
	return sum, part.Close()
}

// partSuffix ends the names of files that are being written. Before it stands the machine that writes.
const partSuffix = ".commserver.part"

// foreignFor is how long nothing was written to a file of another machine that is taken for left: not every shared folder has locks that both see.
const foreignFor = 24 * time.Hour

// sweep removes what killed processes have left: each is as large as a backup.
func sweep(dir string) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return // writing there says why
	}
	for _, e := range all {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), partSuffix) {
			continue
		}
		info, err := e.Info()
		if err == nil && (strings.HasSuffix(e.Name(), ownSuffix()) || time.Since(info.ModTime()) > foreignFor) {
			removeLeft(filepath.Join(dir, e.Name()))
		}
	}
}

// ownSuffix ends the names of files that this machine is writing.
func ownSuffix() string {
	host, _ := os.Hostname()
	return "." + strings.ReplaceAll(host, string(filepath.Separator), "-") + partSuffix
}

// newPart makes the file that is written, for its owner alone, and keeps others from removing it.
func newPart(path string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+ownSuffix()) // mode 0600
		if err != nil {
			return nil, err
		}
		looked := lock(f)
		ours, err := f.Stat()
		named, gone := os.Lstat(f.Name())
		if !looked && err == nil && gone == nil && os.SameFile(ours, named) {
			return f, nil
		}
		// Another process looked at it in between, and takes it for one that was left.
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		_ = os.Remove(f.Name())
	}
}

func absent(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s is there already: a backup is never written over; give another name", path)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	return nil
}

// take gives the file its name, unless somebody else has taken it meanwhile.
func take(part, path string) error {
	if err := os.Link(part, path); err == nil || errors.Is(err, os.ErrExist) {
		if err != nil {
			return err
		}
		return errors.Join(os.Remove(part), flushFolder(path))
	}
	if err := absent(path); err != nil { // a file system without second names
		return err
	}
	return errors.Join(os.Rename(part, path), flushFolder(path))
}

// flushFolder makes a file's name durable, where a folder can be flushed.
func flushFolder(path string) error {
	f, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = f.Sync() // Windows refuses
	return f.Close()
}

// Look reads a file through and says what it holds.
func Look(f *os.File) (sum Summary, err error) {
	r, err := NewReader(f)
	if err != nil {
		return sum, err
	}
	if err := r.ReadThrough(); err != nil {
		return sum, err
	}
	if _, err := r.head.Newest(); err != nil {
		return sum, err
	}
	sum = Summary{Head: r.head, FinishedAt: r.trailer.FinishedAt, Rows: r.trailer.Rows}
	all, err := seal.ParseCanaries(r.head.Canary)
	if err != nil {
		return sum, err
	}
	for _, c := range all {
		sum.Keys = append(sum.Keys, c.KeyID)
	}
	info, err := f.Stat()
	if err == nil {
		sum.Bytes = info.Size()
	}
	return sum, err
}

// Opens says whether a ring opens what is sealed in a backup. The error names the key that is missing or wrong.
func Opens(h *store.BackupHead, ring *seal.Ring) error {
	all, err := seal.ParseCanaries(h.Canary)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := ring.CheckCanary(c); err != nil {
			return fmt.Errorf("this key ring does not open the backup: set COMMS_ENCRYPTION_KEYS to the ring that holds key %q: %w", c.KeyID, err)
		}
	}
	return nil
}

// counter tells how much went through it, and ends with its context.
type counter struct {
	to   io.Writer
	ctx  context.Context
	tell func(int64)
	n    int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.to.Write(b)
	if c.n += int64(n); c.tell != nil {
		c.tell(c.n)
	}
	if err != nil {
		err = fmt.Errorf("write the backup: %w", err)
	}
	return n, err
}
