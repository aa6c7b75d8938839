package dispatch

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

var testPolicy = policy{retry: pace.Backoff{Steps: []time.Duration{5 * time.Second, 30 * time.Second}}, horizon: 24 * time.Hour}

const testNow = comm.Micros(1_800_000_000_000_000)

func sending(edit ...func(*comm.State)) *comm.State {
	s := &comm.State{Status: comm.Sending, Attempts: 1, Due: testNow - 10, RoundSince: testNow - 20, Round: 0}
	for _, e := range edit {
		e(s)
	}
	return s
}

func refused(c provider.Class) result {
	return result{called: true, answer: &provider.Error{Class: c, Code: "451", Text: "no"}}
}

func later(d time.Duration) result {
	r := refused(provider.Transient)
	r.answer.RetryAfter = d
	return r
}

func TestDecide(t *testing.T) {
	t.Parallel()
	unknownBefore := func(s *comm.State) { s.Flags = comm.UnknownInGeneration | comm.UnknownEver }
	fail := func(s *comm.State) { s.OnUnknown = comm.FailUnknown }
	old := func(s *comm.State) { s.RoundSince = testNow - comm.Micros(25*time.Hour/time.Microsecond) }
	owed := func(s *comm.State) { s.Round, s.Flags = 1, comm.UnknownInGeneration|comm.UnknownEver|comm.RepeatOwed }
	asks := func(d time.Duration) result {
		r := refused(provider.Ambiguous)
		r.answer.RetryAfter = d
		return r
	}
	ttl := func(s *comm.State) { s.ExpiresAt = testNow.Add(3 * time.Second) }
	for _, tc := range []struct {
		name   string
		f      facts
		over   bool
		to     comm.Status
		cause  comm.Cause
		wait   time.Duration // To QUEUED: due - now
		round  int
		cancel comm.Cause // of ifCancelled; 0 = none
		owes   bool       // the next attempt goes to the same configuration
	}{
		{name: "accepted", f: facts{state: sending(), result: result{called: true}}, to: comm.Sent, cause: comm.CauseProviderAccepted},
		{name: "bad everywhere", f: facts{state: sending(), result: refused(provider.PermanentMessage), next: true}, to: comm.Failed, cause: comm.CauseProviderRejected, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "bad here, another can", f: facts{state: sending(), result: refused(provider.PermanentHere), next: true}, over: true},
		{name: "bad here, nobody else", f: facts{state: sending(), result: refused(provider.PermanentHere)}, to: comm.Failed, cause: comm.CauseProviderRejected, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "bad here, another is down", f: facts{state: sending(), result: refused(provider.PermanentHere), later: true}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, another can", f: facts{state: sending(), result: refused(provider.Transient), next: true}, over: true},
		{name: "transient", f: facts{state: sending(), result: refused(provider.Transient)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, to come again later", f: facts{state: sending(), result: later(5 * time.Minute)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Minute, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, sooner than the back-off", f: facts{state: sending(), result: later(time.Second)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, to come again next week", f: facts{state: sending(), result: later(7 * 24 * time.Hour)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: time.Hour, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, second round", f: facts{state: sending(func(s *comm.State) { s.Round = 1 }), result: refused(provider.Transient)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 30 * time.Second, round: 2, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "the schedule's last step repeats", f: facts{state: sending(func(s *comm.State) { s.Round = 9 }), result: refused(provider.Transient)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 30 * time.Second, round: 10, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient after a day", f: facts{state: sending(old), result: refused(provider.Transient)}, to: comm.Failed, cause: comm.CauseExhausted, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, would be stale", f: facts{state: sending(ttl), result: refused(provider.Transient)}, to: comm.Failed, cause: comm.CauseExpired, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "a ttl replaces the horizon", f: facts{state: sending(old, func(s *comm.State) { s.ExpiresAt = testNow.Add(time.Hour) }), result: refused(provider.Transient)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "account", f: facts{state: sending(), result: refused(provider.Account)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "account, another can", f: facts{state: sending(), result: refused(provider.Account), next: true}, over: true},
		{name: "throttled", f: facts{state: sending(), result: refused(provider.RateLimited), until: testNow.Add(time.Minute)}, to: comm.Queued, cause: comm.CauseThrottled, wait: time.Minute, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "throttled, another can", f: facts{state: sending(), result: refused(provider.RateLimited), next: true}, over: true},
		{name: "throttled after a transient one in the round", f: facts{state: sending(), result: refused(provider.RateLimited), counted: true, until: testNow.Add(time.Minute)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "throttled for a day", f: facts{state: sending(old), result: refused(provider.RateLimited), until: testNow.Add(time.Minute)}, to: comm.Failed, cause: comm.CauseExhausted, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "transient, another is busy for a moment", f: facts{state: sending(func(s *comm.State) { s.Round = 1 }), result: refused(provider.Transient), soon: time.Second}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: time.Second, round: 1, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "bad here, another is busy for a moment", f: facts{state: sending(), result: refused(provider.PermanentHere), later: true, soon: time.Second}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: time.Second, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "throttled after a transient one, another is busy for a moment", f: facts{state: sending(), result: refused(provider.RateLimited), counted: true, until: testNow.Add(time.Minute), soon: time.Second}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: time.Second, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "throttled, another is busy for a moment", f: facts{state: sending(), result: refused(provider.RateLimited), until: testNow.Add(time.Minute), soon: time.Second}, to: comm.Queued, cause: comm.CauseThrottled, wait: time.Second, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "a repeat does not get through, another is busy for a moment", f: facts{state: sending(owed), result: refused(provider.Transient), soon: time.Second, repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "unknown, RETRY", f: facts{state: sending(), result: refused(provider.Ambiguous), next: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "unknown where a repeat is free", f: facts{state: sending(), result: refused(provider.Ambiguous), next: true, repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "the same late in the life of a message", f: facts{state: sending(func(s *comm.State) { s.Round = 7 }), result: refused(provider.Ambiguous), repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: repeatPause, round: 8, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "the same when its key is forgotten", f: facts{state: sending(), result: refused(provider.Ambiguous), next: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "the same under FAIL", f: facts{state: sending(fail), result: refused(provider.Ambiguous), repeats: true, patient: true}, to: comm.Failed, cause: comm.CauseOutcomeUnknown, cancel: comm.CauseOutcomeUnknown},
		{name: "a repeat is unknown again", f: facts{state: sending(owed), result: refused(provider.Ambiguous), repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "a repeat is unknown, and it was waited for long enough", f: facts{state: sending(owed), result: refused(provider.Ambiguous), repeats: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 30 * time.Second, round: 2, cancel: comm.CauseOutcomeUnknown},
		{name: "the same, another can", f: facts{state: sending(owed), result: refused(provider.Ambiguous), next: true, repeats: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, round: 2, cancel: comm.CauseOutcomeUnknown},
		{name: "a repeat does not get through, another can", f: facts{state: sending(owed), result: refused(provider.Transient), next: true, repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "the same, and it was waited for long enough", f: facts{state: sending(owed), result: refused(provider.Transient), next: true, repeats: true}, over: true},
		{name: "a repeat is throttled, another can", f: facts{state: sending(owed), result: refused(provider.RateLimited), next: true, repeats: true, patient: true, until: testNow.Add(time.Minute)}, to: comm.Queued, cause: comm.CauseThrottled, wait: repeatPause, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "the same for a moment", f: facts{state: sending(owed), result: refused(provider.RateLimited), next: true, repeats: true, patient: true, until: testNow.Add(2 * time.Second)}, to: comm.Queued, cause: comm.CauseThrottled, wait: 2 * time.Second, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "a repeat is put off for long, another can", f: facts{state: sending(owed), result: later(5 * time.Minute), next: true, repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: repeatPause, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "a repeat is refused for good here, another can", f: facts{state: sending(owed), result: refused(provider.PermanentHere), next: true, repeats: true, patient: true}, over: true},
		{name: "transient where nothing is owed, another can", f: facts{state: sending(), result: refused(provider.Transient), next: true, repeats: true, patient: true}, over: true},
		{name: "a repeat that was never called", f: facts{state: sending(owed), repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseReleased, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "a repeat is accepted", f: facts{state: sending(owed), result: result{called: true}, repeats: true, patient: true}, to: comm.Sent, cause: comm.CauseProviderAccepted},
		{name: "unknown, to come again later", f: facts{state: sending(), result: asks(5 * time.Minute), next: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "unknown, to come again later where a repeat is free", f: facts{state: sending(owed), result: asks(5 * time.Minute), repeats: true, patient: true}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown, owes: true},
		{name: "unknown, to come again after its time", f: facts{state: sending(func(s *comm.State) { s.ExpiresAt = testNow.Add(time.Minute) }), result: asks(5 * time.Minute)}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "unknown, FAIL", f: facts{state: sending(fail), result: refused(provider.Ambiguous), next: true}, to: comm.Failed, cause: comm.CauseOutcomeUnknown, cancel: comm.CauseOutcomeUnknown},
		{name: "unknown after a day", f: facts{state: sending(old), result: refused(provider.Ambiguous)}, to: comm.Failed, cause: comm.CauseOutcomeUnknown, cancel: comm.CauseOutcomeUnknown},
		{name: "unknown, retry would be stale", f: facts{state: sending(ttl), result: refused(provider.Ambiguous)}, to: comm.Failed, cause: comm.CauseOutcomeUnknown, cancel: comm.CauseOutcomeUnknown},
		{name: "no class is unknown", f: facts{state: sending(), result: refused(0)}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "clean failure after an unknown one", f: facts{state: sending(unknownBefore), result: refused(provider.Transient)}, to: comm.Queued, cause: comm.CauseRetryTransient, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "panic", f: facts{state: sending(), result: result{called: true, panicked: true, answer: &provider.Error{Class: provider.Ambiguous}}, panics: 2}, to: comm.Queued, cause: comm.CauseRetryUnknown, wait: 5 * time.Second, round: 1, cancel: comm.CauseOutcomeUnknown},
		{name: "third panic", f: facts{state: sending(), result: result{called: true, panicked: true, answer: &provider.Error{Class: provider.Ambiguous}}, panics: 3}, to: comm.Failed, cause: comm.CauseInternalError, cancel: comm.CauseOutcomeUnknown},
		{name: "never called", f: facts{state: sending(func(s *comm.State) { s.Round = 2 })}, to: comm.Queued, cause: comm.CauseReleased, wait: 0, round: 2, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "never called, due in the same microsecond", f: facts{state: sending(func(s *comm.State) { s.Due = testNow })}, to: comm.Queued, cause: comm.CauseReleased, wait: time.Microsecond, cancel: comm.CauseCancelledAfterCleanFailure},
		{name: "unreadable", f: facts{state: sending(), result: result{unreadable: true}}, to: comm.Failed, cause: comm.CauseInternalError, cancel: comm.CauseCancelledAfterCleanFailure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.f.now = testNow
			d := testPolicy.decide(tc.f)
			if d.failover != tc.over {
				t.Fatalf("failover %v", d.failover)
			}
			if tc.over {
				if d.want.Cause != comm.CauseAttemptFailed {
					t.Errorf("the failed attempt's event is %v", d.want.Cause)
				}
				return
			}
			if d.want.Set.Has(comm.RepeatOwed) != tc.owes || d.ifCancelled != nil && d.ifCancelled.Set.Has(comm.RepeatOwed) {
				t.Errorf("a repeat is owed: %v", d.want.Set.Has(comm.RepeatOwed))
			}
			if d.want.To != tc.to || d.want.Cause != tc.cause || d.want.Round != max(tc.round, tc.f.state.Round) {
				t.Errorf("got %v by %v, round %d", d.want.To, d.want.Cause, d.want.Round)
			}
			if d.want.To == comm.Queued && (d.want.Due.Sub(testNow) != tc.wait || d.want.Due <= tc.f.state.Due) {
				t.Errorf("due in %v", d.want.Due.Sub(testNow))
			}
			switch {
			case tc.cancel == 0 && d.ifCancelled != nil:
				t.Error("an accepted message cannot be cancelled")
			case tc.cancel != 0 && (d.ifCancelled == nil || d.ifCancelled.Cause != tc.cancel):
				t.Errorf("with a cancel wish: %+v", d.ifCancelled)
			}
		})
	}
}

// TestEveryDecisionIsAnEdge walks the whole space of facts.
func TestEveryDecisionIsAnEdge(t *testing.T) {
	t.Parallel()
	var n int
	check := func(f facts, d decision) {
		n++
		if d.failover {
			if !f.next || !f.result.class().Rule().FailOver {
				t.Fatalf("failover without need: %+v", f)
			}
			if class := f.result.class(); f.state.Flags.Has(comm.RepeatOwed) && f.repeats && f.patient && (class == provider.Transient || class == provider.RateLimited) {
				t.Fatalf("failover although a repeat is owed: %+v", f)
			}
			return
		}
		for _, o := range []*store.Outcome{&d.want, d.ifCancelled} {
			if o == nil {
				continue
			}
			if !comm.Allowed(comm.Sending, o.To, o.Cause) {
				t.Fatalf("%v by %v is no edge: %+v", o.To, o.Cause, f)
			}
			if o.To == comm.Queued && o.Due <= f.state.Due {
				t.Fatalf("due does not grow: %+v", f)
			}
		}
		rule := f.result.class().Rule()
		unknown := f.result.called && (rule.Unknown || f.result.panicked) || f.state.Flags.Has(comm.UnknownInGeneration)
		if unknown && d.ifCancelled != nil && d.ifCancelled.To == comm.Cancelled {
			t.Fatalf("cancelled although it may have been sent: %+v", f)
		}
		if f.result.called && rule.Unknown {
			if d.want.To == comm.Queued && d.want.Set.Has(comm.RepeatOwed) != (f.repeats && f.patient) || d.want.To != comm.Queued && d.want.Set.Has(comm.RepeatOwed) {
				t.Fatalf("a repeat is owed %v: %+v", d.want.Set.Has(comm.RepeatOwed), f)
			}
			if !d.want.Set.Has(comm.UnknownInGeneration | comm.UnknownEver) {
				t.Fatalf("an unknown attempt leaves no mark: %+v", f)
			}
			if d.want.To == comm.Queued && (f.state.OnUnknown == comm.FailUnknown || !d.want.Set.Has(comm.PossibleDuplicate)) {
				t.Fatalf("retried against the policy or without mark: %+v", f)
			}
		}
		if rule.Throttle && f.result.called && !f.counted && d.want.Round != f.state.Round {
			t.Fatalf("throttling counted a round: %+v", f)
		}
	}
	bools := []bool{false, true}
	for class := provider.Class(0); class <= provider.Ambiguous; class++ {
		for mask := range 1 << 10 {
			bit := func(i int) bool { return mask>>i&1 == 1 }
			for _, flags := range []comm.Flags{0, comm.CancelWanted, comm.UnknownInGeneration | comm.UnknownEver, comm.UnknownInGeneration | comm.UnknownEver | comm.RepeatOwed} {
				for _, called := range bools {
					for _, panicked := range bools {
						st := sending(func(s *comm.State) {
							s.Flags = flags
							if bit(0) {
								s.OnUnknown = comm.FailUnknown
							}
							if bit(1) {
								s.RoundSince = 1
							}
							if bit(2) {
								s.ExpiresAt = testNow + 1
							}
							if bit(3) {
								s.Due = testNow + 50
							}
						})
						f := facts{state: st, now: testNow, next: bit(4), later: bit(5), counted: bit(6), panics: 3, until: testNow + 9, repeats: bit(7), patient: bit(8), result: result{called: called}}
						if bit(9) {
							f.soon = time.Second
						}
						if class != provider.Accepted && called {
							f.result = refused(class)
							f.result.panicked = panicked && class == provider.Ambiguous
						}
						check(f, testPolicy.decide(f))
						check(facts{state: st, result: refused(provider.Ambiguous), repeats: bit(7), patient: true}, testPolicy.orphan(st, testNow, bit(7)))
					}
				}
			}
		}
	}
	if n < 10_000 {
		t.Fatalf("only %d decisions were looked at", n)
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{"nul": "a\x00b", "broken": "a\xff\xfeb", "long": strings.Repeat("é", 300), "cut in a rune": "a" + strings.Repeat("é", 200)} {
		if got := clip(in); !utf8.ValidString(got) || strings.Contains(got, "\x00") || len(got) > 256 || got == "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOnlyARealRefusalSuppresses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		live bool
		err  provider.Error
		want string
	}{
		{"no such user", true, provider.Error{Class: provider.PermanentMessage, HardBounce: true}, comm.SuppressHardBounce},
		{"opted out", true, provider.Error{Class: provider.PermanentMessage, OptedOut: true, HardBounce: true}, comm.SuppressUnsubscribed},
		{"in the sandbox", false, provider.Error{Class: provider.PermanentMessage, HardBounce: true}, ""},
		{"bad content", true, provider.Error{Class: provider.PermanentMessage}, ""},
		{"refused here alone", true, provider.Error{Class: provider.PermanentHere, HardBounce: true}, ""},
		{"for now", true, provider.Error{Class: provider.Transient, HardBounce: true}, ""},
	} {
		tc.err.Code, tc.err.Text = "550 5.1.1", strings.Repeat("ä", 200)
		d := testPolicy.decide(facts{state: sending(), live: tc.live, now: testNow, result: result{called: true, answer: &tc.err}})
		told := strings.HasSuffix(d.want.Detail, "suppressed from now on")
		if d.suppress != tc.want || told != (tc.want != "") || tc.want != "" && !strings.HasSuffix(d.ifCancelled.Detail, "suppressed from now on") {
			t.Errorf("%s: %q, %+v", tc.name, d.suppress, d.want)
		}
		if len(d.want.Detail) > maxDetail || !utf8.ValidString(d.want.Detail) {
			t.Errorf("%s: %d bytes of detail", tc.name, len(d.want.Detail))
		}
	}
}

// What a provider reports about later is kept to be found: of types that report, and only what they took under an id.
func TestAcceptedMessagesOfReportingTypesAreTraced(t *testing.T) {
	t.Parallel()
	reports := &provider.Reporting{}
	asks := &provider.Reporting{Asks: []time.Duration{time.Minute, time.Hour}}
	for name, x := range map[string]struct {
		reports *provider.Reporting
		ref     string
		traced  bool
		in      time.Duration
	}{
		"reports": {reports, "SM1", true, 0}, "asks": {asks, "SM1", true, time.Minute}, "without an id": {asks, "", false, 0}, "does not report": {nil, "SM1", false, 0},
	} {
		f := facts{state: sending(), reports: x.reports, result: result{called: true, receipt: provider.Receipt{Ref: x.ref}}}
		if o := testPolicy.decide(f).want; o.Ref != x.ref || o.Traced != x.traced || o.AskIn != x.in.Microseconds() {
			t.Errorf("%s: %+v", name, o)
		}
		f.result = result{called: true, answer: &provider.Error{Class: provider.Ambiguous}}
		if o := testPolicy.decide(f).want; o.Traced || o.AskIn != 0 {
			t.Errorf("%s, unknown: %+v", name, o)
		}
	}
}
