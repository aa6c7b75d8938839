package reports

import (
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
)

// both runs a test on both databases.
func both(t *testing.T, run func(t *testing.T, open func(*testing.T) store.Store)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T) store.Store{"SQLite": OnSQLite, "PostgreSQL": OnPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, open)
		})
	}
}

// TestPoisonCostsOnlyItself: more reports than are applied at once that the store refuses, parked before the others, stop
// no other, neither parked ones nor requests; once they can be applied they are.
func TestPoisonCostsOnlyItself(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, open func(*testing.T) store.Store) {
		w := New(t, open(t), &providertest.Reporter{})
		w.Leads.Store(false)
		subs := w.Accept(w.App, 140, "233241000001")
		w.Start(w.Config, subs)
		bad, good, fresh := subs[:110], subs[110:130], subs[130:]
		ill := map[string]bool{}
		lines := make([]string, 0, len(subs))
		for i, s := range subs[:130] {
			lines = append(lines, providertest.Line(s.ID.String(), comm.FateDelivered))
			if i < len(bad) {
				ill[s.ID.String()] = true
			}
		}
		ill[fresh[0].ID.String()] = true
		w.Posted(w.Config, lines...)
		w.Eventually("all are parked", func() bool { return w.Service.Counts().Parked >= 130 })
		w.Finish(w.Config, subs)
		poison := func(r *store.Report) bool { return ill[r.Ref] }
		w.Faults.Poison.Store(&poison)
		time.Sleep(500 * time.Millisecond)
		w.Leads.Store(true)
		for _, s := range good {
			w.Becomes(s, comm.Delivered)
		}
		for _, s := range fresh {
			w.Posted(w.Config, providertest.Line(s.ID.String(), comm.FateDelivered))
		}
		for _, s := range fresh[1:] {
			w.Becomes(s, comm.Delivered)
		}
		w.Eventually("no request is left", func() bool { return w.Left() == 0 })
		for _, s := range append(bad[:3:3], fresh[0]) {
			if m := w.Message(s); m.Status != comm.Sent {
				t.Fatalf("%s", m.Status)
			}
		}
		if log := w.Log.String(); strings.Count(log, "is put off") != 1 {
			t.Errorf("the operator is told %d times", strings.Count(log, "is put off"))
		}
		w.Faults.Poison.Store(nil)
		for _, s := range append(bad, fresh[0]) {
			w.Becomes(s, comm.Delivered)
			w.Lawful(w.Message(s))
		}
	})
}
