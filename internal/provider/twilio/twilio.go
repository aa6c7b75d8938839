// Package twilio is the adapter for Twilio, an SMS provider (twilio.com/docs/messaging/api).
//
// It promises that each message names its callback URL, so that reports are understood
// before Twilio's id is stored; that reports are believed only with Twilio's signature
// over the exact public URL; and that a recipient who has opted out at Twilio, or whose
// number cannot receive messages, is told as such. Twilio knows no idempotency key: a
// lost answer stays unknown until a report settles it. A question cannot: it takes the id
// that was lost with the answer, and among the messages to a number none is known as ours.
//
// It sends text alone, and buys, registers or configures nothing at Twilio.
package twilio

import (
	"regexp"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Twilio adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "TWILIO", Title: "Twilio", Channel: comm.SMS, Fields: fields(), Check: check,
		Reporting: &provider.Reporting{
			Verify: verifySignature,
			Read:   readReports,
			// To a received message Twilio sends whatever text comes back as an answer: this is none.
			Ack: provider.Ack{Status: 200, ContentType: "text/xml", Body: "<Response/>"},
			// Reports come by themselves unless the server's address is not a public one.
			Asks: []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour},
		},
		Open: func(s provider.Settings, env provider.Env) (provider.Sender, error) {
			return open(s, env)
		},
	}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "accountSid", Label: "Account SID", Kind: provider.Token, Required: true, Max: provider.MaxID,
			Help: "The account's SID: AC and 32 hexadecimal digits."},
		{Name: "authToken", Label: "Auth token", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Auth token of the account; it also verifies Twilio's reports. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		{Name: "messagingServiceSid", Label: "Messaging service SID", Kind: provider.Token, Max: provider.MaxID,
			Help: "SID of a messaging service that chooses the sender, MG and 32 hexadecimal digits, instead of senderId."},
		provider.BaseURLField("https://api.twilio.com"),
	}
}

// sids are the identifiers that Twilio issues.
var sids = regexp.MustCompile(`^[A-Z]{2}[0-9a-fA-F]{32}$`)

// check knows SIDs by their form, so that a token pasted into their place is seen
// before it is stored in clear.
func check(s provider.Settings) map[string]string {
	faults := map[string]string{}
	for name, prefix := range map[string]string{"accountSid": "AC", "messagingServiceSid": "MG"} {
		if v := s[name]; v != "" && (!sids.MatchString(v) || v[:2] != prefix) {
			faults[name] = "must be " + prefix + " and 32 hexadecimal digits"
		}
	}
	if s["senderId"] != "" && s["messagingServiceSid"] != "" && faults["messagingServiceSid"] == "" {
		faults["messagingServiceSid"] = "give senderId or messagingServiceSid, not both"
	}
	return faults
}

// reference is the form of Twilio's message ids that receipts and reports share; "" for what is none.
func reference(sid string) string {
	sid = strings.TrimSpace(sid)
	if len(sid) < 3 || len(sid) > provider.MaxID || strings.ContainsFunc(sid, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return strings.ToUpper(sid[:2]) + strings.ToLower(sid[2:])
}
