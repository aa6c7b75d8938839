package dispatch

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// maxPanics is how often an adapter may fail on one message before the message ends FAILED internal_error.
const maxPanics = 3

// codeInternal is the error code of an attempt whose adapter panicked.
const codeInternal = "internal_error"

// result is what one provider call came to.
type result struct {
	called     bool // false: certainly no byte left this process
	panicked   bool
	unreadable bool            // the stored content cannot be decoded; not called
	answer     *provider.Error // nil: accepted, or not called
	receipt    provider.Receipt
}

func (r *result) class() provider.Class {
	if r.answer == nil {
		return provider.Accepted
	}
	return r.answer.Class
}

// facts is all that the end of an attempt depends on.
type facts struct {
	state      *comm.State // as attempt start left it: SENDING
	provider   string
	providerID comm.ID
	reports    *provider.Reporting // what the provider says later; nil: nothing
	result     result
	live       bool          // a real provider was called, not the sandbox
	panics     int           // of this message's adapters so far, with this one
	counted    bool          // an earlier answer of this round counts towards the back-off
	later      bool          // an earlier answer of this round, or a configuration that is out now, may succeed later
	next       bool          // another configuration can take the message now
	soon       time.Duration // another one can in a moment, which is when to try again; 0: none, or that has been waited for
	until      comm.Micros
	now        comm.Micros
	repeats    bool // the provider takes a repeat of the attempt only once
	patient    bool // the message would still wait for that provider
}

// policy is the operator's patience.
type policy struct {
	retry   pace.Backoff
	horizon time.Duration
	random  func() float64
}

// decision is what to store: the next attempt of the round (failover, with want
// as the failed attempt's event), or the outcome.
type decision struct {
	failover    bool
	soon        bool // the message waits for a moment
	want        store.Outcome
	ifCancelled *store.Outcome
	suppress    string // the recipient joins the app's suppressions for this reason
}

// decide is the heart of promise 6 and of T8 to T14. It is pure.
func (p policy) decide(f facts) decision {
	switch {
	case f.result.unreadable:
		return f.clean(f.outcome(comm.Failed, comm.CauseInternalError, codeInternal, "the stored message cannot be read"))
	case !f.result.called:
		return f.clean(f.released())
	case f.result.panicked && f.panics >= maxPanics:
		o := f.outcome(comm.Failed, comm.CauseInternalError, codeInternal, "the adapter failed on this message three times")
		o.Set = comm.UnknownInGeneration | comm.UnknownEver
		return decision{want: o, ifCancelled: f.unknownEnd()}
	}
	rule := f.result.class().Rule()
	switch {
	case rule.Class == provider.Accepted:
		o := f.outcome(comm.Sent, comm.CauseProviderAccepted, "", "")
		o.Ref, o.Detail = clip(f.result.receipt.Ref), clip(f.result.receipt.Detail)
		if f.reports != nil && o.Ref != "" {
			o.Traced = true
			if len(f.reports.Asks) > 0 {
				o.AskIn = f.reports.Asks[0].Microseconds()
			}
		}
		return decision{want: o}
	case rule.Unknown:
		return p.unknown(f)
	case rule.Fails:
		d := f.clean(f.outcome(comm.Failed, comm.CauseProviderRejected, rule.Code, f.result.answer.Text))
		d.suppress = f.suppress()
		return d
	case rule.FailOver && f.next && !f.owes():
		o := f.outcome(comm.Sending, comm.CauseAttemptFailed, rule.Code, f.result.answer.Text)
		return decision{failover: true, want: o}
	}
	return p.again(f, rule)
}

// again ends a round that nobody accepted.
func (p policy) again(f facts, rule provider.Rule) decision {
	switch {
	case f.soon > 0 && !f.owes():
		return p.moment(f, rule)
	case rule.Throttle && !f.counted:
		o := f.outcome(comm.Queued, comm.CauseThrottled, rule.Code, f.result.answer.Text)
		o.Due = f.after(f.until)
		if f.owes() { // it waits for its configuration, but not for ever: see back
			o.Set, o.Due = comm.RepeatOwed, f.after(min(f.until, f.now.Add(repeatPause)))
		}
		return f.clean(p.patience(f, o))
	case rule.CountRound, f.counted, f.later:
		// Also when the last one refused for good: another one that failed for now, or was out, may take the message.
		o := f.outcome(comm.Queued, comm.CauseRetryTransient, rule.Code, f.result.answer.Text)
		p.nextRound(f, &o)
		return f.clean(p.patience(f, o))
	}
	return f.clean(f.outcome(comm.Failed, comm.CauseProviderRejected, provider.PermanentMessage.Rule().Code, f.result.answer.Text))
}

// moment begins the round again soon, without a back-off: somebody carries messages, and has a place or rate in a moment.
func (p policy) moment(f facts, rule provider.Rule) decision {
	o := f.outcome(comm.Queued, comm.CauseRetryTransient, rule.Code, f.result.answer.Text)
	o.Due = f.after(f.now.Add(f.soon))
	if rule.Throttle && !f.counted {
		o.Cause, o.Due = comm.CauseThrottled, f.after(min(f.until, f.now.Add(f.soon)))
	}
	o = p.patience(f, o)
	d := f.clean(o)
	d.soon = o.To == comm.Queued
	return d
}

// nextRound says when the message is tried again. While a repeat is owed the round goes on with it, after short waits.
func (p policy) nextRound(f facts, o *store.Outcome) {
	o.Round = f.state.Round + 1
	if !f.owes() {
		o.Due = f.after(f.now.Add(max(p.retry.Delay(o.Round, p.random), f.asked())))
		return
	}
	o.Set |= comm.RepeatOwed
	if f.state.Flags.Has(comm.RepeatOwed) {
		o.Round = max(1, f.state.Round)
	}
	o.Due = f.after(f.now.Add(min(max(p.retry.Delay(o.Round, p.random), f.asked()), repeatPause)))
}

// owes says that the next attempt goes to this provider again, before another may have the message (promise 6): it
// may have taken the message, or that of an earlier attempt is still open because this one did not get through.
func (f facts) owes() bool {
	if !f.repeats || !f.patient {
		return false
	}
	switch rule := f.result.class().Rule(); {
	case rule.Unknown:
		return f.state.OnUnknown != comm.FailUnknown
	case rule.Class == provider.Transient, rule.Throttle:
		return f.state.Flags.Has(comm.RepeatOwed)
	}
	return false
}

// asked is how long a provider that refuses for now wants to be left alone with this message. Beside an answer that leaves
// the outcome unknown it speaks for itself (account.learn): another one may have the message before.
func (f facts) asked() time.Duration {
	if f.result.answer == nil || f.result.class() != provider.Transient {
		return 0
	}
	return min(f.result.answer.RetryAfter, maxThrottle)
}

// unknown applies the app's policy to an attempt that nobody can tell about.
func (p policy) unknown(f facts) decision {
	text := "nobody can tell whether the provider took the message"
	if f.result.answer != nil && f.result.answer.Text != "" {
		text = f.result.answer.Text
	}
	end := f.unknownEnd()
	if f.state.OnUnknown == comm.FailUnknown {
		return decision{want: *end, ifCancelled: end}
	}
	o := f.outcome(comm.Queued, comm.CauseRetryUnknown, comm.CauseOutcomeUnknown.String(), text)
	if f.result.panicked {
		o.ErrorCode = codeInternal
	}
	o.Set = comm.PossibleDuplicate | comm.UnknownInGeneration | comm.UnknownEver
	p.nextRound(f, &o)
	if f.next && !f.owes() && f.state.Flags.Has(comm.RepeatOwed) {
		o.Due = f.after(f.now) // it has waited for this answer already
	}
	if _, late := p.lastDue(f, o.Due); late {
		o = *end
	}
	return decision{want: o, ifCancelled: end}
}

// orphan decides a message found SENDING at a take-over: its outcome was never recorded. repeats says that its
// provider takes a repeat only once.
func (p policy) orphan(s *comm.State, now comm.Micros, repeats bool) decision {
	return p.unknown(facts{state: s, provider: s.Provider, providerID: s.ProviderID, now: now, repeats: repeats, patient: true,
		result: result{called: true, answer: &provider.Error{Class: provider.Ambiguous,
			Text: "the server that made the call stopped before the outcome was recorded"}}})
}

// patience turns a retry that would come too late into the end of the message.
func (p policy) patience(f facts, o store.Outcome) store.Outcome {
	cause, late := p.lastDue(f, o.Due)
	if !late {
		return o
	}
	text := "the time to live ends before the next attempt"
	if cause == comm.CauseExhausted {
		text = "retries are used up"
	}
	if o.ErrorText != "" {
		text += "; last answer: " + o.ErrorText
	}
	return f.outcome(comm.Failed, cause, cause.String(), text)
}

// lastDue says whether an attempt at due would come too late, and why.
func (p policy) lastDue(f facts, due comm.Micros) (comm.Cause, bool) {
	last, cause := f.state.LastStart(p.horizon)
	if cause == comm.CauseExpired {
		return cause, due >= last
	}
	if last == 0 { // its first attempt has begun with its state
		last = f.state.UpdatedAt.Add(p.horizon)
	}
	return cause, due > last
}

// released is the clean return of a message whose attempt never began.
func (f facts) released() store.Outcome {
	o := f.outcome(comm.Queued, comm.CauseReleased, "", "")
	o.Due, o.Set = f.after(f.now), f.state.Flags&comm.RepeatOwed
	return o
}

// unknownEnd is FAILED outcome_unknown.
func (f facts) unknownEnd() *store.Outcome {
	o := f.outcome(comm.Failed, comm.CauseOutcomeUnknown, comm.CauseOutcomeUnknown.String(), "nobody can tell whether the provider took the message")
	o.Set = comm.UnknownInGeneration | comm.UnknownEver
	return &o
}

// clean adds what a cancel wish makes of an attempt that certainly failed:
// CANCELLED, unless an earlier attempt of the generation is unknown (promise 8).
func (f facts) clean(o store.Outcome) decision {
	if f.state.Flags.Has(comm.UnknownInGeneration) {
		return decision{want: o, ifCancelled: f.unknownEnd()}
	}
	c := f.outcome(comm.Cancelled, comm.CauseCancelledAfterCleanFailure, "", "")
	return decision{want: o, ifCancelled: &c}
}

// after keeps the rule that a requeued message is due strictly later than before: the store compares by it.
func (f facts) after(due comm.Micros) comm.Micros { return max(due, f.state.Due+1) }

// outcome fills what every outcome has. The round is kept unless the caller counts one.
func (f facts) outcome(to comm.Status, cause comm.Cause, code, text string) store.Outcome {
	o := store.Outcome{To: to, Cause: cause, Round: f.state.Round, Provider: f.provider, ProviderID: f.providerID,
		ErrorCode: code, ErrorText: clip(text)}
	if a := f.result.answer; a != nil {
		o.Detail = clip(detail(a))
		if f.suppress() != "" {
			o.Detail = comm.Storable(o.Detail, maxDetail-len(comm.SuppressedNow)) + comm.SuppressedNow
		}
	} else {
		o.Detail = o.ErrorText
	}
	return o
}

// suppress is the reason for which the recipient joins the app's suppressions: a real provider refused it
// for good as one that does not exist, or that has opted out.
func (f facts) suppress() string {
	a := f.result.answer
	if !f.live || a == nil || !f.result.class().Rule().Fails || f.result.panicked {
		return ""
	}
	return a.Suppress()
}

func detail(a *provider.Error) string {
	switch {
	case a.Code == "":
		return a.Text
	case a.Text == "":
		return a.Code
	}
	return a.Code + ": " + a.Text
}

// clip makes text storable everywhere.
func clip(s string) string { return comm.Storable(s, maxDetail) }

// maxDetail bounds a stored text, in bytes.
const maxDetail = 256
