package storetest

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func bounceCases() []testCase {
	return []testCase{
		{"a finish suppresses the recipient for its app alone", bounceSuppresses},
		{"a suppression that exists stays as it is", bounceKeeps},
		{"a finish that is not applied suppresses nobody", bounceRefused},
		{"a cancelled message's bounce suppresses too", bounceCancelled},
		{"a late bounce suppresses", bounceLate},
	}
}

func (w *world) bounceOf(s store.Submission, attempt int) store.Finish {
	f := w.finishOf(s, attempt, store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "provider_rejected", ErrorText: "no such user", Provider: "smtp"})
	f.Suppress = store.HardBounce
	return f
}

func (w *world) wantSuppressed(s store.Submission, want bool) {
	w.Helper()
	got, err := w.s.Suppressed(w.ctx, s.App, s.Channel, s.Recipient)
	w.must(err)
	if got != want {
		w.Fatalf("suppressed: %v", got)
	}
}

func bounceSuppresses(w *world) {
	a, b := w.app(false), w.app(false)
	w.own()
	to := func(s *store.Submission) { s.Recipient = "nobody@example.org" }
	first, twin, healthy, next, other := w.one(a, to), w.one(a, to), w.one(a), w.one(a, to), w.one(b, to)
	for _, s := range []store.Submission{first, twin, healthy} {
		w.start(s)
	}
	plain := w.bounceOf(healthy, 1)
	plain.Suppress = ""
	r := w.turn([]store.Finish{w.bounceOf(first, 1), plain, w.bounceOf(twin, 1)}, []store.Start{w.startOf(other)})
	if !r.Finished[0] || !r.Finished[1] || !r.Finished[2] || r.Started[0].Verdict != store.Go {
		w.Fatalf("%+v", r)
	}
	w.wantSuppressed(first, true)
	w.wantSuppressed(healthy, false)
	w.wantSuppressed(other, false)
	if r := w.turn(nil, []store.Start{w.startOf(next)}).Started[0]; r.Verdict != store.Ended || r.State.Status != comm.Suppressed {
		w.Fatalf("%+v", r)
	}
	if out := w.accept(func() store.Submission { s := w.submission(a); to(&s); return s }()); !out[0].Suppressed {
		w.Fatal("the next submission is not warned")
	}
}

func bounceKeeps(w *world) {
	a := w.app(false)
	w.own()
	s := w.one(a)
	w.start(s)
	added, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: s.Channel, Address: s.Recipient, Reason: "manual", CreatedAt: w.now()})
	w.must(err)
	if !added {
		w.Fatal("not added")
	}
	if r := w.turn([]store.Finish{w.bounceOf(s, 1)}, nil); !r.Finished[0] {
		w.Fatal("finish refused")
	}
	w.wantSuppressed(s, true)
	if m := w.message(s); m.Status != comm.Failed {
		w.Fatalf("%+v", m.State)
	}
	removed, err := w.s.Unsuppress(w.ctx, a.ID, s.Channel, s.Recipient)
	w.must(err)
	if !removed {
		w.Fatal("not removed")
	}
	w.wantSuppressed(s, false)
}

func bounceRefused(w *world) {
	a := w.app(false)
	w.own()
	s, done := w.one(a), w.one(a)
	w.start(s)
	w.start(done)
	w.turn([]store.Finish{w.finishOf(done, 1, store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "smtp", Ref: "r"})}, nil)
	stale := w.bounceOf(s, 2) // not the open attempt
	if r := w.turn([]store.Finish{stale, w.bounceOf(done, 1)}, nil); r.Finished[0] || r.Finished[1] {
		w.Fatalf("%+v", r)
	}
	if _, err := w.tryTurn("somebody else", []store.Finish{w.bounceOf(s, 1)}, nil); err == nil {
		w.Fatal("a turn without leases was stored")
	}
	w.wantSuppressed(s, false)
	w.wantSuppressed(done, false)
}

func bounceCancelled(w *world) {
	a := w.app(false)
	w.own()
	s := w.one(a)
	w.start(s)
	w.cancel(s)
	f := w.bounceOf(s, 1)
	f.IfCancelled = &store.Outcome{To: comm.Cancelled, Cause: comm.CauseCancelledAfterCleanFailure, Provider: "smtp"}
	w.turn([]store.Finish{f}, nil)
	if m := w.message(s); m.Status != comm.Cancelled {
		w.Fatalf("%+v", m.State)
	}
	w.wantSuppressed(s, true)
}

func bounceLate(w *world) {
	a := w.app(false)
	w.own()
	s := w.unknownQueued(a)
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{{App: s.App, ID: s.ID, Attempt: 1, Suppress: store.HardBounce,
		Outcome: store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, Provider: "smtp", ErrorCode: "provider_rejected"}}}))
	w.wantSuppressed(s, true)
	m := w.message(s)
	if m.Status != comm.Queued {
		w.Fatalf("%+v", m.State)
	}
	if m.Due.Sub(w.now()) < time.Minute {
		w.Fatal("the retry was moved")
	}
}
