// Package twilio knows the settings of Twilio, an SMS provider.
//
// It promises that a configuration which it accepts is complete and well-formed.
// It does not send yet: configurations are kept until it does.
package twilio

import (
	"regexp"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Twilio adapter. It cannot send yet.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "TWILIO", Title: "Twilio", Channel: comm.SMS, Reports: true, Fields: fields(), Check: check}
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
