// Package resend knows the settings of Resend, an email provider with an HTTP API.
//
// It promises that a configuration which it accepts is complete and well-formed.
// It does not send yet: configurations are kept until it does.
package resend

import (
	"encoding/base64"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Resend adapter. It cannot send yet.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "RESEND", Title: "Resend", Channel: comm.Email, Reports: true, Fields: fields(), Check: check}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "apiKey", Label: "API key", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "API key of the Resend team, such as re_…. Stored encrypted, never shown again."},
		{Name: "from", Label: "Sender", Kind: provider.Mailbox,
			Help: "Sender of messages that name none, such as MyApp <no-reply@example.com>. Its domain must be verified at Resend."},
		{Name: "webhookSecret", Label: "Webhook secret", Kind: provider.Token, Secret: true, Max: provider.MaxKey,
			Help: "Signing secret of the webhook that is registered at Resend, such as whsec_…. Reports are then accepted only if they are signed with it."},
		provider.BaseURLField("https://api.resend.com"),
	}
}

// secretPrefix begins the signing secrets of Standard Webhooks; base64 follows.
const secretPrefix = "whsec_"

// check judges the signing secret, which could verify nothing in another form.
func check(s provider.Settings) map[string]string {
	secret := s["webhookSecret"]
	if secret == "" {
		return nil
	}
	encoded, found := strings.CutPrefix(secret, secretPrefix)
	if _, err := base64.StdEncoding.DecodeString(encoded); !found || err != nil || encoded == "" {
		return map[string]string{"webhookSecret": "is not Resend's signing secret: copy it whole, with whsec_ at its beginning"}
	}
	return nil
}
