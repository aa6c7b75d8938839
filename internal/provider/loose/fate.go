package loose

import (
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Word is one row of the words in which SMS providers say what became of a message.
type Word struct {
	Words    []string // as Fold makes them
	Prefix   bool     // more may follow the word
	Fate     provider.Fate
	Suppress string // a word of comm.SuppressionReasons; "": none
	Text     string // for people
}

// Vocabulary is the table of words: those of SMPP 3.4's delivery receipts (appendix B),
// those of the providers' pages, and the spellings that were seen. "Error" is not among them:
// with most providers it is what a request came to, such as a question about a message, and
// says nothing of the message. Where it does, it is among a provider's own words (Spelling.Own).
func Vocabulary() []Word {
	return []Word{
		{Words: []string{"delivered", "delivrd", "deliveredtohandset", "deliveredtoterminal"}, Fate: provider.Delivered,
			Text: "the message arrived"},
		{Words: []string{"sent", "submitted", "queued", "pending", "accepted", "acceptd", "enroute", "buffered", "sending", "processing",
			"processed", "scheduled", "inprogress", "sandboxed"}, Fate: provider.OnItsWay,
			Text: "the provider has the message"},
		{Words: []string{"blacklisted", "blacklist", "optedout"}, Fate: provider.Undelivered, Suppress: comm.SuppressUnsubscribed,
			Text: "the recipient has opted out of messages"},
		{Words: []string{"invaliddestination", "invaliddestinationaddress", "invalidrecipient", "invalidnumber", "unknownsubscriber"},
			Fate: provider.Undelivered, Suppress: comm.SuppressHardBounce, Text: "the number does not exist"},
		{Words: []string{"invalidsource", "invalidsourceaddress", "invalidsender"}, Fate: provider.Undelivered,
			Text: "the network refuses the sender id"},
		{Words: []string{"expired"}, Fate: provider.Undelivered, Text: "the phone could not be reached in time"},
		{Words: []string{"rejected", "rejectd", "prohibited"}, Fate: provider.Undelivered, Text: "the network refused the message"},
		{Words: []string{"nack"}, Prefix: true, Fate: provider.Undelivered, Text: "the network refused the message"},
		{Words: []string{"unrouteable", "unroutable", "noroute"}, Fate: provider.Undelivered, Text: "the provider has no way to the number"},
		{Words: []string{"deleted", "cancelled", "canceled"}, Fate: provider.Undelivered, Text: "the message was deleted on its way"},
		{Words: []string{"undelivered", "undeliv", "undeliverable", "notdelivered", "failed", "failure", "deliveryfailed"},
			Fate: provider.Undelivered, Text: "the message did not arrive"},
	}
}

// Meaning answers the row of a provider's word. A word that is not in the table changes
// nothing: it is Noted.
func (s Spelling) Meaning(word string) Word {
	folded := strings.TrimRight(Fold(word), ".!")
	for _, row := range slices.Concat(s.Own, Vocabulary()) {
		for _, w := range row.Words {
			if folded == w || row.Prefix && strings.HasPrefix(folded, w) {
				return row
			}
		}
	}
	return Word{Fate: provider.Noted, Text: "the provider says something that this version does not know"}
}

// Say makes a report of a provider's word about a short message. The caller fills in whose it is.
func (s Spelling) Say(word string) provider.Report {
	m := s.Meaning(word)
	return provider.Report{
		Fate: m.Fate, Suppress: m.Suppress, Code: Code(word), Text: m.Text,
		// Networks report a failure and then deliver after all, when the phone is switched on again.
		Correctable: m.Fate == provider.Undelivered,
	}
}

// Silent is the report of a provider that knows a message and says nothing of it (yet).
func Silent(ref string) provider.Report {
	return provider.Report{Ref: ref, Fate: provider.Noted, Text: "the provider does not say what became of the message"}
}

// maxCode bounds a code, in bytes.
const maxCode = 40

// Code makes a provider's word or number fit to be stored and shown: ASCII letters,
// digits and a few signs, in which no phone number stands.
func Code(word string) string {
	var b strings.Builder
	digits, leading := 0, true
	for _, r := range word {
		if b.Len() >= maxCode {
			break
		}
		switch {
		case r >= '0' && r <= '9':
			if leading = leading && r == '0'; !leading { // zeros fill codes up, as in 0x0000000b
				digits++
			}
			b.WriteRune(r)
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			leading = true
			b.WriteRune(r)
		case strings.ContainsRune(" _-./:", r):
			b.WriteRune(r)
		}
		if digits > maxDigits {
			return "unreadable"
		}
	}
	return strings.TrimSpace(b.String())
}

// maxDigits is how many digits a code may hold; the shortest phone number has 7.
const maxDigits = 6
