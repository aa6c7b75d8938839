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
	return Verifier{Secrets: secrets}.Verify(header, body)
}

// Verifier is VerifyWebhook with a tolerance and a clock of one's own. It is safe for concurrent use.
type Verifier struct {
	Secrets   []string         // every one that is valid at the moment
	Tolerance time.Duration    // how old, or how far ahead, the timestamp may be; 0: WebhookTolerance
	Now       func() time.Time // nil: time.Now
}

// Verify checks a request as VerifyWebhook does.
func (v Verifier) Verify(header http.Header, body []byte) (*FeedEvent, error) {
	now := clock{time.Now(), WebhookTolerance}
	if v.Now != nil {
		now.Time = v.Now()
	}
	if v.Tolerance > 0 {
		now.tolerance = v.Tolerance
	}
	fits := false
	for _, secret := range v.Secrets {
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

// clock is a time and how far from it a timestamp may be.
type clock struct {
	time.Time
	tolerance time.Duration
}

// recent says that a timestamp in Unix seconds is one of now.
func (now clock) recent(timestamp string) bool {
	at, err := strconv.ParseUint(timestamp, 10, 53)
	if err != nil {
		return false
	}
	sent := time.Unix(int64(at), 0)
	return sent.After(now.Add(-now.tolerance)) && sent.Before(now.Add(now.tolerance))
}

func mac(key []byte, text string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Write(body)
	return h.Sum(nil)
}

// guideSigned checks X-Comms-Signature, which the whole text of the secret keys.
func guideSigned(header http.Header, body []byte, now clock, secret string) bool {
	timestamp := header.Get("X-Comms-Timestamp")
	given, err := hex.DecodeString(header.Get("X-Comms-Signature"))
	return err == nil && now.recent(timestamp) && hmac.Equal(given, mac([]byte(secret), timestamp+".", body))
}

// standardSigned checks Webhook-Signature, of which there may be several.
func standardSigned(header http.Header, body []byte, now clock, secret string) bool {
	id, timestamp := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	if id == "" || !now.recent(timestamp) {
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
