package postgres_test

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// A message whose row somebody holds is soon told apart from the others: reports of those are applied, and the request is
// there still.
func TestReportsDoNotWaitForALockedMessage(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		url := migrated(t)
		s := opened(t, postgres.Options{URL: url, Pooled: pooled})
		a := newApp(t, s)
		leases := own(t, s, "node", time.Hour)
		config := comm.ID{15: 9}
		var subs []store.Submission
		var due []comm.Micros
		for n := range 2 {
			subs = append(subs, submission(t, a, address(n)))
			due = append(due, acceptOne(t, s, subs[n]).Due)
		}
		turn := startAll(t, s, "node", leases, subs, due)
		for i := range turn.Starts {
			turn.Starts[i].ProviderID = config
		}
		started, err := s.Turn(t.Context(), turn)
		must(t, err)
		turn.Starts = nil
		for i, x := range started.Started {
			turn.Finishes = append(turn.Finishes, store.Finish{App: a.ID, ID: subs[i].ID, Unit: comm.Unit{Shard: subs[i].Shard, App: a.ID, Channel: comm.Email, Lane: comm.Normal},
				From: comm.Sending, Attempt: 1, Epoch: x.State.Epoch,
				Want: store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "twilio", ProviderID: config, Ref: subs[i].ID.String(), Traced: true}})
		}
		_, err = s.Turn(t.Context(), turn)
		must(t, err)
		report := func(i int) store.Report {
			return store.Report{Provider: config, Name: "twilio", Ref: subs[i].ID.String(), Told: comm.Told{Fate: comm.FateDelivered}, Since: comm.At(time.Now())}
		}
		end := locked(t, url, `SELECT 1 FROM state WHERE id = '`+sqlstore.UUID(subs[0].ID)+`' FOR UPDATE`)
		began := time.Now()
		_, err = s.Apply(t.Context(), store.ReportBatch{Node: "node", Reports: []store.Report{report(0), report(1)}})
		if took := time.Since(began); err == nil || store.Away(err) || took > 3*time.Second {
			t.Fatalf("%v after %v", err, took)
		}
		if out, err := s.Apply(t.Context(), store.ReportBatch{Node: "node", Reports: []store.Report{report(1)}}); err != nil || out[0] != store.ReportMoved {
			t.Fatalf("%v %v", out, err)
		}
		end("ROLLBACK")
		if out, err := s.Apply(t.Context(), store.ReportBatch{Node: "node", Reports: []store.Report{report(0)}}); err != nil || out[0] != store.ReportMoved {
			t.Fatalf("%v %v", out, err)
		}
	}
}
