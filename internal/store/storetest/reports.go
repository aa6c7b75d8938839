package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func reportSuppresses(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s, same := w.sentThrough(a, config, "1"), w.through(a, config, func(x *store.Submission) { x.Recipient = "gone@example.org" })
	w.turn([]store.Finish{w.finishOf(same, 1, tracedOutcome(config, "2"))}, nil)
	bounce := w.reportOf(config, "1", comm.FateUndelivered)
	bounce.Suppress = comm.SuppressHardBounce
	complaint := w.reportOf(config, "2", comm.FateComplained)
	complaint.Suppress = comm.SuppressComplaint
	w.apply(bounce, complaint)
	for address, reason := range map[string]string{s.Recipient: comm.SuppressHardBounce, "gone@example.org": comm.SuppressComplaint} {
		x, err := w.s.Suppression(w.ctx, a.ID, comm.Email, address)
		w.must(err)
		if x.Reason != reason || x.Source != comm.SuppressByProvider || x.CreatedAt == 0 {
			w.Fatalf("%+v", x)
		}
	}
	// Somebody takes it off again; the provider repeats itself.
	_, err := w.s.Unsuppress(w.ctx, a.ID, comm.Email, s.Recipient)
	w.must(err)
	w.apply(bounce, bounce)
	if listed, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, s.Recipient); err != nil || listed {
		w.Fatalf("%v %v: the same report suppressed twice", listed, err)
	}
	// Nor does it once the message is on its way again.
	if _, got, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); err != nil || got != comm.RetryDone {
		w.Fatalf("%v %v", got, err)
	}
	w.apply(bounce)
	if listed, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, s.Recipient); err != nil || listed {
		w.Fatalf("%v %v: a report of before the retry suppressed again", listed, err)
	}
}

// reportSuppressesAtHome reports numbers of which the provider's word counts at home alone.
func reportSuppressesAtHome(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	for number, want := range map[string]bool{"233241234567": true, "447700900123": false} {
		w.sentThrough(a, config, number, func(x *store.Submission) { x.Channel, x.Recipient = comm.SMS, number })
		bounce := w.reportOf(config, number, comm.FateUndelivered)
		bounce.Suppress, bounce.Within = comm.SuppressHardBounce, "233"
		w.applied(store.ReportMoved, bounce)
		if listed, err := w.s.Suppressed(w.ctx, a.ID, comm.SMS, number); err != nil || listed != want {
			w.Fatalf("%s: %v %v", number, listed, err)
		}
	}
}

// reportNamedAndTraced tells reports that name one message by our URL and another by the provider's id.
func reportNamedAndTraced(w *world) {
	a, other := w.app(true), w.app(true)
	w.own()
	config := newID()
	both := func(url store.Submission, ref string) store.Report {
		r := w.named(url, 1, config, comm.FateDelivered)
		r.Ref = ref
		return r
	}
	// The provider used an id again: each report is of the message in its URL.
	x, y := w.sentThrough(a, config, "again"), w.sentThrough(a, config, "again")
	w.applied(store.ReportMoved, both(x, "again"))
	w.want(x, comm.Delivered, comm.CauseReportDelivered)
	w.want(y, comm.Sent, comm.CauseProviderAccepted)
	w.applied(store.ReportMoved, both(y, "again"))
	// The provider remembers one URL for all: its own ids count.
	last, mine := w.sentThrough(a, config, "last"), w.sentThrough(other, config, "mine")
	w.applied(store.ReportMoved, both(last, "mine"))
	w.want(last, comm.Sent, comm.CauseProviderAccepted)
	w.want(mine, comm.Delivered, comm.CauseReportDelivered)
	// An id in another form than the answer had is nobody's.
	w.applied(store.ReportMoved, both(last, "0xLAST"))
	w.want(last, comm.Delivered, comm.CauseReportDelivered)
	// An attempt that has no id yet: the URL counts, and the id of another app's message is kept nowhere with it.
	unknown, theirs := w.unknownThrough(a, config, w.now().Add(time.Hour)), w.sentThrough(other, config, "theirs")
	w.applied(store.ReportMoved, both(unknown, "theirs"))
	m := w.want(unknown, comm.Delivered, comm.CauseSettledByProof, comm.CauseReportDelivered)
	for _, e := range m.Events {
		if e.Ref != "" || m.ProviderRef != "" {
			w.Fatalf("%+v holds another app's id", e)
		}
	}
	w.want(theirs, comm.Sent, comm.CauseProviderAccepted)
	w.applied(store.ReportMoved, w.reportOf(config, "theirs", comm.FateDelivered)) // it is still that one's
	w.want(theirs, comm.Delivered, comm.CauseReportDelivered)
	// A message that went through another configuration is named in vain, and one that is another app's.
	elsewhere, own := w.sentThrough(other, newID(), "e"), w.sentThrough(a, config, "own")
	w.applied(store.ReportMoved, both(elsewhere, "own"))
	w.want(elsewhere, comm.Sent, comm.CauseProviderAccepted)
	w.want(own, comm.Delivered, comm.CauseReportDelivered)
}

func reportDropped(w *world) {
	config := newID()
	r := w.reportOf(config, "nobody", comm.FateDelivered)
	r.Since = w.now().Add(-store.ParkedFor)
	w.applied(store.ReportDropped, r)
	r.Since = r.Since.Add(time.Minute)
	w.applied(store.ReportParked, r)
	if all, err := w.s.Parked(w.ctx, w.now(), 10); err != nil || len(all) != 0 {
		w.Fatalf("%v %v: the next look is an hour away", all, err)
	}
}

// reportPutOff puts off reports whose messages are there: one out of a request, one that was parked already, and an old one.
func reportPutOff(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.sentThrough(a, config, "ref")
	x := store.Receipt{ID: newID(), Owner: a.ID, Provider: config, Type: "TWILIO", At: w.now(), Method: "POST"}
	w.must(w.s.Receive(w.ctx, []store.Receipt{x}))
	r := w.reportOf(config, "ref", comm.FateDelivered)
	r.Receipt, r.Later = x.ID, true
	b := store.ReportBatch{Node: w.node, Receipts: []comm.ID{x.ID}, Reports: []store.Report{r}}
	for _, want := range []store.ReportResult{store.ReportParked, store.ReportGone} {
		if out, err := w.s.Apply(w.ctx, b); err != nil || len(out) != 1 || out[0] != want {
			w.Fatalf("%v %v, want %v", out, err, want)
		}
	}
	if left, err := w.s.Received(w.ctx, w.now().Add(time.Minute), comm.ID{}, 10); err != nil || len(left) != 0 {
		w.Fatalf("%v %v: the request is kept twice", left, err)
	}
	w.want(s, comm.Sent, comm.CauseProviderAccepted)
	due := w.parked(1)
	due[0].Later = true
	w.applied(store.ReportParked, due...)
	due = w.parked(1)
	w.applied(store.ReportMoved, due...)
	w.want(s, comm.Delivered, comm.CauseReportDelivered)
	old := w.reportOf(config, "ref", comm.FateUndelivered)
	old.Since, old.Later = w.now().Add(-store.ParkedFor), true
	w.applied(store.ReportDropped, old)
}

func reportSameRef(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	x, y := w.through(a, config), w.through(a, config)
	// In one transaction as well: a provider that uses one id twice must not hold a turn up.
	w.turn([]store.Finish{w.finishOf(x, 1, tracedOutcome(config, "ref")), w.finishOf(y, 1, tracedOutcome(config, "ref"))}, nil)
	z := w.sentThrough(a, config, "ref")
	w.applied(store.ReportMoved, w.reportOf(config, "ref", comm.FateDelivered))
	w.want(z, comm.Delivered)
	w.want(x, comm.Sent)
	w.want(y, comm.Sent)
}

func reportTwice(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	const n = 40
	var subs []store.Submission
	var b store.ReportBatch
	for i := range n {
		ref := fmt.Sprint(i)
		subs = append(subs, w.sentThrough(a, config, ref))
		x := store.Receipt{ID: newID(), Owner: a.ID, Provider: config, Type: "TWILIO", At: w.now(), Method: "POST", Body: []byte(ref)}
		w.must(w.s.Receive(w.ctx, []store.Receipt{x}))
		r := w.reportOf(config, ref, comm.FateDelivered)
		r.Receipt = x.ID
		b.Receipts, b.Reports = append(b.Receipts, x.ID), append(b.Reports, r)
	}
	var moved, gone int
	var mu sync.Mutex
	var both sync.WaitGroup
	for node := range 3 {
		both.Go(func() {
			mine := store.ReportBatch{Node: fmt.Sprint("node-", node), Receipts: slices.Clone(b.Receipts), Reports: slices.Clone(b.Reports)}
			if node == 1 {
				slices.Reverse(mine.Receipts)
				slices.Reverse(mine.Reports)
			}
			out, err := w.s.Apply(context.WithoutCancel(w.ctx), mine)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				w.Error(err)
			}
			for _, r := range out {
				switch r {
				case store.ReportMoved:
					moved++
				case store.ReportGone:
					gone++
				}
			}
		})
	}
	both.Wait()
	if moved != n || gone != 2*n {
		w.Fatalf("%d moved, %d gone", moved, gone)
	}
	for _, s := range subs {
		w.want(s, comm.Delivered, comm.CauseProviderAccepted, comm.CauseReportDelivered)
	}
}

// reportRehearsed: no configuration carries what the sandbox takes. A complaint follows the delivery that was parked in the same moment.
func reportRehearsed(w *world) {
	a := w.app(true)
	w.own()
	var none comm.ID
	const n = 12
	var subs []store.Submission
	var reports []store.Report
	var finishes []store.Finish
	for i := range n {
		s := w.through(a, none, func(x *store.Submission) { x.Recipient = fmt.Sprintf("complained+%d@sandbox.commserver.test", i) })
		delivered, complained := w.named(s, 1, none, comm.FateDelivered), w.named(s, 1, none, comm.FateComplained)
		complained.Suppress = comm.SuppressComplaint
		subs, reports = append(subs, s), append(reports, delivered, complained)
		finishes = append(finishes, w.finishOf(s, 1, store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: reportType}))
	}
	w.applied(store.ReportParked, reports...)
	w.turn(finishes, nil)
	due := w.parked(2 * n)
	for i := range due {
		due[i].App = a.ID
	}
	for _, r := range w.apply(due...) {
		if r != store.ReportMoved && r != store.ReportLogged {
			w.Fatalf("%v", r)
		}
	}
	for _, s := range subs {
		w.want(s, comm.Delivered, comm.CauseProviderAccepted, comm.CauseReportDelivered, comm.CauseComplaint)
		if x, err := w.s.Suppression(w.ctx, a.ID, comm.Email, s.Recipient); err != nil || x.Reason != comm.SuppressComplaint {
			w.Fatalf("%+v %v", x, err)
		}
	}
	// Another configuration's callback says nothing of it.
	w.applied(store.ReportParked, w.named(subs[0], 1, newID(), comm.FateUndelivered))
}

// reportOrders tells the same reports in every order, and wants the same status.
func reportOrders(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	sets := []struct {
		fates []comm.Fate
		want  comm.Status
	}{
		{[]comm.Fate{comm.FateOnItsWay, comm.FateDelivered, comm.FateDelivered, comm.FateNoted}, comm.Delivered},
		{[]comm.Fate{comm.FateOnItsWay, comm.FateUndelivered, comm.FateUndelivered}, comm.Failed},
		{[]comm.Fate{comm.FateOnItsWay, comm.FateUndelivered, comm.FateDelivered}, comm.Delivered}, // correctable
		{[]comm.Fate{comm.FateComplained, comm.FateDelivered, comm.FateNoted}, comm.Delivered},
	}
	for n, set := range sets {
		for i, order := range permutations(len(set.fates)) {
			ref := fmt.Sprintf("%d-%d", n, i)
			s := w.sentThrough(a, config, ref)
			for _, k := range order {
				r := w.reportOf(config, ref, set.fates[k])
				r.Correctable = true
				w.apply(r)
			}
			if m := w.message(s); m.Status != set.want {
				w.Fatalf("%v in order %v: %s, %v", set.fates, order, m.Status, causes(m))
			}
		}
	}
}

func permutations(n int) (out [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for at := range n {
			out = append(out, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return out
}

func reportBounded(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	s := w.sentThrough(a, config, "ref")
	var all []store.Report
	for i := range 200 {
		r := w.reportOf(config, "ref", comm.FateNoted)
		r.Code = fmt.Sprint("clicked ", i)
		all = append(all, r)
	}
	w.apply(all...)
	m := w.message(s)
	if m.Sequence > 60 {
		w.Fatalf("%d events", m.Sequence)
	}
	w.applied(store.ReportMoved, w.reportOf(config, "ref", comm.FateDelivered))
}

func tracesRemoved(w *world) {
	a, other := w.app(true), w.app(true)
	w.own()
	config := newID()
	s, reused, stays := w.sentThrough(a, config, "ref"), w.sentThrough(a, config, "again"), w.sentThrough(other, config, "theirs")
	again := w.sentThrough(a, config, "again") // the id stands for this one now
	w.must(removeOnly(w, s, reused))
	w.applied(store.ReportParked, w.reportOf(config, "ref", comm.FateDelivered))
	w.applied(store.ReportMoved, w.reportOf(config, "again", comm.FateDelivered), w.reportOf(config, "theirs", comm.FateDelivered))
	w.want(again, comm.Delivered)
	w.want(stays, comm.Delivered)
	if q, err := w.s.Questions(w.ctx, 10); err != nil || len(q) != 0 {
		w.Fatalf("%v %v", q, err)
	}
}

// removeOnly removes messages as retention does: those up to the last of them.
func removeOnly(w *world, subs ...store.Submission) error {
	until := subs[len(subs)-1].ID
	for i := len(until) - 1; i >= 0; i-- {
		if until[i]++; until[i] != 0 {
			break
		}
	}
	lanes, err := w.s.UpkeepLanes(w.ctx, comm.ID{}, 100)
	if err != nil {
		return err
	}
	for _, lane := range lanes {
		if _, err := w.s.Walk(w.ctx, store.Walk{Kind: store.Remove, Lane: lane, Until: until, Now: w.now().Add(time.Hour), Limit: 100}); err != nil {
			return err
		}
	}
	for _, s := range subs {
		if _, err := w.s.Message(w.ctx, s.App, s.ID); !comm.IsKind(err, comm.Missing) {
			return fmt.Errorf("the message is still there: %w", err)
		}
	}
	return nil
}

func questionsDue(w *world) {
	a := w.app(true)
	w.own()
	config := newID()
	now, later, never := w.through(a, config), w.through(a, config), w.sentThrough(a, config, "never")
	soon := tracedOutcome(config, "now")
	soon.AskIn = 1
	hour := tracedOutcome(config, "later")
	hour.AskIn = time.Hour.Microseconds()
	w.turn([]store.Finish{w.finishOf(now, 1, soon), w.finishOf(later, 1, hour)}, nil)
	w.waitPast(w.message(now).UpdatedAt + 2)
	q, err := w.s.Questions(w.ctx, 10)
	w.must(err)
	if len(q) != 1 || q[0].Message != now.ID || q[0].App != a.ID || q[0].Provider != config || q[0].Ref != "now" || q[0].Attempt != 1 || q[0].Status != comm.Sent || q[0].Asked != 0 || q[0].At == 0 {
		w.Fatalf("%+v, want %s and neither %s nor %s", q, now.ID, later.ID, never.ID)
	}
	q[0].In, q[0].Asked = 1, 1
	w.must(w.s.Ask(w.ctx, q))
	w.waitPast(w.now() + 2)
	w.applied(store.ReportMoved, w.reportOf(config, "now", comm.FateDelivered))
	if q, err = w.s.Questions(w.ctx, 10); err != nil || len(q) != 1 || q[0].Asked != 1 || q[0].Status != comm.Delivered {
		w.Fatalf("%+v %v", q, err)
	}
	q[0].In = 0
	w.must(w.s.Ask(w.ctx, append(q, store.Question{Provider: config, Ref: "gone", Message: now.ID, In: 5})))
	if q, err = w.s.Questions(w.ctx, 10); err != nil || len(q) != 0 {
		w.Fatalf("%+v %v", q, err)
	}
}

func anyConfig(w *world) {
	a := w.app(true)
	now := w.now()
	for _, owner := range []comm.ID{a.ID, {}} {
		c := &comm.ProviderConfig{ID: newID(), App: owner, Type: "TWILIO", Channel: comm.SMS, Name: "x", Settings: map[string]string{"k": "v"}, Version: 1, CreatedAt: now, UpdatedAt: now}
		w.must(w.s.CreateProviderConfig(w.ctx, c))
		got, err := w.s.AnyProviderConfig(w.ctx, c.ID)
		w.must(err)
		if got.App != owner || got.ID != c.ID || got.Settings["k"] != "v" {
			w.Fatalf("%+v", got)
		}
		if owner == a.ID {
			w.must(w.s.DeleteApp(w.ctx, a.ID, w.now()))
			_, err = w.s.AnyProviderConfig(w.ctx, c.ID)
			w.wantCode(err, "not_found")
		}
	}
	_, err := w.s.AnyProviderConfig(w.ctx, newID())
	w.wantCode(err, "not_found")
}
