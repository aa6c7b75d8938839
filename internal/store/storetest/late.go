package storetest

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func lateCases() []testCase {
	return []testCase{
		{"late proof settles a message that waits for its retry", lateQueued},
		{"late proof settles a message that another attempt holds", lateSending},
		{"late proof settles a failed message whose outcome was unknown", lateFailed},
		{"late proof leaves certain failures and settled messages alone", lateLeaves},
		{"a late refusal is only filed", lateRefusal},
		{"a late result that is filed again is there once", lateTwice},
	}
}

func lateAccepted(s store.Submission, attempt int) store.LateResult {
	return store.LateResult{App: s.App, ID: s.ID, Attempt: attempt, Accepted: true,
		Outcome: store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "smtp", Ref: "late-ref", Detail: "250 ok"}}
}

// unknownQueued makes a message whose first attempt ended unknown and which waits for its retry.
func (w *world) unknownQueued(a *comm.App) store.Submission {
	w.Helper()
	s := w.one(a)
	w.start(s)
	w.turn([]store.Finish{w.finishOf(s, 1, unknownOutcome(w.now().Add(time.Hour)))}, nil)
	return s
}

func lateQueued(w *world) {
	a := w.app(true)
	w.own()
	s := w.unknownQueued(a)
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{lateAccepted(s, 1)}))
	m := w.message(s)
	if m.Status != comm.Sent || m.SentAt == 0 || m.ProviderRef != "late-ref" || m.Due != 0 || w.queued(s) || m.Flags.Has(comm.PossibleDuplicate) {
		w.Fatalf("%+v", m.State)
	}
	log := causes(m)
	if !slices.Contains(log, comm.CauseLateResult) || log[len(log)-1] != comm.CauseSettledByProof {
		w.Fatalf("%v", log)
	}
}

func lateSending(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	w.start(s)
	w.turn([]store.Finish{w.finishOf(s, 1, unknownOutcome(w.now()+1))}, nil)
	w.start(s)
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{lateAccepted(s, 1)}))
	if m := w.message(s); m.Status != comm.Sent || w.queued(s) {
		w.Fatalf("%+v", m.State)
	}
	// The second attempt's own answer comes too late to change anything.
	if r := w.turn([]store.Finish{w.finishOf(s, 2, sentOutcome())}, nil); r.Finished[0] {
		w.Fatal("a settled message was finished again")
	}
	w.must(w.s.Late(w.ctx, w.node, []store.LateResult{lateAccepted(s, 2)}))
	m := w.message(s)
	if m.Status != comm.Sent || m.Events[len(m.Events)-1].Type != comm.CauseLateResult {
		w.Fatalf("%v", causes(m))
	}
}

func lateFailed(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	w.start(s)
	w.turn([]store.Finish{w.finishOf(s, 1, store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Set: comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "outcome_unknown"})}, nil)
	if m := w.message(s); m.Status != comm.Failed {
		w.Fatalf("%s", m.Status)
	}
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{lateAccepted(s, 1)}))
	m := w.message(s)
	if m.Status != comm.Sent || m.ErrorCode != "" || m.Events[len(m.Events)-1].Type != comm.CauseLateProof {
		w.Fatalf("%+v %v", m.State, causes(m))
	}
}

func lateLeaves(w *world) {
	a := w.app(true)
	w.own()
	rejected, sent := w.one(a), w.one(a)
	w.start(rejected)
	w.start(sent)
	w.turn([]store.Finish{
		w.finishOf(rejected, 1, store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "550"}),
		w.finishOf(sent, 1, sentOutcome()),
	}, nil)
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{lateAccepted(rejected, 1), lateAccepted(sent, 1)}))
	if m := w.message(rejected); m.Status != comm.Failed {
		w.Fatalf("%s", m.Status)
	}
	if m := w.message(sent); m.Status != comm.Sent || m.ProviderRef != "ref-1" {
		w.Fatalf("%+v", m.State)
	}
}

func lateRefusal(w *world) {
	a := w.app(true)
	w.own()
	s := w.unknownQueued(a)
	r := lateAccepted(s, 1)
	r.Accepted, r.Outcome = false, store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "550", Detail: "550 no"}
	r.Suppress = comm.SuppressHardBounce
	foreign := r
	foreign.App = comm.NewID(comm.At(time.Now()))
	before := w.message(s).UpdatedAt
	for w.now() < before+comm.Micros(5*time.Millisecond/time.Microsecond) { // than which no clock of SQL is coarser
	}
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{r, foreign}))
	m := w.message(s)
	if last := m.Events[len(m.Events)-1]; m.Status != comm.Queued || last.Type != comm.CauseLateResult || last.ErrorCode != "550" || last.Attempt != 1 || !w.queued(s) {
		w.Fatalf("%+v %v", m.State, causes(m))
	}
	last := m.Events[len(m.Events)-1]
	if m.UpdatedAt != before || last.At <= before {
		w.Fatalf("updated at %d, before at %d, filed at %d", m.UpdatedAt, before, last.At)
	}
	// It says that there is no such mailbox, since when it was filed.
	if listed, err := w.s.Suppression(w.ctx, a.ID, s.Channel, s.Recipient); err != nil || listed.CreatedAt != last.At {
		w.Fatalf("%+v %v", listed, err)
	}
}

// A caller that never learnt whether its results were stored files them again.
func lateTwice(w *world) {
	a := w.app(true)
	w.own()
	settled, refused := w.unknownQueued(a), w.unknownQueued(a)
	no := lateAccepted(refused, 1)
	no.Accepted, no.Outcome = false, store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "550", Detail: "550 no"}
	yes := lateAccepted(settled, 1)
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{yes, no, no}))
	before := []*comm.Message{w.message(settled), w.message(refused)}
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{no, yes}))
	for i, s := range []store.Submission{settled, refused} {
		m := w.message(s)
		filed := 0
		for _, c := range causes(m) {
			if c == comm.CauseLateResult {
				filed++
			}
		}
		if filed != 1 || m.State != before[i].State {
			w.Fatalf("filed %d times: %v\n%+v\n%+v", filed, causes(m), m.State, before[i].State)
		}
	}
	// Another answer of the same call is another result.
	w.must(w.s.Late(w.ctx, "node-old", []store.LateResult{lateAccepted(refused, 1)}))
	if m := w.message(refused); m.Status != comm.Sent {
		w.Fatalf("%s %v", m.Status, causes(m))
	}
}
