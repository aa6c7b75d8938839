package comm

import (
	"slices"
	"testing"
)

// event is a line of a log in these tests.
func event(cause Cause, from, to Status, attempt int) Event {
	return Event{Type: cause, From: from, To: to, Attempt: attempt}
}

func TestTell(t *testing.T) {
	t.Parallel()
	accepted := event(CauseAccepted, None, Queued, 0)
	started := func(n int) Event { return event(CauseAttemptStarted, Queued, Sending, n) }
	taken := func(n int) Event { return event(CauseProviderAccepted, Sending, Sent, n) }
	unknown := func(n int) Event { return event(CauseRetryUnknown, Sending, Queued, n) }
	sent := []Event{accepted, started(1), taken(1)}
	waits := []Event{accepted, started(1), unknown(1)}
	again := append(slices.Clone(waits), started(2))
	failed := append(slices.Clone(sent), event(CauseReportFailed, Sent, Failed, 1))
	retried := append(slices.Clone(failed), event(CauseRetryRequested, Failed, Queued, 0))
	gaveUp := []Event{accepted, started(1), event(CauseOutcomeUnknown, Sending, Failed, 1)}
	rejected := []Event{accepted, started(1), event(CauseProviderRejected, Sending, Failed, 1)}
	byProof := append(slices.Clone(again), event(CauseSettledByProof, Sending, Sent, 1))
	delivered := append(slices.Clone(sent), event(CauseReportDelivered, Sent, Delivered, 1))
	suppressed := append(slices.Clone(waits), event(CauseSuppressed, Queued, Suppressed, 0))
	complained := append(slices.Clone(delivered), event(CauseComplaint, Delivered, Delivered, 1))
	step := func(to Status, c Cause) []Step { return []Step{{to, c}} }
	for name, x := range map[string]struct {
		s     State
		log   []Event
		told  Told
		want  []Step
		waits bool
	}{
		"delivered":                         {State{Status: Sent}, sent, Told{Fate: FateDelivered, Attempt: 1}, step(Delivered, CauseReportDelivered), false},
		"delivered again":                   {State{Status: Delivered}, delivered, Told{Fate: FateDelivered, Attempt: 1}, step(Delivered, CauseReportDuplicate), false},
		"undelivered":                       {State{Status: Sent}, sent, Told{Fate: FateUndelivered, Attempt: 1}, step(Failed, CauseReportFailed), false},
		"undelivered again":                 {State{Status: Failed}, failed, Told{Fate: FateUndelivered, Attempt: 1}, step(Failed, CauseReportDuplicate), false},
		"undelivered, sent by another":      {State{Status: Sent, Attempts: 2}, byProof, Told{Fate: FateUndelivered, Attempt: 2}, step(Sent, CauseReportOutOfOrder), false},
		"bounced":                           {State{Status: Delivered, Channel: Email}, delivered, Told{Fate: FateUndelivered, Attempt: 1}, step(Delivered, CauseBouncedAfterDelivery), false},
		"an SMS does not bounce":            {State{Status: Delivered, Channel: SMS}, delivered, Told{Fate: FateUndelivered, Attempt: 1}, step(Delivered, CauseReportOutOfOrder), false},
		"on its way":                        {State{Status: Sent}, sent, Told{Fate: FateOnItsWay, Attempt: 1}, nil, false},
		"on its way, late":                  {State{Status: Failed}, failed, Told{Fate: FateOnItsWay, Attempt: 1}, nil, false},
		"noted":                             {State{Status: Delivered}, delivered, Told{Fate: FateNoted, Attempt: 1}, step(Delivered, CauseReportNoted), false},
		"complaint":                         {State{Status: Delivered}, delivered, Told{Fate: FateComplained, Attempt: 1}, step(Delivered, CauseComplaint), false},
		"complaint again":                   {State{Status: Delivered}, complained, Told{Fate: FateComplained, Attempt: 1}, step(Delivered, CauseReportDuplicate), false},
		"its answer is under way":           {State{Status: Sending, Attempts: 1}, sent[:2], Told{Fate: FateDelivered, Attempt: 1}, nil, true},
		"proof that it was taken":           {State{Status: Queued, Attempts: 1}, waits, Told{Fate: FateOnItsWay, Attempt: 1}, step(Sent, CauseSettledByProof), false},
		"proof that it arrived":             {State{Status: Queued, Attempts: 1}, waits, Told{Fate: FateDelivered, Attempt: 1}, []Step{{Sent, CauseSettledByProof}, {Delivered, CauseReportDelivered}}, false},
		"proof while another is tried":      {State{Status: Sending, Attempts: 2}, again, Told{Fate: FateOnItsWay, Attempt: 1}, step(Sent, CauseSettledByProof), false},
		"complaint as proof":                {State{Status: Queued, Attempts: 1}, waits, Told{Fate: FateComplained, Attempt: 1}, []Step{{Sent, CauseSettledByProof}, {Sent, CauseComplaint}}, false},
		"no proof of the unknown":           {State{Status: Queued, Attempts: 1}, waits, Told{Fate: FateUndelivered, Attempt: 1}, step(Queued, CauseReportOutOfOrder), false},
		"late proof":                        {State{Status: Failed, Attempts: 1}, gaveUp, Told{Fate: FateOnItsWay, Attempt: 1}, step(Sent, CauseLateProof), false},
		"late proof that it arrived":        {State{Status: Failed, Attempts: 1}, gaveUp, Told{Fate: FateDelivered, Attempt: 1}, step(Delivered, CauseLateProof), false},
		"a refusal stands":                  {State{Status: Failed, Attempts: 1}, rejected, Told{Fate: FateDelivered, Attempt: 1}, step(Failed, CauseReportOutOfOrder), false},
		"a final failure stands":            {State{Status: Failed, Attempts: 1}, failed, Told{Fate: FateDelivered, Attempt: 1}, step(Failed, CauseReportOutOfOrder), false},
		"a correctable one is corrected":    {State{Status: Failed, Attempts: 1, Flags: FailureCorrectable}, failed, Told{Fate: FateDelivered, Attempt: 1}, step(Delivered, CauseLateProof), false},
		"by its own attempt alone":          {State{Status: Failed, Attempts: 2, Flags: FailureCorrectable}, failed, Told{Fate: FateDelivered, Attempt: 2}, step(Failed, CauseReportOutOfOrder), false},
		"it arrived before the RETRY":       {State{Status: Queued, Attempts: 1}, retried, Told{Fate: FateDelivered, Attempt: 1}, []Step{{Sent, CauseSettledByProof}, {Delivered, CauseReportDelivered}}, false},
		"an old word does not stop a RETRY": {State{Status: Queued, Attempts: 1}, retried, Told{Fate: FateOnItsWay, Attempt: 1}, nil, false},
		"an old failure does not end it":    {State{Status: Queued, Attempts: 1}, retried, Told{Fate: FateUndelivered, Attempt: 1}, step(Queued, CauseReportOutOfOrder), false},
		"suppressed after an unknown one":   {State{Status: Suppressed, Attempts: 1}, suppressed, Told{Fate: FateDelivered, Attempt: 1}, step(Suppressed, CauseReportOutOfOrder), false},
		"suppressed, and it was on its way": {State{Status: Suppressed, Attempts: 1}, suppressed, Told{Fate: FateOnItsWay, Attempt: 1}, step(Suppressed, CauseReportOutOfOrder), false},
		"a person's opt-out says nothing":   {State{Status: Sent}, sent, Told{Fate: FateOptedOut, Attempt: 1}, nil, false},
		"nor does a word that nobody knows": {State{Status: Sent}, sent, Told{Fate: 99, Attempt: 1}, nil, false},
	} {
		steps, waits := Tell(&x.s, x.log, x.told)
		if !slices.Equal(steps, x.want) || waits != x.waits {
			t.Errorf("%s: %v %v, want %v %v", name, steps, waits, x.want, x.waits)
		}
	}
}

// TestAttemptOf: a tag names the message, and all attempts through one configuration have the same.
func TestAttemptOf(t *testing.T) {
	t.Parallel()
	mine, other := ID{15: 1}, ID{15: 2}
	started := func(n int, config ID) Event {
		return Event{Type: CauseAttemptStarted, From: Queued, To: Sending, Attempt: n, ProviderID: config}
	}
	ended := func(n int, config ID, c Cause, ref string) Event {
		return Event{Type: c, From: Sending, Attempt: n, ProviderID: config, Ref: ref}
	}
	for name, x := range map[string]struct {
		ref  string
		want int
		log  []Event
	}{
		"nothing was started":              {"a", 0, []Event{{Type: CauseAccepted}}},
		"another configuration":            {"a", 0, []Event{started(1, other), ended(1, other, CauseRetryUnknown, "")}},
		"under way":                        {"a", 1, []Event{started(1, mine)}},
		"unknown":                          {"a", 1, []Event{started(1, mine), ended(1, mine, CauseRetryUnknown, "")}},
		"unknown, another by the next":     {"a", 1, []Event{started(1, mine), ended(1, mine, CauseRetryUnknown, ""), started(2, other), ended(2, other, CauseProviderAccepted, "b")}},
		"unknown, and it has the id there": {"a", 1, []Event{started(1, mine), ended(1, mine, CauseRetryUnknown, ""), started(2, other), ended(2, other, CauseProviderAccepted, "a")}},
		"the newest of two unknown":        {"a", 2, []Event{started(1, mine), ended(1, mine, CauseRetryUnknown, ""), started(2, mine), ended(2, mine, CauseOutcomeUnknown, "")}},
		"the next was refused":             {"a", 1, []Event{started(1, mine), ended(1, mine, CauseRetryUnknown, ""), started(2, mine), ended(2, mine, CauseThrottled, "")}},
		"all were refused":                 {"a", 2, []Event{started(1, mine), ended(1, mine, CauseAttemptFailed, ""), started(2, mine), ended(2, mine, CauseProviderRejected, "")}},
		"the next is known by another id":  {"a", 1, []Event{started(1, mine), ended(1, mine, CauseOutcomeUnknown, ""), started(2, mine), ended(2, mine, CauseProviderAccepted, "b")}},
		"the first is known by this id":    {"a", 1, []Event{started(1, mine), ended(1, mine, CauseProviderAccepted, "a"), started(2, mine)}},
		"all are known by other ids":       {"a", 0, []Event{started(1, mine), ended(1, mine, CauseProviderAccepted, "b")}},
		"no id is said":                    {"", 2, []Event{started(1, mine), ended(1, mine, CauseProviderAccepted, "b"), started(2, mine), ended(2, mine, CauseProviderAccepted, "c")}},
		"accepted without an id":           {"a", 1, []Event{started(1, mine), ended(1, mine, CauseProviderAccepted, "")}},
		"its answer came late":             {"a", 1, []Event{started(1, mine), ended(1, mine, CauseRetryUnknown, ""), started(2, mine), ended(1, mine, CauseLateResult, "a")}},
		"reported twice under two ids":     {"a", 1, []Event{started(1, mine), ended(1, mine, CauseReportNoted, "b"), ended(1, mine, CauseReportNoted, "a")}},
	} {
		if got := AttemptOf(x.log, mine, x.ref); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
	}
}

// TestTellIsLawful tells everything in every situation: each step is an edge of the state machine, or changes nothing; what
// was delivered stays so; and who is told the same twice moves once.
func TestTellIsLawful(t *testing.T) {
	t.Parallel()
	ends := []Event{
		event(CauseProviderAccepted, Sending, Sent, 1), event(CauseRetryUnknown, Sending, Queued, 1), event(CauseOutcomeUnknown, Sending, Failed, 1),
		event(CauseProviderRejected, Sending, Failed, 1), event(CauseRetryTransient, Sending, Queued, 1), event(CauseCancelledAfterCleanFailure, Sending, Cancelled, 1),
	}
	n := 0
	for _, status := range Statuses() {
		for _, end := range ends {
			for _, last := range []Event{{}, event(CauseReportFailed, Sent, Failed, 1), event(CauseReportDelivered, Sent, Delivered, 1), event(CauseSettledByProof, Queued, Sent, 1)} {
				for fate := FateNoted; fate <= FateOptedIn+1; fate++ {
					for attempt := range 3 {
						for _, flags := range []Flags{0, FailureCorrectable, UnknownInGeneration} {
							for _, ch := range []Channel{Email, SMS} {
								s := State{Status: status, Channel: ch, Attempts: 1, Flags: flags}
								log := []Event{event(CauseAccepted, None, Queued, 0), event(CauseAttemptStarted, Queued, Sending, 1), end, last}
								lawful(t, s, log, Told{Fate: fate, Attempt: attempt, Correctable: flags != 0})
								n++
							}
						}
					}
				}
			}
		}
	}
	if n < 10_000 {
		t.Fatalf("%d situations", n)
	}
}

func lawful(t *testing.T, s State, log []Event, told Told) {
	t.Helper()
	steps, waits := Tell(&s, log, told)
	if waits && len(steps) > 0 {
		t.Fatalf("%v waits and steps", told)
	}
	was := s
	for _, x := range steps {
		if x.To != s.Status && !Allowed(s.Status, x.To, x.Cause) {
			t.Fatalf("%+v %v %+v: no edge to %s by %s", was, log, told, x.To, x.Cause)
		}
		if s.Status == Delivered && x.To != Delivered {
			t.Fatalf("%+v: what was delivered became %s", told, x.To)
		}
		log = append(log, event(x.Cause, s.Status, x.To, told.Attempt))
		s.Status = x.To
	}
	again, _ := Tell(&s, log, told)
	for _, x := range again {
		if x.To != s.Status && len(steps) > 0 && steps[len(steps)-1].To != was.Status {
			t.Fatalf("%+v %v %+v: told twice it moves on to %s", was, log, told, x.To)
		}
	}
}

func TestStorable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "abc": "abc", "a\x00b": "a b", "\xff": "?", "ääää": "ää", "abcdef": "abcde"} {
		if got := Storable(in, 5); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Storable("abc", -1); got != "" {
		t.Errorf("%q", got)
	}
}
