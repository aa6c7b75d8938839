package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WebhookTolerance is how old, or how far ahead, the timestamp of a webhook may be.
const WebhookTolerance = 5 * time.Minute

// ErrWebhookSignature is the error for a webhook that nobody who knows the secret has signed lately.
var ErrWebhookSignature = errors.New("the webhook's signature does not fit, or is too old")

// VerifyWebhook checks a request that a webhook endpoint got, and answers its event. The body is what was
// received, byte for byte; give every secret that is valid at the moment, two of them while one is rotated.
// It is enough that one of X-Comms-Signature and Webhook-Signature fits under one of them. The error is
// ErrWebhookSignature, or says that the body is no event; answer both with 4xx. A webhook may come more than
// once: FeedEvent.EventID is the same then. Safe for concurrent use.
func VerifyWebhook(header http.Header, body []byte, secrets ...string) (*FeedEvent, error) {
	return verifyWebhook(header, body, time.Now(), secrets)
}

func verifyWebhook(header http.Header, body []byte, now time.Time, secrets []string) (*FeedEvent, error) {
	fits := false
	for _, secret := range secrets {
		fits = secret != "" && (guideSigned(header, body, now, secret) || standardSigned(header, body, now, secret)) || fits
	}
	if !fits {
		return nil, ErrWebhookSignature
	}
	e := &FeedEvent{}
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("read the webhook's event: %w", err)
	}
	return e, nil
}

// recent says that a timestamp in Unix seconds is one of now.
func recent(timestamp string, now time.Time) bool {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	return err == nil && time.Unix(at, 0).After(now.Add(-WebhookTolerance)) && time.Unix(at, 0).Before(now.Add(WebhookTolerance))
}

func mac(key []byte, text string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Write(body)
	return h.Sum(nil)
}

// guideSigned checks X-Comms-Signature, which the whole text of the secret keys.
func guideSigned(header http.Header, body []byte, now time.Time, secret string) bool {
	timestamp := header.Get("X-Comms-Timestamp")
	given, err := hex.DecodeString(header.Get("X-Comms-Signature"))
	return err == nil && recent(timestamp, now) && hmac.Equal(given, mac([]byte(secret), timestamp+".", body))
}

// standardSigned checks Webhook-Signature, of which there may be several.
func standardSigned(header http.Header, body []byte, now time.Time, secret string) bool {
	id, timestamp := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	if id == "" || !recent(timestamp, now) {
		return false
	}
	want := mac(standardKey(secret), id+"."+timestamp+".", body)
	fits := false
	for one := range strings.FieldsSeq(header.Get("Webhook-Signature")) {
		coded, v1 := strings.CutPrefix(one, "v1,")
		given, err := base64.StdEncoding.DecodeString(coded)
		fits = v1 && err == nil && hmac.Equal(given, want) || fits
	}
	return fits
}

// standardKey is what is behind whsec_, decoded; a secret of another form stands for its bytes.
func standardKey(secret string) []byte {
	if coded, found := strings.CutPrefix(secret, "whsec_"); found {
		if key, err := base64.StdEncoding.DecodeString(coded); err == nil && len(key) > 0 {
			return key
		}
	}
	return []byte(secret)
}
