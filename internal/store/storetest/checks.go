package storetest

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func checkCases() []testCase {
	return []testCase{
		{"live needs a live message and a live, active app", modeCheck},
		{"an inactive app starts nothing, sandbox included", inactiveCheck},
		{"a repeat that is owed goes first", repeatCheck},
		{"a suppression stops the next attempt", suppressionCheck},
		{"a careful start of a message in doubt stores nothing", carefulCheck},
		{"attempt start as comm.Check says", checkMatrix},
	}
}

// situation is a message about to start, and what is true of it.
type situation struct {
	comm.Check
	message store.Submission
	start   store.Start
}

// checkMatrix brings a message into each situation and compares the store's verdict with the pure function.
func checkMatrix(w *world) {
	w.own()
	var all []situation
	for bits := range 32 {
		all = append(all, w.bring(comm.Check{Suppressed: bits&1 != 0, Expired: bits&2 != 0, Cancelled: bits&4 != 0, Unknown: bits&8 != 0, Continuing: bits&16 != 0}))
	}
	for _, x := range all {
		w.holdToCheck(x)
	}
}

// bring makes a message of which a check is true, but for the time that an expired one must still wait.
func (w *world) bring(c comm.Check) situation {
	w.Helper()
	a := w.app(true)
	ttl := int64(0)
	if c.Expired {
		ttl = (2500 * time.Millisecond).Microseconds() // longer than the steps before it on a busy machine
	}
	s := w.one(a, func(s *store.Submission) { s.TTL = ttl })
	var open store.Started
	attempt := 0
	if c.Unknown {
		open, attempt = w.start(s), 1
		f := w.finishOf(s, 1, unknownOutcome(w.now()+1))
		w.turn([]store.Finish{f}, nil)
	}
	if c.Continuing || c.Cancelled {
		open = w.start(s)
		attempt++
	}
	if c.Cancelled {
		_, _, err := w.s.Cancel(w.ctx, a.ID, s.ID, "app")
		w.must(err)
		if !c.Continuing { // back to the queue with the wish kept
			f := w.finishOf(s, attempt, store.Outcome{To: comm.Queued, Cause: comm.CauseReleased, Due: w.now() + 1})
			w.turn([]store.Finish{f}, nil)
		}
	}
	if c.Suppressed {
		_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: s.Channel, Address: s.Recipient, Reason: "manual", CreatedAt: w.now()})
		w.must(err)
	}
	start := w.startOf(s)
	if c.Continuing {
		start.Attempt, start.Epoch = attempt, open.State.Epoch
		start.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, ErrorCode: "550"}
	}
	return situation{c, s, start}
}

// holdToCheck starts the message and wants what the pure function says.
func (w *world) holdToCheck(x situation) {
	w.Helper()
	if x.Expired {
		w.waitPast(w.message(x.message).ExpiresAt)
	}
	got := w.turn(nil, []store.Start{x.start}).Started[0]
	to, cause := x.End()
	m := w.message(x.message)
	if to == comm.None {
		if got.Verdict != store.Go || m.Status != comm.Sending {
			w.Errorf("%+v: verdict %d, %s", x.Check, got.Verdict, m.Status)
		}
		return
	}
	if last := m.Events[len(m.Events)-1]; got.Verdict != store.Ended || m.Status != to || last.Type != cause || w.queued(x.message) {
		w.Errorf("%+v: verdict %d, %s by %s; want %s by %s", x.Check, got.Verdict, m.Status, last.Type, to, cause)
	}
}

// waitPast waits until the database's clock has passed the instant.
func (w *world) waitPast(at comm.Micros) {
	w.Helper()
	for w.now() <= at {
		time.Sleep(at.Sub(w.now()) + time.Millisecond)
	}
}

func modeCheck(w *world) {
	w.own()
	live, sandbox := w.app(false), w.app(true)
	inLive, inSandbox := w.one(live), w.one(sandbox)
	asLive := func(s store.Submission) store.Start { st := w.startOf(s); st.Live = true; return st }
	if r := w.turn(nil, []store.Start{asLive(inSandbox)}).Started[0]; r.Verdict != store.ModeChanged {
		w.Fatalf("a sandbox app's message went live: %+v", r)
	}
	// The app leaves the sandbox: the message accepted before stays a sandbox message.
	sandbox.Sandbox = false
	w.must(w.s.UpdateApp(w.ctx, sandbox, w.now()))
	if r := w.turn(nil, []store.Start{asLive(inSandbox)}).Started[0]; r.Verdict != store.ModeChanged {
		w.Fatalf("a sandbox message went live: %+v", r)
	}
	w.start(inSandbox)
	// The app goes back to the sandbox: the live message must not reach a real provider.
	live.Sandbox = true
	w.must(w.s.UpdateApp(w.ctx, live, w.now()))
	if r := w.turn(nil, []store.Start{asLive(inLive)}).Started[0]; r.Verdict != store.ModeChanged {
		w.Fatalf("a live message of a sandbox app went live: %+v", r)
	}
	if m := w.message(inLive); m.Status != comm.Queued || len(m.Events) != 1 || !w.queued(inLive) {
		w.Fatalf("%+v", m.State)
	}
	w.start(inLive)
}

// repeatCheck: what may have been taken by one configuration goes to no other unless the caller knows of it.
func repeatCheck(w *world) {
	w.own()
	a := w.app(false)
	s := w.one(a)
	first, second := comm.NewID(w.now()), comm.NewID(w.now())
	to := func(config comm.ID) store.Start {
		st := w.startOf(s)
		st.Provider, st.ProviderID, st.Live = "resend", config, true
		return st
	}
	wants := func(st store.Start, verdict store.Verdict, owed bool) {
		w.Helper()
		got := w.turn(nil, []store.Start{st}).Started[0]
		m := w.message(s)
		if got.Verdict != verdict || m.Flags.Has(comm.RepeatOwed) != owed || got.State != m.State {
			w.Fatalf("verdict %d, %+v; the message is %+v", got.Verdict, got.State, m.State)
		}
	}
	ends := func(attempt int, set comm.Flags) {
		w.Helper()
		o := unknownOutcome(w.now() + 1)
		o.Set |= set
		o.Provider, o.ProviderID = "", comm.ID{}
		if !w.turn([]store.Finish{w.finishOf(s, attempt, o)}, nil).Finished[0] {
			w.Fatalf("refused")
		}
		w.waitPast(o.Due)
	}
	wants(to(first), store.Go, false)
	ends(1, comm.RepeatOwed)
	events := len(w.message(s).Events)
	wants(to(second), store.RepeatFirst, true)
	a.Sandbox = true // the debt is told before the mode
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	wants(to(second), store.RepeatFirst, true)
	a.Sandbox = false
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	if m := w.message(s); len(m.Events) != events || m.Status != comm.Queued || !w.queued(s) {
		w.Fatalf("a refused start wrote something: %+v", m.State)
	}
	wants(to(first), store.Go, true) // until its outcome says otherwise
	ends(2, comm.RepeatOwed)
	past := to(second)
	past.Elsewhere = true
	wants(past, store.Go, false)
	ends(3, 0)
	wants(to(first), store.Go, false) // nothing is owed
	ends(4, comm.RepeatOwed)
	wants(to(first), store.Go, true)
	next := to(second) // the round goes on after a refusal
	next.Attempt, next.Epoch, next.Failed = 5, w.leases[s.Shard].Epoch, &store.Outcome{Cause: comm.CauseAttemptFailed, ErrorCode: "403"}
	wants(next, store.Go, false)
	ends(6, 0)
	wants(to(first), store.Go, false)
	if !w.turn([]store.Finish{w.finishOf(s, 7, store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Set: comm.UnknownInGeneration | comm.RepeatOwed})}, nil).Finished[0] {
		w.Fatalf("refused")
	}
	_, result, err := w.s.Retry(w.ctx, s.App, s.ID, "app")
	w.must(err)
	if m := w.message(s); result != comm.RetryDone || m.Flags.Has(comm.RepeatOwed) {
		w.Fatalf("a RETRY, which has another key, owes a repeat: %d, %+v", result, m.State)
	}
}

// carefulCheck starts with care what is in doubt, what is not, what a check ends, and what goes on with its round.
func carefulCheck(w *world) {
	w.own()
	a := w.app(false)
	careful := func(s store.Submission) store.Start { st := w.startOf(s); st.Careful = true; return st }
	fresh, doubted, ended := w.one(a), w.one(a), w.one(a)
	for _, s := range []store.Submission{doubted, ended} {
		w.start(s)
		w.turn([]store.Finish{w.finishOf(s, 1, unknownOutcome(w.now()+1))}, nil)
	}
	_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: ended.Channel, Address: ended.Recipient, Reason: "manual", CreatedAt: w.now()})
	w.must(err)
	before := w.message(doubted)
	res := w.turn(nil, []store.Start{careful(doubted), careful(ended), careful(fresh)}).Started
	if res[0].Verdict != store.Doubted || res[1].Verdict != store.Ended || res[2].Verdict != store.Go {
		w.Fatalf("%+v", res)
	}
	if m := w.message(doubted); m.State != before.State || !w.queued(doubted) || len(m.Events) != len(before.Events) {
		w.Fatalf("%+v", m.State)
	}
	if res := w.turn(nil, []store.Start{w.startOf(doubted)}).Started[0]; res.Verdict != store.Go {
		w.Fatalf("%+v", res)
	}
}

func inactiveCheck(w *world) {
	w.own()
	a := w.app(true)
	s := w.one(a)
	a.Active = false
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	if r := w.turn(nil, []store.Start{w.startOf(s)}).Started[0]; r.Verdict != store.ModeChanged {
		w.Fatalf("%+v", r)
	}
	a.Active = true
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	w.start(s)
}

func suppressionCheck(w *world) {
	w.own()
	a, b := w.app(true), w.app(true)
	s := w.one(a)
	sameAddress := w.submission(b)
	sameAddress.Recipient = s.Recipient
	otherChannel := w.submission(a)
	otherChannel.Recipient, otherChannel.Channel = s.Recipient, comm.SMS
	w.accept(sameAddress, otherChannel)
	_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: comm.Email, Address: s.Recipient, Reason: "complaint", CreatedAt: w.now()})
	w.must(err)
	r := w.turn(nil, []store.Start{w.startOf(s), w.startOf(sameAddress), w.startOf(otherChannel)})
	if r.Started[0].Verdict != store.Ended || r.Started[1].Verdict != store.Go || r.Started[2].Verdict != store.Go {
		w.Fatalf("%+v", r.Started)
	}
	if m := w.message(s); m.Status != comm.Suppressed || m.Attempts != 0 || w.queued(s) {
		w.Fatalf("%+v", m.State)
	}
}
