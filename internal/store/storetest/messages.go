package storetest

import (
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func messageCases() []testCase {
	return []testCase{
		{"CANCEL ends a queued message and removes its queue row", cancelQueued},
		{"CANCEL leaves no error of an attempt before", cancelTried},
		{"CANCEL of a sent message is refused without an event", cancelSent},
		{"CANCEL in flight keeps the wish once", cancelFlight},
		{"CANCEL after an unknown attempt fails the message", cancelUnknown},
		{"RETRY opens a new generation", retryFailed},
		{"RETRY keeps a schedule that lies ahead", retryScheduled},
		{"RETRY is refused for what is not failed or cancelled", retryRefused},
		{"RETRY in the instant of its app's end wakes nothing", retryDeleted},
		{"RETRY of an expired message is refused", retryExpired},
	}
}

func (w *world) cancel(s store.Submission) (comm.State, comm.CancelResult) {
	w.Helper()
	st, res, err := w.s.Cancel(w.ctx, s.App, s.ID, "app")
	w.must(err)
	return st, res
}

func cancelQueued(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	start := w.startOf(s)
	st, res := w.cancel(s)
	if res != comm.CancelDone || st.Status != comm.Cancelled || w.queued(s) {
		w.Fatalf("%d %s", res, st.Status)
	}
	if _, res = w.cancel(s); res != comm.CancelAgain {
		w.Fatalf("second CANCEL: %d", res)
	}
	if r := w.turn(nil, []store.Start{start}).Started[0]; r.Verdict != store.Gone {
		w.Fatalf("a cancelled message started: %+v", r)
	}
	m := w.message(s)
	if last := m.Events[len(m.Events)-1]; len(m.Events) != 2 || last.Type != comm.CauseCancelled || last.Actor != "app" || m.Due != 0 {
		w.Fatalf("%+v", m.Events)
	}
}

func cancelTried(w *world) {
	w.own()
	s := w.one(w.app(true))
	w.start(s)
	w.turn([]store.Finish{w.finishOf(s, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: w.now().Add(time.Hour), Round: 1,
		ErrorCode: "transient", ErrorText: "later"})}, nil)
	if m := w.message(s); m.ErrorCode != "transient" {
		w.Fatalf("while it waits: %q", m.ErrorCode)
	}
	w.cancel(s)
	if m := w.message(s); m.Status != comm.Cancelled || m.ErrorCode != "" || m.ErrorText != "" || w.queued(s) {
		w.Fatalf("%s with %q, %q", m.Status, m.ErrorCode, m.ErrorText)
	}
}

func cancelSent(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	w.start(s)
	w.turn([]store.Finish{w.finishOf(s, 1, sentOutcome())}, nil)
	if st, res := w.cancel(s); res != comm.CancelTooLate || st.Status != comm.Sent {
		w.Fatalf("%d %s", res, st.Status)
	}
	if m := w.message(s); len(m.Events) != 3 {
		w.Fatalf("%v", causes(m))
	}
}

func cancelFlight(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	w.start(s)
	for range 2 {
		if st, res := w.cancel(s); res != comm.CancelFlight || !st.Flags.Has(comm.CancelWanted) {
			w.Fatalf("%d %+v", res, st)
		}
	}
	m := w.message(s)
	if len(m.Events) != 3 || m.Events[2].Type != comm.CauseCancelRequested || m.Status != comm.Sending {
		w.Fatalf("%v", causes(m))
	}
}

func cancelUnknown(w *world) {
	a := w.app(true)
	w.own()
	s := w.unknownQueued(a)
	st, res := w.cancel(s)
	if res != comm.CancelMaybe || st.Status != comm.Failed || st.ErrorCode != "outcome_unknown" || w.queued(s) {
		w.Fatalf("%d %+v", res, st)
	}
	m := w.message(s)
	if m.Events[len(m.Events)-1].Type != comm.CauseOutcomeUnknown {
		w.Fatalf("%v", causes(m))
	}
}

func retryFailed(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	w.start(s)
	w.turn([]store.Finish{w.finishOf(s, 1, store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Round: 3,
		Set: comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "outcome_unknown", ErrorText: "Nobody can tell."})}, nil)
	before := w.now()
	st, res, err := w.s.Retry(w.ctx, a.ID, s.ID, "app")
	w.must(err)
	if res != comm.RetryDone || st.Status != comm.Queued || st.Generation != 2 || st.Round != 0 || st.RoundSince != 0 || st.Attempts != 1 ||
		st.Flags.Has(comm.UnknownInGeneration) || st.Flags.Has(comm.CancelWanted) || !st.Flags.Has(comm.UnknownEver) || st.ErrorCode != "" || st.Due < before {
		w.Fatalf("%d %+v", res, st)
	}
	if h := w.head(s); h != store.HeadOf(&st) || h.Bytes != s.Bytes() {
		w.Fatalf("queue row %+v, due %d, %d bytes", h, st.Due, s.Bytes())
	}
	m := w.message(s)
	if last := m.Events[len(m.Events)-1]; last.Type != comm.CauseRetryRequested || last.Generation != 2 || last.From != comm.Failed {
		w.Fatalf("%+v", last)
	}
	if got := w.start(s); got.State.Attempts != 2 || got.State.RoundSince == 0 {
		w.Fatalf("%+v", got.State)
	}
}

// retryScheduled is named after what broke: a cancelled message scheduled for
// later was sent at once by RETRY.
func retryScheduled(w *world) {
	a := w.app(true)
	at := w.now().Add(time.Hour)
	s := w.one(a, func(s *store.Submission) { s.ScheduledAt = at })
	w.cancel(s)
	st, res, err := w.s.Retry(w.ctx, a.ID, s.ID, "app")
	w.must(err)
	if res != comm.RetryDone || st.Due != at || w.head(s).Due != at {
		w.Fatalf("%d, due %d, scheduled for %d", res, st.Due, at)
	}
}

func retryRefused(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	for range 2 {
		if _, res, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); err != nil || res != comm.RetryRefused {
			w.Fatalf("%d %v", res, err)
		}
	}
	w.cancel(s)
	if _, res, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); err != nil || res != comm.RetryDone {
		w.Fatalf("cancelled: %d %v", res, err)
	}
	if _, res, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); err != nil || res != comm.RetryRefused {
		w.Fatalf("queued again: %d %v", res, err)
	}
	_ = w.message(s)
}

func retryExpired(w *world) {
	a := w.app(true)
	s := w.one(a, func(s *store.Submission) { s.TTL = (50 * time.Millisecond).Microseconds() })
	w.cancel(s)
	w.waitPast(w.message(s).ExpiresAt)
	if st, res, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); err != nil || res != comm.RetryExpired || st.Status != comm.Cancelled {
		w.Fatalf("%d %v", res, err)
	}
}

// retryDeleted has a message asked for again in the instant in which its app is deleted: either
// that came first, or there is no such message any more.
func retryDeleted(w *world) {
	for round := range 12 {
		a := w.app(true)
		s := w.one(a)
		if _, res := w.cancel(s); res != comm.CancelDone {
			w.Fatalf("cancel: %v", res)
		}
		var again, deleted error
		var wg sync.WaitGroup
		wg.Go(func() { _, _, again = w.s.Retry(w.ctx, a.ID, s.ID, "app") })
		wg.Go(func() { deleted = w.s.DeleteApp(w.ctx, a.ID, w.now()) })
		wg.Wait()
		w.must(deleted)
		m, err := w.s.Message(w.ctx, a.ID, s.ID)
		w.must(err)
		last := m.Events[len(m.Events)-1]
		if again != nil {
			w.wantKind(again, comm.Missing)
		}
		if woken := m.Status == comm.Queued; woken != (again == nil) {
			w.Fatalf("round %d: %v after %v", round, m.Status, again)
		}
		entries := w.chain()
		end := entries[len(entries)-1]
		if end.Action != comm.AuditAppDeleted || again == nil && last.At.Millis() > end.At.Millis() {
			w.Fatalf("round %d: asked for again at %v, its app deleted at %v (%s)", round, last.At, end.At, end.Action)
		}
		if _, _, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); !comm.IsKind(err, comm.Missing) {
			w.Fatalf("after the end: %v", err)
		}
		// What waited when the app was deleted is cancelled behind it.
		if again == nil {
			if _, res := w.cancel(s); res != comm.CancelDone {
				w.Fatalf("cancelling what was left: %v", res)
			}
		}
	}
}
