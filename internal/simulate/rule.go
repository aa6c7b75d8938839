package simulate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Span is a length of time, written as 1m30s.
type Span time.Duration

// UnmarshalText reads "1m30s"; it implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 || d > maxSpan {
		return comm.E("invalid_field", "must be a time such as 1m30s, at most %d hours", int(maxSpan.Hours()))
	}
	*s = Span(d)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// Limits of rules.
const (
	maxSpan  = 366 * 24 * time.Hour
	maxRules = 1000
	maxCount = 1000
	maxText  = 320
)

// Rule orders one fault. Its first part says what it meets, the second what happens
// then. A zero field orders nothing of its kind.
type Rule struct {
	ID        string    `json:"id,omitzero"`        // made when none is given
	Type      string    `json:"type,omitzero"`      // such as RESEND; empty: any
	Port      int       `json:"port,omitzero"`      // that the request came in by; 0: any
	Recipient string    `json:"recipient,omitzero"` // * stands for anything; empty: any
	From      time.Time `json:"from,omitzero"`      // zero: when the rule was made
	Until     time.Time `json:"until,omitzero"`
	For       Span      `json:"for,omitzero"`   // ends so long after From; with Every: how long each spell lasts
	Every     Span      `json:"every,omitzero"` // a spell begins so often, the first one at From
	Share     float64   `json:"share,omitzero"` // of the requests it would meet; 0: all
	First     int       `json:"first,omitzero"` // each recipient's first requests only
	Times     int       `json:"times,omitzero"` // so many requests in all
	Above     int       `json:"above,omitzero"` // only those beyond so many in each Per
	Per       Span      `json:"per,omitzero"`   // a minute when not given

	Fault      Fault  `json:"fault"`
	Error      string `json:"error,omitzero"`
	RetryAfter string `json:"retryAfter,omitzero"`
	Status     int    `json:"status,omitzero"`
	Form       string `json:"form,omitzero"`
	Taken      bool   `json:"taken,omitzero"`
	Delay      Span   `json:"delay,omitzero"`
	Count      int    `json:"count,omitzero"`
	Outcome    string `json:"outcome,omitzero"`
}

// check says what is wrong with a rule, as a *comm.Error.
func (r *Rule) check() error {
	row, known := faultRow(r.Fault)
	switch {
	case !known:
		return invalid("fault", "is none of the faults: %s", faultNames())
	case len(r.ID) > 64 || strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "":
		return invalid("id", "is up to 64 letters, digits, dashes, dots and underscores")
	case r.Type != "" && !slices.Contains(Types(), r.Type):
		return invalid("type", "is none of %s", strings.Join(Types(), ", "))
	case r.Port < 0 || r.Port > 65535:
		return invalid("port", "is a number from 1 to 65535")
	case len(r.Recipient) > maxText:
		return invalid("recipient", "is at most %d characters long", maxText)
	case r.Share < 0 || r.Share > 1:
		return invalid("share", "is a number above 0 and up to 1")
	case r.First < 0:
		return invalid("first", "is a positive number")
	case r.Times < 0:
		return invalid("times", "is a positive number")
	case r.Above < 0:
		return invalid("above", "is a positive number")
	case r.Per != 0 && r.Above == 0:
		return invalid("per", "goes with above, which says how many requests it lets pass in that time")
	}
	if err := r.checkTimes(); err != nil {
		return err
	}
	return r.checkValues(row)
}

func (r *Rule) checkTimes() error {
	switch {
	case !r.From.IsZero() && !r.Until.IsZero() && !r.Until.After(r.From):
		return invalid("until", "lies before from")
	case r.Every != 0 && (r.For == 0 || r.For >= r.Every):
		return invalid("every", "needs a shorter for, which says how long each spell lasts")
	case r.For != 0 && r.Every == 0 && !r.Until.IsZero():
		return invalid("for", "and until both say when it ends; give one")
	}
	return nil
}

// checkValues holds what a rule gives its fault against what that takes.
func (r *Rule) checkValues(row FaultRow) error {
	given := map[string]bool{
		"error": r.Error != "", "retryAfter": r.RetryAfter != "", "status": r.Status != 0, "form": r.Form != "", "taken": r.Taken,
		"delay": r.Delay != 0, "count": r.Count != 0, "outcome": r.Outcome != "",
	}
	for _, name := range []string{"error", "retryAfter", "status", "form", "taken", "delay", "count", "outcome"} {
		if given[name] && !slices.Contains(row.Takes, name) {
			return invalid(name, "does not go with the fault %s", r.Fault)
		}
	}
	forms := []string{"broken", "empty", "html", "unexpected", "huge"}
	if r.Fault == Unavailable {
		forms = []string{"empty", "html"}
	}
	switch {
	case r.RetryAfter != "" && !slices.Contains([]string{"date", "past", "absurd", "garbage", "none"}, r.RetryAfter) && !isSeconds(r.RetryAfter):
		return invalid("retryAfter", "is a number of seconds, date, past, absurd, garbage or none")
	case r.Status != 0 && (r.Status < 500 || r.Status > 599):
		return invalid("status", "is a number from 500 to 599")
	case r.Form != "" && !slices.Contains(forms, r.Form):
		return invalid("form", "is one of %s", strings.Join(forms, ", "))
	case r.Count < 0 || r.Count > maxCount:
		return invalid("count", "is a number from 1 to %d", maxCount)
	case r.Fault == Outcome && !slices.Contains(outcomes(), r.Outcome):
		return invalid("outcome", "is one of %s", strings.Join(outcomes(), ", "))
	case r.Error != "" && r.Type == "":
		return invalid("error", "belongs to one type; give type as well")
	case r.Error == "":
		return nil
	}
	e, found := refusal(r.Type, r.Error)
	switch {
	case !found:
		return invalid("error", "is no documented error of %s: %s", r.Type, refusalNames(r.Type))
	case e.Stage != "" && e.Stage != stageRcpt && e.Stage != stageData && (r.Recipient != "" || r.First != 0):
		return invalid("error", "comes before a mail relay hears of a recipient; leave recipient and first out")
	}
	return nil
}

func isSeconds(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n <= 86400 && strconv.Itoa(n) == text
}

func faultNames() string {
	var all []string
	for _, row := range Faults() {
		all = append(all, string(row.Fault))
	}
	return strings.Join(all, ", ")
}

// active says whether the rule's time has come.
func (r *Rule) active(now time.Time) bool {
	switch {
	case now.Before(r.From), !r.Until.IsZero() && !now.Before(r.Until):
		return false
	case r.Every != 0:
		return now.Sub(r.From)%time.Duration(r.Every) < time.Duration(r.For)
	case r.For != 0:
		return now.Before(r.From.Add(time.Duration(r.For)))
	}
	return true
}

// window is when the Per began that a time lies in, and when it ends.
func (r *Rule) window(now time.Time) (begin, end time.Time) {
	per := orElse(r.Per, time.Minute)
	begin = now.Truncate(per)
	return begin, begin.Add(per)
}

// everywhere says whether a rule that takes a type down meets all of its requests.
func (r *Rule) everywhere() bool {
	return r.Fault == Down && r.Recipient == "" && r.Share == 0 && r.First == 0 && r.Times == 0 && r.Above == 0
}

// like matches a recipient against a pattern in which * stands for anything. Case
// and the + of a number mean nothing.
func like(pattern, to string) bool {
	if pattern == "" {
		return true
	}
	pattern, to = plain(pattern), plain(to)
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == to
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(to) < len(first)+len(last) || !strings.HasPrefix(to, first) || !strings.HasSuffix(to, last) {
		return false
	}
	to = to[len(first) : len(to)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(to, part)
		if i < 0 {
			return false
		}
		to = to[i+len(part):]
	}
	return true
}

// plain is a recipient as it is compared.
func plain(to string) string { return strings.ToLower(strings.TrimPrefix(to, "+")) }

// fixed is the rule that a recipient orders for itself.
func fixed(to string) (Rule, bool) {
	to = plain(to)
	name, domain, mail := strings.Cut(to, "@")
	if mail && domain != FixedDomain || !mail && !strings.HasPrefix(to, FixedNumber) {
		return Rule{}, false
	}
	name, _, _ = strings.Cut(name, "+")
	for _, f := range FixedRecipients() {
		if mail && f.Name == name || f.Number == to {
			return f.Rule, true
		}
	}
	return Rule{}, false
}
