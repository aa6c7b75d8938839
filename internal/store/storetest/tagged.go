package storetest

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// taggedCases are of reports that name the message and not the attempt, as a tag does that is equal in all of them.
func taggedCases() []testCase {
	return []testCase{
		{"a tagged report settles an attempt of unknown outcome", taggedSettles},
		{"a tagged report finds an acceptance without the provider's id", taggedWithoutRef},
		{"a tagged report about an attempt under way waits for its answer", taggedUnderWay},
		{"a tagged report is about an attempt through its configuration that may be meant", taggedAttempt},
		{"a tagged report is about no other app's message and no other configuration's", taggedForeign},
	}
}

// leftCases are of requests that nobody has applied.
func leftCases() []testCase {
	return []testCase{
		{"stored requests are read page by page", receivedPages},
		{"a node's clock that is ahead keeps nothing waiting", receivedAhead},
	}
}

func receivedPages(w *world) {
	config := newID()
	want := map[comm.ID]bool{}
	for i := range 7 {
		at := w.now().Add(-time.Duration(i) * time.Minute)
		x := store.Receipt{ID: comm.NewID(at), Provider: config, Type: "TWILIO", At: at, Method: "POST"}
		want[x.ID] = true
		w.must(w.s.Receive(w.ctx, []store.Receipt{x}))
	}
	before := w.now().Add(-30 * time.Second) // not the last one
	var behind comm.ID
	for n := range 3 {
		page, err := w.s.Received(w.ctx, before, behind, 3)
		w.must(err)
		if wanted := []int{3, 3, 0}[n]; len(page) != wanted {
			w.Fatalf("page %d holds %d requests, want %d", n, len(page), wanted)
		}
		for _, x := range page {
			if x.ID.Compare(behind) <= 0 || !want[x.ID] {
				w.Fatalf("%s behind %s", x.ID, behind)
			}
			behind = x.ID
			delete(want, x.ID)
		}
	}
}

func receivedAhead(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.through(a, config)
	at := w.now().Add(24 * time.Hour)
	x := store.Receipt{ID: comm.NewID(at), Owner: a.ID, Provider: config, Type: "TWILIO", At: at, Method: "POST"}
	w.must(w.s.Receive(w.ctx, []store.Receipt{x}))
	if got, err := w.s.Received(w.ctx, w.now().Add(-time.Minute), comm.ID{}, 10); err != nil || len(got) != 0 {
		w.Fatalf("%v %v: it has come this minute", got, err)
	}
	w.waitPast(w.now() + 1000)
	now := w.now()
	got, err := w.s.Received(w.ctx, now, comm.ID{}, 10)
	w.must(err)
	if len(got) != 1 || got[0].At > now {
		w.Fatalf("%+v", got)
	}
	// Its node applies it from memory, with its own clock.
	r := w.named(s, 1, config, comm.FateDelivered)
	r.Receipt, r.Since = x.ID, at
	out, err := w.s.Apply(w.ctx, store.ReportBatch{Node: w.node, Receipts: []comm.ID{x.ID}, Reports: []store.Report{r}})
	w.must(err)
	if out[0] != store.ReportParked {
		w.Fatalf("%v", out)
	}
	if due := w.parked(1); due[0].Since > w.now() {
		w.Fatalf("%+v", due)
	}
}

// tagged is a report with an id that is not stored, whose tag names the message.
func (w *world) tagged(s store.Submission, config comm.ID, ref string, fate comm.Fate) store.Report {
	w.Helper()
	r := w.reportOf(config, ref, fate)
	r.App, r.Message = s.App, s.ID
	return r
}

func unknownEnd(config comm.ID) store.Outcome {
	return store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Provider: reportType, ProviderID: config, Set: comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "outcome_unknown"}
}

func taggedSettles(w *world) {
	a := w.app(true)
	w.own()
	config, other := newID(), newID()
	waits, failed, elsewhere, bounced := w.unknownThrough(a, config, w.now().Add(time.Hour)), w.through(a, config), w.unknownThrough(a, config, w.now()+1), w.through(a, config)
	w.turn([]store.Finish{w.finishOf(failed, 1, unknownEnd(config)), w.finishOf(bounced, 1, unknownEnd(config))}, nil)
	w.startThrough(elsewhere, other)
	w.turn([]store.Finish{w.finishOf(elsewhere, 2, tracedOutcome(other, "by the other"))}, nil)
	w.applied(store.ReportMoved, w.tagged(waits, config, "1", comm.FateOnItsWay), w.tagged(failed, config, "2", comm.FateDelivered), w.tagged(elsewhere, config, "3", comm.FateDelivered))
	if m := w.want(waits, comm.Sent, comm.CauseRetryUnknown, comm.CauseSettledByProof); m.ProviderRef != "1" || m.Events[m.Sequence-1].Attempt != 1 || w.queued(waits) {
		w.Fatalf("%+v", m.State)
	}
	w.want(failed, comm.Delivered, comm.CauseLateProof)
	if m := w.want(elsewhere, comm.Delivered, comm.CauseReportDelivered); m.Events[m.Sequence-1].Attempt != 1 || m.ProviderID != config {
		w.Fatalf("%+v", m.State)
	}
	// From now on it is found by the provider's id.
	w.applied(store.ReportMoved, w.reportOf(config, "1", comm.FateDelivered))
	r := w.tagged(bounced, config, "4", comm.FateUndelivered)
	r.Suppress = comm.SuppressHardBounce
	w.applied(store.ReportLogged, r)
	w.want(bounced, comm.Failed, comm.CauseOutcomeUnknown, comm.CauseReportOutOfOrder)
	if listed, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, bounced.Recipient); err != nil || !listed {
		w.Fatalf("%v %v: a bounce suppresses nobody", listed, err)
	}
}

func taggedWithoutRef(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	good, bad := w.sentThrough(a, config, ""), w.sentThrough(a, config, "")
	r := w.tagged(bad, config, "2", comm.FateUndelivered)
	r.Suppress = comm.SuppressHardBounce
	w.applied(store.ReportMoved, w.tagged(good, config, "1", comm.FateDelivered), r)
	if m := w.want(good, comm.Delivered, comm.CauseReportDelivered); m.ProviderRef != "1" {
		w.Fatalf("%+v", m.State)
	}
	w.want(bad, comm.Failed, comm.CauseReportFailed)
	if listed, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, bad.Recipient); err != nil || !listed {
		w.Fatalf("%v %v: a bounce suppresses nobody", listed, err)
	}
	w.applied(store.ReportLogged, w.reportOf(config, "1", comm.FateUndelivered))
	w.want(good, comm.Delivered, comm.CauseBouncedAfterDelivery)
}

func taggedUnderWay(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.through(a, config)
	w.applied(store.ReportParked, w.tagged(s, config, "1", comm.FateDelivered))
	w.want(s, comm.Sending, comm.CauseAttemptStarted)
	w.turn([]store.Finish{w.finishOf(s, 1, unknownOutcome(w.now().Add(time.Hour)))}, nil)
	due := w.parked(1)
	due[0].App = s.App // as the service finds it
	w.applied(store.ReportMoved, due...)
	w.want(s, comm.Delivered, comm.CauseSettledByProof, comm.CauseReportDelivered)
}

func taggedAttempt(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	// A RETRY sends another mail: what the first one bounces with is not about the second.
	again := w.through(a, config)
	w.turn([]store.Finish{w.finishOf(again, 1, unknownEnd(config))}, nil)
	_, result, err := w.s.Retry(w.ctx, again.App, again.ID, "test")
	w.must(err)
	if result != comm.RetryDone {
		w.Fatalf("%v", result)
	}
	w.startThrough(again, config)
	w.turn([]store.Finish{w.finishOf(again, 2, tracedOutcome(config, "second"))}, nil)
	w.applied(store.ReportLogged, w.tagged(again, config, "first", comm.FateUndelivered))
	if m := w.want(again, comm.Sent, comm.CauseReportOutOfOrder); m.Events[m.Sequence-1].Attempt != 1 {
		w.Fatalf("%+v", m.Events)
	}
	w.applied(store.ReportMoved, w.tagged(again, config, "second", comm.FateUndelivered))
	w.want(again, comm.Failed, comm.CauseReportFailed)
	// One that was certainly refused is not the one that is on its way.
	refused := w.unknownThrough(a, config, w.now()+1)
	w.startThrough(refused, config)
	w.turn([]store.Finish{w.finishOf(refused, 2, store.Outcome{To: comm.Failed, Cause: comm.CauseExhausted, ErrorCode: "exhausted", Provider: reportType, ProviderID: config})}, nil)
	w.applied(store.ReportMoved, w.tagged(refused, config, "third", comm.FateOnItsWay))
	if m := w.want(refused, comm.Sent, comm.CauseLateProof); m.Events[m.Sequence-1].Attempt != 1 {
		w.Fatalf("%+v", m.Events)
	}
	// All that went through the configuration is known under other ids: nobody knows what this one was.
	w.applied(store.ReportParked, w.tagged(w.sentThrough(a, config, "fourth"), config, "fifth", comm.FateUndelivered))
}

func taggedForeign(w *world) {
	mine, theirs := w.app(true), w.app(true)
	w.own()
	config, server := newID(), newID()
	s := w.unknownThrough(theirs, server, w.now().Add(time.Hour))
	own := w.unknownThrough(mine, config, w.now().Add(time.Hour))
	before, ownBefore := w.message(s), w.message(own)
	asMine := w.tagged(s, config, "1", comm.FateDelivered)
	asMine.App = mine.ID // as the service reads a report to an app's own configuration
	nobodys := w.tagged(s, server, "1", comm.FateDelivered)
	nobodys.App = comm.ID{}
	w.applied(store.ReportParked, asMine, w.tagged(s, config, "1", comm.FateDelivered), nobodys, w.tagged(own, server, "1", comm.FateDelivered))
	if m, o := w.message(s), w.message(own); m.State != before.State || o.State != ownBefore.State {
		w.Fatalf("%+v %+v", m.State, o.State)
	}
	w.applied(store.ReportMoved, w.tagged(s, server, "1", comm.FateDelivered))
}
