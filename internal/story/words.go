package story

import "github.com/commserver/commserver/internal/comm"

// CauseText says in plain words what an event of a message's log means.
func CauseText(c comm.Cause) string {
	switch c {
	case comm.CauseAccepted:
		return "accepted and stored"
	case comm.CauseAttemptStarted:
		return "handed to the provider"
	case comm.CauseAttemptFailed:
		return "not taken; the next provider is tried"
	case comm.CauseAttemptUnknown:
		return "no answer: nobody can tell whether the provider took it"
	case comm.CauseProviderAccepted:
		return "taken by the provider"
	case comm.CauseRetryTransient:
		return "failed for now; tried again later"
	case comm.CauseRetryUnknown:
		return "no answer; tried again, perhaps a second copy"
	case comm.CauseThrottled:
		return "the provider asked to slow down"
	case comm.CauseProviderRejected:
		return "refused for good"
	case comm.CauseExhausted:
		return "given up: the time for retries is over"
	case comm.CauseExpired:
		return "expired before it could be sent"
	case comm.CauseSuppressed:
		return "not sent: the address is on the suppression list"
	case comm.CauseCancelled:
		return "taken out of the queue on request"
	case comm.CauseCancelledBeforeStart:
		return "cancelled before the call began"
	case comm.CauseCancelledAfterCleanFailure:
		return "cancelled, since the call under way was not taken"
	case comm.CauseCancelRequested:
		return "to be cancelled when the call under way has ended"
	case comm.CauseNoProvider:
		return "no provider configuration to send with"
	case comm.CauseContentGone:
		return "its content is gone"
	}
	return laterText(c)
}

func laterText(c comm.Cause) string {
	switch c {
	case comm.CauseOutcomeUnknown:
		return "ended unknown: perhaps sent, not tried again"
	case comm.CauseInternalError:
		return "the server could not send it"
	case comm.CauseRetryRequested:
		return "queued again on request"
	case comm.CauseReleased:
		return "back in the queue: the node stopped before anything was sent"
	case comm.CauseLateResult:
		return "an answer came late and changed nothing"
	case comm.CauseSettledByProof:
		return "proved to be taken by the provider"
	case comm.CauseLateProof:
		return "a report proved late that it was sent"
	case comm.CauseReportDelivered:
		return "delivered, the provider reports"
	case comm.CauseReportFailed:
		return "not delivered, the provider reports"
	case comm.CauseReportDuplicate:
		return "the provider reported the same again"
	case comm.CauseReportOutOfOrder:
		return "an older report came late"
	case comm.CauseComplaint:
		return "the recipient complained"
	case comm.CauseBouncedAfterDelivery:
		return "bounced after it was delivered"
	case comm.CauseReportNoted:
		return "the provider reported"
	case comm.CauseContentPurged:
		return "its content was removed by retention"
	case comm.CauseErased:
		return "erased on request"
	}
	return ""
}
