package mnotify

import (
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// The codes that this adapter gives to what mNotify says without one.
const (
	codeRejected = "rejected" // a success that counts the number as rejected
	codeUnlisted = "unlisted" // a success that neither lists the number nor counts it as rejected
	codeError    = "error"    // "status":"error" without a code
)

// taken are the codes of acceptances: of version 2, of version 1, and of what version 1 calls scheduled.
func taken() []string { return []string{"2000", "1000", "1007"} }

// answers is the table of answers to a send, by the code in the body: refusals come with
// status 200 as well. The codes are those of version 1, which version 2 was seen to use.
func answers() []web.Rule {
	return []web.Rule{
		{Status: success(), Codes: []string{codeRejected}, Class: provider.PermanentMessage, What: "mNotify rejected the number"},
		{Status: success(), Codes: []string{codeUnlisted}, Class: provider.Ambiguous, What: "mNotify's success does not say that it took the number; the message may have been sent"},
		{Status: []string{"401", "403"}, Class: provider.Account, What: "mNotify refuses the API key"},
		// The code of an acceptance under a word or a status of refusal contradicts itself.
		{Status: coded(), Codes: taken(), Class: provider.Ambiguous, What: "mNotify's answer contradicts itself; the message may have been sent"},
		{Status: coded(), Codes: []string{"1002"}, Class: provider.Ambiguous, What: "sending failed at mNotify; the message may have been sent"},
		{Status: coded(), Codes: []string{"1003"}, Class: provider.Account, What: "the balance at mNotify is used up"},
		{Status: coded(), Codes: []string{"1004"}, Class: provider.Account, What: "mNotify refuses the API key"},
		{Status: coded(), Codes: []string{"1005"}, Class: provider.PermanentMessage, Hard: true, What: "mNotify says that the number is invalid"},
		{Status: coded(), Codes: []string{"1006"}, Class: provider.PermanentHere, What: "mNotify refuses the sender id: it may have 11 characters"},
		{Status: coded(), Codes: []string{"1008"}, Class: provider.PermanentMessage, What: "mNotify says that the message is empty"},
		{Status: coded(), Codes: []string{"1009", "1010"}, Class: provider.PermanentHere, What: "mNotify refuses a date of the request"},
		{Status: coded(), Codes: []string{"1011"}, Class: provider.PermanentHere, What: "mNotify takes no number as sender id"},
		{Status: coded(), Codes: []string{"1012"}, Class: provider.PermanentHere, What: "mNotify refuses the sender id: it has to be registered for the account"},
		// An error without a reason within a success: what the server did before it failed nobody knows. It stands
		// before the words of refusals, of which such a sentence may hold one ("internal error while contacting recipient").
		{Status: success(), Codes: []string{codeError}, Words: loose.Failed(), Class: provider.Ambiguous, What: "mNotify failed; the message may have been sent"},
		{Status: coded(), Codes: []string{codeError}, Words: []string{"sender"}, Class: provider.PermanentHere, What: "mNotify refuses the sender id"},
		{Status: coded(), Codes: []string{codeError}, Words: loose.Unpaid(), Class: provider.Account, What: "the balance at mNotify is used up"},
		{Status: coded(), Codes: []string{codeError}, Words: []string{"api key", "api-key", "apikey", "invalid key", "authentic", "unauthor", "inactive", "suspend"}, Class: provider.Account, What: "mNotify refuses the account"},
		{Status: coded(), Codes: []string{codeError}, Words: loose.TooLong(), Class: provider.PermanentHere, What: "the text is too long for mNotify"},
		{Status: coded(), Codes: []string{codeError}, Words: loose.Limited(), Class: provider.Account, What: "a limit of the account at mNotify is reached"},
		{Status: coded(), Codes: []string{codeError}, Words: loose.BadNumber(), Class: provider.PermanentMessage, What: "mNotify refuses the recipient"},
		{Status: validation(), Codes: []string{codeError}, Words: []string{"number", "recipient", "phone"}, Class: provider.PermanentMessage, What: "mNotify refuses the recipient"},
		{Status: validation(), Codes: []string{codeError}, Class: provider.PermanentHere, What: "mNotify refuses the message"},
		// Within a success no other word proves that nothing was sent.
		{Status: success(), Codes: []string{codeError}, Class: provider.Ambiguous, What: "mNotify's success says error, for no reason that is known; the message may have been sent"},
	}
}

// success and validation are the statuses of acceptances and of refusals for what was sent; coded those under
// which the body decides.
func success() []string    { return []string{"2"} }
func validation() []string { return []string{"400", "422"} }
func coded() []string      { return append(append(success(), validation()...), "404", "406") }

// judge reads the answer to a send. to is the recipient, which the answer lists if it was taken.
func judge(a *web.Answer, to string) (provider.Receipt, error) {
	said := loose.Parse(a.Body)
	code, words := said.Get("code").Text(), said.Get("message").Words()
	if errors := said.Get("errors", "error"); errors.Here() {
		words += " " + errors.Words()
	}
	if !said.IsObject() {
		code = said.Text() // version 1: the bare code
	}
	word := strings.ToLower(said.Get("status").Text())
	refused := word == "error" || word == "failed" || word == "fail"
	switch {
	case a.OK() && !refused && (slices.Contains(taken(), code) || code == "" && word == "success" && said.Get("summary").IsObject()):
		summary := said.Get("summary")
		if code, words = verdict(summary, to), ""; code == "" {
			return provider.Receipt{Ref: spelling().ID(summary.Get("_id", "campaign_id", "message_id").Text()), Detail: strconv.Itoa(a.Status) + ", taken by mNotify"}, nil
		}
	case known(code):
	case refused, a.Status/100 == 4 && said.IsObject():
		code = codeError
	case a.OK():
		return a.Unread(false)
	}
	return provider.Receipt{}, loose.AtHome(web.Judge(answers(), a, code, words), to)
}

// known says that the table has a row for the code of mNotify's.
func known(code string) bool {
	return strings.Trim(code, "0123456789") == "" && slices.ContainsFunc(answers(), func(r web.Rule) bool { return slices.Contains(r.Codes, code) })
}

// verdict reads the summary of a success: what it says against the one recipient, "" where that is nothing.
// A number that it does not list is refused only if something is counted as rejected: it may be
// written in a form that is not known here, and was sent then.
func verdict(summary loose.Value, to string) string {
	count, _ := summary.Get("total_rejected").Int()
	sent, counted := summary.Get("total_sent").Int()
	numbers := summary.Get("numbers_sent")
	entries := numbers.List()
	listed := slices.ContainsFunc(entries, func(n loose.Value) bool { return loose.SameNumber(n.Text(), to) })
	switch {
	case count > 0 && listed:
		return codeUnlisted // both cannot be
	case count > 0:
		return codeRejected
	case listed, !numbers.Here():
		return ""
	case len(entries) == 0 && counted && sent == 0:
		return codeRejected
	}
	return codeUnlisted
}
