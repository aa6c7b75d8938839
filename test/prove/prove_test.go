// Package prove runs the crash program against the built binary on both
// stores, and against binaries with planted bugs that it must find. It needs
// no test of its own beyond that: the checker's rules are tested beside it.
package prove

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/prove"
	"github.com/commserver/commserver/test/build"
	"github.com/commserver/commserver/test/memory"
	"github.com/commserver/commserver/test/pgserver"
)

// programs are the binary as it ships and the one that can have planted bugs.
var programs = map[string]*build.Program{"product": {}, "planted": {Tags: "planted"}}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, p := range programs {
		p.Remove()
	}
	os.Exit(code)
}

func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := programs[name].Path()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// size is small in the usual run and full with COMMS_TEST_FULL=1.
func size(small, full int) int {
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		return full
	}
	return small
}

func base(t *testing.T, bin string) prove.Config {
	t.Helper()
	seconds := 0
	progress := func(p prove.Progress) {
		if seconds++; seconds%60 == 0 {
			t.Log(p)
		}
	}
	return prove.Config{Binary: bin, Dir: onDisk(t), Progress: progress, Nodes: 1, Apps: 6, Clients: size(16, 64), Seed: 20261122,
		Faults: []prove.Fault{prove.Pause, prove.Stop}, Limit: time.Duration(size(4, 90)) * time.Minute, Drain: 2 * time.Minute}
}

// onDisk is a folder that is not in memory: a kill is to hit servers that wait for a flush.
func onDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(memory.Disk(), "commserver-prove-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// onPostgres gives the run a database server of its own, so that it can be restarted under it.
func onPostgres(t *testing.T, cfg *prove.Config) {
	t.Helper()
	srv, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop(context.WithoutCancel(t.Context())) })
	env, err := prove.Environment(srv.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Env, cfg.Nodes = env, 3
	cfg.Faults = append(cfg.Faults, prove.Database)
	cfg.RestartDatabase = func(ctx context.Context) error { return srv.Restart(ctx, pgserver.Immediate) }
}

func onSQLite(t *testing.T, cfg *prove.Config) {
	t.Helper()
	env, err := prove.Environment("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Env = env
}

var stores = []struct {
	name string
	use  func(*testing.T, *prove.Config)
}{{"SQLite", onSQLite}, {"PostgreSQL", onPostgres}}

// TestPromisesHoldUnderFaults is the proof itself: kills, pauses, stops and database restarts.
func TestPromisesHoldUnderFaults(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // much of a run is waiting for faults to be over
			cfg := base(t, binary(t, "product"))
			cfg.Messages, cfg.Kills = size(4000, 200_000), size(12, 300)
			s.use(t, &cfg)
			rep, err := prove.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			show(t, rep)
			if !rep.OK() {
				logs(t, cfg.Dir)
				t.Fatal("a promise was broken")
			}
			if rep.Accepted < cfg.Messages || rep.Faults[prove.Kill.String()] < cfg.Kills {
				t.Fatalf("the run reached %d of %d messages and %d of %d kills", rep.Accepted, cfg.Messages, rep.Faults[prove.Kill.String()], cfg.Kills)
			}
			for what, n := range map[string]int{"unknown attempts": rep.Unknown, "extra copies": rep.Extra, "messages marked possibleDuplicate": rep.Marked,
				"unanswered requests": rep.Silent, "messages for later": rep.Scheduled, "cancelled messages": rep.Cancelled, "repeated requests": rep.Repeated} {
				if n == 0 {
					t.Errorf("no %s: the run did not test what it is for", what)
				}
			}
		})
	}
}

// TestTheProductHasNoPlantedBugs looks for the switch of package plant in both binaries.
func TestTheProductHasNoPlantedBugs(t *testing.T) {
	for name, planted := range map[string]bool{"product": false, "planted": true} {
		b, err := os.ReadFile(binary(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if found := bytes.Contains(b, []byte("PLANTED_BUG")); found != planted {
			t.Errorf("%s: has planted bugs: %t", name, found)
		}
	}
}

// TestPlantedBugsAreFound proves the proof: each bug must break a promise. Most
// show at once; some need a kill at the right instant, hence several rounds, and short ones.
func TestPlantedBugsAreFound(t *testing.T) {
	atOnce := make(chan struct{}, 2) // more would starve each other, and a round that hardly begins finds nothing
	for _, bug := range plant.Bugs() {
		t.Run(string(bug), func(t *testing.T) {
			t.Parallel() // much of a round is waiting for servers to start and to end
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			for spent, round := time.Duration(0), uint64(0); spent < patience(bug); round++ {
				cfg := hunt(t, bug)
				cfg.Seed += round
				spent += cfg.Limit
				rep, err := prove.Run(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				show(t, rep)
				if found(bug, rep) {
					return
				}
			}
			t.Fatal("the planted bug was not found")
		})
	}
}

// betrays names the rules that each bug breaks (docs/reliability.md).
var betrays = map[plant.Bug][]string{
	plant.AnswerBeforeCommit: {"J1", "J5"},
	plant.NoFence:            {"I9", "J1"},
	plant.TimeoutIsClean:     {"J3"},
	plant.SelectThenInsert:   {"J5", "J3"},
	plant.EventAfterCommit:   {"I1"},

	plant.DeliveryAfterCommit: {"J8"},
	plant.BodyPerAttempt:      {"J8"},
	plant.NoJitter:            {"I14"},
}

// found says that a run broke one of the bug's own rules. A message that is still under way says nothing: these
// runs do not wait for all to come to an end.
func found(bug plant.Bug, rep *prove.Report) bool {
	return slices.ContainsFunc(rep.Violations, func(v string) bool {
		rule, what, _ := strings.Cut(v, ": ")
		return slices.Contains(betrays[bug], rule) && !strings.Contains(what, " is still ")
	})
}

// patience is how long a bug is hunted at most, all rounds together.
func patience(bug plant.Bug) time.Duration {
	if bug == plant.NoFence {
		return 3 * time.Minute
	}
	return 72 * time.Second
}

// hunt is a short run against a binary with the bug.
func hunt(t *testing.T, bug plant.Bug) prove.Config {
	cfg := base(t, binary(t, "planted"))
	cfg.Messages, cfg.Drain = 1_000_000, 5*time.Second // the limit ends it
	if bug == plant.NoFence {                          // needs a second node that takes over, and a first one that comes back
		onPostgres(t, &cfg)
		cfg.Faults, cfg.Limit, cfg.Pauses = []prove.Fault{prove.Pause}, 30*time.Second, prove.Span{Min: 4500 * time.Millisecond, Max: 6 * time.Second}
		cfg.Stall, cfg.Clients, cfg.Rate = 30, 64, 100
	} else {
		onSQLite(t, &cfg)
		cfg.Faults, cfg.Limit, cfg.Kills = nil, 4*time.Second, 1_000_000
		if slices.Contains(betrays[bug], "J8") || slices.Contains(betrays[bug], "I14") {
			cfg.Limit = 8 * time.Second // what was refused is posted again after 5 s
		}
	}
	cfg.Env = append(cfg.Env, "PLANTED_BUG="+string(bug))
	return cfg
}

func show(t *testing.T, rep *prove.Report) {
	t.Helper()
	var b strings.Builder
	rep.Print(&b)
	t.Log("\n" + b.String())
}

// logs shows the end of each process's log.
func logs(t *testing.T, dir string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		t.Logf("%s:\n%s", filepath.Base(f), b[max(0, len(b)-4000):])
	}
}
