package storetest

import (
	"errors"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func turnCases() []testCase {
	return []testCase{
		{"start and finish make the log of a sent message", sentLife},
		{"a start happens once", startOnce},
		{"a start before the due time is refused", startBeforeDue},
		{"a finish needs the open attempt and its epoch", finishExpects},
		{"a retry moves the queue row and counts the round", finishRetry},
		{"failover keeps the message SENDING and logs the failed attempt", failover},
		{"a queued message can be ended without an attempt", finishQueued},
		{"a cancel wish chooses the other outcome", finishCancelled},
		{"a lost shard refuses the whole turn", fence},
		{"a stale queue row is removed by the start that finds it", staleHead},
		{"finishes and starts share a turn", mixedTurn},
		{"the same message twice in one turn starts once", startTwiceInTurn},
		{"an empty turn is answered", func(w *world) { w.own(); w.turn(nil, nil) }},
	}
}

func sentLife(w *world) {
	a := w.app(false)
	w.own()
	s := w.one(a)
	pc := comm.NewID(comm.At(time.Now()))
	st := w.startOf(s)
	st.Provider, st.ProviderID, st.Detail, st.Live = "smtp", pc, "Main relay", true
	res := w.turn(nil, []store.Start{st})
	got := res.Started[0]
	if got.Verdict != store.Go || got.State.Status != comm.Sending || got.State.Attempts != 1 || got.State.Epoch != w.leases[s.Shard].Epoch || got.State.RoundSince == 0 || string(got.Payload) != string(s.Payload) {
		w.Fatalf("%+v", got)
	}
	if res.Now < got.State.UpdatedAt {
		w.Fatalf("turn at %d, row %d", res.Now, got.State.UpdatedAt)
	}
	if !w.queued(s) {
		w.Fatal("the queue row is gone while the attempt is open")
	}
	out := store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "smtp", ProviderID: pc, Ref: "queue-id-7", Detail: "250 ok"}
	f := w.finishOf(s, 1, out)
	f.Epoch = got.State.Epoch
	if r := w.turn([]store.Finish{f}, nil); !r.Finished[0] {
		w.Fatal("finish refused")
	}
	m := w.message(s)
	if m.Status != comm.Sent || m.SentAt == 0 || m.Provider != "smtp" || m.ProviderID != pc || m.ProviderRef != "queue-id-7" || m.Attempts != 1 || m.Due != 0 || m.ErrorCode != "" {
		w.Fatalf("%+v", m.State)
	}
	if w.queued(s) {
		w.Fatal("a sent message has a queue row")
	}
	e := m.Events[1]
	if e.Type != comm.CauseAttemptStarted || e.Attempt != 1 || e.Provider != "smtp" || e.ProviderID != pc || e.Detail != "Main relay" || e.Node != w.node || e.Epoch != got.State.Epoch {
		w.Fatalf("%+v", e)
	}
	if e = m.Events[2]; e.Type != comm.CauseProviderAccepted || e.Attempt != 1 || e.Ref != "queue-id-7" || e.Detail != "250 ok" {
		w.Fatalf("%+v", e)
	}
}

func startOnce(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	st := w.startOf(s)
	w.turn(nil, []store.Start{st})
	if r := w.turn(nil, []store.Start{st}); r.Started[0].Verdict != store.Gone {
		w.Fatalf("%+v", r.Started[0])
	}
	if m := w.message(s); m.Attempts != 1 || len(m.Events) != 2 {
		w.Fatalf("%d attempts, %d events", m.Attempts, len(m.Events))
	}
	if !w.queued(s) {
		w.Fatal("the second start removed the queue row of an open attempt")
	}
}

func startTwiceInTurn(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	st := w.startOf(s)
	r := w.turn(nil, []store.Start{st, st})
	var goes int
	for _, x := range r.Started {
		if x.Verdict == store.Go {
			goes++
		}
	}
	if goes != 1 {
		w.Fatalf("%d of two equal starts go", goes)
	}
	if m := w.message(s); m.Attempts != 1 {
		w.Fatalf("%d attempts", m.Attempts)
	}
}

func startBeforeDue(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a, func(s *store.Submission) { s.ScheduledAt = w.now().Add(time.Hour) })
	if r := w.turn(nil, []store.Start{w.startOf(s)}); r.Started[0].Verdict != store.Gone {
		w.Fatalf("%+v", r.Started[0])
	}
	if m := w.message(s); m.Status != comm.Queued || len(m.Events) != 1 {
		w.Fatalf("%+v", m.State)
	}
	if !w.queued(s) {
		w.Fatal("the queue row of a scheduled message is gone")
	}
}

func finishExpects(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	st := w.start(s)
	good := w.finishOf(s, 1, sentOutcome())
	for name, change := range map[string]func(*store.Finish){
		"another attempt": func(f *store.Finish) { f.Attempt = 2 },
		"another epoch":   func(f *store.Finish) { f.Epoch-- },
		"queued":          func(f *store.Finish) { f.From, f.Due = comm.Queued, st.State.Due },
		"another app":     func(f *store.Finish) { f.App = comm.NewID(comm.At(time.Now())) },
	} {
		f := good
		change(&f)
		if r := w.turn([]store.Finish{f}, nil); r.Finished[0] {
			w.Fatalf("%s: finish taken", name)
		}
	}
	if r := w.turn([]store.Finish{good}, nil); !r.Finished[0] {
		w.Fatal("the right finish was refused")
	}
	if r := w.turn([]store.Finish{good}, nil); r.Finished[0] {
		w.Fatal("a finish was taken twice")
	}
	if m := w.message(s); len(m.Events) != 3 {
		w.Fatalf("%d events", len(m.Events))
	}
}

func finishRetry(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	st := w.start(s)
	due := w.now().Add(30 * time.Second)
	f := w.finishOf(s, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: due, Round: 1, Provider: "sandbox", ErrorCode: "451", ErrorText: "try later", Detail: "451 try later"})
	w.turn([]store.Finish{f}, nil)
	m := w.message(s)
	if m.Status != comm.Queued || m.Due != due || m.Round != 1 || m.Attempts != 1 || m.ErrorCode != "451" || m.ErrorText != "try later" || m.RoundSince != st.State.RoundSince {
		w.Fatalf("%+v", m.State)
	}
	heads := w.window(unitOf(s), store.Head{}, 10)
	if len(heads) != 1 || heads[0] != store.HeadOf(&m.State) || heads[0].Bytes != s.Bytes() {
		w.Fatalf("queue rows %+v", heads)
	}
	soon := w.finishOf(s, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: due, Round: 2})
	if r := w.turn([]store.Finish{soon}, nil); r.Finished[0] {
		w.Fatal("a finish of a queued message was taken")
	}
}

func failover(w *world) {
	a := w.app(false)
	w.own()
	s := w.one(a)
	first := w.startOf(s)
	first.Provider, first.Live = "one", true
	st := w.turn(nil, []store.Start{first}).Started[0]
	next := first
	next.Attempt, next.Epoch, next.Provider = 1, st.State.Epoch, "two"
	next.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, Provider: "one", ErrorCode: "550", Detail: "550 not here"}
	r := w.turn(nil, []store.Start{next}).Started[0]
	if r.Verdict != store.Go || r.State.Attempts != 2 || r.State.Provider != "two" || string(r.Payload) != string(s.Payload) {
		w.Fatalf("%+v", r)
	}
	m := w.message(s)
	want := []comm.Cause{comm.CauseAccepted, comm.CauseAttemptStarted, comm.CauseAttemptFailed, comm.CauseAttemptStarted}
	for i, c := range causes(m) {
		if c != want[i] {
			w.Fatalf("log %v", causes(m))
		}
	}
	if e := m.Events[2]; e.From != comm.Sending || e.To != comm.Sending || e.Attempt != 1 || e.Provider != "one" || e.ErrorCode != "550" {
		w.Fatalf("%+v", e)
	}
	if e := m.Events[3]; e.From != comm.Sending || e.To != comm.Sending || e.Attempt != 2 || e.Provider != "two" {
		w.Fatalf("%+v", e)
	}
	if r := w.turn(nil, []store.Start{next}).Started[0]; r.Verdict != store.Gone {
		w.Fatalf("repeated failover: %+v", r)
	}
	// A check between two providers ends the message after logging the failure.
	_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: s.Channel, Address: s.Recipient, Reason: "manual", CreatedAt: w.now()})
	w.must(err)
	third := next
	third.Attempt, third.Provider, third.Failed = 2, "three", &store.Outcome{Cause: comm.CauseAttemptFailed, Provider: "two", ErrorCode: "551"}
	if r := w.turn(nil, []store.Start{third}).Started[0]; r.Verdict != store.Ended || r.State.Status != comm.Suppressed {
		w.Fatalf("%+v", r)
	}
	m = w.message(s)
	if n := len(m.Events); m.Status != comm.Suppressed || n != 6 || m.Events[4].Type != comm.CauseAttemptFailed || m.Events[5].From != comm.Sending || w.queued(s) {
		w.Fatalf("%v", causes(m))
	}
}

func finishQueued(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	h := w.head(s)
	f := store.Finish{App: a.ID, ID: s.ID, Unit: unitOf(s), From: comm.Queued, Due: h.Due + 1,
		Want: store.Outcome{To: comm.Failed, Cause: comm.CauseNoProvider, ErrorCode: "no_provider", ErrorText: "No provider."}}
	if r := w.turn([]store.Finish{f}, nil); r.Finished[0] {
		w.Fatal("a finish with another due was taken")
	}
	f.Due = h.Due
	if r := w.turn([]store.Finish{f}, nil); !r.Finished[0] {
		w.Fatal("refused")
	}
	m := w.message(s)
	if m.Status != comm.Failed || m.ErrorCode != "no_provider" || m.Attempts != 0 || w.queued(s) {
		w.Fatalf("%+v", m.State)
	}
}

func finishCancelled(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	w.start(s)
	_, res, err := w.s.Cancel(w.ctx, a.ID, s.ID, "app")
	w.must(err)
	if res != comm.CancelFlight {
		w.Fatalf("cancel in flight: %d", res)
	}
	f := w.finishOf(s, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: w.now().Add(time.Second), Round: 1})
	f.IfCancelled = &store.Outcome{To: comm.Cancelled, Cause: comm.CauseCancelledAfterCleanFailure, ErrorCode: "451"}
	w.turn([]store.Finish{f}, nil)
	m := w.message(s)
	if m.Status != comm.Cancelled || w.queued(s) {
		w.Fatalf("%s %v", m.Status, causes(m))
	}
	// Without an alternative the outcome stands: SENT is SENT.
	s2 := w.one(a)
	w.start(s2)
	_, _, err = w.s.Cancel(w.ctx, a.ID, s2.ID, "app")
	w.must(err)
	f = w.finishOf(s2, 1, sentOutcome())
	w.turn([]store.Finish{f}, nil)
	if m := w.message(s2); m.Status != comm.Sent {
		w.Fatalf("%s", m.Status)
	}
}

func fence(w *world) {
	a, b := w.app(true), w.app(true)
	for comm.ShardOf(b.ID, comm.ID{}, 1) == comm.ShardOf(a.ID, comm.ID{}, 1) {
		b = w.app(true)
	}
	w.own()
	s, other := w.one(a), w.one(b)
	w.start(s)
	f := w.finishOf(s, 1, sentOutcome())
	start := w.startOf(other)
	for name, change := range map[string]func(*store.Turn){
		"another node":  func(t *store.Turn) { t.Node = "node-b" },
		"an old epoch":  func(t *store.Turn) { t.Leases[0].Epoch-- },
		"a newer epoch": func(t *store.Turn) { t.Leases[1].Epoch++ },
	} {
		t := store.Turn{Node: w.node, Leases: []store.Lease{w.leases[s.Shard], w.leases[other.Shard]}, Finishes: []store.Finish{f}, Starts: []store.Start{start}}
		change(&t)
		_, err := w.s.Turn(w.ctx, t)
		var lost *store.LostShards
		if !errors.As(err, &lost) || len(lost.Shards) == 0 {
			w.Fatalf("%s: %v", name, err)
		}
	}
	if m := w.message(s); m.Status != comm.Sending {
		w.Fatalf("a refused turn changed %s", m.Status)
	}
	if m := w.message(other); m.Status != comm.Queued {
		w.Fatalf("a refused turn started %s", m.Status)
	}
}

func staleHead(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	stale := w.startOf(s)
	stale.Head.Due -= 7 // a head that was moved meanwhile
	if r := w.turn(nil, []store.Start{stale}).Started[0]; r.Verdict != store.Gone {
		w.Fatalf("%+v", r)
	}
	if !w.queued(s) {
		w.Fatal("the real queue row was removed by a stale head")
	}
}

func mixedTurn(w *world) {
	a := w.app(true)
	w.own()
	first, second, scheduled := w.one(a), w.one(a), w.one(a, func(s *store.Submission) { s.ScheduledAt = w.now().Add(time.Hour) })
	w.start(first)
	f := w.finishOf(first, 1, sentOutcome())
	r := w.turn([]store.Finish{f}, []store.Start{w.startOf(scheduled), w.startOf(second)})
	if !r.Finished[0] || r.Started[0].Verdict != store.Gone || r.Started[1].Verdict != store.Go || r.Started[1].State.ID != second.ID {
		w.Fatalf("%+v", r)
	}
}
