package twilio

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/sms"
)

// verifySignature checks X-Twilio-Signature: HMAC-SHA1 with the auth token over the public
// URL, followed by the form's fields sorted by name, each name with its value
// (twilio.com/docs/usage/security). A body that is no form is covered by its hash in the
// URL's bodySHA256. Twilio signs the URL with or without the scheme's own port.
func verifySignature(s provider.Settings, cb *provider.Callback) error {
	got, err := base64.StdEncoding.DecodeString(cb.Header.Get("X-Twilio-Signature"))
	token := s["authToken"]
	if err != nil || token == "" {
		return provider.ErrForged
	}
	fields := ""
	if want := cb.URL.Query().Get("bodySHA256"); want != "" {
		sum := sha256.Sum256(cb.Body)
		if !strings.EqualFold(want, hex.EncodeToString(sum[:])) {
			return provider.ErrForged
		}
	} else if cb.Method == http.MethodPost {
		form, err := url.ParseQuery(string(cb.Body))
		if err != nil {
			return provider.ErrForged
		}
		fields = sorted(form)
	}
	for _, u := range addresses(cb.URL) {
		mac := hmac.New(sha1.New, []byte(token))
		mac.Write([]byte(u + fields))
		if hmac.Equal(got, mac.Sum(nil)) {
			return nil
		}
	}
	return provider.ErrForged
}

// sorted writes fields as they are signed; a value that comes twice counts once.
func sorted(form url.Values) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Sorted(slices.Values(form[name]))
		for _, value := range slices.Compact(values) {
			b.WriteString(name)
			b.WriteString(value)
		}
	}
	return b.String()
}

// addresses are the URL as it is, without a port, and with the scheme's own.
func addresses(u *url.URL) []string {
	bare, full := *u, *u
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	bare.Host, full.Host = host, host+port
	if u.Port() != "" && ":"+u.Port() != port {
		full.Host = u.Host
	}
	return []string{u.String(), bare.String(), full.String()}
}

// readReports reads one request: the status of a message, or a message that somebody sent.
func readReports(cb *provider.Callback) ([]provider.Report, error) {
	form, err := fieldsOf(cb)
	if err != nil {
		return nil, err
	}
	state := cmp.Or(form.Get("MessageStatus"), form.Get("SmsStatus"))
	if strings.EqualFold(state, "received") || strings.EqualFold(state, "receiving") || form.Has("OptOutType") || state == "" && form.Has("Body") {
		return received(form), nil
	}
	r := provider.Report{Ref: reference(cmp.Or(form.Get("MessageSid"), form.Get("SmsSid")))}
	r.Message, r.Attempt = provider.NamedIn(cb.URL)
	if state == "" || r.Ref == "" && r.Message.IsZero() {
		return nil, nil
	}
	return []provider.Report{status(r, state, form.Get("ErrorCode"))}, nil
}

// fieldsOf are the form's fields, or the URL's where Twilio was told to use GET.
func fieldsOf(cb *provider.Callback) (url.Values, error) {
	if cb.Method == http.MethodGet {
		return cb.URL.Query(), nil
	}
	form, err := url.ParseQuery(string(cb.Body))
	if err != nil {
		return nil, errors.New("read a report of Twilio's: it is no form")
	}
	return form, nil
}

// received reads a message that somebody sent to one of our numbers: whether it opts out or in. Twilio
// says so itself (OptOutType) where its advanced opt-out is on; else the words do.
func received(form url.Values) []provider.Report {
	address, plus := strings.CutPrefix(strings.TrimSpace(form.Get("From")), "+")
	if !plus || len(address) < 7 || len(address) > 15 || strings.Trim(address, "0123456789") != "" { // another channel than SMS
		return nil
	}
	wish := sms.KeywordOf(form.Get("Body"))
	if said := form.Get("OptOutType"); said != "" {
		wish = sms.KeywordOf(said)
	}
	r := provider.Report{Address: "+" + address} // international, whatever the server takes for a national number
	switch wish {
	case sms.Stop:
		r.Fate, r.Code, r.Text = provider.OptedOut, "STOP", "the recipient answered with a word that opts out"
	case sms.Start:
		r.Fate, r.Code, r.Text = provider.OptedIn, "START", "the recipient answered with a word that opts in again"
	default:
		return nil
	}
	return []provider.Report{r}
}
