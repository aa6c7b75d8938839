package sqlstore_test

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const now comm.Micros = 1_000_000

// everyState is a row in each status with each set of flags, not expired and expired.
func everyState() []comm.State {
	var out []comm.State
	for _, status := range comm.Statuses() {
		for flags := range comm.Flags(16) {
			for _, expires := range []comm.Micros{0, now - 1, now + 1} {
				s := comm.State{App: comm.NewID(now), ID: comm.NewID(now), Channel: comm.SMS, Mode: comm.Live, Status: status, Generation: 2, Attempts: 3,
					Round: 1, RoundSince: 5, Sequence: 9, Epoch: 4, Flags: flags, ExpiresAt: expires, Provider: "smtp", ProviderRef: "old", ErrorCode: "451"}
				if !status.Final() {
					s.Due = now - 10
				}
				out = append(out, s)
			}
		}
	}
	return out
}

// follows holds a change to the state machine and to the rules of the log and the queue.
func follows(t *testing.T, c *sqlstore.Change) {
	t.Helper()
	last, seq := c.Before.Status, c.Before.Sequence
	for _, e := range c.Events {
		seq++
		if e.Sequence != seq || e.From != last || e.At != now || e.Message != c.Before.ID || e.App != c.Before.App {
			t.Fatalf("event %+v after %s, sequence %d", e, last, seq-1)
		}
		if e.From != e.To && !comm.Allowed(e.From, e.To, e.Type) {
			t.Fatalf("no edge %s -> %s by %s", e.From, e.To, e.Type)
		}
		last = e.To
	}
	a := &c.After
	if a.Status != last || a.Sequence != seq {
		t.Fatalf("row %s/%d, log %s/%d", a.Status, a.Sequence, last, seq)
	}
	if a.Status.Final() != (a.Due == 0) {
		t.Fatalf("%s with due %d", a.Status, a.Due)
	}
	remove, removed, insert, inserted := c.QueueMove()
	had, has := !c.Before.Status.Final(), !a.Status.Final()
	moves := had && has && c.Before.Due != a.Due
	if removed != (had && !has || moves) || inserted != (!had && has || moves) || removed && remove != c.Before.Due || inserted && insert != a.Due {
		t.Fatalf("queue: %s due %d -> %s due %d: %v %v", c.Before.Status, c.Before.Due, a.Status, a.Due, removed, inserted)
	}
}

func TestCancelFollowsTheStateMachine(t *testing.T) {
	t.Parallel()
	for _, s := range everyState() {
		c, result := sqlstore.Cancel(&s, "app", now)
		if want := comm.CancelVerdict(&s); result != want {
			t.Fatalf("%s: %d, want %d", s.Status, result, want)
		}
		follows(t, &c)
		if result == comm.CancelFlight && !c.After.Flags.Has(comm.CancelWanted) {
			t.Fatal("the wish is not kept")
		}
		if again, _ := sqlstore.Cancel(&c.After, "app", now); len(again.Events) != 0 {
			t.Fatalf("a second CANCEL of %s writes %+v", s.Status, again.Events)
		}
	}
}

func TestRetryFollowsTheStateMachine(t *testing.T) {
	t.Parallel()
	for _, s := range everyState() {
		for _, gone := range []bool{false, true} {
			c, result := sqlstore.Retry(&s, gone, "admin", now)
			if want := comm.RetryVerdict(&s, gone, now); result != want {
				t.Fatalf("%s: %d, want %d", s.Status, result, want)
			}
			follows(t, &c)
			a := &c.After
			if result != comm.RetryDone {
				if len(c.Events) != 0 || *a != s {
					t.Fatalf("a refused RETRY changes the row: %+v", a)
				}
				continue
			}
			if a.Generation != 3 || a.Due != now || a.Flags.Has(comm.CancelWanted) || a.Flags.Has(comm.UnknownInGeneration) ||
				a.Flags&comm.UnknownEver != s.Flags&comm.UnknownEver || a.Round != 0 || a.RoundSince != 0 || a.ErrorCode != "" || a.Attempts != s.Attempts {
				t.Fatalf("%+v", a)
			}
		}
	}
}

func TestLateFollowsTheStateMachine(t *testing.T) {
	t.Parallel()
	for _, s := range everyState() {
		for _, accepted := range []bool{false, true} {
			r := store.LateResult{App: s.App, ID: s.ID, Attempt: 3, Accepted: accepted, Outcome: store.Outcome{To: comm.Sent, Provider: "smtp", Ref: "new"}}
			c := sqlstore.Late(&s, nil, &r, "node", now)
			follows(t, &c)
			if c.Events[0].Type != comm.CauseLateResult || c.Events[0].Attempt != 3 {
				t.Fatalf("%+v", c.Events)
			}
			_, settles := comm.ProofSettles(&s)
			if updated := c.After.UpdatedAt; (accepted && settles) != (updated == now) || updated != now && updated != s.UpdatedAt {
				t.Fatalf("%s accepted %v: updated at %d, before at %d", s.Status, accepted, updated, s.UpdatedAt)
			}
			if settled := accepted && settles; settled != (len(c.Events) == 2) || settled && (c.After.Status != comm.Sent || c.After.SentAt != now || c.After.ProviderRef != "new") {
				t.Fatalf("%s accepted %v: %+v", s.Status, accepted, c.After)
			}
		}
	}
}

func TestStartFollowsCheck(t *testing.T) {
	t.Parallel()
	for _, s := range everyState() {
		for bits := range 16 {
			b := sqlstore.Begin{Node: "node", Epoch: 7, Now: now, Suppressed: bits&1 != 0, ContentGone: bits&2 != 0, Refused: bits&4 != 0}
			st := store.Start{Unit: comm.Unit{App: s.App, Channel: s.Channel}, Head: store.Head{Due: s.Due, ID: s.ID}, Provider: "next"}
			if continuing := bits&8 != 0; continuing {
				if b.ContentGone {
					continue // content is purged after the end only
				}
				st.Attempt, st.Epoch, st.Failed = 3, 4, &store.Outcome{Cause: comm.CauseAttemptFailed, ErrorCode: "550"}
			}
			c, verdict := sqlstore.Start(&s, &st, b)
			if written := verdict == store.Go || verdict == store.Ended; written != (len(c.Events) > 0) {
				t.Fatalf("verdict %d writes %+v", verdict, c.Events)
			} else if written {
				follows(t, &c)
			}
			expected := s.Status == comm.Queued && st.Attempt == 0 || s.Status == comm.Sending && st.Attempt > 0
			to, _ := comm.Check{Suppressed: b.Suppressed, ContentGone: b.ContentGone, Expired: s.ExpiresAt != 0 && s.ExpiresAt <= now,
				Cancelled: s.Flags.Has(comm.CancelWanted), Unknown: s.Flags.Has(comm.UnknownInGeneration), Continuing: st.Attempt > 0}.End()
			want := store.Go
			switch {
			case !expected:
				want = store.Gone
			case to != comm.None:
				want = store.Ended
			case b.Refused:
				want = store.ModeChanged
			}
			if verdict != want {
				t.Fatalf("%s %+v: %d, want %d", s.Status, b, verdict, want)
			}
			if verdict == store.Go && (c.After.Attempts != 4 || c.After.Epoch != 7 || c.After.Provider != "next" || c.After.ProviderRef != "" || c.After.Status != comm.Sending) {
				t.Fatalf("%+v", c.After)
			}
			if verdict == store.Ended && c.After.Status != to {
				t.Fatalf("%s, want %s", c.After.Status, to)
			}
		}
	}
}

func TestStartRefusesWhatIsNotAsExpected(t *testing.T) {
	t.Parallel()
	queued := comm.State{Status: comm.Queued, Due: now - 10, Mode: comm.Live}
	open := comm.State{Status: comm.Sending, Due: now - 10, Attempts: 2, Epoch: 3, Mode: comm.Live}
	for name, c := range map[string]struct {
		s  comm.State
		st store.Start
	}{
		"another due":     {queued, store.Start{Head: store.Head{Due: now - 9}}},
		"not due yet":     {comm.State{Status: comm.Queued, Due: now + 1}, store.Start{Head: store.Head{Due: now + 1}}},
		"another attempt": {open, store.Start{Head: store.Head{Due: now - 10}, Attempt: 1, Epoch: 3}},
		"another epoch":   {open, store.Start{Head: store.Head{Due: now - 10}, Attempt: 2, Epoch: 4}},
		"open already":    {open, store.Start{Head: store.Head{Due: now - 10}}},
	} {
		if change, v := sqlstore.Start(&c.s, &c.st, sqlstore.Begin{Now: now}); v != store.Gone || len(change.Events) != 0 {
			t.Errorf("%s: %d", name, v)
		}
	}
	sandbox := queued
	sandbox.Mode = comm.Sandbox
	if _, v := sqlstore.Start(&sandbox, &store.Start{Head: store.Head{Due: now - 10}, Live: true}, sqlstore.Begin{Now: now}); v != store.ModeChanged {
		t.Errorf("a sandbox message goes live: %d", v)
	}
}

func TestFinishComparesAndApplies(t *testing.T) {
	t.Parallel()
	open := comm.State{Status: comm.Sending, Due: 10, Attempts: 2, Epoch: 3, Sequence: 4, Provider: "smtp", Flags: comm.UnknownEver}
	retry := store.Outcome{To: comm.Queued, Cause: comm.CauseRetryUnknown, Due: now + 5, Round: 2, Set: comm.PossibleDuplicate, ErrorCode: "no_answer", ErrorText: "No answer."}
	c, ok := sqlstore.Finish(&open, &store.Finish{From: comm.Sending, Attempt: 2, Epoch: 3, Want: retry}, "node", now)
	if !ok {
		t.Fatal("refused")
	}
	follows(t, &c)
	if a := c.After; a.Round != 2 || a.Flags != comm.PossibleDuplicate|comm.UnknownEver || a.ErrorCode != "no_answer" || a.Provider != "smtp" || a.Due != now+5 {
		t.Fatalf("%+v", a)
	}
	wish := open
	wish.Flags |= comm.CancelWanted
	f := store.Finish{From: comm.Sending, Attempt: 2, Epoch: 3, Want: retry, IfCancelled: &store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown}}
	if c, _ = sqlstore.Finish(&wish, &f, "node", now); c.After.Status != comm.Failed {
		t.Fatalf("%+v", c.After)
	}
	if c, _ = sqlstore.Finish(&open, &f, "node", now); c.After.Status != comm.Queued {
		t.Fatalf("%+v", c.After)
	}
	for name, f := range map[string]store.Finish{
		"attempt": {From: comm.Sending, Attempt: 1, Epoch: 3}, "epoch": {From: comm.Sending, Attempt: 2, Epoch: 2}, "status": {From: comm.Queued, Due: 10},
	} {
		if _, ok := sqlstore.Finish(&open, &f, "node", now); ok {
			t.Errorf("another %s is taken", name)
		}
	}
}

func TestStaleHead(t *testing.T) {
	t.Parallel()
	h := store.Head{Due: 10}
	for _, c := range []struct {
		s    comm.State
		want bool
	}{
		{comm.State{Status: comm.Queued, Due: 10}, false}, {comm.State{Status: comm.Sending, Due: 10}, false},
		{comm.State{Status: comm.Queued, Due: 11}, true}, {comm.State{Status: comm.Sent}, true},
	} {
		if got := sqlstore.Stale(&c.s, h); got != c.want {
			t.Errorf("%s due %d: %v", c.s.Status, c.s.Due, got)
		}
	}
}
