package twilio

import (
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/web"
)

// table is what Twilio's error codes mean, as answers and in reports
// (twilio.com/docs/api/errors). Twilio has no idempotency key: what its own failures
// leave open stays open.
func table() []web.Rule {
	return []web.Rule{
		// First, since a refusal's code within a failure of theirs refuses nothing.
		{Status: []string{"5"}, Class: provider.Ambiguous, What: "Twilio failed; the message may have been sent"},
		{Codes: []string{"20003", "20005", "20006", "30002"}, Class: provider.Account, What: "Twilio refuses the login or the account"},
		{Codes: []string{"20404"}, Class: provider.Account, What: "there is no such account at this address: check accountSid and baseUrl"},
		{Codes: []string{"20429"}, Class: provider.RateLimited, What: "Twilio asks to send more slowly"},
		{Codes: []string{"20500"}, Class: provider.Ambiguous, What: "Twilio failed; the message may have been sent"},
		// Only what says of a number that it will never do suppresses it. The other codes of the same kind are about numbers in
		// general (21401, 21421), or say as well that the number cannot be reached now, or not from this sender.
		{Codes: []string{"21211"}, Class: provider.PermanentMessage, Hard: true, What: "the number is not valid"},
		{Codes: []string{"21614", "21635"}, Class: provider.PermanentMessage, Hard: true, What: "the number is none that receives short messages"},
		{Codes: []string{"21214", "21401", "21421"}, Class: provider.PermanentMessage, What: "the number is not valid, or cannot be reached"},
		{Codes: []string{"30005"}, Class: provider.PermanentMessage, What: "the network does not know the number, or not at this moment"},
		{Codes: []string{"30006"}, Class: provider.PermanentMessage, What: "the number is a landline, or of a network that is not reached"},
		{Codes: []string{"21610"}, Class: provider.PermanentMessage, OptOut: true, What: "the recipient has opted out of messages from this sender"},
		{Codes: []string{"21408"}, Class: provider.PermanentHere, What: "the account may not send to this country"},
		{Codes: []string{"21212", "21603", "21606", "21612", "21659", "21660", "21703", "21705"}, Class: provider.PermanentHere, What: "Twilio cannot use the sender for this number"},
		{Codes: []string{"21608", "21219"}, Class: provider.Account, What: "a trial account reaches only numbers that were verified at Twilio"},
		{Codes: []string{"21602", "21619"}, Class: provider.PermanentMessage, What: "the message is empty"},
		{Codes: []string{"21617"}, Class: provider.PermanentHere, What: "the message is too long for Twilio"},
		{Codes: []string{"21609"}, Class: provider.Account, What: "Twilio refuses the callback URL: check COMMS_PUBLIC_URL"},
		{Codes: []string{"21611", "30001"}, Class: provider.RateLimited, What: "the sender's queue at Twilio is full"},
		{Codes: []string{"30003"}, Class: provider.Transient, What: "the phone is off or out of reach"},
		{Codes: []string{"30004"}, Class: provider.PermanentMessage, What: "the recipient or the carrier blocks the message"},
		{Codes: []string{"30007"}, Class: provider.PermanentHere, What: "the message was filtered by Twilio or the carrier"},
		{Codes: []string{"30008"}, Class: provider.PermanentHere, What: "the carrier gave no reason"},
		{Codes: []string{"30022", "30023", "30032", "30034"}, Class: provider.PermanentHere, What: "the sender is not registered for this country's rules"},
		{Codes: []string{"30036"}, Class: provider.PermanentHere, What: "the message was not delivered in its time"},
	}
}

// fates are what Twilio's statuses say.
func fates() map[string]provider.Fate {
	return map[string]provider.Fate{
		"accepted": provider.OnItsWay, "scheduled": provider.OnItsWay, "queued": provider.OnItsWay, "sending": provider.OnItsWay, "sent": provider.OnItsWay,
		"delivered": provider.Delivered, "read": provider.Delivered,
		"undelivered": provider.Undelivered, "failed": provider.Undelivered, "canceled": provider.Undelivered,
	}
}

// status fills in what a status and an error code say of a message.
func status(r provider.Report, status, code string) provider.Report {
	status = strings.ToLower(strings.TrimSpace(status))
	r.Fate, r.Code = provider.Noted, word(status)
	if fate, known := fates()[status]; known {
		r.Fate = fate
	}
	if code = word(code); code == "" || code == "0" || r.Fate != provider.Undelivered {
		return r
	}
	r.Code += " " + code
	row, known := codes()[code]
	if !known {
		return r
	}
	r.Text = row.What
	switch {
	case row.OptOut:
		r.Suppress = comm.SuppressUnsubscribed
	case row.Hard:
		r.Suppress = comm.SuppressHardBounce
	}
	// A carrier that gave no reason, or did not reach the phone, may have delivered after all.
	r.Correctable = code == "30003" || code == "30008"
	return r
}

// codes are the rows of the table by code.
func codes() map[string]web.Rule {
	out := map[string]web.Rule{}
	for _, row := range table() {
		for _, code := range row.Codes {
			out[code] = row
		}
	}
	return out
}

// word keeps of a text what may be a code: a short run of printable ASCII.
func word(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 24 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '@' }) {
		return ""
	}
	return text
}
