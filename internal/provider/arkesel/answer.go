package arkesel

import (
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// The codes that this adapter gives to what Arkesel says without one.
const (
	codeInvalid = "invalid_numbers" // the recipient is on the answer's list of invalid numbers
	codeOther   = "not_taken"       // another number is on that list, or ours in a form that is not known
	codeError   = "error"           // "status":"error"
)

// answers is the table of answers to a send: version 2 of Arkesel's API gives no codes of
// its own, so that statuses and words decide.
func answers() []web.Rule {
	return []web.Rule{
		{Codes: []string{codeInvalid}, Class: provider.PermanentMessage, Hard: true, What: "Arkesel says that the number is invalid"},
		{Codes: []string{codeOther}, Class: provider.PermanentMessage, What: "Arkesel calls a number invalid and takes none"},
		{Status: []string{"401"}, Class: provider.Account, What: "Arkesel refuses the API key"},
		{Status: []string{"402"}, Class: provider.Account, What: "the balance at Arkesel is used up"},
		{Status: []string{"403"}, Class: provider.Account, What: "Arkesel's gateway is inactive for the account"},
		// An error without a reason within a success: what the server did before it failed nobody knows. It stands
		// before the words of refusals, of which such a sentence may hold one ("internal error while contacting recipient").
		{Status: success(), Words: loose.Failed(), Codes: []string{codeError}, Class: provider.Ambiguous, What: "Arkesel failed; the message may have been sent"},
		// The words of refusals, wherever they stand: 422 is documented, others were seen within
		// 200. Words alone are no proof that a number does not exist.
		{Status: refused(), Words: []string{"sender"}, Codes: []string{codeError}, Class: provider.PermanentHere, What: "Arkesel refuses the sender id: it has to be approved for the account"},
		{Status: refused(), Words: []string{"callback", "schedule", "use_case", "sandbox"}, Codes: []string{codeError}, Class: provider.PermanentHere, What: "Arkesel refuses a setting of the request"},
		{Status: refused(), Words: loose.Unpaid(), Codes: []string{codeError}, Class: provider.Account, What: "the balance at Arkesel is used up"},
		{Status: refused(), Words: []string{"api key", "api-key", "authentic", "unauthor", "inactive", "suspend"}, Codes: []string{codeError}, Class: provider.Account, What: "Arkesel refuses the account"},
		{Status: refused(), Words: loose.TooLong(), Codes: []string{codeError}, Class: provider.PermanentHere, What: "the text is too long for Arkesel"},
		{Status: refused(), Words: loose.Limited(), Codes: []string{codeError}, Class: provider.Account, What: "a limit of the account at Arkesel is reached"},
		{Status: refused(), Words: []string{"spam", "approval"}, Codes: []string{codeError}, Class: provider.PermanentHere, What: "Arkesel refuses the content"},
		{Status: refused(), Words: []string{"coverage", "route", "not supported"}, Codes: []string{codeError}, Class: provider.PermanentHere, What: "Arkesel does not serve the recipient's network"},
		{Status: refused(), Words: loose.BadNumber(), Codes: []string{codeError}, Class: provider.PermanentMessage, What: "Arkesel refuses the recipient"},
		{Status: validation(), Words: []string{"number", "recipient", "phone", "msisdn"}, Codes: []string{codeError}, Class: provider.PermanentMessage, What: "Arkesel refuses the recipient"},
		{Status: validation(), Words: []string{"message field", "message is", "message must", "empty message", "content", "text"}, Codes: []string{codeError}, Class: provider.PermanentMessage, What: "Arkesel refuses the text of the message"},
		{Status: validation(), Codes: []string{codeError}, Class: provider.PermanentHere, What: "Arkesel refuses the message"},
		// Within a success no other word proves that nothing was sent.
		{Status: success(), Codes: []string{codeError}, Class: provider.Ambiguous, What: "Arkesel's success says error, for no reason that is known; the message may have been sent"},
	}
}

// success, validation and refused are the statuses under which Arkesel explains a refusal: the last two are the documented ones.
func success() []string    { return []string{"2"} }
func validation() []string { return []string{"400", "422"} }
func refused() []string    { return append(success(), validation()...) }

// judge reads the answer to a send.
func judge(a *web.Answer, to string) (provider.Receipt, error) {
	said := loose.Parse(a.Body)
	words, code := said.Get("message").Words(), ""
	if errors := said.Get("errors"); errors.Here() {
		words += " " + errors.Words()
	}
	switch strings.ToLower(said.Get("status").Text()) {
	case "success":
		ref, invalid := taken(said.Get("data"))
		switch {
		case !a.OK():
		case ref != "":
			return provider.Receipt{Ref: ref, Detail: strconv.Itoa(a.Status) + ", taken by Arkesel"}, nil
		case slices.ContainsFunc(invalid, func(n loose.Value) bool { return loose.SameNumber(n.Text(), to) }):
			code, words = codeInvalid, ""
		case len(invalid) > 0:
			code, words = codeOther, ""
		default:
			return a.Unread(false)
		}
	case "error", "failed", "fail":
		code = codeError
	default:
		switch a.Status / 100 {
		case 2:
			return a.Unread(false)
		case 4:
			code = codeError // a refusal in another form, such as a framework's own
		}
	}
	return provider.Receipt{}, loose.AtHome(web.Judge(answers(), a, code, words), to)
}

// taken looks for what became of the one recipient: an entry with an id, or a list of
// invalid numbers. Entries lie in a list or, where all are invalid, in an object.
func taken(data loose.Value) (ref string, invalid []loose.Value) {
	for _, entry := range data.List() {
		if id := spelling().ID(entry.Get("id", "sms_id", "message_id").Text()); id != "" && ref == "" {
			ref = id
		}
		invalid = append(invalid, entry.Get("invalid numbers").List()...)
	}
	return ref, invalid
}
