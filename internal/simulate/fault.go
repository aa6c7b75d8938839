package simulate

// Fault is what a rule does to the requests or the reports that it meets.
type Fault string

// The faults. What each of them does is said in Faults.
const (
	Refuse      Fault = "refuse"
	Throttle    Fault = "throttle"
	Unavailable Fault = "unavailable"
	Down        Fault = "down"
	Hang        Fault = "hang"
	Lose        Fault = "lose"
	Slow        Fault = "slow"
	Drip        Fault = "drip"
	Malformed   Fault = "malformed"
	Outcome     Fault = "outcome"
	Late        Fault = "late"
	Duplicate   Fault = "duplicate"
	Reordered   Fault = "reordered"
	Missing     Fault = "missing"
	OtherID     Fault = "other-id"
	UnknownID   Fault = "unknown-id"
	Garbled     Fault = "garbled"
)

// FaultRow says what a fault is.
type FaultRow struct {
	Fault   Fault
	Report  bool     // it changes later reports, not the answer
	Takes   []string // the rule's fields that go with it
	Meaning string
	SMTP    string // what a mail relay does; empty: the same
}

// Faults is every fault there is. The documentation is made from it.
func Faults() []FaultRow {
	return []FaultRow{
		{Fault: Refuse, Takes: []string{"error"}, Meaning: "not taken; the provider's documented error of that name (below), else the one for a bad recipient",
			SMTP: "the reply at the stage that the error belongs to"},
		{Fault: Throttle, Takes: []string{"retryAfter"}, Meaning: "not taken; 429 with `Retry-After`: seconds, `date` (an HTTP date 5 s ahead), `past`, `absurd`, `garbage` or `none`; when not given 1, or with `above` what is left of the time",
			SMTP: "`451 4.7.1` to RCPT, and no time"},
		{Fault: Unavailable, Takes: []string{"status", "form", "taken"}, Meaning: "not taken, unless `taken`; a `status` of 500 to 599 (503 when not given), with the provider's error body or, by `form`, `empty` or `html`",
			SMTP: "`421 4.3.2` to RCPT, or after the final dot with `taken`, and the end of the session"},
		{Fault: Down, Meaning: "not taken; connection refused on a port of the type's own, as long as the rule names no recipient, share or number; else the connection is reset after the request, and the client cannot know whether it was taken"},
		{Fault: Hang, Takes: []string{"taken", "delay"}, Meaning: "no answer until the client leaves, or a reset after `delay`; not taken, unless `taken`", SMTP: "after the final dot"},
		{Fault: Lose, Meaning: "taken and recorded, then the connection is reset instead of an answer", SMTP: "after the final dot"},
		{Fault: Slow, Takes: []string{"delay"}, Meaning: "taken; the answer comes `delay` later (10 s when not given)", SMTP: "the reply to the final dot"},
		{Fault: Drip, Takes: []string{"delay"}, Meaning: "taken; the answer's body comes one octet at a time, `delay` apart (1 s when not given)", SMTP: "the reply to the final dot"},
		{Fault: Malformed, Takes: []string{"form"}, Meaning: "taken, and answered with the right status and a wrong body: `broken` JSON (when not given), `empty`, `html`, `unexpected` JSON or `huge` (16 MiB)",
			SMTP: "the reply to the final dot: `broken` is no reply line, `empty` the end of the connection, `unexpected` a reply of another step, `huge` 16 MiB of continued lines"},
		{Fault: Outcome, Report: true, Takes: []string{"outcome"}, Meaning: "taken; the reports say `outcome`: `delivered`, `failed`, `bounced`, `complained`, `expired` or `suppressed`"},
		{Fault: Late, Report: true, Takes: []string{"delay"}, Meaning: "every report comes `delay` later (30 s when not given)"},
		{Fault: Duplicate, Report: true, Takes: []string{"count"}, Meaning: "every report comes `count` times (2 when not given)"},
		{Fault: Reordered, Report: true, Meaning: "the reports come in reverse order"},
		{Fault: Missing, Report: true, Meaning: "no report comes"},
		{Fault: OtherID, Report: true, Meaning: "the reports write the provider's id in another way: without dashes, in the other case"},
		{Fault: Garbled, Report: true, Meaning: "half of every report is missing: of a body its end, of a query the status; it is signed as it is"},
		{Fault: UnknownID, Report: true, Meaning: "the reports name an id that was never given out"},
	}
}

func faultRow(f Fault) (FaultRow, bool) {
	for _, row := range Faults() {
		if row.Fault == f {
			return row, true
		}
	}
	return FaultRow{}, false
}

// Fixed is a recipient that orders its own fault.
type Fixed struct {
	Name, Number string // the part before the @, and the whole number
	Rule         Rule   // without a fault when nothing goes wrong
	Meaning      string
}

// FixedDomain and FixedNumber are where the recipients that order their own faults live.
const (
	FixedDomain = "simulate.commserver.test"
	FixedNumber = "2330000001" // and two digits
)

// FixedRecipients is the table of them; a new one goes to the end, since the numbers
// follow from the place. The documentation is made from it.
func FixedRecipients() []Fixed {
	all := []Fixed{
		{Name: "delivered", Rule: Rule{Fault: Outcome, Outcome: "delivered"}, Meaning: "taken, reported delivered"},
		{Name: "refused", Rule: Rule{Fault: Refuse}, Meaning: "refused: the provider's error for a bad recipient"},
		{Name: "throttled", Rule: Rule{Fault: Throttle, RetryAfter: "2", First: 2}, Meaning: "throttled twice for 2 seconds, then taken"},
		{Name: "unavailable", Rule: Rule{Fault: Unavailable, First: 2}, Meaning: "503 twice, then taken"},
		{Name: "down", Rule: Rule{Fault: Down, First: 2}, Meaning: "reset twice before anything is taken, then taken"},
		{Name: "hang", Rule: Rule{Fault: Hang}, Meaning: "never answered, never taken"},
		{Name: "hangtaken", Rule: Rule{Fault: Hang, Taken: true, First: 1}, Meaning: "taken and not answered once, then answered"},
		{Name: "lost", Rule: Rule{Fault: Lose, First: 1}, Meaning: "taken and the answer lost once, then answered"},
		{Name: "slow", Rule: Rule{Fault: Slow}, Meaning: "taken, answered after 10 seconds"},
		{Name: "drip", Rule: Rule{Fault: Drip}, Meaning: "taken, answered one octet a second"},
		{Name: "malformed", Rule: Rule{Fault: Malformed}, Meaning: "taken, answered with broken JSON"},
		{Name: "empty", Rule: Rule{Fault: Malformed, Form: "empty"}, Meaning: "taken, answered with nothing"},
		{Name: "html", Rule: Rule{Fault: Malformed, Form: "html"}, Meaning: "taken, answered with a page of HTML"},
		{Name: "huge", Rule: Rule{Fault: Malformed, Form: "huge"}, Meaning: "taken, answered with 16 MiB"},
		{Name: "failed", Rule: Rule{Fault: Outcome, Outcome: "failed"}, Meaning: "taken, reported failed"},
		{Name: "bounced", Rule: Rule{Fault: Outcome, Outcome: "bounced"}, Meaning: "taken, reported as a recipient that does not exist"},
		{Name: "complained", Rule: Rule{Fault: Outcome, Outcome: "complained"}, Meaning: "taken, reported delivered, then a complaint (email)"},
		{Name: "late", Rule: Rule{Fault: Late}, Meaning: "taken, reported 30 seconds late"},
		{Name: "duplicate", Rule: Rule{Fault: Duplicate, Count: 3}, Meaning: "taken, every report three times"},
		{Name: "reordered", Rule: Rule{Fault: Reordered}, Meaning: "taken, the last report first"},
		{Name: "missing", Rule: Rule{Fault: Missing}, Meaning: "taken, never reported"},
		{Name: "otherid", Rule: Rule{Fault: OtherID}, Meaning: "taken, reported under its id written in another way"},
		{Name: "garbled", Rule: Rule{Fault: Garbled}, Meaning: "taken, reported by halves of reports"},
		{Name: "unknownid", Rule: Rule{Fault: UnknownID}, Meaning: "taken, reported under an id that was never given out"},
	}
	for i := range all {
		all[i].Number = FixedNumber + string([]byte{'0' + byte((i+1)/10), '0' + byte((i+1)%10)})
		all[i].Rule.ID = "recipient:" + all[i].Name
	}
	return all
}
