package simulate

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// secretBytes is the key of a Standard Webhooks signature: what whsec_ stands
// before, decoded, or the text itself.
func secretBytes(secret string) []byte {
	if encoded, found := strings.CutPrefix(secret, "whsec_"); found {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(secret)
}

// signStandard is the signature of Svix and Standard Webhooks, without its "v1,".
// (docs.svix.com/receiving/verifying-payloads/how-manual)
func signStandard(key []byte, id, stamp string, body []byte) string {
	return base64.StdEncoding.EncodeToString(mac(sha256.New, key, id+"."+stamp+"."+string(body)))
}

// signComms is CommServer's X-Comms-Signature.
func signComms(secret, stamp string, body []byte) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), stamp+"."+string(body)))
}

// signTwilio is X-Twilio-Signature: the URL, then each field's name and value, by name.
// (twilio-go, client/request_validator.go)
func signTwilio(token, target string, form url.Values) string {
	var b strings.Builder
	b.WriteString(target)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b.WriteString(name + v)
		}
	}
	return base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(token), b.String()))
}

// signArkesel signs the time and the query as PHP writes JSON: sorted, without
// spaces, slashes as they are and all else outside ASCII as \u.
func signArkesel(secret, stamp string, query url.Values) string {
	var b strings.Builder
	b.WriteString(stamp + ".{")
	for i, name := range slices.Sorted(maps.Keys(query)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(phpString(name) + ":" + phpString(query.Get(name)))
	}
	b.WriteByte('}')
	return hex.EncodeToString(mac(sha256.New, []byte(secret), b.String()))
}

func phpString(text string) string {
	var plain strings.Builder
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string always is JSON
	var b strings.Builder
	for _, r := range strings.TrimSuffix(plain.String(), "\n") {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			b.WriteString(`\u` + hex.EncodeToString([]byte{byte(unit >> 8), byte(unit)}))
		}
	}
	return b.String()
}
