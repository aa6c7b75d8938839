package client

import (
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"
)

// signed is a webhook as the server signs it: the guide's signature was made by node's crypto, the other one is the
// vector of the Standard Webhooks specification's own libraries.
func signed() (header http.Header, body []byte, secret string, at time.Time) {
	header = http.Header{}
	header.Set("X-Comms-Timestamp", "1614265330")
	header.Set("X-Comms-Signature", "2e37df5d4a028c51a7f3133d64ae1e300d2c2c900f1b1d49d4369ad2530f8964")
	header.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("Webhook-Timestamp", "1614265330")
	header.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	return header, []byte(`{"test": 2432232314}`), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", time.Unix(1614265330, 0)
}

func TestWebhooksAreVerified(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h http.Header, body *[]byte, secrets *[]string, at *time.Time)
		fits   bool
	}{
		"as it came":             {nil, true},
		"the guide's alone":      {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) { h.Del("Webhook-Signature") }, true},
		"the standard one alone": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) { h.Del("X-Comms-Signature") }, true},
		"the second of two": {func(_ http.Header, _ *[]byte, s *[]string, _ *time.Time) {
			*s = []string{"another one of ours", (*s)[0]}
		}, true},
		"signed by two": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Del("X-Comms-Signature")
			h.Set("Webhook-Signature", "v1,AAAA v1a,x "+h.Get("Webhook-Signature"))
		}, true},
		"nearly too old": {func(_ http.Header, _ *[]byte, _ *[]string, at *time.Time) {
			*at = at.Add(WebhookTolerance - time.Second)
		}, true},
		"too old":         {func(_ http.Header, _ *[]byte, _ *[]string, at *time.Time) { *at = at.Add(WebhookTolerance) }, false},
		"of the future":   {func(_ http.Header, _ *[]byte, _ *[]string, at *time.Time) { *at = at.Add(-WebhookTolerance) }, false},
		"another body":    {func(_ http.Header, b *[]byte, _ *[]string, _ *time.Time) { *b = append(*b, ' ') }, false},
		"another secret":  {func(_ http.Header, _ *[]byte, s *[]string, _ *time.Time) { *s = []string{"another one of ours"} }, false},
		"no secret":       {func(_ http.Header, _ *[]byte, s *[]string, _ *time.Time) { *s = nil }, false},
		"an empty secret": {func(_ http.Header, _ *[]byte, s *[]string, _ *time.Time) { *s = []string{""} }, false},
		"not signed": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Del("X-Comms-Signature")
			h.Del("Webhook-Signature")
		}, false},
		"an empty signature": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Set("X-Comms-Signature", "")
			h.Set("Webhook-Signature", "v1,")
		}, false},
		"signatures of other ways": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Del("X-Comms-Signature")
			h.Set("Webhook-Signature", h.Get("Webhook-Signature")[3:])
		}, false},
		"other timestamps": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Set("X-Comms-Timestamp", "1614265331")
			h.Set("Webhook-Timestamp", "1614265331")
		}, false},
		"no timestamps": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Del("X-Comms-Timestamp")
			h.Del("Webhook-Timestamp")
		}, false},
		"another id": {func(h http.Header, _ *[]byte, _ *[]string, _ *time.Time) {
			h.Del("X-Comms-Signature")
			h.Set("Webhook-Id", "msg_2")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, body, secret, at := signed()
			secrets := []string{secret}
			if c.change != nil {
				c.change(header, &body, &secrets, &at)
			}
			e, err := Verifier{Secrets: secrets, Now: func() time.Time { return at }}.Verify(header, body)
			if c.fits && (err != nil || e == nil) || !c.fits && !errors.Is(err, ErrWebhookSignature) {
				t.Errorf("%+v %v", e, err)
			}
		})
	}
	if _, err := VerifyWebhook(http.Header{}, nil, "a secret of 16 or more"); !errors.Is(err, ErrWebhookSignature) {
		t.Error(err)
	}
}

func TestASignedBodyThatIsNoEvent(t *testing.T) {
	t.Parallel()
	header, body := http.Header{}, []byte("[")
	header.Set("X-Comms-Timestamp", "1614265330")
	sum := mac([]byte("a secret of 16 or more"), "1614265330.", body)
	header.Set("X-Comms-Signature", hex.EncodeToString(sum))
	if _, err := (Verifier{Secrets: []string{"a secret of 16 or more"}, Now: func() time.Time { return time.Unix(1614265330, 0) }}).Verify(header, body); err == nil || errors.Is(err, ErrWebhookSignature) {
		t.Error(err)
	}
}
