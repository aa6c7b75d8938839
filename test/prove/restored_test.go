package prove

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/prove"
	"github.com/commserver/commserver/test/pgtest"
)

// TestPromisesHoldAfterARestore takes a backup in the middle of the load and of the faults, restores it elsewhere in the end, and holds what follows to what the
// choices of a release promise.
func TestPromisesHoldAfterARestore(t *testing.T) {
	for _, c := range []struct {
		name, choice string
		use          func(*testing.T, *prove.Config)
	}{{"SQLite, fail", "FAIL", onSQLite}, {"PostgreSQL, policy", "POLICY", onTwo}} {
		t.Run(c.name, func(t *testing.T) { t.Parallel(); restored(t, c.choice, c.use) })
	}
	if size(0, 1) == 1 {
		t.Run("SQLite, send", func(t *testing.T) { t.Parallel(); restored(t, "SEND", onSQLite) })
		t.Run("PostgreSQL, fail", func(t *testing.T) { t.Parallel(); restored(t, "FAIL", onTwo) })
	}
}

// onTwo gives the run a PostgreSQL database, and another one to restore into.
func onTwo(t *testing.T, cfg *prove.Config) {
	t.Helper()
	env, err := prove.Environment(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Env, cfg.Nodes, cfg.RestoreInto = env, 2, pgtest.Database(t)
}

func restored(t *testing.T, choice string, use func(*testing.T, *prove.Config)) {
	cfg := base(t, binary(t, "product"))
	cfg.Restore, cfg.Messages, cfg.Clients = choice, size(700, 40_000), size(8, 32)
	cfg.Faults, cfg.Pauses = []prove.Fault{prove.Pause}, prove.Span{Min: 50 * time.Millisecond, Max: 200 * time.Millisecond}
	if cfg.Kills = size(0, 30); cfg.Kills > 0 {
		cfg.Faults, cfg.Pauses = []prove.Fault{prove.Pause, prove.Stop}, prove.Span{} // they meet backups, too
	}
	use(t, &cfg)
	began := time.Now()
	rep, err := prove.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	show(t, rep)
	if !rep.OK() {
		logs(t, cfg.Dir)
		t.Fatal("a promise was broken")
	}
	x := rep.Restored
	for what, n := range map[string]int{"messages that the backup had": x.Kept, "messages lost with what came after it": x.Lost, "messages that may have been sent": rep.Doubtful,
		"messages with another history": x.Changed, "events read on": x.Read, "messages accepted since": rep.Fresh} {
		if n == 0 {
			t.Errorf("no %s: the run did not test what it is for", what)
		}
	}
	t.Logf("%v in all", time.Since(began).Round(time.Second))
}
