// Package signature signs what is posted to webhook endpoints, in the two ways that receivers know.
//
// It promises the guide's signature (lower-case hex of HMAC-SHA256 over the timestamp, a dot and the raw body, keyed by the
// whole text of the secret) and that of Standard Webhooks (base64 over id, timestamp and body, keyed by what is behind
// whsec_, decoded; a secret of another form by its bytes). It makes no secrets and keeps none.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Prefix begins secrets of Standard Webhooks.
const Prefix = "whsec_"

// Guide is the value of X-Comms-Signature; timestamp is in Unix seconds.
func Guide(secret, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(timestamp + "."))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// Standard is the value of webhook-signature under each of the secrets, the newest first.
func Standard(id, timestamp string, body []byte, secrets ...string) string {
	signed := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		h := hmac.New(sha256.New, key(secret))
		h.Write([]byte(id + "." + timestamp + "."))
		h.Write(body)
		signed = append(signed, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(signed, " ")
}

// key is the bytes that a secret stands for.
func key(secret string) []byte {
	if coded, ok := strings.CutPrefix(secret, Prefix); ok {
		if raw, err := base64.StdEncoding.DecodeString(coded); err == nil && len(raw) > 0 {
			return raw
		}
	}
	return []byte(secret)
}
