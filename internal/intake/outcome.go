package intake

import (
	"errors"

	"github.com/commserver/commserver/internal/comm"
)

// Outcome is what a request to accept a message came to, for metrics.
type Outcome uint8

// The outcomes.
const (
	OutcomeAccepted    Outcome = iota // a new message is stored
	OutcomeReplayed                   // it was stored before, under the same idempotency key
	OutcomeInvalid                    // the request breaks a rule
	OutcomeConflict                   // another request had the idempotency key
	OutcomeLimited                    // the app's rate, or one of its caps, is used up
	OutcomeUnavailable                // it could not be stored now
	OutcomeFailed                     // a fault of this program, or of the database with this message alone
	// OutcomeCount is how many there are.
	OutcomeCount
)

// String is the outcome as a label.
func (o Outcome) String() string {
	return [OutcomeCount]string{"accepted", "replayed", "invalid", "conflict", "limited", "unavailable", "failed"}[min(o, OutcomeFailed)]
}

// tell says what requests came to.
func (s *Service) tell(reqs []Request, results []Result) {
	for i := range results {
		ch, _ := comm.ParseChannel(reqs[i].Channel.Value)
		lane := comm.Normal
		if text := reqs[i].Lane.Value; text != "" {
			var ok bool
			if lane, ok = comm.ParseLane(text); !ok {
				lane = comm.LaneCount
			}
		}
		s.cfg.Answered(ch, lane, outcome(&results[i]))
	}
}

func outcome(r *Result) Outcome {
	if r.Err == nil {
		if r.Deduplicated {
			return OutcomeReplayed
		}
		return OutcomeAccepted
	}
	e, known := errors.AsType[*comm.Error](r.Err)
	switch {
	case !known:
		return OutcomeFailed
	case e.Kind == comm.Limited:
		return OutcomeLimited
	case e.Kind == comm.Unavailable:
		return OutcomeUnavailable
	case e.Kind == comm.Internal:
		return OutcomeFailed
	case e.Code == "idempotency_key_reused":
		return OutcomeConflict
	}
	return OutcomeInvalid
}
