package arkesel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
)

// The headers of a signed report.
const (
	headerTime      = "X-Arkesel-Webhook-Timestamp"
	headerSignature = "X-Arkesel-Webhook-Signature"
)

// maxAge is how far a signed report's time may be from ours.
const maxAge = 300 * time.Second

// verify checks the signature of accounts that have a webhook secret; without one there
// is nothing to check. Signed is "<time>.<canonical JSON of the parameters>", with
// HMAC-SHA256 under the secret's bytes, as "v1=<hex>"; while a secret is being replaced
// two stand there, separated by a comma. Whether the parameters that were already in our
// callback URL are signed too is not documented: either is accepted, because what they
// say, which message and attempt the report is for, is believed of whoever knows the
// URL's token anyway. The status and Arkesel's id are always signed.
func verify(s provider.Settings, c *provider.Callback) error {
	secret := s["webhookSecret"]
	if secret == "" {
		return nil
	}
	at := strings.TrimSpace(c.Header.Get(headerTime))
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || c.At.Sub(time.Unix(seconds, 0)).Abs() > maxAge {
		return provider.ErrForged
	}
	given := signatures(c.Header.Values(headerSignature))
	for _, parameters := range signed(c) {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(at + "." + parameters.Canonical()))
		want := mac.Sum(nil)
		if slices.ContainsFunc(given, func(g []byte) bool { return hmac.Equal(g, want) }) {
			return nil
		}
	}
	return provider.ErrForged
}

// signatures reads the header's entries; there are two at most.
func signatures(headers []string) (out [][]byte) {
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(part), "v1=")
		if mac, err := hex.DecodeString(text); ok && err == nil && len(mac) == sha256.Size && len(out) < 2 {
			out = append(out, mac)
		}
	}
	return out
}

// signed answers what may have been signed: what the report is read from (Spelling.Read),
// the query with and without the parameters that are ours, or else the body. Part of it
// in the one and part in the other is nothing that anybody signed.
func signed(c *provider.Callback) []loose.Value {
	theirs := loose.Query(c.URL)
	ref, status := theirs.Get(spelling().Ref...).Here(), theirs.Get(spelling().Status...).Here()
	switch {
	case ref && status:
		return []loose.Value{loose.Parameters(c.URL), theirs}
	case ref || status:
		return nil
	}
	if body, readable := loose.Body(c); readable && body.Here() {
		return []loose.Value{body}
	}
	return nil
}
