package nalo

import (
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// submitted is the one code that says that Nalo took the message.
const submitted = "1701"

// answers is the table of answers to a send, by the four-digit code in the body: success
// and refusals come with status 200, some refusals with 412.
func answers() []web.Rule {
	return []web.Rule{
		{Status: coded(), Codes: []string{"1702"}, Class: provider.PermanentHere, What: "Nalo misses a parameter of the request"},
		{Status: coded(), Codes: []string{"1703"}, Class: provider.Account, What: "Nalo refuses the user name or the password"},
		{Status: coded(), Codes: []string{"1704"}, Class: provider.PermanentHere, What: "Nalo refuses the type of the message"},
		{Status: coded(), Codes: []string{"1705"}, Class: provider.PermanentMessage, What: "Nalo refuses the text of the message"},
		{Status: coded(), Codes: []string{"1706"}, Class: provider.PermanentMessage, Hard: true, What: "Nalo says that the number is invalid"},
		{Status: coded(), Codes: []string{"1707"}, Class: provider.PermanentHere, What: "Nalo refuses the sender id: it has to be registered for the account"},
		{Status: coded(), Codes: []string{"1708"}, Class: provider.PermanentHere, What: "Nalo refuses the request for a delivery report"},
		{Status: coded(), Codes: []string{"1709"}, Class: provider.Account, What: "Nalo cannot validate the user"},
		{Status: coded(), Codes: []string{"1710"}, Class: provider.Ambiguous, What: "Nalo failed; the message may have been sent"},
		{Status: coded(), Codes: []string{"1713"}, Class: provider.Account, What: "Nalo refuses the auth key"},
		{Status: coded(), Codes: []string{"1025"}, Class: provider.Account, What: "the credit at Nalo is used up"},
		{Status: coded(), Codes: []string{"1026"}, Class: provider.Account, What: "the credit of the reseller at Nalo is used up"},
		// 1701 under a status of refusal contradicts itself.
		{Status: coded(), Codes: []string{submitted}, Class: provider.Ambiguous, What: "Nalo's answer contradicts itself; the message may have been sent"},
	}
}

// coded are the statuses under which a code counts.
func coded() []string { return []string{"2", "4"} }

// judge reads the answer to a send. to is the recipient, which is part of some answers.
func judge(a *web.Answer, to string) (provider.Receipt, error) {
	code, ref, said := read(a.Body, to)
	switch {
	case a.OK() && code == submitted:
		return provider.Receipt{Ref: ref, Detail: strconv.Itoa(a.Status) + ", taken by Nalo"}, nil
	case a.OK() && code == "":
		return a.Unread(false)
	}
	return provider.Receipt{}, loose.AtHome(web.Judge(answers(), a, code, said), to)
}

// read finds the code and, for an acceptance, the id, in the shapes that are documented or were seen and no other:
// "1701|<number>|<id>", "1701|<id>", a text that begins with a code, or JSON with the code as status or code. A number
// anywhere else may be anything: a time, an amount, a part of a page.
func read(body []byte, to string) (code, ref, words string) {
	said := loose.Parse(body)
	if list := said.List(); said.IsList() && len(list) > 0 {
		said = list[0] // one number was sent
	}
	if said.IsObject() {
		if code = codeIn(said); code != "" {
			return code, spelling().ID(said.Get("job_id", "message_id", "msg_id", "id").Text()), said.Get("message", "error").Words()
		}
		return "", "", ""
	}
	text := strings.TrimSpace(string(body))
	if said.Text() != "" { // the text form as a JSON string, or a bare number
		text = said.Text()
	}
	record, _, _ := strings.Cut(text, ",") // further records are of further numbers: one was sent
	parts := strings.Split(record, "|")
	if code = strings.TrimSpace(parts[0]); isCode(code) {
		last := strings.TrimSpace(parts[len(parts)-1])
		if len(parts) > 1 && strings.TrimPrefix(last, "+") != to {
			ref = spelling().ID(last)
		}
		return code, ref, ""
	}
	// Words after the code: no acceptance looks so.
	first, rest, _ := strings.Cut(text, " ")
	if first = strings.TrimRight(first, ":,|-"); isCode(first) && first != submitted && known(first) && len(text) <= maxProse {
		return first, "", rest
	}
	return "", "", ""
}

// codeIn finds the code in an object; "" where there is none, or two that say different things.
func codeIn(said loose.Value) string {
	code, other := said.Get("status").Text(), said.Get("code").Text()
	switch {
	case !isCode(code):
		code = other
	case isCode(other) && other != code:
		return ""
	}
	if !isCode(code) {
		return ""
	}
	return code
}

// maxProse bounds a text that begins with a code, in bytes.
const maxProse = 512

func isCode(s string) bool { return len(s) == 4 && strings.Trim(s, "0123456789") == "" }

// known says that the table has a row for the code.
func known(code string) bool {
	for _, r := range answers() {
		if r.Codes[0] == code {
			return true
		}
	}
	return false
}
