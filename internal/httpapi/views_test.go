package httpapi

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

func TestAttemptLogIsReadFromTheEvents(t *testing.T) {
	t.Parallel()
	ev := func(cause comm.Cause, attempt int, at comm.Micros) comm.Event {
		return comm.Event{Type: cause, Attempt: attempt, At: at, Provider: "smtp", Generation: 1}
	}
	with := func(e comm.Event, code, ref string) comm.Event { e.ErrorCode, e.Ref = code, ref; return e }
	for name, c := range map[string]struct {
		events   []comm.Event
		outcomes []string
	}{
		"nothing tried": {[]comm.Event{ev(comm.CauseAccepted, 0, 1), ev(comm.CauseCancelled, 0, 2)}, nil},
		"running":       {[]comm.Event{ev(comm.CauseAccepted, 0, 1), ev(comm.CauseAttemptStarted, 1, 2)}, []string{"running"}},
		"failover":      {[]comm.Event{ev(comm.CauseAttemptStarted, 1, 1), ev(comm.CauseAttemptFailed, 1, 2), ev(comm.CauseAttemptStarted, 2, 2), ev(comm.CauseProviderAccepted, 2, 3)}, []string{"failed", "accepted"}},
		"throttled":     {[]comm.Event{ev(comm.CauseAttemptStarted, 1, 1), ev(comm.CauseAttemptFailed, 1, 2), ev(comm.CauseThrottled, 1, 2)}, []string{"throttled"}},
		"rejected":      {[]comm.Event{ev(comm.CauseAttemptStarted, 1, 1), ev(comm.CauseAttemptFailed, 1, 2), ev(comm.CauseProviderRejected, 1, 2)}, []string{"rejected"}},
		"unknown":       {[]comm.Event{ev(comm.CauseAttemptStarted, 1, 1), ev(comm.CauseAttemptUnknown, 1, 2), ev(comm.CauseRetryUnknown, 1, 2), ev(comm.CauseAttemptStarted, 2, 3)}, []string{"unknown", "running"}},
		"settled later": {[]comm.Event{ev(comm.CauseAttemptStarted, 1, 1), ev(comm.CauseRetryUnknown, 1, 2), ev(comm.CauseLateResult, 1, 3), ev(comm.CauseSettledByProof, 1, 3)}, []string{"accepted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newAttemptLog(c.events)
			if len(log) != len(c.outcomes) {
				t.Fatalf("%+v", log)
			}
			for i, want := range c.outcomes {
				if log[i].Outcome != want || (log[i].EndedAt == 0) != (want == "running") || log[i].Attempt != i+1 {
					t.Errorf("%d: %+v, want %s", i, log[i], want)
				}
			}
		})
	}
	log := newAttemptLog([]comm.Event{ev(comm.CauseAttemptStarted, 1, 1), with(ev(comm.CauseAttemptFailed, 1, 2), "451", ""), with(ev(comm.CauseLateProof, 1, 9), "", "ref-1")})
	if got := log[0]; got.ErrorCode != "451" || got.ProviderMessageID != "ref-1" || got.EndedAt != 2 || got.StartedAt != 1 {
		t.Errorf("%+v", got)
	}
}

// TestAnEndSaysWhyInItsEvent: a check at attempt start and CANCEL store no words; the message shows a sentence, and so does its log.
func TestAnEndSaysWhyInItsEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event comm.Event
		want  string
	}{
		{comm.Event{Type: comm.CauseExpired, To: comm.Failed}, comm.EndText(comm.CauseExpired)},
		{comm.Event{Type: comm.CauseOutcomeUnknown, To: comm.Failed}, comm.EndText(comm.CauseOutcomeUnknown)},
		{comm.Event{Type: comm.CauseExpired, To: comm.Failed, Detail: "its own"}, "its own"},
		{comm.Event{Type: comm.CauseCancelled, To: comm.Cancelled}, ""},
		{comm.Event{Type: comm.CauseAccepted, To: comm.Queued}, ""},
	} {
		if got := newEvents([]comm.Event{c.event})[0].Detail; string(got) != c.want {
			t.Errorf("%v: %q, want %q", c.event.Type, got, c.want)
		}
	}
	if comm.EndText(comm.CauseExpired) == "" {
		t.Error("the sentence is missing")
	}
}
