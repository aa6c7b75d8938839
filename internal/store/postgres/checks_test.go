package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// TestStartIsCheck holds the checks in the statement to comm.Check, in every
// combination of what a message can be in, all in one turn.
func TestStartIsCheck(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	leases := own(t, s, "a", time.Minute)
	var checks []comm.Check
	for bits := range 64 {
		checks = append(checks, comm.Check{Suppressed: bits&1 != 0, ContentGone: bits&2 != 0, Expired: bits&4 != 0,
			Cancelled: bits&8 != 0, Unknown: bits&16 != 0, Continuing: bits&32 != 0})
	}
	turn := store.Turn{Node: "a", Leases: []store.Lease{leases[comm.ShardOf(a.ID, comm.ID{}, 1)]}}
	var subs []store.Submission
	for i := range checks {
		subs = append(subs, submission(t, a, address(i)))
	}
	out, err := s.Accept(t.Context(), subs)
	must(t, err)
	var changes []string
	for i, c := range checks {
		sub, due := subs[i], out[i].Due
		start := store.Start{Unit: comm.Unit{Shard: sub.Shard, App: sub.App, Channel: sub.Channel, Lane: sub.Lane}, Head: store.Head{Due: due, ID: sub.ID}, Provider: "two"}
		bring := func(set string) {
			changes = append(changes, fmt.Sprintf(`UPDATE state SET %s WHERE app_id = '%s' AND id = '%s'`, set, hexOf(sub.App), hexOf(sub.ID)))
		}
		if c.Continuing {
			bring(`status = 2, attempts = 3, epoch = 77`)
			start.Attempt, start.Epoch = 3, 77
			start.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, Provider: "one", ErrorCode: "550", ErrorText: "no"}
		}
		if c.Cancelled {
			bring(`flags = flags | 1`)
		}
		if c.Unknown {
			bring(`flags = flags | 4`)
		}
		if c.Expired {
			bring(`expires_at = 1`)
		}
		if c.ContentGone {
			changes = append(changes, fmt.Sprintf(`UPDATE content SET payload = NULL WHERE app_id = '%s' AND id = '%s'`, hexOf(sub.App), hexOf(sub.ID)))
		}
		if c.Suppressed {
			_, err := s.Suppress(t.Context(), store.Suppression{App: a.ID, Channel: sub.Channel, Address: sub.Recipient, Reason: "manual", CreatedAt: 1})
			must(t, err)
		}
		turn.Starts = append(turn.Starts, start)
	}
	sql(t, url, changes...)
	res, err := s.Turn(t.Context(), turn)
	must(t, err)
	queued := map[comm.ID]bool{}
	heads, err := s.Windows(t.Context(), []store.Ask{{Unit: turn.Starts[0].Unit, Limit: len(checks)}})
	must(t, err)
	for _, h := range heads[0] {
		queued[h.ID] = true
	}
	for i, c := range checks {
		got := res.Started[i]
		to, cause := c.End()
		want, from := store.Ended, comm.Queued
		if to == comm.None {
			to, cause, want = comm.Sending, comm.CauseAttemptStarted, store.Go
		}
		if c.Continuing {
			from = comm.Sending
		}
		m, err := s.Message(t.Context(), a.ID, subs[i].ID)
		must(t, err)
		last := m.Events[len(m.Events)-1]
		if got.Verdict != want || got.State != m.State || m.Status != to || last.Type != cause || last.From != from || last.To != to {
			t.Errorf("%+v: verdict %d, %s by %s from %s; want %d, %s by %s\n%+v\n%+v", c, got.Verdict, m.Status, last.Type, last.From, want, to, cause, got.State, m.State)
		}
		if to == comm.Failed && (m.ErrorCode != cause.String() || last.ErrorCode != cause.String()) {
			t.Errorf("%+v: error code %q, event's %q, want %q", c, m.ErrorCode, last.ErrorCode, cause)
		}
		if failed := m.Events[len(m.Events)-2]; c.Continuing && (failed.Type != comm.CauseAttemptFailed || failed.Attempt != 3 || failed.Epoch != 77) {
			t.Errorf("%+v: %+v", c, failed)
		}
		if queued[subs[i].ID] != (to == comm.Sending) {
			t.Errorf("%+v: queue row %v", c, queued[subs[i].ID])
		}
	}
}

// TestStaleHeadRow removes the queue row of a message that is elsewhere, and only then.
func TestStaleHeadRow(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	leases := own(t, s, "a", time.Minute)
	for _, c := range []struct {
		name, change string
		kept         bool
	}{
		{"ended", `UPDATE state SET status = 3`, false},
		{"moved", `UPDATE state SET due = due + 5`, false},
		{"erased", `DELETE FROM state`, false},
		{"in flight", `UPDATE state SET status = 2`, true},
	} {
		sub := submission(t, a, "x@example.org")
		due := acceptOne(t, s, sub).Due
		sql(t, url, c.change+fmt.Sprintf(` WHERE id = '%s'`, hexOf(sub.ID)))
		res, err := s.Turn(t.Context(), startAll(t, s, "a", leases, []store.Submission{sub}, []comm.Micros{due}))
		must(t, err)
		kept := scalar(t, url, `SELECT count(*) FROM queue WHERE id = $1`, uuid(sub.ID)) == 1
		if res.Started[0].Verdict != store.Gone || kept != c.kept {
			t.Errorf("%s: verdict %d, queue row kept %v", c.name, res.Started[0].Verdict, kept)
		}
	}
}

func hexOf(id comm.ID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
