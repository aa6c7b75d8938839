package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/test/pgtest"
)

// tiny is enough for every workload to do everything once.
func tiny() *sizes {
	return &sizes{runs: 1, load: 200 * time.Millisecond, connections: []int{1, 64}, drain: 1500, mail: 300, single: 10,
		big: 1500, done: 200, rest: 200 * time.Millisecond, watch: 500 * time.Millisecond, lists: 5}
}

// program builds the binary that is measured.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "commserver")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/commserver/commserver/cmd/commserver")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

// TestEveryWorkload runs the whole benchmark in small on both stores, and looks
// for what it leaves behind. It and the next one share a PostgreSQL on which
// nothing may be left, so they do not run at once.
func TestEveryWorkload(t *testing.T) {
	dir := t.TempDir()
	url := pgtest.Database(t)
	report, err := Run(t.Context(), Config{Binary: program(t), Dir: dir, SQLite: true, DatabaseURL: url, size: tiny()})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		workload, metric string
		both             bool // the baseline has the figure too
	}{
		{"start", "ready", false}, {"start", "ready, new database", false},
		{"accept, 1 connections", "rate", true}, {"accept, 64 connections", "p99", true},
		{"drain 1500 messages, instant provider", "rate", true}, {"SMTP, 300 messages, 16 sessions", "rate", true},
		{"whole life, 64 connections", "rate", true}, {"whole life, 64 connections", "accept p99", true},
		{"one message at a time", "accept to provider call, p50", true},
		{"1500 messages waiting", "ready", false}, {"1500 messages waiting", "written while nothing can be sent", false},
		{"1500 messages waiting", "list, status QUEUED, p95", false},
	}
	for _, store := range []string{"SQLite", "PostgreSQL"} {
		for _, w := range want {
			row := report.index[[3]string{store, w.workload, w.metric}]
			switch {
			case row == nil || row.Product == nil || w.both && row.Baseline == nil:
				t.Errorf("%s: %s, %s was not measured on every side", store, w.workload, w.metric)
			case row.Product.Median < 0 || !strings.HasPrefix(w.metric, "written") && row.Product.Median == 0:
				t.Errorf("%s: %s, %s is %v", store, w.workload, w.metric, row.Product.Median)
			}
		}
	}
	nothingLeft(t, dir, url)
}

func nothingLeft(t *testing.T, dir, url string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the scratch folder is left: %v (%v)", left, err)
	}
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	var databases int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM pg_database WHERE datname LIKE 'commserver\_bench\_%'`).Scan(&databases); err != nil || databases > 0 {
		t.Errorf("%d databases are left (%v)", databases, err)
	}
	stats, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), dir) && !strings.HasPrefix(path, "/proc/self") {
			t.Errorf("a process of the run is left: %s", path)
		}
	}
}

// TestInterrupted ends a run in the middle of a load.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	size := tiny()
	size.load = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	url := pgtest.Database(t)
	binary := program(t)
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, Config{Binary: binary, Dir: dir, SQLite: true, DatabaseURL: url, Only: []string{"accept"}, size: size})
		done <- err
	}()
	// The data folder of a server appears just before it is started.
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if logs, _ := filepath.Glob(filepath.Join(dir, "*", "*.log")); len(logs) > 0 {
			break
		}
	}
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("an interrupted run reports no error")
		}
	case <-time.After(45 * time.Second):
		t.Fatal("an interrupted run goes on")
	}
	nothingLeft(t, dir, url)
}

func TestUnknownWorkload(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), Config{Dir: t.TempDir(), Only: []string{"acept"}}); err == nil || !strings.Contains(err.Error(), "accept") {
		t.Errorf("the error does not name what there is: %v", err)
	}
}
