package comm

// Fate is what a provider's report says has become of a message.
type Fate uint8

// The fates. Values are stored: never renumber.
const (
	FateNoted       Fate = iota + 1 // nothing that changes a state: opened, clicked, unknown words
	FateOnItsWay                    // the provider has it, and it is not final: proves that it was accepted
	FateDelivered                   // it arrived
	FateUndelivered                 // it did not arrive and will not
	FateComplained                  // the recipient calls it spam
	FateOptedOut                    // the person at an address wants no more messages; no message is named
	FateOptedIn                     // the person takes that back
)

var fateNames = names{1: "noted", 2: "on its way", 3: "delivered", 4: "undelivered", 5: "complained", 6: "opted out", 7: "opted in"}

func (f Fate) String() string { return fateNames.of(uint8(f)) }

// Told is what a report says of an attempt, as far as the state machine looks at it.
type Told struct {
	Fate    Fate
	Attempt int
	// Correctable says of FateUndelivered that a later word may contradict it.
	Correctable bool
}

// Step is an event that a report leads to, and the status after it.
type Step struct {
	To    Status
	Cause Cause
}

// Tell decides what a report makes of a message (T15 to T18). log is all of its events. It is
// pure; both stores call it on the locked row. Without steps the report says nothing new. It waits when the
// attempt's own answer is still to be stored: the same report is then told again later.
func Tell(s *State, log []Event, t Told) (steps []Step, waits bool) {
	if s.Status == Sending && t.Attempt == s.Attempts {
		return nil, true
	}
	switch t.Fate {
	case FateNoted:
		return stays(s, CauseReportNoted), false
	case FateOnItsWay:
		if cause, ok := proves(s, log, t); ok {
			return []Step{{Sent, cause}}, false
		}
		if s.Status == Suppressed || s.Status == Cancelled {
			return stays(s, CauseReportOutOfOrder), false
		}
		return nil, false // the log says so already, or better
	case FateDelivered:
		return tellDelivered(s, log, t), false
	case FateUndelivered:
		return tellUndelivered(s, log, t), false
	case FateComplained:
		return tellComplained(s, log, t), false
	}
	return nil, false
}

// AttemptOf answers which attempt a report is about that names its message and no attempt: the newest one that was started
// through the provider's configuration, and rather one that may have been accepted than one that was refused. Where the
// provider's id of its message is known, only that id can mean it; ref is the report's, "" when it names none. 0 when no
// attempt can be meant. log is all events of the message. It is pure.
func AttemptOf(log []Event, config ID, ref string) (attempt int) {
	best := meansNot
	for i := range log {
		if e := &log[i]; e.Type == CauseAttemptStarted && e.ProviderID == config {
			if m := means(log[i+1:], e.Attempt, config, ref); m != meansNot && m >= best {
				best, attempt = m, e.Attempt
			}
		}
	}
	return attempt
}

// meaning is how likely it is that a report means an attempt.
type meaning uint8

const (
	meansNot     meaning = iota // the provider knows it under another id
	meansRefused                // it was refused, as far as anybody knows
	meansPerhaps                // it was accepted, nobody can tell, or it is under way
	meansSurely                 // the provider knows it under this id
)

// means says what is known of an attempt by what came after its start.
func means(after []Event, attempt int, config ID, ref string) meaning {
	m := meansPerhaps
	for i := range after {
		e := &after[i]
		switch {
		case e.Attempt != attempt:
		case e.ProviderID == config && e.Ref != "" && ref != "":
			if e.Ref == ref {
				return meansSurely
			}
			m = meansNot
		case m == meansPerhaps && refuses(e.Type):
			m = meansRefused
		}
	}
	return m
}

// refuses says of an event about an attempt that it was certainly not accepted.
func refuses(c Cause) bool {
	switch c {
	case CauseAttemptFailed, CauseRetryTransient, CauseThrottled, CauseProviderRejected, CauseExhausted, CauseExpired, CauseReleased, CauseCancelledAfterCleanFailure:
		return true
	}
	return false
}

func stays(s *State, cause Cause) []Step { return []Step{{s.Status, cause}} }

func tellDelivered(s *State, log []Event, t Told) []Step {
	switch s.Status {
	case Sent:
		return []Step{{Delivered, CauseReportDelivered}}
	case Delivered:
		return stays(s, CauseReportDuplicate)
	case Queued, Sending:
		// Also of an attempt before a RETRY: the recipient has the message.
		return []Step{{Sent, CauseSettledByProof}, {Delivered, CauseReportDelivered}}
	}
	cause, ok := proves(s, log, t)
	fail := lastChange(log, Failed)
	if !ok && s.Status == Failed && fail != nil && fail.Type == CauseReportFailed && fail.Attempt == t.Attempt && s.Flags.Has(FailureCorrectable) {
		cause, ok = CauseLateProof, true
	}
	if !ok {
		return stays(s, CauseReportOutOfOrder)
	}
	return []Step{{Delivered, cause}}
}

func tellUndelivered(s *State, log []Event, t Told) []Step {
	switch s.Status {
	case Sent:
		// Another attempt than the one that it is SENT by may have arrived.
		if by := lastChange(log, Sent); by != nil && by.Attempt != 0 && by.Attempt != t.Attempt {
			break
		}
		return []Step{{Failed, CauseReportFailed}}
	case Failed:
		if f := lastChange(log, Failed); f != nil && f.Type == CauseReportFailed && f.Attempt == t.Attempt {
			return stays(s, CauseReportDuplicate)
		}
	case Delivered:
		if s.Channel == Email {
			return once(s, log, t, CauseBouncedAfterDelivery)
		}
	}
	return stays(s, CauseReportOutOfOrder)
}

// tellComplained: whoever complains has it.
func tellComplained(s *State, log []Event, t Told) []Step {
	steps := once(s, log, t, CauseComplaint)
	if cause, ok := proves(s, log, t); ok {
		steps[0].To = Sent
		steps = append([]Step{{Sent, cause}}, steps...)
	}
	return steps
}

// once is an event that changes no status, or, where the log has it, that it was said again.
func once(s *State, log []Event, t Told, cause Cause) []Step {
	for i := range log {
		if log[i].Type == cause && log[i].Attempt == t.Attempt {
			return stays(s, CauseReportDuplicate)
		}
	}
	return stays(s, cause)
}

// proves says whether proof that the attempt was accepted changes the status, and by which cause
// (T17, T18): only where its outcome was unknown, and no later word of the provider stands against it.
func proves(s *State, log []Event, t Told) (Cause, bool) {
	if !unknownAttempt(log, t.Attempt) {
		return 0, false
	}
	switch s.Status {
	case Queued, Sending:
		return CauseSettledByProof, true
	case Failed:
		if f := lastChange(log, Failed); f != nil && f.Type == CauseReportFailed && f.Attempt == t.Attempt {
			return 0, false
		}
		return CauseLateProof, true
	}
	return 0, false
}

// unknownAttempt says whether nobody could tell how the attempt ended.
func unknownAttempt(log []Event, attempt int) bool {
	for i := range log {
		if e := &log[i]; e.Attempt == attempt && attempt != 0 {
			switch e.Type {
			case CauseRetryUnknown, CauseOutcomeUnknown, CauseAttemptUnknown, CauseInternalError:
				return true
			}
		}
	}
	return false
}

// lastChange is the last event that brought the message to a status; nil when none did.
func lastChange(log []Event, to Status) *Event {
	for i := len(log) - 1; i >= 0; i-- {
		if e := &log[i]; e.To == to && e.From != to {
			return e
		}
	}
	return nil
}
