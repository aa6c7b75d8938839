package comm

import "strconv"

// EventID names an event, which happened at an instant: the same wherever and whenever it is told. The instant, to the millisecond, is in it because a
// database that is restored from a backup gives the sequences of what it has lost to other events. Without one (0) the id is as older
// versions wrote it.
func EventID(message ID, sequence int, at Micros) string {
	id := "evt_" + message.String() + "_" + strconv.Itoa(sequence)
	if at != 0 {
		id += "_" + strconv.FormatInt(at.Millis(), base36)
	}
	return id
}

// StateAt is what the message showed once the event of a sequence had happened: status,
// provider, reference, error, attempts and sentAt, told from the log alone, so that it is the same whenever
// it is asked for. It needs the log from the first event on. ok is false when the log does not hold the event.
func (m *Message) StateAt(sequence int) (s State, ok bool) {
	s = State{App: m.App, ID: m.State.ID, Channel: m.Channel, Mode: m.Mode, CreatedAt: m.CreatedAt}
	for i := range m.Events {
		e := &m.Events[i]
		if e.Sequence > sequence {
			break
		}
		s.apply(e)
		ok = e.Sequence == sequence
	}
	return s, ok
}

// apply moves what a message shows on by one event.
func (s *State) apply(e *Event) {
	changed := e.From != e.To
	switch {
	case e.Type == CauseAttemptStarted:
		s.Attempts = e.Attempt
		s.Provider, s.ProviderID, s.ProviderRef = e.Provider, e.ProviderID, ""
	case changed:
		if e.Provider != "" {
			s.Provider, s.ProviderID = e.Provider, e.ProviderID
		}
		if e.Ref != "" {
			s.ProviderRef = e.Ref
		}
		s.ErrorCode = e.ErrorCode
	case e.Type == CauseAttemptFailed:
		s.ErrorCode = e.ErrorCode
	}
	s.ErrorText = e.ErrorText
	s.Status, s.Sequence, s.UpdatedAt = e.To, e.Sequence, e.At
	if changed && e.To == Sent {
		s.SentAt = e.At
	}
	if changed && e.To == Delivered {
		s.DeliveredAt = e.At
		if s.SentAt == 0 { // it was sent, and nobody knew when
			s.SentAt = e.At
		}
	}
}

// ErrorMessage is the provider's or the server's own words, or the sentence of the cause that ended the message.
func (s *State) ErrorMessage() string {
	if s.ErrorText != "" {
		return s.ErrorText
	}
	if cause, ok := ParseCause(s.ErrorCode); ok {
		return EndText(cause)
	}
	return ""
}
