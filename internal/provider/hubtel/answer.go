package hubtel

import (
	"strconv"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// answers is the table of answers to a send. A refusal is an HTTP status and, in the
// body, a sub-code named status; the same sub-codes count within a success
// (hubtel.readme.io/reference/response-code).
func answers() []web.Rule {
	return []web.Rule{
		{Status: []string{"401"}, Class: provider.Account, What: "Hubtel refuses the client id and secret"},
		{Status: []string{"402"}, Class: provider.Account, What: "the credit at Hubtel is used up"},
		{Status: []string{"403"}, Class: provider.PermanentMessage, What: "the recipient has not agreed to messages from this sender"},
		{Status: []string{"502"}, Class: provider.Transient, What: "Hubtel finds no gateway for the message at this moment; nothing was sent"},
		{Status: []string{"400"}, Codes: []string{"0"}, Class: provider.PermanentHere, What: "Hubtel calls the request malformed"},
		{Status: coded(), Codes: []string{"1"}, Class: provider.PermanentMessage, Hard: true, What: "Hubtel says that the number is invalid"},
		{Status: coded(), Codes: []string{"2"}, Class: provider.PermanentHere, What: "Hubtel refuses the sender id: it has to be approved for the account"},
		{Status: coded(), Codes: []string{"3"}, Class: provider.PermanentHere, What: "the text is too long for Hubtel"},
		{Status: coded(), Codes: []string{"4"}, Class: provider.PermanentHere, What: "Hubtel has no way to the recipient's network"},
		{Status: coded(), Codes: []string{"5"}, Class: provider.PermanentHere, What: "Hubtel refuses the delivery time"},
		{Status: coded(), Codes: []string{"6"}, Class: provider.PermanentHere, What: "Hubtel refuses the content"},
		{Status: coded(), Codes: []string{"7", "8"}, Class: provider.PermanentHere, What: "Hubtel refuses a parameter of the request"},
		{Status: coded(), Codes: []string{"12"}, Class: provider.Account, What: "the credit at Hubtel is used up"},
	}
}

// coded are the statuses under which a sub-code counts.
func coded() []string { return []string{"2", "400"} }

// judge reads the answer to a send. A status that is absent is no status 0.
func judge(a *web.Answer, to string) (provider.Receipt, error) {
	said := loose.Parse(a.Body)
	n, coded := said.Get("status").Int()
	switch {
	case a.OK() && coded && n == 0:
		return provider.Receipt{Ref: spelling().ID(said.Get("messageId").Text()), Detail: strconv.Itoa(a.Status) + ", taken by Hubtel"}, nil
	case a.OK() && !coded:
		return a.Unread(false)
	}
	table, code := answers(), ""
	if coded {
		code = strconv.Itoa(n)
	}
	if !own(a.Status, said) {
		table = nil // of something in front of Hubtel: its 403 and 502 say nothing of the message
	}
	return provider.Receipt{}, loose.AtHome(web.Judge(table, a, code, said.Get("statusDescription", "message").Words()), to)
}

// own says that a refusal has Hubtel's own shape: its description, or a sub-code, which is none if it just repeats the
// HTTP status. Gateways and firewalls answer in JSON too.
func own(status int, said loose.Value) bool {
	n, coded := said.Get("status").Int()
	return coded && n != status || said.Get("statusDescription", "responseCode").Text() != ""
}
