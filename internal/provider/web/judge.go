package web

import (
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
)

// Rule is one row of an adapter's table of answers.
type Rule struct {
	Status []string // how the HTTP status begins, such as "503" or "5"; nil: any
	Codes  []string // the provider's own code, without regard to case; nil: any
	Words  []string // one of these, in lower case, stands in what the provider says; nil: any
	Class  provider.Class
	Hard   bool   // the recipient does not exist: may be suppressed
	OptOut bool   // the recipient wants no more messages: may be suppressed
	What   string // a sentence for people; the provider's own words follow
}

func (r *Rule) matches(a *Answer, code, said string) bool {
	status := strconv.Itoa(a.Status)
	return (r.Status == nil || slices.ContainsFunc(r.Status, func(s string) bool { return strings.HasPrefix(status, s) })) &&
		(r.Codes == nil || slices.ContainsFunc(r.Codes, func(c string) bool { return strings.EqualFold(c, code) })) &&
		(r.Words == nil || slices.ContainsFunc(r.Words, func(w string) bool { return strings.Contains(said, w) }))
}

// others are the rows that stand after those of every adapter: what a status means where
// the provider's own table does not say. None of them is Transient, not even a 503 that says for how
// long: whatever stands in front of a provider may say so of a request that it has passed on.
func others() []Rule {
	return []Rule{
		{Status: []string{"401", "402", "403", "407"}, Class: provider.Account, What: "the provider refuses the credentials or the account"},
		{Status: []string{"404", "405", "410"}, Class: provider.Account, What: "the provider's address knows no such call: check baseUrl"},
		{Status: []string{"408"}, Class: provider.Ambiguous, What: "the provider gave the call up; it may have been sent"},
		{Status: []string{"413", "414"}, Class: provider.PermanentHere, What: "the message is too large for the provider"},
		{Status: []string{"429"}, Class: provider.RateLimited, What: "the provider asks to send more slowly"},
		{Status: []string{"4"}, Class: provider.PermanentHere, What: "the provider refuses the message"},
		{Status: []string{"3"}, Class: provider.Account, What: "the provider's address leads elsewhere, which is not followed: check baseUrl"},
		{Status: []string{"5"}, Class: provider.Ambiguous, What: "the provider failed; the message may have been sent"},
		{Class: provider.Ambiguous, What: "the provider's answer makes no sense; the message may have been sent"},
	}
}

// Judge finds what an answer that is no acceptance means: the first row that fits of
// the adapter's table, else of a general one by HTTP status. code and said are the
// provider's, "" where it gave none; neither is trusted.
func Judge(table []Rule, a *Answer, code, said string) *provider.Error {
	all := slices.Concat(table, others())
	row := all[len(all)-1]
	lower := strings.ToLower(said)
	if i := slices.IndexFunc(all, func(r Rule) bool { return r.matches(a, code, lower) }); i >= 0 {
		row = all[i]
	}
	e := &provider.Error{Class: row.Class, Code: strings.TrimSpace(strconv.Itoa(a.Status) + " " + word(a, code)), Text: row.What, HardBounce: row.Hard, OptedOut: row.OptOut}
	if e.Class == provider.RateLimited || e.Class == provider.Transient || e.Class == provider.Ambiguous { // questions, too, are asked again
		e.RetryAfter = a.RetryAfter()
	}
	if said = a.Said(said, maxSaid); said != "" {
		e.Text += ": " + said
	}
	e.Text = veil.Cut(e.Text, veil.MaxText)
	return e
}

// maxSaid bounds a provider's words within a text, in bytes.
const maxSaid = 160

// word keeps of a provider's code what may be one.
func word(a *Answer, code string) string {
	if len(code) > 40 || strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return a.Said(code, 40)
}

// Unread answers for a success whose body cannot be read or lacks what it must have.
// Where the status alone decides, the provider took the message, under an id that is
// not known; where the body decides, nobody can tell.
func (a *Answer) Unread(statusDecides bool) (provider.Receipt, error) {
	status := strconv.Itoa(a.Status)
	flaw := a.Flaw
	if flaw == "" {
		flaw = "cannot be read"
	}
	if statusDecides {
		return provider.Receipt{Detail: status + "; the body " + flaw + ", so that the provider's id is not known"}, nil
	}
	return provider.Receipt{}, &provider.Error{Class: provider.Ambiguous, Code: status + " unreadable",
		Text: "the provider's answer " + flaw + "; the message may have been sent"}
}
