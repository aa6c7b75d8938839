package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// childPath, when set, makes the test binary the process that the crash and lock tests need.
const childPath = "SQLITE_TEST_CHILD_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child accepts from several goroutines until it is killed and writes every id that it was told is stored.
func child(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	app, err := comm.ParseID(os.Getenv("SQLITE_TEST_APP"))
	if err != nil {
		return err
	}
	fmt.Println("open")
	var wg sync.WaitGroup
	var failed sync.Once
	for range 4 {
		wg.Go(func() {
			for {
				subs := make([]store.Submission, 3)
				for i := range subs {
					subs[i] = message(app)
				}
				out, aerr := s.Accept(ctx, subs)
				if aerr != nil {
					failed.Do(func() { err = aerr })
					return
				}
				var line strings.Builder
				for _, o := range out {
					fmt.Fprintln(&line, o.ID)
				}
				fmt.Print(line.String())
			}
		})
	}
	wg.Wait()
	return err
}

func message(app comm.ID) store.Submission {
	id := comm.NewID(comm.At(time.Now()))
	return store.Submission{App: app, ID: id, Shard: comm.ShardOf(app, id, 1), Channel: comm.Email, Lane: comm.Normal, Mode: comm.Live, Node: "child",
		HasKey: true, KeyHash: id, Recipient: "a@example.org", Payload: []byte(`{"to":"a@example.org","body":"b"}`), RatePerMinute: 1 << 30}
}

// startChild runs this binary on a database and answers its output lines.
func startChild(t *testing.T, path string, app comm.ID) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path, "SQLITE_TEST_APP="+app.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child says %q", lines.Text())
	}
	return cmd, lines
}

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "comm.db")
	app := comm.NewID(comm.At(time.Now()))
	var acknowledged []comm.ID
	for round := range 5 {
		cmd, lines := startChild(t, path, app)
		enough := 60 + 90*round
		for n := 0; lines.Scan(); {
			id, err := comm.ParseID(lines.Text())
			if err != nil {
				break // the line that the kill cut
			}
			acknowledged = append(acknowledged, id)
			if n++; n == enough {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		checkAcknowledged(t, path, app, acknowledged)
	}
	if len(acknowledged) < 5*60 {
		t.Fatalf("%d acknowledged", len(acknowledged))
	}
}

// checkAcknowledged reopens the database: all that was told is whole, and nothing is half there.
func checkAcknowledged(t *testing.T, path string, app comm.ID, acknowledged []comm.ID) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
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
	for _, id := range acknowledged {
		m, err := s.Message(t.Context(), app, id)
		if err != nil {
			t.Fatalf("%s was acknowledged: %v", id, err)
		}
		if m.Status != comm.Queued || len(m.Events) != 1 || m.To == "" {
			t.Fatalf("%+v", m)
		}
		if _, err := s.KnownKey(t.Context(), app, comm.Live, id); err != nil {
			t.Fatalf("key of %s: %v", id, err)
		}
	}
	stored := map[comm.ID]bool{}
	for f := (store.Filter{Limit: 500}); ; {
		page, err := s.List(t.Context(), app, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			stored[m.ID] = true
		}
		if len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].ID
	}
	heads := 0
	u := comm.Unit{Shard: comm.ShardOf(app, comm.ID{}, 1), App: app, Channel: comm.Email, Lane: comm.Normal}
	for cur := (store.Head{}); ; {
		got, err := s.Windows(t.Context(), []store.Ask{{Unit: u, After: cur, Limit: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		page := got[0]
		for _, h := range page {
			if !stored[h.ID] {
				t.Fatalf("queue row of %s without a state row", h.ID)
			}
		}
		heads += len(page)
		if len(page) < 1000 {
			break
		}
		cur = page[len(page)-1]
	}
	if heads != len(stored) || heads < len(acknowledged) {
		t.Fatalf("%d queue rows, %d messages, %d acknowledged", heads, len(stored), len(acknowledged))
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "comm.db")
	cmd, _ := startChild(t, path, comm.NewID(1))
	if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		_ = s.Close()
		t.Error("two processes have the file")
	} else if !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("%v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	first, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatalf("after the process has died: %v", err)
	}
	if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		_ = s.Close()
		t.Error("opened twice in one process")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOtherNamesOfTheFileAreRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Log("on this system a file with a second name is refused at once")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "comm.db")
	cmd, _ := startChild(t, path, comm.NewID(1))
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for name, make := range map[string]func(string) error{
		"symlink.db":     func(at string) error { return os.Symlink(path, at) },
		"hardlink.db":    func(at string) error { return os.Link(path, at) },
		"folder/comm.db": func(at string) error { return os.Symlink(dir, filepath.Dir(at)) },
		"removed/lock.db": func(at string) error {
			if err := os.Mkdir(filepath.Dir(at), 0o700); err != nil {
				return err
			}
			return errors.Join(os.Remove(path+".lock"), os.Symlink(path, at))
		},
	} {
		at := filepath.Join(t.TempDir(), name)
		if err := make(at); err != nil {
			t.Fatal(err)
		}
		if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: at}); err == nil {
			_ = s.Close()
			t.Errorf("%s: two processes have the file", name)
		} else if !strings.Contains(err.Error(), "in use by another process") && runtime.GOOS == "linux" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRestartFreesTheDeadProcessesShards(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "comm.db")
	var last int64
	for range 3 {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		node := comm.NewID(comm.At(time.Now())).String()
		c, err := s.Beat(t.Context(), store.NodeInfo{Node: node, Role: "all", Lease: int64(time.Hour / time.Microsecond)})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Workers) != 1 || !c.Owners[7].Free {
			t.Fatalf("%v %+v", c.Workers, c.Owners[7])
		}
		leases, err := s.Take(t.Context(), node, []comm.Shard{7})
		if err != nil || len(leases) != 1 || leases[0].Epoch <= last {
			t.Fatalf("%+v after epoch %d: %v", leases, last, err)
		}
		last = leases[0].Epoch
		if err := s.Close(); err != nil { // without Leave: as if it had been killed
			t.Fatal(err)
		}
	}
}
