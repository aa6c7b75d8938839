//go:build unix

package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/test/memory"
)

// orphanVariable makes this test binary a program that starts a server, prints
// where it is and waits to be killed.
const orphanVariable = "PGSERVER_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pid, err := s.pid()
	fmt.Println(s.root, pid, err)
	select {}
}

func one(t *testing.T, url, query string) string {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var answer string
	if err := conn.QueryRow(ctx, query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// TestHasty: what a hasty server does not flush is there all the same when only its processes die.
func TestHasty(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := Start(ctx, Hasty())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(ctx)) })
	if _, room := memory.Root(); room && !memory.Holds(s.Dir()) {
		t.Errorf("it lies in %s, though there is room in memory", s.Dir())
	}
	if got := one(t, s.URL("postgres"), "SHOW fsync"); got != "off" {
		t.Errorf("fsync = %s", got)
	}
	one(t, s.URL("postgres"), "SELECT 'x' FROM (SELECT lo_create(4711)) AS made")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if got := one(t, s.URL("postgres"), "SELECT count(*)::text FROM pg_largeobject_metadata WHERE oid = 4711"); got != "1" {
		t.Errorf("after a kill %s of one object are there", got)
	}
}

func TestServerLife(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := Start(ctx, Options{Settings: map[string]string{"work_mem": "'5MB'"}})
	if err != nil {
		t.Fatal(err)
	}
	if memory.Holds(s.Dir()) {
		t.Errorf("a durable server lies in memory, in %s", s.Dir())
	}
	for _, setting := range []struct{ name, want string }{
		{"work_mem", "5MB"}, {"fsync", "on"}, {"synchronous_commit", "on"}, {"full_page_writes", "on"}, {"listen_addresses", "127.0.0.1"},
	} {
		if got := one(t, s.URL("postgres"), "SHOW "+setting.name); got != setting.want {
			t.Errorf("%s = %s, want %s", setting.name, got, setting.want)
		}
	}
	if got := one(t, s.SocketURL("postgres"), "SELECT (inet_server_addr() IS NULL)::text"); got != "true" {
		t.Errorf("SocketURL does not go over the socket")
	}
	if conn, err := pgx.Connect(ctx, strings.Replace(s.URL("postgres"), s.password, "wrong", 1)); err == nil {
		_ = conn.Close(ctx)
		t.Error("the server lets people in without its password")
	}
	one(t, s.URL("postgres"), "SELECT 'x' FROM (SELECT lo_create(4711)) AS made")
	for name, disturb := range map[string]func() error{
		"restart": func() error { return s.Restart(ctx, Fast) },
		"crash":   func() error { return s.Restart(ctx, Immediate) },
		"kill":    func() error { return errors.Join(s.Kill(), s.Resume(ctx)) },
	} {
		if err := disturb(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := one(t, s.URL("postgres"), "SELECT oid::text FROM pg_largeobject_metadata"); got != "4711" {
			t.Errorf("after %s: %q", name, got)
		}
	}
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files of a stopped server are left behind: %v", err)
	}
}

// TestServerEndsWithItsProcess kills the process that started a server.
func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), orphanVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var root string
	var pid int
	if _, err := fmt.Sscanf(line, "%s %d <nil>", &root, &pid); err != nil {
		t.Fatalf("the helper said %q", line)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed, so this is an error
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, statErr := os.Stat(root)
		if killErr := syscall.Kill(pid, 0); errors.Is(killErr, syscall.ESRCH) && errors.Is(statErr, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server %d in %s outlives the process that started it", pid, root)
		}
		time.Sleep(20 * time.Millisecond) // another process: there is nothing to wait on
	}
}

func TestOwnerReaches(t *testing.T) {
	t.Parallel()
	open := t.TempDir()
	inner := filepath.Join(open, "closed", "inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(open, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := owner{&syscall.Credential{Uid: 65534, Gid: 65534}}
	if other.reaches(inner) {
		t.Error("a folder below one of mode 0700 counts as reachable for another user")
	}
	if !other.reaches("/tmp") || !(owner{}).reaches(inner) {
		t.Error("a reachable folder counts as not reachable")
	}
}

func TestHasPrograms(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if hasPrograms(folder) {
		t.Error("an empty folder counts as an installation")
	}
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if !hasPrograms(folder) {
		t.Error("a complete folder does not count as an installation")
	}
}
