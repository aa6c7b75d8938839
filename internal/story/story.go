// Package story tells in plain words what happened to a message and what happens next, for the console's page of a
// message and for the command line.
//
// It promises a sentence for every state, cause and reason to wait that this version knows, and the bare word for one
// of a newer server. It reads the message as the API shows it, and decides nothing.
package story

import (
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Story is a message in words.
type Story struct {
	Happened string   // what became of it
	Why      string   // in the provider's or the server's own words; "" when there is nothing to add
	Next     string   // what happens next by itself
	Do       string   // what somebody can do about it; "" when nothing has to be done
	Doubts   []string // what nobody can tell
}

// over is how Next begins where nothing more happens by itself, captured how it goes on after a capture.
const (
	over     = "Nothing more"
	captured = ". It can be read in the sandbox inbox."
)

// OfItself is Next for a page on which webhooks of the message go on: "nothing more" is said of the message alone.
func (s *Story) OfItself() string {
	if rest, ends := strings.CutPrefix(s.Next, over); ends {
		return "Of the message itself nothing more" + rest
	}
	return s.Next
}

// Beside is what a story needs to know beside its message.
type Beside struct {
	When    func(time.Time) string     // writes an instant for its reader, such as "2 minutes from now"
	Reports func(provider string) bool // whether a provider of this name tells later what became of a message
	Alone   func() bool                // whether there is one configuration only that the message can go by
	List    List                       // has to be read only where AsksList says so
}

// Tell tells a message's story at now.
func Tell(m *client.Stored, b Beside) Story {
	s := Story{Doubts: Doubts(m.Status, m.PossibleDuplicate, m.MayHaveBeenSent, m.Unconfirmed)}
	switch m.Status {
	case "QUEUED":
		queued(&s, m, b.When, b.Alone)
	case "SENDING":
		s.Happened = "It is being handed to " + Carrier(m) + " at this moment."
		s.Next = "What the provider answers decides. If this server stops meanwhile, the outcome counts as unknown, and the app's rule for that decides."
	case "SENT":
		sent(&s, m, b)
	case "DELIVERED":
		delivered(&s, m, b)
	case "FAILED":
		failed(&s, m)
		if endedByAddress(m) {
			s.Next += " " + b.List.held(m, b.When)
			b.List.mend(&s, m)
		}
	case "SUPPRESSED":
		suppressed(&s, m, b.List, b.When)
	case "CANCELLED":
		s.Happened = "It was cancelled before any provider took it."
		s.Next = over + ", unless somebody queues it again."
	default:
		s.Happened = m.Status
	}
	switch m.Status {
	case "QUEUED", "SENDING", "SENT", "DELIVERED", "FAILED":
		if passed := passedOver(m); passed != "" && m.Attempts > 0 {
			s.Happened += " " + passed
		}
	}
	return s
}

// passedOver tells why the last call went past configurations that come first; "" when there were none, or this message's own
// earlier calls are why.
func passedOver(m *client.Stored) string {
	for i := range slices.Backward(m.Events) {
		e := &m.Events[i]
		if e.Type != comm.CauseAttemptStarted.String() {
			continue
		}
		name := ""
		for j := range m.AttemptLog {
			if a := &m.AttemptLog[j]; a.Attempt == e.Attempt && strings.HasPrefix(e.Detail+",", a.ConfigName+",") {
				name = a.ConfigName // whatever it is called
			}
		}
		label, why, told := strings.Cut(e.Detail[len(name):], ", because ")
		if !told {
			return ""
		}
		label, _ = strings.CutSuffix(name+label, ", pinned by the operator")
		return Capital(why) + ", so " + label + " was tried instead."
	}
	return ""
}

// Carrier is who was called last: by the name of its configuration, which says more than the type of provider.
func Carrier(m *client.Stored) string {
	for i := range slices.Backward(m.AttemptLog) {
		if a := &m.AttemptLog[i]; a.Provider == m.ProviderName {
			return caller(a)
		}
	}
	return kind(m.ProviderName)
}

// caller is whom an attempt called.
func caller(a *client.Attempt) string {
	if a.ConfigName != "" {
		return a.ConfigName
	}
	return kind(a.Provider)
}

func kind(name string) string {
	switch name {
	case "":
		return "the provider"
	case "sandbox":
		return "the sandbox"
	case "smtp":
		return "the mail server"
	}
	return name
}

func queued(s *Story, m *client.Stored, when func(time.Time) string, alone func() bool) {
	last := lastFailure(m)
	switch {
	case m.Attempts == 0 || last == nil:
		s.Happened = "It is accepted and stored, and waits to be sent. " + reason(m.WaitingFor)
	case last.Outcome == "unknown":
		s.Happened = "The latest attempt, with " + caller(last) + ", had no clear answer, and the message waits to be tried again. " + reason(m.WaitingFor)
	default:
		s.Happened = "The latest attempt, with " + caller(last) + ", failed, and the message waits to be tried again. " + reason(m.WaitingFor)
	}
	s.Happened = strings.TrimSpace(s.Happened)
	if last != nil && m.Attempts > 0 {
		s.Why = last.Detail
	}
	s.Do = chain.Remedy(m.WaitingFor)
	down := m.WaitingFor == chain.WaitDown
	until := chain.EndOf(m.WaitingFor) // of what it waits for, where that is somebody and not a time
	if last != nil && m.WaitingFor == chain.WaitRetry {
		s.Do = provider.Remedy(last.ErrorCode)
		down = last.ErrorCode == provider.Transient.Rule().Code
	}
	if down && alone() {
		s.Do += " " + chain.Alone
	}
	switch {
	case m.NextAttemptAt != nil && m.WaitingFor == chain.WaitSchedule:
		s.Next = "It is sent " + when(*m.NextAttemptAt) + ", at its scheduled time."
	case m.NextAttemptAt != nil && m.Attempts == 0:
		s.Next = "The first attempt starts " + when(*m.NextAttemptAt) + "."
	case m.NextAttemptAt != nil:
		s.Next = "The next attempt starts " + when(*m.NextAttemptAt) + "."
	case m.WaitingFor == chain.WaitHeld:
		s.Next = "It waits until the server is released. Whoever does that says whether what may have been sent already is sent again."
	case until != "":
		s.Next = "It waits, and is sent as soon as " + until + "."
	default:
		s.Next = "It is sent as soon as its turn comes."
	}
	switch {
	case m.ExpiresAt != nil:
		s.Next += " If it is not sent by its time to live, which ends " + when(*m.ExpiresAt) + ", it fails as expired."
	case m.RetriesUntil != nil:
		s.Next += " Attempts go on with growing pauses until the time for retries is over, " + when(*m.RetriesUntil) + "; then it fails as exhausted."
	case m.Attempts == 0 && m.WaitingFor != chain.WaitSchedule:
		s.Next += " It has no time to live, and waits for as long as it has to."
	}
	// A message of which an attempt had no clear answer must not be asked for anew: whether anybody has it is not known then.
	if m.WaitingFor == chain.WaitRetry && last != nil && lastUnknown(m) == nil && (last.ErrorCode == provider.Account.Rule().Code || last.ErrorCode == provider.Transient.Rule().Code) {
		s.Next += " The next attempt does not start earlier when the provider works again: to try sooner, cancel the message and queue it again."
	}
}

// reason is the sentence of a word of waitingFor; of a retry the sentences around it tell everything.
func reason(word string) string {
	if word == chain.WaitRetry {
		return ""
	}
	return chain.WaitText(word)
}

// lastFailure is the last attempt that did not end well, nil when there is none.
func lastFailure(m *client.Stored) *client.Attempt {
	return lastAttempt(m, func(outcome string) bool {
		return outcome != "accepted" && outcome != "running" && outcome != "not_started"
	})
}

// lastUnknown is the last attempt of which nobody knows whether it sent the message, nil when there is none.
func lastUnknown(m *client.Stored) *client.Attempt {
	return lastAttempt(m, func(outcome string) bool { return outcome == "unknown" })
}

// lastAttempt is the last attempt with such an outcome, nil when there is none.
func lastAttempt(m *client.Stored, is func(outcome string) bool) *client.Attempt {
	for i := range slices.Backward(m.AttemptLog) {
		if is(m.AttemptLog[i].Outcome) {
			return &m.AttemptLog[i]
		}
	}
	return nil
}

func delivered(s *Story, m *client.Stored, b Beside) {
	if complained(s, m, b) {
		return
	}
	if tells(m, comm.CauseBouncedAfterDelivery) {
		s.Happened = Capital(Carrier(m)) + " reported the delivery, and later that it came back all the same: it probably did not arrive."
		s.Next = over + ". " + b.List.held(m, b.When)
		s.Do = "Check the address; a new message goes to a corrected one."
		return
	}
	if m.Sandbox {
		s.Happened, s.Next = "The sandbox captured it and reported a delivery: nothing was sent to the recipient.", over+captured
		return
	}
	s.Happened = "It arrived: " + Carrier(m) + " reported the delivery."
	s.Next = over + "."
	if m.Channel != client.SMS {
		s.Next += " A complaint of the recipient would still be written down here."
	}
}

// complained tells of a complaint, if there was one: whoever complains has it.
func complained(s *Story, m *client.Stored, b Beside) bool {
	if !tells(m, comm.CauseComplaint) {
		return false
	}
	s.Happened = "It arrived, and the recipient reported it as unwanted."
	s.Next = over + ". " + b.List.held(m, b.When)
	s.Do = "Write to nobody who did not ask for it: providers close accounts for complaints."
	if m.Sandbox {
		s.Happened, s.Do = "The sandbox captured it and reported a delivery, then a complaint: nothing was sent to the recipient.", asAsked
		b.List.mend(s, m)
	}
	return true
}

func sent(s *Story, m *client.Stored, b Beside) {
	if complained(s, m, b) {
		return
	}
	if m.Sandbox || m.ProviderName == "sandbox" {
		s.Happened = "The sandbox captured it: nothing was sent to the recipient."
		s.Next = over + captured
		if !m.Sandbox {
			s.Do = "The message is live, but there was no provider configuration to send it with. Add one."
		}
		return
	}
	s.Happened = "Handed over: " + Carrier(m) + " took it. That is no proof yet that it arrived."
	if last := lastFailure(m); last != nil && last.Outcome != "unknown" && caller(last) != Carrier(m) {
		s.Happened = "Handed over: " + Carrier(m) + " took it, after " + caller(last) + " had not. That is no proof yet that it arrived."
		s.Why = caller(last) + ": " + last.Detail
	}
	if !b.Reports(m.ProviderName) {
		s.Next = over + ": a provider of this type does not report what becomes of a message, and this one stays sent. A mail that bounces comes back to its return path."
		return
	}
	s.Next = "When the provider reports what became of it, it turns to delivered or failed. Without reports it stays as it is."
	if m.Unconfirmed {
		s.Do = "Look it up with the provider by the reference below, and check that the callback URL, which stands on the page of the provider's configuration, is registered there."
	}
}

// onlyOnce is what to think of before a message of unknown outcome is sent again, inLog where a mail server has it, by the only name that both know.
const (
	onlyOnce = " Queue it again only if it did not arrive: otherwise the recipient gets it twice."
	inLog    = "Look for the message's id in the mail server's log: its Message-ID begins with it."
)

// ends are the causes by which a message fails, with what happened and what can be done.
var ends = map[comm.Cause]struct{ happened, do string }{
	comm.CauseExpired:          {"It was not sent in time: its time to live was over before another attempt could start.", "Send a new message if it still matters; an expired one cannot be queued again."},
	comm.CauseContentGone:      {"It could not be sent, since its content had been removed by then.", "Send a new message."},
	comm.CauseOutcomeUnknown:   {"A provider was called and gave no clear answer. The app's rule is not to try again then, so that nobody gets it twice.", "Look it up with the provider, by the recipient and the time of the attempt: without an answer there is no reference." + onlyOnce},
	comm.CauseNoProvider:       {"The app is live, and there is no provider configuration to send it with.", "Add a provider configuration, then queue it again."},
	comm.CauseExhausted:        {"Every attempt failed until the time for retries was over.", "Read the attempts below. Queue it again once the provider works."},
	comm.CauseInternalError:    {"This server could not send it: the message or its provider made the attempt fail in a way that it cannot mend.", "Look for its id in the server's log."},
	comm.CauseProviderRejected: {"The provider refused it for good.", "Read the provider's words. Correct the address or the content and send a new message, or queue this one again when the cause is gone."},
	comm.CauseReportFailed:     {"The provider took it, and reported later that it did not arrive.", "Check the address, and send a new message to the right one. If it is right, queue this one again."},
}

// asked are the ends that addresses of the sandbox ask for.
var asked = [...]comm.Cause{comm.CauseProviderRejected, comm.CauseReportFailed, comm.CauseOutcomeUnknown}

func failed(s *Story, m *client.Stored) {
	s.Next = over + " is tried by itself."
	s.Why = m.ErrorMessage
	for i := range slices.Backward(m.Events) {
		if m.Events[i].To != "FAILED" || m.Events[i].From == "FAILED" {
			continue
		}
		cause, known := comm.ParseCause(m.Events[i].Type)
		if end, told := ends[cause]; known && told {
			s.Happened, s.Do = end.happened, end.do
			if m.Events[i].Provider != "" && strings.HasPrefix(s.Happened, "The provider") {
				s.Happened = strings.Replace(s.Happened, "The provider", Capital(callerOf(m, &m.Events[i])), 1)
			}
			behind(s, m, cause)
		}
		break
	}
	if s.Happened == "" {
		s.Happened = "It failed."
	}
}

// behind adds to what is said of an end what only the attempts before it tell.
func behind(s *Story, m *client.Stored, cause comm.Cause) {
	last, doubt := lastFailure(m), lastUnknown(m)
	if s.Why == comm.EndText(cause) {
		s.Why = "" // it says the same
		if last != nil {
			s.Why = last.Detail
			if cause != comm.CauseExpired && last.ErrorCode == provider.Account.Rule().Code {
				s.Do = provider.Remedy(last.ErrorCode) + " Then queue the message again."
			}
		}
	}
	switch {
	case m.Sandbox && slices.Contains(asked[:], cause):
		s.Do = asAsked
	case cause == comm.CauseOutcomeUnknown && doubt != nil && doubt.Provider == "smtp":
		s.Do = inLog + onlyOnce
	case cause == comm.CauseExpired && last != nil && doubt == nil:
		s.Do += " Read below why its attempts failed: until that is mended a new message may fail in the same way."
	}
}

// callerOf is whom the attempt of an event called.
func callerOf(m *client.Stored, e *client.Event) string {
	for i := range m.AttemptLog {
		if a := &m.AttemptLog[i]; a.Attempt == e.Attempt && a.Provider == e.Provider {
			return caller(a)
		}
	}
	return kind(e.Provider)
}

// Capital begins a sentence with s.
func Capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Doubts are the sentences for what nobody can tell of a message.
func Doubts(status string, possibleDuplicate, mayHaveBeenSent, unconfirmed bool) []string {
	var out []string
	switch {
	case possibleDuplicate && status == comm.Queued.String():
		out = append(out, "An attempt had no answer, and the message is sent again: the recipient may get it twice.")
	case possibleDuplicate:
		out = append(out, "An attempt had no answer, and the message was sent again: the recipient may get it twice.")
	}
	if mayHaveBeenSent {
		out = append(out, "An attempt had no answer: the recipient may have got it all the same.")
	}
	if unconfirmed {
		out = append(out, "The provider took it and should have reported by now what became of it; it has not.")
	}
	return out
}

// Line is what an event says: its sentence, and the server's or provider's words.
func Line(e *client.Event) (words, detail string) {
	words = e.Type // of a newer server
	if cause, known := comm.ParseCause(e.Type); known {
		words = CauseText(cause)
	}
	return words, strings.TrimSpace(e.Detail)
}
