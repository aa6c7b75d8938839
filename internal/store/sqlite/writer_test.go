package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

func opened(t *testing.T) *Store {
	t.Helper()
	return openedWith(t, Options{Path: filepath.Join(t.TempDir(), "comm.db")})
}

// openedWith opens and migrates a store, and closes it after the test.
func openedWith(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func submission() store.Submission {
	now := comm.At(time.Now())
	app := comm.NewID(now)
	return store.Submission{App: app, ID: comm.NewID(now), Shard: comm.ShardOf(app, comm.ID{}, 1), Channel: comm.Email, Lane: comm.Normal, Mode: comm.Live,
		Node: "n", Recipient: "a@example.org", Payload: []byte(`{"to":"a@example.org","body":"b"}`), RatePerMinute: 1000}
}

func unavailable(err error) bool {
	var e *comm.Error
	return errors.As(err, &e) && e.Code == "unavailable"
}

// together holds the writer back until all operations wait, so that they share a transaction.
func together(t *testing.T, s *Store, calls ...func()) {
	t.Helper()
	held, go_ := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var once sync.Once
	wg.Go(func() {
		if err := s.w.hot(t.Context(), 1, func(*raw) error { once.Do(func() { close(held) }); <-go_; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-held
	for i, call := range calls {
		wg.Go(call)
		for len(s.w.ops) <= i { // each is in the queue before the next comes
			time.Sleep(100 * time.Microsecond)
		}
	}
	close(go_)
	wg.Wait()
}

func TestAFailingOperationDoesNotHarmItsNeighbours(t *testing.T) {
	t.Parallel()
	s := opened(t)
	taken := submission()
	if _, err := s.Accept(t.Context(), []store.Submission{taken}); err != nil {
		t.Fatal(err)
	}
	good1, good2, poison := submission(), submission(), submission()
	poison.App, poison.ID = taken.App, taken.ID
	var errs [6]error
	accept := func(i int, subs ...store.Submission) func() {
		return func() { _, errs[i] = s.Accept(t.Context(), subs) }
	}
	together(t, s,
		accept(0, good1),
		accept(1, submission(), poison),
		func() {
			_, errs[2] = s.Suppress(t.Context(), store.Suppression{App: good1.App, Channel: comm.Email, Address: "x"})
		},
		func() { _, _, errs[3] = s.Cancel(t.Context(), good1.App, comm.NewID(1), "app") },
		func() {
			_, errs[4] = s.Turn(t.Context(), store.Turn{Node: "nobody", Leases: []store.Lease{{Shard: 1, Epoch: 1}}})
		},
		accept(5, good2),
	)
	var lost *store.LostShards
	var missing *comm.Error
	if errs[0] != nil || errs[1] == nil || errs[2] != nil || !errors.As(errs[3], &missing) || missing.Code != "not_found" || !errors.As(errs[4], &lost) || errs[5] != nil {
		t.Fatalf("%v", errs)
	}
	for _, sub := range []store.Submission{good1, good2} {
		if _, err := s.Message(t.Context(), sub.App, sub.ID); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.Suppressed(t.Context(), good1.App, comm.Email, "x"); err != nil || !ok {
		t.Fatal(ok, err)
	}
}

func TestAColdFailureIsUndoneAlone(t *testing.T) {
	t.Parallel()
	s := opened(t)
	boom := errors.New("boom")
	var first, second error
	write := func(name string, then error) error {
		return s.Write(t.Context(), func(q sqlstore.Querier) error {
			if _, err := q.ExecContext(t.Context(), `INSERT INTO settings VALUES (?, 'v')`, name); err != nil {
				return err
			}
			return then
		})
	}
	together(t, s, func() { first = write("undone", boom) }, func() { second = write("kept", nil) })
	if !errors.Is(first, boom) || second != nil {
		t.Fatal(first, second)
	}
	undone, _ := s.Setting(t.Context(), "undone")
	kept, _ := s.Setting(t.Context(), "kept")
	if undone != "" || kept != "v" {
		t.Fatalf("%q %q", undone, kept)
	}
}

// codeErr is an error with a result code of SQLite.
type codeErr int

func (c codeErr) Error() string { return fmt.Sprintf("result code %d", int(c)) }
func (c codeErr) Code() int     { return int(c) }

const fsyncFailed = codeErr(10 | 4<<8) // SQLITE_IOERR_FSYNC

func TestAFailedFlushStopsTheStore(t *testing.T) {
	t.Parallel()
	s := opened(t)
	commits := 0
	s.w.commit = func(run func() error) error {
		if commits++; commits == 1 {
			return fsyncFailed
		}
		return run()
	}
	_, err := s.Accept(t.Context(), []store.Submission{submission()})
	if !errors.Is(err, store.ErrUncertain) {
		t.Fatalf("the caller of the commit gets %v", err)
	}
	if _, err := s.Accept(t.Context(), []store.Submission{submission()}); !unavailable(err) || errors.Is(err, store.ErrUncertain) {
		t.Fatalf("afterwards: %v", err)
	}
	if err := s.Ping(t.Context()); !unavailable(err) {
		t.Fatalf("ping: %v", err)
	}
	if _, err := s.Now(t.Context()); !unavailable(err) {
		t.Fatalf("now: %v", err)
	}
	if _, err := s.Message(t.Context(), comm.NewID(1), comm.NewID(1)); !unavailable(err) {
		t.Fatalf("read: %v", err)
	}
	if _, err := s.Suppress(t.Context(), store.Suppression{}); !unavailable(err) {
		t.Fatalf("cold write: %v", err)
	}
	select {
	case <-s.Broken():
	default:
		t.Error("nobody is told")
	}
	if err := s.Fault(); !errors.Is(err, errBroken) {
		t.Errorf("fault: %v", err)
	}
	if commits != 1 {
		t.Fatalf("%d commits: a flush was tried again", commits)
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	s := opened(t)
	limit := func(pages int) {
		t.Helper()
		if err := s.w.hot(t.Context(), 1, func(r *raw) error {
			_, err := r.one(&query{fmt.Sprintf(`PRAGMA max_page_count(%d)`, pages)})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // at least what is there
	big := submission()
	big.Payload = make([]byte, 1<<20)
	if _, err := s.Accept(t.Context(), []store.Submission{big}); !unavailable(err) || errors.Is(err, store.ErrUncertain) {
		t.Fatalf("full disk: %v", err)
	}
	if _, err := s.Message(t.Context(), big.App, big.ID); unavailable(err) || err == nil {
		t.Fatalf("after the refusal: %v", err)
	}
	limit(1 << 30)
	if _, err := s.Accept(t.Context(), []store.Submission{big}); err != nil {
		t.Fatalf("after there is space again: %v", err)
	}
}

func TestLowSpaceRefusesNewMessagesOnly(t *testing.T) {
	t.Parallel()
	s := opened(t)
	s.disk.mu.Lock()
	s.disk.seen, s.disk.low = time.Now(), true
	s.disk.mu.Unlock()
	if _, err := s.Accept(t.Context(), []store.Submission{submission()}); !unavailable(err) {
		t.Fatalf("%v", err)
	}
	if err := s.Ping(t.Context()); !unavailable(err) {
		t.Fatalf("%v", err)
	}
	if _, err := s.Suppress(t.Context(), store.Suppression{Channel: comm.SMS, Address: "1"}); err != nil {
		t.Fatalf("other writes must go on: %v", err)
	}
	s.disk.mu.Lock()
	s.disk.seen = time.Time{} // look again
	s.disk.mu.Unlock()
	if _, err := s.Accept(t.Context(), []store.Submission{submission()}); err != nil {
		t.Fatalf("with space again: %v", err)
	}
}

func TestARemovedFileStopsTheStore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "-wal"} {
		s := opened(t)
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.path+name, s.path+".moved"); err != nil {
			t.Fatal(err)
		}
		// The very next commit is not taken for stored.
		if _, err := s.Accept(t.Context(), []store.Submission{submission()}); !unavailable(err) || !errors.Is(err, store.ErrUncertain) {
			t.Fatalf("%q removed: %v", name, err)
		}
		// Putting another file there mends nothing.
		if err := os.WriteFile(s.path+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Accept(t.Context(), []store.Submission{submission()}); !unavailable(err) || errors.Is(err, store.ErrUncertain) {
			t.Fatalf("%q replaced: %v", name, err)
		}
		if _, err := s.Suppress(t.Context(), store.Suppression{}); !unavailable(err) {
			t.Fatalf("%q replaced, cold write: %v", name, err)
		}
		if err := s.Fault(); !errors.Is(err, errReplaced) {
			t.Fatalf("%q: %v", name, err)
		}
		<-s.Broken()
	}
}

func TestAReplacedFileStopsTheStore(t *testing.T) {
	t.Parallel()
	s := opened(t)
	other := filepath.Join(t.TempDir(), "restored.db")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, s.path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Suppress(t.Context(), store.Suppression{}); !unavailable(err) || !errors.Is(err, store.ErrUncertain) {
		t.Fatalf("%v", err)
	}
	<-s.Broken()
	// A log that came with the new file stays when ours is closed.
	const theirs = "the log of the new file"
	if err := os.WriteFile(other, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, s.path+"-wal"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(s.path + "-wal"); err != nil || string(got) != theirs {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAFileThatIsReplacedWhileItIsOpened: what was opened then is not read, since with that its log would be removed.
func TestAFileThatIsReplacedWhileItIsOpened(t *testing.T) {
	t.Parallel()
	const theirs = "the log of the new file"
	for name, open := range map[string]func(s *Store, present func() error) error{
		"reader": func(s *Store, present func() error) error {
			_, err := openRaw(uri(s.path), present, "query_only(1)", readerCache)
			return err
		},
		"shared SQL": func(s *Store, present func() error) error {
			c, err := sqlite.NewConnector(uri(s.path))
			if err != nil {
				t.Fatal(err)
			}
			_, err = (&checked{c, present, []string{"query_only(1)", coldCache}}).Connect(t.Context())
			return err
		},
	} {
		s := opened(t)
		empty := filepath.Join(t.TempDir(), "empty.db")
		if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.Rename(empty, s.path), os.WriteFile(s.path+"-wal.new", []byte(theirs), 0o600), os.Rename(s.path+"-wal.new", s.path+"-wal")); err != nil {
			t.Fatal(err)
		}
		if err := open(s, s.disk.present); !unavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(s.path + "-wal"); err != nil || string(got) != theirs {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestACallerThatLeavesBeforeItsTurnStoresNothing(t *testing.T) {
	t.Parallel()
	s := opened(t)
	sub := submission()
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	gone := make(chan struct{})
	held, go_ := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var once sync.Once
	wg.Go(func() {
		_ = s.w.hot(t.Context(), 1, func(*raw) error { once.Do(func() { close(held) }); <-go_; return nil })
	})
	<-held
	wg.Go(func() { _, err = s.Accept(ctx, []store.Submission{sub}); close(gone) })
	for len(s.w.ops) == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	cancel()
	<-gone // before the writer goes on
	close(go_)
	wg.Wait()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if perr := s.Ping(t.Context()); perr != nil { // the writer has passed the operation
		t.Fatal(perr)
	}
	if _, merr := s.Message(t.Context(), sub.App, sub.ID); merr == nil {
		t.Fatal("stored although the caller was told otherwise")
	}
}

func TestACancelledContextDoesNotUndoTheNeighbours(t *testing.T) {
	t.Parallel()
	s := opened(t)
	good := submission()
	ctx, cancel := context.WithCancel(t.Context())
	var goodErr, coldErr error
	together(t, s,
		func() { _, goodErr = s.Accept(t.Context(), []store.Submission{good}) },
		func() {
			coldErr = s.Write(ctx, func(q sqlstore.Querier) error {
				cancel() // in the middle of the transaction
				_, err := q.ExecContext(ctx, `INSERT INTO settings VALUES ('k', 'v')`)
				return err
			})
		})
	if goodErr != nil || coldErr != nil {
		t.Fatal(goodErr, coldErr)
	}
	if _, err := s.Message(t.Context(), good.App, good.ID); err != nil {
		t.Fatal(err)
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Accept(t.Context(), []store.Submission{submission()}); !unavailable(err) {
		t.Fatalf("%v", err)
	}
	if _, err := s.AppBySlug(t.Context(), "x"); !unavailable(err) {
		t.Fatalf("%v", err)
	}
}
