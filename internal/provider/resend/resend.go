// Package resend is the adapter for Resend, an email provider with an HTTP API
// (resend.com/docs/api-reference).
//
// It promises that all attempts of a message's generation carry one idempotency key
// and the same bytes, so that Resend, which remembers keys for 24 hours, sends the
// mail once however often an answer is lost; and that an answer which leaves open
// whether the mail went out is Ambiguous even though a repeat here would be harmless,
// because another provider knows nothing of the key. Reports are believed only if
// they are signed, wherever a signing secret is configured.
//
// It does not register webhooks at Resend, does not ask what became of a mail (only by
// an id that reports come under anyway, and with a key that may do more than send), and
// does not use its batches, templates or schedules.
package resend

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Resend adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "RESEND", Title: "Resend", Channel: comm.Email, Fields: fields(), Check: check, RepeatFor: 24 * time.Hour,
		Reporting: &provider.Reporting{Verify: verifySignature, Read: readReports},
		Open: func(s provider.Settings, env provider.Env) (provider.Sender, error) {
			return open(s, env)
		},
	}
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

// check judges the signing secret, which could verify nothing in another form, and the sender.
func check(s provider.Settings) map[string]string {
	faults := map[string]string{}
	if secret := s["webhookSecret"]; secret != "" && signingKey(secret) == nil {
		faults["webhookSecret"] = "is not Resend's signing secret: copy it whole, with whsec_ at its beginning"
	}
	if from := s["from"]; from != "" {
		if _, err := address.ParseMailbox(from); err != nil {
			faults["from"] = err.Error()
		}
	}
	return faults
}

// signingKey is the key in a signing secret; nil if it is none.
func signingKey(secret string) []byte {
	encoded, found := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) == 0 {
		return nil
	}
	return key
}
