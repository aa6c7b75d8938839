package comm

// Check is the verdict of attempt start: what the state and the app's lists
// demand before a provider may be called. It is pure; SQLite calls it, and the
// PostgreSQL statement is held to it by the conformance suite.
type Check struct {
	Suppressed  bool
	ContentGone bool
	Expired     bool
	Cancelled   bool // cancel wish
	Unknown     bool // an earlier attempt of this generation ended unknown
	Continuing  bool // an attempt of this round just failed (state SENDING)
}

// End is the state and cause that the check demands, or None when the attempt may start.
// The order is part of the contract: cancel, content, expiry, suppression.
func (c Check) End() (Status, Cause) {
	switch {
	case c.Cancelled && c.Unknown:
		return Failed, CauseOutcomeUnknown
	case c.Cancelled && c.Continuing:
		return Cancelled, CauseCancelledAfterCleanFailure
	case c.Cancelled:
		return Cancelled, CauseCancelledBeforeStart
	case c.ContentGone:
		return Failed, CauseContentGone
	case c.Expired:
		return Failed, CauseExpired
	case c.Suppressed:
		return Suppressed, CauseSuppressed
	}
	return None, 0
}

// CancelResult is what CANCEL leads to.
type CancelResult uint8

// The results of CANCEL.
const (
	CancelDone    CancelResult = iota + 1 // CANCELLED now
	CancelAgain                           // was CANCELLED already
	CancelMaybe                           // an attempt of unknown outcome: FAILED outcome_unknown now; may_have_been_sent
	CancelFlight                          // a call is running: the wish is kept; in_flight
	CancelTooLate                         // SENT, DELIVERED, FAILED, SUPPRESSED
)

// CancelVerdict decides CANCEL for a state (promise 8).
func CancelVerdict(s *State) CancelResult {
	switch s.Status {
	case Queued:
		if s.Flags.Has(UnknownInGeneration) {
			return CancelMaybe
		}
		return CancelDone
	case Sending:
		return CancelFlight
	case Cancelled:
		return CancelAgain
	}
	return CancelTooLate
}

// RetryResult is what RETRY leads to.
type RetryResult uint8

// The results of RETRY.
const (
	RetryDone    RetryResult = iota + 1 // QUEUED again, a new generation
	RetryExpired                        // expiresAt has passed
	RetryGone                           // content purged or erased
	RetryRefused                        // not FAILED or CANCELLED
)

// RetryVerdict decides RETRY for a state at the database's now (T19, T20).
func RetryVerdict(s *State, contentGone bool, now Micros) RetryResult {
	switch {
	case s.Status != Failed && s.Status != Cancelled:
		return RetryRefused
	case s.ExpiresAt != 0 && now >= s.ExpiresAt:
		return RetryExpired
	case contentGone:
		return RetryGone
	}
	return RetryDone
}

// ProofSettles says whether proof that an attempt was accepted changes the
// state, and by which cause (T17, T18). attempt is the attempt proved.
func ProofSettles(s *State) (Cause, bool) {
	switch s.Status {
	case Sending, Queued:
		return CauseSettledByProof, true
	case Failed:
		if s.Flags.Has(UnknownInGeneration) {
			return CauseLateProof, true
		}
	}
	return 0, false
}
