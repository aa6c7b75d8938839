package dispatch

import (
	"strings"
	"time"
	"unicode/utf8"

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
	result     result
	live       bool // a real provider was called, not the sandbox
	panics     int  // of this message's adapters so far, with this one
	counted    bool // an earlier answer of this round counts towards the back-off
	later      bool // an earlier answer of this round, or a configuration that is out now, may succeed later
	next       bool // another configuration can take the message now
	until      comm.Micros
	now        comm.Micros
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
		return decision{want: o}
	case rule.Unknown:
		return p.unknown(f)
	case rule.Fails:
		d := f.clean(f.outcome(comm.Failed, comm.CauseProviderRejected, rule.Code, f.result.answer.Text))
		if f.bounced() {
			d.suppress = store.HardBounce
		}
		return d
	case rule.FailOver && f.next:
		o := f.outcome(comm.Sending, comm.CauseAttemptFailed, rule.Code, f.result.answer.Text)
		return decision{failover: true, want: o}
	}
	return p.again(f, rule)
}

// again ends a round that nobody accepted.
func (p policy) again(f facts, rule provider.Rule) decision {
	switch {
	case rule.Throttle && !f.counted:
		o := f.outcome(comm.Queued, comm.CauseThrottled, rule.Code, f.result.answer.Text)
		o.Due = f.after(f.until)
		return f.clean(p.patience(f, o))
	case rule.CountRound, f.counted, f.later:
		// Also when the last one refused for good: another one that failed for now, or was out, may take the message.
		o := f.outcome(comm.Queued, comm.CauseRetryTransient, rule.Code, f.result.answer.Text)
		o.Round = f.state.Round + 1
		o.Due = f.after(f.now.Add(max(p.retry.Delay(o.Round, p.random), f.asked(rule))))
		return f.clean(p.patience(f, o))
	}
	return f.clean(f.outcome(comm.Failed, comm.CauseProviderRejected, provider.PermanentMessage.Rule().Code, f.result.answer.Text))
}

// asked is how long a provider that refuses for now wants to be left alone with this message.
func (f facts) asked(rule provider.Rule) time.Duration {
	if rule.Class != provider.Transient {
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
	o.Round = f.state.Round + 1
	o.Due = f.after(f.now.Add(p.retry.Delay(o.Round, p.random)))
	if _, late := p.lastDue(f, o.Due); late {
		o = *end
	}
	return decision{want: o, ifCancelled: end}
}

// orphan decides a message found SENDING at a take-over: its outcome was never recorded.
func (p policy) orphan(s *comm.State, now comm.Micros) decision {
	return p.unknown(facts{state: s, provider: s.Provider, providerID: s.ProviderID, now: now,
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
	if x := f.state.ExpiresAt; x != 0 {
		return comm.CauseExpired, due >= x
	}
	since := f.state.RoundSince
	if since == 0 {
		since = f.state.UpdatedAt
	}
	return comm.CauseExhausted, due > since.Add(p.horizon)
}

// released is the clean return of a message whose attempt never began.
func (f facts) released() store.Outcome {
	o := f.outcome(comm.Queued, comm.CauseReleased, "", "")
	o.Due = f.after(f.now)
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
		if f.bounced() {
			const note = "; the address is suppressed from now on"
			o.Detail = cut(o.Detail, maxDetail-len(note)) + note
		}
	} else {
		o.Detail = o.ErrorText
	}
	return o
}

// bounced says that a real provider refused the recipient as one that does not exist.
func (f facts) bounced() bool {
	a := f.result.answer
	return f.live && a != nil && a.HardBounce && f.result.class().Rule().Fails && !f.result.panicked
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

// clip makes text storable everywhere: valid UTF-8, no NUL, at most 256 bytes.
func clip(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", " ")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return cut(s, maxDetail)
}

// maxDetail bounds a stored text, in bytes.
const maxDetail = 256

// cut shortens valid UTF-8 to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[:n]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
