package sqlstore

import (
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
)

// Change is what one use case makes of a message: the row before and after and
// the events between. Both stores write it as it is, so that they cannot differ.
// Without events nothing is written.
type Change struct {
	Before, After comm.State
	Events        []comm.Event
	Suppress      string // why the recipient joins the app's suppressions; "" = it does not
	Within        string // how the recipient must begin for that
	Trace         *Trace // what a later report names the message by; nil = nothing new
}

// At is when the last of its events happened; there must be one.
func (c *Change) At() comm.Micros { return c.Events[len(c.Events)-1].At }

// SuppressRecipient adds to an app's suppressions of channel $1, for the reason
// $2 at $3, the recipient of message $4 of app $5, if it begins with $6, unless it is there.
const SuppressRecipient = `INSERT INTO suppressions (app_id, channel, address, reason, created_at)
SELECT c.app_id, $1, c.recipient, $2, $3 FROM content c WHERE c.id = $4 AND c.app_id = $5 AND c.recipient <> '' AND substr(c.recipient, 1, length($6)) = $6
ON CONFLICT (app_id, channel, address) DO NOTHING`

// queuedAt answers the due of the queue row that must exist afterwards; ok is false when there must be none.
func queuedAt(s *comm.State) (due comm.Micros, ok bool) {
	return s.Due, s.Status == comm.Queued || s.Status == comm.Sending
}

// QueueMove says which queue row (by its due) goes and which comes. A row that stays is neither.
func (c *Change) QueueMove() (remove comm.Micros, removed bool, insert comm.Micros, inserted bool) {
	from, had := queuedAt(&c.Before)
	to, has := queuedAt(&c.After)
	if had && has && from == to {
		return 0, false, 0, false
	}
	return from, had, to, has
}

// log appends an event about the row as it is in After, which counts its sequence up.
func (c *Change) log(from comm.Status, now comm.Micros, e comm.Event) {
	s := &c.After
	s.Sequence++
	s.UpdatedAt = now
	e.App, e.Message, e.Sequence = s.App, s.ID, s.Sequence
	e.From, e.To, e.At, e.Generation, e.Epoch = from, s.Status, now, s.Generation, s.Epoch
	e.ErrorText = s.ErrorText
	c.Events = append(c.Events, e)
}

func eventOf(o *store.Outcome, node string, attempt int) comm.Event {
	return comm.Event{Type: o.Cause, Attempt: attempt, Node: node, Provider: o.Provider, ProviderID: o.ProviderID, Ref: o.Ref, ErrorCode: o.ErrorCode, Detail: o.Detail}
}

// enter moves the row to a status, with what the status demands of the other columns.
func enter(s *comm.State, to comm.Status, due, now comm.Micros) {
	s.Status = to
	switch {
	case to == comm.Queued:
		s.Due = due
	case to.Final():
		s.Due = 0
	}
	if to == comm.Sent {
		s.SentAt = now
	}
	if to == comm.Delivered {
		s.DeliveredAt = now
	}
}

// tried notes the provider of an outcome; the last provider tried stays when it names none.
func tried(s *comm.State, o *store.Outcome) {
	if o.Provider != "" {
		s.Provider, s.ProviderID = o.Provider, o.ProviderID
	}
	if o.Ref != "" {
		s.ProviderRef = o.Ref
	}
}

// Finish applies a finish to the row; ok is false when the row is not as the finish expects.
func Finish(s *comm.State, f *store.Finish, node string, now comm.Micros) (c Change, ok bool) {
	attempt := 0
	switch {
	case f.From == comm.Sending && s.Status == comm.Sending && s.Attempts == f.Attempt && s.Epoch == f.Epoch:
		attempt = f.Attempt
	case plant.Active(plant.NoFence) && f.From == comm.Sending && s.Status == comm.Sending:
		attempt = f.Attempt
	case f.From == comm.Queued && s.Status == comm.Queued && s.Due == f.Due:
	default:
		return c, false
	}
	o := &f.Want
	if f.IfCancelled != nil && s.Flags.Has(comm.CancelWanted) {
		o = f.IfCancelled
	}
	c = Change{Before: *s, After: *s, Suppress: f.Suppress}
	enter(&c.After, o.To, o.Due, now)
	c.After.Round, c.After.Flags = o.Round, s.Flags&^comm.RepeatOwed|o.Set
	c.After.ErrorCode, c.After.ErrorText = o.ErrorCode, o.ErrorText
	tried(&c.After, o)
	c.log(s.Status, now, eventOf(o, node, attempt))
	c.trace(o, attempt, now)
	return c, true
}

// Begin is what a start meets: the lease's epoch and what was looked up in its transaction.
type Begin struct {
	Node        string
	Epoch       int64
	Now         comm.Micros
	Suppressed  bool
	ContentGone bool
	Refused     bool // the app is inactive, or Live and message or app are not
}

// Start applies a start to the row. A Change without events means that nothing is written.
func Start(s *comm.State, st *store.Start, b Begin) (Change, store.Verdict) {
	continuing := st.Attempt > 0
	switch {
	case continuing && s.Status == comm.Sending && s.Attempts == st.Attempt && s.Epoch == st.Epoch:
	case !continuing && s.Status == comm.Queued && s.Due == st.Head.Due && s.Due <= b.Now:
	default:
		return Change{}, store.Gone
	}
	to, cause := comm.Check{
		Suppressed: b.Suppressed, ContentGone: b.ContentGone, Expired: s.ExpiresAt != 0 && b.Now >= s.ExpiresAt,
		Cancelled: s.Flags.Has(comm.CancelWanted), Unknown: s.Flags.Has(comm.UnknownInGeneration), Continuing: continuing,
	}.End()
	switch {
	case to != comm.None:
	case st.Careful && !continuing && s.Flags.Has(comm.UnknownInGeneration):
		return Change{}, store.Doubted
	case OwesRepeat(s, st):
		return Change{Before: *s, After: *s}, store.RepeatFirst
	case b.Refused || st.Live && s.Mode != comm.Live:
		return Change{}, store.ModeChanged
	}
	c := Change{Before: *s, After: *s}
	a := &c.After
	if st.Elsewhere {
		a.Flags &^= comm.RepeatOwed
	}
	if continuing && st.Failed != nil {
		a.ErrorCode, a.ErrorText = st.Failed.ErrorCode, st.Failed.ErrorText
		a.Flags = a.Flags&^comm.RepeatOwed | st.Failed.Set
		c.log(s.Status, b.Now, eventOf(st.Failed, b.Node, st.Attempt))
	}
	if to != comm.None {
		enter(a, to, 0, b.Now)
		e := comm.Event{Type: cause, Node: b.Node}
		if to == comm.Failed {
			a.ErrorCode, a.ErrorText = cause.String(), ""
			e.ErrorCode = a.ErrorCode
		}
		c.log(s.Status, b.Now, e)
		return c, store.Ended
	}
	a.Status, a.Epoch = comm.Sending, b.Epoch
	a.Attempts++
	if a.RoundSince == 0 {
		a.RoundSince = b.Now
	}
	a.Provider, a.ProviderID, a.ProviderRef = st.Provider, st.ProviderID, ""
	c.log(s.Status, b.Now, comm.Event{Type: comm.CauseAttemptStarted, Attempt: a.Attempts, Node: b.Node, Provider: st.Provider, ProviderID: st.ProviderID, Detail: st.Detail})
	return c, store.Go
}

// OwesRepeat says that the message has to go back to the configuration of its last attempt, and the start leads to another.
func OwesRepeat(s *comm.State, st *store.Start) bool {
	return st.Attempt == 0 && !st.Elsewhere && s.Flags.Has(comm.RepeatOwed) && s.ProviderID != st.ProviderID
}

// Stale says that the queue row of a head is not the row's own: it must go.
func Stale(s *comm.State, h store.Head) bool {
	due, ok := queuedAt(s)
	return !ok || due != h.Due
}

// Cancel applies CANCEL (promise 8).
func Cancel(s *comm.State, actor string, now comm.Micros) (Change, comm.CancelResult) {
	c := Change{Before: *s, After: *s}
	result := comm.CancelVerdict(s)
	switch result {
	case comm.CancelDone:
		enter(&c.After, comm.Cancelled, 0, now)
		c.After.ErrorCode, c.After.ErrorText = "", "" // of the attempt before: it is not why the message ended
		c.log(s.Status, now, comm.Event{Type: comm.CauseCancelled, Actor: actor})
	case comm.CancelMaybe:
		enter(&c.After, comm.Failed, 0, now)
		c.After.ErrorCode, c.After.ErrorText = comm.CauseOutcomeUnknown.String(), ""
		c.log(s.Status, now, comm.Event{Type: comm.CauseOutcomeUnknown, Actor: actor, ErrorCode: c.After.ErrorCode})
	case comm.CancelFlight:
		if !s.Flags.Has(comm.CancelWanted) {
			c.After.Flags |= comm.CancelWanted
			c.log(s.Status, now, comm.Event{Type: comm.CauseCancelRequested, Actor: actor, Attempt: s.Attempts})
		}
	}
	return c, result
}

// Waited says whether a queued message waited at an instant already: it had been accepted, and nobody has asked for it again
// since. Nothing happens to one that was asked for again until its first attempt.
func Waited(s *comm.State, at comm.Micros) bool {
	again := s.Generation > 1 && s.RoundSince == 0
	return s.CreatedAt <= at && (!again || s.UpdatedAt <= at)
}

// Doubtful says of a queued message that it may have been sent; with policy, that it is not to be sent again for that.
func Doubtful(s *comm.State, policy bool) bool {
	return s.Flags.Has(comm.UnknownInGeneration) && (!policy || s.OnUnknown == comm.FailUnknown)
}

// Retry applies RETRY (T19, T20): a new generation that is due now, or when it
// was scheduled for if that lies ahead (promise 9).
func Retry(s *comm.State, contentGone bool, actor string, now comm.Micros) (Change, comm.RetryResult) {
	c := Change{Before: *s, After: *s}
	result := comm.RetryVerdict(s, contentGone, now)
	if result != comm.RetryDone {
		return c, result
	}
	a := &c.After
	enter(a, comm.Queued, max(now, s.ScheduledAt), now)
	a.Generation++
	a.Round, a.RoundSince = 0, 0
	a.Flags &^= comm.CancelWanted | comm.UnknownInGeneration | comm.RepeatOwed
	a.ErrorCode, a.ErrorText = "", ""
	c.log(s.Status, now, comm.Event{Type: comm.CauseRetryRequested, Actor: actor})
	return c, result
}

// onlyOnce takes back that the recipient may have got the message twice: it is proved that the provider took it, and nobody
// else was given it.
func onlyOnce(a *comm.State) {
	if a.Attempts == 1 && a.Generation == 1 {
		a.Flags &^= comm.PossibleDuplicate
	}
}

// Late files a result whose shard was lost (T17, T18 when it proves acceptance).
// log is the message's events so far: a result that stands there already, because its
// caller never learnt of the commit, changes nothing.
func Late(s *comm.State, log []comm.Event, r *store.LateResult, node string, now comm.Micros) Change {
	c := Change{Before: *s, After: *s}
	e := eventOf(&r.Outcome, node, r.Attempt)
	e.Type = comm.CauseLateResult
	if slices.ContainsFunc(log, func(x comm.Event) bool {
		return x.Type == e.Type && x.Attempt == e.Attempt && x.Node == e.Node && x.Ref == e.Ref && x.ErrorCode == e.ErrorCode && x.Detail == e.Detail
	}) {
		return c
	}
	c.Suppress = r.Suppress
	c.log(s.Status, now, e)
	c.After.UpdatedAt = s.UpdatedAt // what is only filed is no change of the message, and does not keep its content for longer
	c.trace(&r.Outcome, r.Attempt, now)
	cause, settles := comm.ProofSettles(s)
	if !r.Accepted || !settles {
		return c
	}
	a := &c.After
	enter(a, comm.Sent, 0, now)
	a.Flags |= r.Outcome.Set
	onlyOnce(a)
	a.ErrorCode, a.ErrorText = "", ""
	tried(a, &r.Outcome)
	e.Type = cause
	c.log(s.Status, now, e)
	return c
}
