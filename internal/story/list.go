package story

import (
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// List is what the app's suppression list says now of the address that a message goes to. Every later message to an address
// on it is held back; the zero List was not read, or the address is not known any more.
type List struct {
	Read  bool
	Entry *client.Suppression // nil: the address is not on it
}

// AsksList says whether a message's story depends on the list: it was held back by it, or somebody's word about its address may
// have put that there.
func AsksList(m *client.Stored) bool {
	return m.Status == comm.Suppressed.String() || slices.ContainsFunc(m.Events, func(e client.Event) bool { return aboutAddress(m, e.Type) })
}

// aboutAddress says whether an event of the type may be a word about a message's address. The sandbox reports as a provider does, and refuses
// without putting anybody on a list.
func aboutAddress(m *client.Stored, event string) bool {
	switch cause, _ := comm.ParseCause(event); cause {
	case comm.CauseReportFailed, comm.CauseBouncedAfterDelivery, comm.CauseComplaint:
		return true
	case comm.CauseProviderRejected:
		return !m.Sandbox
	default:
		return false
	}
}

// listReasons say why an address is on the list.
var listReasons = map[string]string{
	comm.SuppressManual: "put there by hand", comm.SuppressHardBounce: "as one that does not exist", comm.SuppressComplaint: "for a complaint",
	comm.SuppressUnsubscribed: "as one whose owner wants no more messages",
}

// held says whether later messages to the address of m are held back.
func (l List) held(m *client.Stored, when func(time.Time) string) string {
	switch {
	case l.Entry != nil:
		why, known := listReasons[l.Entry.Reason]
		if !known {
			why = "for the reason " + l.Entry.Reason
		}
		return "Later messages to the address are held back: it is on the app's suppression list, " + why + ", since " + when(l.Entry.CreatedAt) + "."
	case l.Read && putThere(m):
		return "Later messages to the address are sent: this put it on the app's suppression list, and somebody has taken it off since."
	case l.Read:
		return "Later messages to the address are sent: it is not on the app's suppression list."
	case putThere(m):
		return "This put the address on the app's suppression list, and later messages to it are held back unless somebody has taken it off since; the list cannot be read now."
	}
	return "Whether later messages to the address are held back cannot be told: the app's suppression list cannot be read now, or this message no longer says where it went."
}

// putThere says whether the log is sure that this message put the address on the list.
func putThere(m *client.Stored) bool {
	return slices.ContainsFunc(m.Events, func(e client.Event) bool { return strings.HasSuffix(e.Detail, comm.SuppressedNow) })
}

// suppressed tells of a message that the list held back.
func suppressed(s *Story, m *client.Stored, list List, when func(time.Time) string) {
	s.Happened = "It was not sent: the address was on the app's suppression list. No provider was called for it."
	s.Next = over + ". " + list.held(m, when)
	s.Do = "If the recipient wants messages again, take the address off the list; then send a new message."
	if list.Read && list.Entry == nil {
		s.Next = over + ". Later messages to the address are sent: it has been taken off the list since."
		s.Do = "If this one still matters, send it as a new message."
	}
}

// mend says what can be done about an address at which nothing arrived, where it is held back or may be.
func (l List) mend(s *Story, m *client.Stored) {
	switch held := l.Entry != nil || !l.Read && putThere(m); {
	case held && m.Sandbox:
		s.Do += testAgain
	case held:
		s.Do = "Correct the address and send a new message. If the address is right after all, take it off the list, then queue this one again."
	}
}

// What can be done about an end that the address of a test asked for.
const (
	asAsked   = "Nothing has to be done: the sandbox sends nothing, and does what the address of a test asks for."
	testAgain = " For another test with the same address take it off the list."
)

// endedByAddress says whether a failed message's end may be the address's fault: its last end is somebody's word about it.
func endedByAddress(m *client.Stored) bool {
	for i := range slices.Backward(m.Events) {
		if e := &m.Events[i]; e.To == comm.Failed.String() && e.From != e.To {
			return aboutAddress(m, e.Type)
		}
	}
	return false
}

// tells says whether the log has an event of the cause.
func tells(m *client.Stored, cause comm.Cause) bool {
	return slices.ContainsFunc(m.Events, func(e client.Event) bool { return e.Type == cause.String() })
}
