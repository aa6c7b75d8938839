package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func receiptCases() []testCase {
	return []testCase{
		{"a stored request is there until it is applied", receiptStored},
		{"reports move a message forward only", reportForward},
		{"the same report a hundred times", reportRepeated},
		{"a report before the send's own answer is told again", reportEarly},
		{"a report about an attempt under way waits for its answer", reportUnderWay},
		{"what the sandbox reports is told in its order, also when it was parked", reportRehearsed},
		{"proof settles an attempt of unknown outcome and removes its retry", reportSettles},
		{"late proof of a failed message", reportLateProof},
		{"a correctable failure may be corrected, a final one not", reportCorrected},
		{"nobody reports about another's message", reportForeign},
		{"our own URL outranks the provider's id, unless the log contradicts it", reportNamedAndTraced},
		{"a report suppresses the recipient with its reason, once", reportSuppresses},
		{"a report suppresses where its provider is at home", reportSuppressesAtHome},
		{"what finds no message is dropped after 72 hours", reportDropped},
		{"what is put off is told again, and dropped in time", reportPutOff},
		{"of one id the newest message counts", reportSameRef},
		{"two nodes apply the same requests once", reportTwice},
		{"the order of reports does not matter", reportOrders},
		{"an unending stream of reports does not grow the log", reportBounded},
		{"what a message is found by goes with it", tracesRemoved},
		{"providers are asked at the times that are due", questionsDue},
		{"a configuration is found whosever it is", anyConfig},
		{"an opt-in takes back a person's own opt-out alone", optIn},
		{"what a person said last counts, in whatever order it is applied", wishesInAnyOrder},
		{"an opt-out is kept where another reason is listed", wishOverOtherReasons},
		{"who wrote to an address through a configuration", writers},
	}
}

const reportType = "twilio"

// through is a message that was started through a configuration.
func (w *world) through(a *comm.App, config comm.ID, change ...func(*store.Submission)) store.Submission {
	w.Helper()
	s := w.one(a, change...)
	w.startThrough(s, config)
	return s
}

func (w *world) startThrough(s store.Submission, config comm.ID) {
	w.Helper()
	st := w.startOf(s)
	st.Provider, st.ProviderID = reportType, config
	if got := w.turn(nil, []store.Start{st}).Started[0]; got.Verdict != store.Go {
		w.Fatalf("start: %+v", got)
	}
}

func tracedOutcome(config comm.ID, ref string) store.Outcome {
	return store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: reportType, ProviderID: config, Ref: ref, Traced: true}
}

// sentThrough is a message that a configuration's provider took under this id.
func (w *world) sentThrough(a *comm.App, config comm.ID, ref string, change ...func(*store.Submission)) store.Submission {
	w.Helper()
	s := w.through(a, config, change...)
	w.turn([]store.Finish{w.finishOf(s, 1, tracedOutcome(config, ref))}, nil)
	return s
}

func (w *world) reportOf(config comm.ID, ref string, fate comm.Fate) store.Report {
	w.Helper()
	r := store.Report{Provider: config, Name: reportType, Ref: ref, Since: w.now()}
	r.Fate = fate
	if fate == comm.FateUndelivered {
		r.Code, r.Text = "30003", "Unreachable"
	}
	return r
}

func (w *world) apply(reports ...store.Report) []store.ReportResult {
	w.Helper()
	out, err := w.s.Apply(w.ctx, store.ReportBatch{Node: w.node, Reports: reports})
	w.must(err)
	if len(out) != len(reports) {
		w.Fatalf("%d results for %d reports", len(out), len(reports))
	}
	return out
}

func (w *world) applied(want store.ReportResult, reports ...store.Report) {
	w.Helper()
	for i, got := range w.apply(reports...) {
		if got != want {
			w.Fatalf("report %d: result %d, want %d", i, got, want)
		}
	}
}

// parked waits until so many reports are due.
func (w *world) parked(n int) []store.Report {
	w.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		all, err := w.s.Parked(w.ctx, w.now(), 1000)
		w.must(err)
		if len(all) == n {
			return all
		}
		if time.Now().After(end) {
			w.Fatalf("%d parked reports are due, want %d", len(all), n)
		}
	}
}

// want wants a message's status, and how its log ends.
func (w *world) want(s store.Submission, status comm.Status, end ...comm.Cause) *comm.Message {
	w.Helper()
	m := w.message(s)
	got := causes(m)
	if m.Status != status || len(got) < len(end) || !slices.Equal(got[len(got)-len(end):], end) {
		w.Fatalf("%s by %v; want %s by %v", m.Status, got, status, end)
	}
	return m
}

func newID() comm.ID { return comm.NewID(comm.At(time.Now())) }

func receiptStored(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.sentThrough(a, config, "ref")
	x := store.Receipt{ID: newID(), Owner: a.ID, Provider: config, Type: "TWILIO", At: w.now(), Method: "POST", Query: []byte("a=\xff\x00"), Header: []byte("Content-Type: x\r\n"), Body: []byte{0, 0xff, '{'}}
	empty := store.Receipt{ID: newID(), Provider: config, Type: "TWILIO", At: w.now(), Method: "GET"}
	w.must(w.s.Receive(w.ctx, []store.Receipt{x, empty}))
	changed := x
	changed.Body = []byte("other")
	w.must(w.s.Receive(w.ctx, []store.Receipt{changed}))
	if got, err := w.s.Received(w.ctx, x.At-comm.Micros(time.Minute.Microseconds()), comm.ID{}, 10); err != nil || len(got) != 0 {
		w.Fatalf("%v %v: requests that came later", got, err)
	}
	after := x.At.Add(time.Minute)
	got, err := w.s.Received(w.ctx, after, comm.ID{}, 10)
	w.must(err)
	slices.SortFunc(got, func(a, b store.Receipt) int { return int(len(b.Body)) - len(a.Body) })
	if len(got) != 2 || fmt.Sprint(got[0]) != fmt.Sprint(x) || got[1].ID != empty.ID || len(got[1].Body)+len(got[1].Query)+len(got[1].Header) != 0 {
		w.Fatalf("%+v", got)
	}
	if got, err = w.s.Received(w.ctx, after, comm.ID{}, 1); err != nil || len(got) != 1 {
		w.Fatalf("%v %v", got, err)
	}
	first := got[0].ID
	if got, err = w.s.Received(w.ctx, after, first, 10); err != nil || len(got) != 1 || got[0].ID == first {
		w.Fatalf("%v %v, behind %s", got, err, first)
	}
	r := w.reportOf(config, "ref", comm.FateDelivered)
	r.Receipt = x.ID
	for _, want := range []store.ReportResult{store.ReportMoved, store.ReportGone} {
		out, err := w.s.Apply(w.ctx, store.ReportBatch{Node: w.node, Receipts: []comm.ID{x.ID, empty.ID}, Reports: []store.Report{r}})
		w.must(err)
		if len(out) != 1 || out[0] != want {
			w.Fatalf("%v, want %v", out, want)
		}
	}
	w.want(s, comm.Delivered, comm.CauseProviderAccepted, comm.CauseReportDelivered)
	if got, err := w.s.Received(w.ctx, after, comm.ID{}, 10); err != nil || len(got) != 0 {
		w.Fatalf("%v %v: they are applied", got, err)
	}
	big := make([]byte, store.ReceivedBytes/2)
	for range 3 {
		w.must(w.s.Receive(w.ctx, []store.Receipt{{ID: newID(), Provider: config, Type: "TWILIO", Method: "POST", Body: big}}))
	}
	if got, err := w.s.Received(w.ctx, w.now().Add(time.Minute), comm.ID{}, 10); err != nil || len(got) != 2 {
		w.Fatalf("%d requests, %v: of %d bytes two are read at once", len(got), err, len(big))
	}
	w.must(w.s.Receive(w.ctx, nil))
	if out, err := w.s.Apply(w.ctx, store.ReportBatch{}); err != nil || len(out) != 0 {
		w.Fatalf("%v %v", out, err)
	}
}

func reportForward(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	delivered, failed, sms := w.sentThrough(a, config, "d"), w.sentThrough(a, config, "f"), w.sentThrough(a, config, "s", func(s *store.Submission) { s.Channel = comm.SMS })
	w.applied(store.ReportKnown, w.reportOf(config, "d", comm.FateOnItsWay))
	w.want(delivered, comm.Sent, comm.CauseProviderAccepted)
	noted := w.reportOf(config, "d", comm.FateNoted)
	noted.Code = "opened"
	w.applied(store.ReportLogged, noted)
	w.applied(store.ReportKnown, noted)
	w.want(delivered, comm.Sent, comm.CauseReportNoted)
	w.applied(store.ReportMoved, w.reportOf(config, "d", comm.FateDelivered), w.reportOf(config, "f", comm.FateUndelivered), w.reportOf(config, "s", comm.FateDelivered))
	m := w.want(delivered, comm.Delivered, comm.CauseReportDelivered)
	if m.DeliveredAt == 0 || m.SentAt == 0 || m.Events[m.Sequence-1].Attempt != 1 || m.Events[m.Sequence-1].Ref != "d" || m.Events[m.Sequence-1].ProviderID != config {
		w.Fatalf("%+v", m)
	}
	if m = w.want(failed, comm.Failed, comm.CauseReportFailed); m.ErrorCode != "30003" || m.ErrorText != "Unreachable" || m.Events[m.Sequence-1].ErrorCode != "30003" {
		w.Fatalf("%+v", m)
	}
	wordless := w.sentThrough(a, config, "w")
	silent := w.reportOf(config, "w", comm.FateUndelivered)
	silent.Code, silent.Text = "", ""
	w.applied(store.ReportMoved, silent)
	m = w.want(wordless, comm.Failed, comm.CauseReportFailed)
	if at, ok := m.StateAt(m.Sequence); m.ErrorCode != "report_failed" || !ok || at.ErrorCode != m.ErrorCode || at.ProviderRef != m.ProviderRef || at.Provider != m.Provider {
		w.Fatalf("%+v, by its log %+v", m.State, at)
	}
	// What comes after the end.
	w.applied(store.ReportLogged, w.reportOf(config, "d", comm.FateUndelivered), w.reportOf(config, "f", comm.FateDelivered), w.reportOf(config, "s", comm.FateUndelivered))
	w.want(delivered, comm.Delivered, comm.CauseBouncedAfterDelivery)
	w.want(failed, comm.Failed, comm.CauseReportOutOfOrder)
	w.want(sms, comm.Delivered, comm.CauseReportOutOfOrder)
	w.applied(store.ReportLogged, w.reportOf(config, "d", comm.FateComplained))
	w.want(delivered, comm.Delivered, comm.CauseComplaint)
	w.applied(store.ReportKnown, w.reportOf(config, "d", comm.FateOnItsWay), w.reportOf(config, "f", comm.FateOnItsWay))
}

func reportRepeated(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.sentThrough(a, config, "ref")
	for range 100 {
		w.apply(w.reportOf(config, "ref", comm.FateDelivered))
	}
	m := w.want(s, comm.Delivered, comm.CauseReportDelivered, comm.CauseReportDuplicate)
	if m.Sequence != 5 {
		w.Fatalf("%v", causes(m))
	}
	many := make([]store.Report, 50)
	for i := range many {
		many[i] = w.reportOf(config, "ref", comm.FateDelivered)
	}
	w.applied(store.ReportKnown, many...)
	if again := w.message(s); again.State != m.State {
		w.Fatalf("%+v", again.State)
	}
}

func reportEarly(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.through(a, config)
	w.applied(store.ReportParked, w.reportOf(config, "ref", comm.FateDelivered), w.reportOf(config, "ref", comm.FateDelivered), w.reportOf(config, "nobody", comm.FateDelivered))
	w.want(s, comm.Sending, comm.CauseAttemptStarted)
	w.turn([]store.Finish{w.finishOf(s, 1, tracedOutcome(config, "ref"))}, nil)
	due := w.parked(2) // the same report is kept once
	out := w.apply(due...)
	for i, r := range due {
		if want := map[string]store.ReportResult{"ref": store.ReportMoved, "nobody": store.ReportParked}[r.Ref]; out[i] != want {
			w.Fatalf("%+v: %d, want %d", r, out[i], want)
		}
	}
	w.want(s, comm.Delivered, comm.CauseProviderAccepted, comm.CauseReportDelivered)
	for _, r := range due {
		if r.Ref == "ref" {
			w.applied(store.ReportGone, r)
		}
	}
	left := w.parked(1)
	if left[0].Ref != "nobody" || left[0].Since != due[0].Since && left[0].Since != due[1].Since {
		w.Fatalf("%+v", left)
	}
}

// named is a report that our own callback URL named the message of.
func (w *world) named(s store.Submission, attempt int, config comm.ID, fate comm.Fate) store.Report {
	w.Helper()
	r := w.reportOf(config, "", fate)
	r.App, r.Message, r.Attempt = s.App, s.ID, attempt
	return r
}

func reportUnderWay(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.through(a, config)
	w.applied(store.ReportParked, w.named(s, 1, config, comm.FateDelivered))
	w.want(s, comm.Sending, comm.CauseAttemptStarted)
	w.turn([]store.Finish{w.finishOf(s, 1, store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: reportType, ProviderID: config})}, nil)
	due := w.parked(1)
	due[0].App = s.App
	w.applied(store.ReportMoved, due...)
	w.want(s, comm.Delivered, comm.CauseProviderAccepted, comm.CauseReportDelivered)
}

// unknownThrough is a message whose first attempt through a configuration ended unknown, and which is due again.
func (w *world) unknownThrough(a *comm.App, config comm.ID, due comm.Micros) store.Submission {
	w.Helper()
	s := w.through(a, config)
	w.turn([]store.Finish{w.finishOf(s, 1, unknownOutcome(due))}, nil)
	return s
}

func reportSettles(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	waits, both, tried := w.unknownThrough(a, config, w.now()+1), w.unknownThrough(a, config, w.now().Add(time.Hour)), w.unknownThrough(a, config, w.now()+1)
	start := w.startOf(waits)
	r := w.named(waits, 1, config, comm.FateOnItsWay)
	r.Ref = "known now"
	w.applied(store.ReportMoved, r, w.named(both, 1, config, comm.FateDelivered))
	m := w.want(waits, comm.Sent, comm.CauseRetryUnknown, comm.CauseSettledByProof)
	if m.ProviderRef != "known now" || m.SentAt == 0 || m.Due != 0 || m.ErrorCode != "" || w.queued(waits) {
		w.Fatalf("%+v", m.State)
	}
	// Its only attempt was taken: nobody gets it twice.
	if m.Flags.Has(comm.PossibleDuplicate) || !m.Flags.Has(comm.UnknownEver) {
		w.Fatalf("%+v", m.State)
	}
	// The dispatcher that holds its head still starts nothing.
	if got := w.turn(nil, []store.Start{start}).Started[0]; got.Verdict != store.Gone {
		w.Fatalf("%+v", got)
	}
	if w.want(both, comm.Delivered, comm.CauseSettledByProof, comm.CauseReportDelivered); w.queued(both) {
		w.Fatal("the retry is still there")
	}
	// From now on it is found by the provider's id.
	w.applied(store.ReportMoved, w.reportOf(config, "known now", comm.FateUndelivered))
	w.want(waits, comm.Failed, comm.CauseReportFailed)
	// Another attempt is under way already: its own answer comes too late.
	w.startThrough(tried, config)
	w.applied(store.ReportMoved, w.named(tried, 1, config, comm.FateDelivered))
	if m := w.want(tried, comm.Delivered, comm.CauseSettledByProof, comm.CauseReportDelivered); !m.Flags.Has(comm.PossibleDuplicate) {
		w.Fatalf("%+v", m.State)
	}
	if r := w.turn([]store.Finish{w.finishOf(tried, 2, tracedOutcome(config, "second"))}, nil); r.Finished[0] {
		w.Fatal("a settled message was finished again")
	}
	w.must(w.s.Late(w.ctx, w.node, []store.LateResult{{App: tried.App, ID: tried.ID, Attempt: 2, Accepted: true, Outcome: tracedOutcome(config, "second")}}))
	w.applied(store.ReportLogged, w.reportOf(config, "second", comm.FateUndelivered))
	w.want(tried, comm.Delivered, comm.CauseLateResult, comm.CauseBouncedAfterDelivery)
}

func reportLateProof(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	unknown := store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Provider: reportType, ProviderID: config, Set: comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "outcome_unknown"}
	onItsWay, delivered, refused := w.through(a, config), w.through(a, config), w.through(a, config)
	w.turn([]store.Finish{w.finishOf(onItsWay, 1, unknown), w.finishOf(delivered, 1, unknown),
		w.finishOf(refused, 1, store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "rejected"})}, nil)
	w.applied(store.ReportMoved, w.named(onItsWay, 1, config, comm.FateOnItsWay), w.named(delivered, 1, config, comm.FateDelivered))
	w.want(onItsWay, comm.Sent, comm.CauseLateProof)
	if m := w.want(delivered, comm.Delivered, comm.CauseLateProof); m.ErrorCode != "" || m.SentAt == 0 || m.DeliveredAt == 0 {
		w.Fatalf("%+v", m.State)
	}
	w.applied(store.ReportLogged, w.named(refused, 1, config, comm.FateDelivered))
	w.want(refused, comm.Failed, comm.CauseReportOutOfOrder)
}

func reportCorrected(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	soft, final := w.sentThrough(a, config, "soft"), w.sentThrough(a, config, "final")
	r := w.reportOf(config, "soft", comm.FateUndelivered)
	r.Correctable = true
	w.applied(store.ReportMoved, r, w.reportOf(config, "final", comm.FateUndelivered))
	if m := w.message(soft); m.Status != comm.Failed || !m.Flags.Has(comm.FailureCorrectable) {
		w.Fatalf("%+v", m.State)
	}
	w.applied(store.ReportKnown, w.reportOf(config, "soft", comm.FateOnItsWay))
	out := w.apply(w.reportOf(config, "soft", comm.FateDelivered), w.reportOf(config, "final", comm.FateDelivered))
	if out[0] != store.ReportMoved || out[1] != store.ReportLogged {
		w.Fatalf("%v", out)
	}
	if m := w.want(soft, comm.Delivered, comm.CauseReportFailed, comm.CauseLateProof); m.Flags.Has(comm.FailureCorrectable) || m.ErrorCode != "" || m.ErrorText != "" {
		w.Fatalf("%+v", m.State)
	}
	w.want(final, comm.Failed, comm.CauseReportOutOfOrder)
}

func reportForeign(w *world) {
	mine, theirs := w.app(true), w.app(true)
	w.own()
	config, other := newID(), newID()
	s := w.sentThrough(theirs, other, "ref")
	before := w.message(s)
	byURL := w.named(s, 1, config, comm.FateUndelivered)
	wrongApp := byURL
	wrongApp.App = mine.ID
	wrongAttempt := w.named(s, 2, other, comm.FateUndelivered)
	w.applied(store.ReportParked, w.reportOf(config, "ref", comm.FateUndelivered), byURL, wrongApp, wrongAttempt, w.reportOf(other, "REF", comm.FateUndelivered))
	if m := w.message(s); m.State != before.State {
		w.Fatalf("%+v", m.State)
	}
	// A configuration of the server level reports about whosever message went through it.
	w.applied(store.ReportMoved, w.reportOf(other, "ref", comm.FateDelivered))
}
