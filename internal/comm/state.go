package comm

// Cause is the type of an event: why a message is where it is.
type Cause uint8

// The causes. Values are stored: never renumber.
const (
	CauseAccepted Cause = iota + 1
	CauseAttemptStarted
	CauseAttemptFailed
	CauseAttemptUnknown
	CauseProviderAccepted
	CauseRetryTransient
	CauseRetryUnknown
	CauseThrottled
	CauseProviderRejected
	CauseExhausted
	CauseExpired
	CauseSuppressed
	CauseCancelled
	CauseCancelRequested
	CauseCancelledBeforeStart
	CauseCancelledAfterCleanFailure
	CauseNoProvider
	CauseContentGone
	CauseOutcomeUnknown
	CauseInternalError
	CauseRetryRequested
	CauseReleased
	CauseLateResult
	CauseSettledByProof
	CauseLateProof
	CauseReportDelivered
	CauseReportFailed
	CauseReportDuplicate
	CauseReportOutOfOrder
	CauseComplaint
	CauseBouncedAfterDelivery
	CauseContentPurged
	CauseErased
	CauseReportNoted
)

var causeNames = names{
	1: "accepted", 2: "attempt_started", 3: "attempt_failed", 4: "attempt_unknown", 5: "provider_accepted",
	6: "retry_transient", 7: "retry_unknown", 8: "throttled", 9: "provider_rejected", 10: "exhausted", 11: "expired",
	12: "suppressed", 13: "cancelled", 14: "cancel_requested", 15: "cancelled_before_start", 16: "cancelled_after_clean_failure",
	17: "no_provider", 18: "content_gone", 19: "outcome_unknown", 20: "internal_error", 21: "retry_requested", 22: "released",
	23: "late_result", 24: "settled_by_proof", 25: "late_proof", 26: "report_delivered", 27: "report_failed",
	28: "report_duplicate", 29: "report_out_of_order", 30: "complaint", 31: "bounced_after_delivery", 32: "content_purged", 33: "erased", 34: "report_noted",
}

func (c Cause) String() string { return causeNames.of(uint8(c)) }

// Causes lists every cause in the order of its stored value.
func Causes() []Cause {
	out := make([]Cause, 0, len(causeNames))
	for c := CauseAccepted; c <= CauseReportNoted; c++ {
		out = append(out, c)
	}
	return out
}

// Edge is one allowed change of state.
type Edge struct {
	Name     string // "T8"
	From, To Status
	Cause    Cause
	Who      string // who may make the change
	Guard    string // what must hold in the same transaction
}

// Edges is the state machine: any change that is not listed is a bug. docs/states.md is generated from it.
func Edges() []Edge {
	return []Edge{
		{"T1", None, Queued, CauseAccepted, "API", "valid, idempotency key unused; same transaction as the idempotency row"},
		{"T2", Queued, Sending, CauseAttemptStarted, "worker", "shard owned under the epoch, due, not suppressed, cancelled, expired; stored before the first byte leaves"},
		{"T3", Queued, Suppressed, CauseSuppressed, "worker", "address on the app's list in this transaction"},
		{"T4", Queued, Cancelled, CauseCancelled, "API, admin", "no attempt of unknown outcome in this generation"},
		{"T5", Queued, Failed, CauseExpired, "worker", "expiresAt has passed"},
		{"T5", Queued, Failed, CauseNoProvider, "worker", "live, no provider to send with, COMMS_LIVE_FALLBACK=fail"},
		{"T5", Queued, Failed, CauseContentGone, "worker", "content purged or erased"},
		{"T5", Queued, Failed, CauseInternalError, "worker", "the message cannot be read or made the adapter fail three times"},
		{"T5", Queued, Failed, CauseOutcomeUnknown, "API", "CANCEL after an attempt of unknown outcome"},
		{"T5", Queued, Failed, CauseExhausted, "worker", "retry horizon passed while it waited"},
		{"T6", Sending, Suppressed, CauseSuppressed, "worker", "seen before the next provider of the round is called"},
		{"T7", Queued, Cancelled, CauseCancelledBeforeStart, "worker", "cancel wish found at attempt start"},
		{"T8", Sending, Sent, CauseProviderAccepted, "worker", "epoch and attempt match"},
		{"T9", Sending, Queued, CauseRetryTransient, "worker", "clean failure, retry horizon not passed, no cancel wish"},
		{"T9", Sending, Queued, CauseThrottled, "worker", "refused for its rate before processing; does not count as a round"},
		{"T10", Sending, Queued, CauseRetryUnknown, "worker, recovery", "outcome unknown and policy RETRY; marked possibleDuplicate"},
		{"T11", Sending, Queued, CauseReleased, "worker", "attempt started, certainly no byte sent, node stops"},
		{"T12", Sending, Failed, CauseProviderRejected, "worker", "refused for good"},
		{"T12", Sending, Failed, CauseExhausted, "worker", "retry horizon passed"},
		{"T12", Sending, Failed, CauseExpired, "worker", "expiresAt passed between two providers of a round, or before the retry would be due"},
		{"T12", Sending, Failed, CauseInternalError, "worker", "the adapter failed on this message three times"},
		{"T13", Sending, Failed, CauseOutcomeUnknown, "worker, recovery", "outcome unknown and policy FAIL, horizon passed, or cancel wish"},
		{"T14", Sending, Cancelled, CauseCancelledAfterCleanFailure, "worker", "cancel wish and the attempt certainly failed"},
		{"T15", Sent, Delivered, CauseReportDelivered, "report", ""},
		{"T16", Sent, Failed, CauseReportFailed, "report", "negative report about the attempt that it was sent by"},
		{"T17", Sending, Sent, CauseSettledByProof, "report, late worker", "an attempt of unknown outcome proved accepted; pending retry removed"},
		{"T17", Queued, Sent, CauseSettledByProof, "report, late worker", "an attempt of unknown outcome proved accepted; pending retry removed"},
		{"T18", Failed, Sent, CauseLateProof, "report, late worker", "FAILED came from outcome_unknown or exhausted after an unknown attempt"},
		{"T18", Failed, Delivered, CauseLateProof, "report", "as above, or from a report_failed that was said to be correctable"},
		{"T19", Failed, Queued, CauseRetryRequested, "API, admin", "not expired; generation+1"},
		{"T20", Cancelled, Queued, CauseRetryRequested, "API, admin", "not expired; generation+1"},
	}
}

// Allowed says whether the state machine has this edge.
func Allowed(from, to Status, cause Cause) bool {
	for _, e := range Edges() {
		if e.From == from && e.To == to && e.Cause == cause {
			return true
		}
	}
	return false
}

// SuppressedNow ends the detail of an event that put the recipient on the app's suppression list.
const SuppressedNow = "; the address is suppressed from now on"

// EndText says in a sentence why a message ended by this cause, for ends that
// no provider had words for. It is "" for the others.
func EndText(c Cause) string {
	switch c {
	case CauseExpired:
		return "The message was not sent before its ttlSeconds had passed."
	case CauseContentGone:
		return "The content was purged or erased before the message could be sent."
	case CauseOutcomeUnknown:
		return "Nobody can tell whether the provider took the message; it was not tried again."
	case CauseNoProvider:
		return "The app is live, but there is no provider configuration to send with."
	case CauseExhausted:
		return "Every attempt failed until the time for retries was over."
	}
	return ""
}

// ParseCause reads a cause's name.
func ParseCause(s string) (Cause, bool) { v, ok := causeNames.parse(s); return Cause(v), ok }
