package vendors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/resend"
	"github.com/commserver/commserver/internal/provider/twilio"
)

// node runs a script with the vendors' packages at hand, gives it a value and reads one back.
func node(t *testing.T, script string, in, out any) {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed; run: make setup")
	}
	if err := exec.Command(path, "-e", "require('svix'); require('twilio')").Run(); err != nil {
		t.Skip("the vendors' packages are not installed; run: make setup")
	}
	given, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-e", "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"+script+"\nconsole.log(JSON.stringify(answer));")
	cmd.Stdin = bytes.NewReader(given)
	told, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	if err := json.Unmarshal(told, out); err != nil {
		t.Fatalf("%v: %s", err, told)
	}
}

const (
	svixSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	cases      = 200
)

// bodies are reports with everything in them that signatures trip over.
func bodies(rng *rand.Rand) []string {
	letters := []rune("aé₵🙂\"\\\n\t {}[]:,.0=&%+")
	out := []string{"", "{}", " {\"a\": 1}\n", "\ufeff{}", `{"type":"email.sent","data":{"subject":"Grüße ✓ 🙂"}}`, "\u2028\x00\\"}
	for len(out) < cases {
		var b strings.Builder
		for range rng.IntN(400) {
			b.WriteRune(letters[rng.IntN(len(letters))])
		}
		out = append(out, b.String())
	}
	return out
}

// TestSvixSignsWhatWeVerify: Svix's package signs; Resend's verifier takes exactly that, and nothing that was changed.
func TestSvixSignsWhatWeVerify(t *testing.T) {
	t.Parallel()
	type report struct{ ID, Body, Signature string }
	now := time.Now()
	var given []report
	for i, body := range bodies(rand.New(rand.NewPCG(1, 2))) {
		given = append(given, report{ID: fmt.Sprintf("msg_%d", i), Body: body})
	}
	var signed []report
	node(t, `const { Webhook } = require('svix');
const w = new Webhook(given.secret);
const answer = given.reports.map(r => ({ ...r, Signature: w.sign(r.ID, new Date(given.at * 1000), r.Body) }));`,
		map[string]any{"secret": svixSecret, "at": now.Unix(), "reports": given}, &signed)
	verify := resend.Adapter().Reporting.Verify
	settings := provider.Settings{"webhookSecret": svixSecret}
	for _, r := range signed {
		callback := func(body, id string) *provider.Callback {
			return &provider.Callback{Method: http.MethodPost, Body: []byte(body), At: now,
				Header: http.Header{"Svix-Id": {id}, "Svix-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Svix-Signature": {r.Signature}}}
		}
		if err := verify(settings, callback(r.Body, r.ID)); err != nil {
			t.Errorf("%q of %s: %v", r.Body, r.ID, err)
		}
		if verify(settings, callback(r.Body+" ", r.ID)) == nil || verify(settings, callback(r.Body, r.ID+"1")) == nil {
			t.Errorf("%q of %s: a changed report was believed", r.Body, r.ID)
		}
	}
	if len(signed) != cases {
		t.Errorf("%d reports were signed", len(signed))
	}
}

const twilioToken = "12345"

// TestTwilioSignsWhatWeVerify: Twilio's package signs a URL and fields; the verifier takes exactly that, with and
// without the usual port, and nothing that was changed.
func TestTwilioSignsWhatWeVerify(t *testing.T) {
	t.Parallel()
	type report struct {
		URL       string
		Fields    map[string][]string
		Body      string // of another type than a form
		Signature string
	}
	rng := rand.New(rand.NewPCG(3, 4))
	var given []report
	for i := range cases {
		r := report{URL: fmt.Sprintf("https://comm.example.com/api/callbacks/twilio/c%d/t?cs_a=%d&cs_m=c0mzz8h2k1234567890abcdef", i, i+1), Fields: map[string][]string{}}
		switch i % 5 {
		case 1:
			r.URL = strings.Replace(r.URL, ".com/", ".com:443/", 1)
		case 2:
			r.URL = strings.Replace(r.URL, ".com/", ".com:8443/", 1)
		case 3:
			r.Body = fmt.Sprintf(`{"n":%d,"text":"Grüße 🙂"}`, i)
		}
		for n := range 1 + rng.IntN(8) {
			name := fmt.Sprintf("%s%d", []string{"Body", "body", "To", "_x", "Ä"}[rng.IntN(5)], n)
			for range 1 + rng.IntN(3) {
				r.Fields[name] = append(r.Fields[name], []string{"", "a", "B", "+233244000000", "Grüße 🙂 & = %", "a b\n"}[rng.IntN(6)])
			}
		}
		given = append(given, r)
	}
	var signed []report
	node(t, `const w = require('twilio/lib/webhooks/webhooks');
const answer = given.reports.map(r => {
  const fields = {};
  for (const name of Object.keys(r.Fields)) fields[name] = r.Fields[name].length === 1 ? r.Fields[name][0] : r.Fields[name];
  if (r.Body) {
    const URL = r.URL + '&bodySHA256=' + w.getExpectedBodyHash(r.Body);
    return { ...r, URL, Signature: w.getExpectedTwilioSignature(given.token, URL, {}) };
  }
  return { ...r, Signature: w.getExpectedTwilioSignature(given.token, r.URL, fields) };
});`, map[string]any{"token": twilioToken, "reports": given}, &signed)
	verify := twilio.Adapter().Reporting.Verify
	settings := provider.Settings{"authToken": twilioToken}
	for _, r := range signed {
		callback := func(address string, fields url.Values) *provider.Callback {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			body := fields.Encode()
			if r.Body != "" {
				body = r.Body
			}
			return &provider.Callback{Method: http.MethodPost, URL: u, Body: []byte(body), At: time.Now(), Header: http.Header{"X-Twilio-Signature": {r.Signature}}}
		}
		for _, address := range []string{r.URL, strings.Replace(r.URL, ".com:443/", ".com/", 1)} { // as Twilio has it, and as the server knows itself
			if err := verify(settings, callback(address, r.Fields)); err != nil {
				t.Errorf("%s %v: %v", address, r.Fields, err)
			}
		}
		if r.Body == "" {
			other := url.Values{"Extra": {"1"}}
			maps.Copy(other, r.Fields)
			if verify(settings, callback(r.URL, other)) == nil {
				t.Errorf("%s: a field more was believed", r.URL)
			}
		}
		if verify(settings, callback(r.URL+"1", r.Fields)) == nil {
			t.Errorf("%s: another address was believed", r.URL)
		}
	}
	if len(signed) != cases {
		t.Errorf("%d reports were signed", len(signed))
	}
}
