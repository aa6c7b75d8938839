package comm

import "testing"

// TestWhatTroubles: a message that failed, or a try that did, is trouble; what goes as it should, or only repeats what is known, is none.
func TestWhatTroubles(t *testing.T) {
	t.Parallel()
	for _, e := range Edges() {
		one := Event{From: e.From, To: e.To, Type: e.Cause}
		want := e.To == Failed || e.To == Suppressed || e.Cause == CauseRetryTransient || e.Cause == CauseRetryUnknown || e.Cause == CauseThrottled
		if one.Troubles() != want {
			t.Errorf("%s from %s to %s: %v", e.Cause, e.From, e.To, !want)
		}
	}
	for cause, want := range map[Cause]bool{CauseAttemptFailed: true, CauseAttemptUnknown: true, CauseComplaint: true, CauseBouncedAfterDelivery: true,
		CauseReportDuplicate: false, CauseLateResult: false, CauseContentPurged: false, CauseErased: false, CauseReportNoted: false} {
		if one := (Event{From: Failed, To: Failed, Type: cause}); one.Troubles() != want {
			t.Errorf("%s: %v", cause, !want)
		}
	}
}
