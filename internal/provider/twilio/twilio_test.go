package twilio

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func subject() providertest.HTTP {
	return providertest.HTTP{Adapter: Adapter(), StatusDecides: true}
}

func TestConformance(t *testing.T) { providertest.RunHTTP(t, subject()) }

func FuzzAnswer(f *testing.F) { providertest.FuzzAnswer(f, subject()) }

func FuzzReport(f *testing.F) { providertest.FuzzReport(f, subject()) }

func FuzzQuestion(f *testing.F) { providertest.FuzzQuestion(f, subject()) }

// FuzzVerify: nothing is believed that was not signed with the token, and nothing stops the program.
func FuzzVerify(f *testing.F) {
	const token, signature = "12345", "RSOYDt4T1cUTdK1PDd93/VVr8B8=" // Twilio's own example
	const query, form = "foo=1&bar=2", "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
	f.Add(http.MethodPost, query, form, signature)
	f.Add(http.MethodGet, query, "", signature)
	want, _ := url.ParseQuery(form)
	f.Fuzz(func(t *testing.T, method, q, body, signed string) {
		cb := &provider.Callback{Method: method, URL: &url.URL{Scheme: "https", Host: "mycompany.com", Path: "/myapp.php", RawQuery: q},
			Header: http.Header{"X-Twilio-Signature": {signed}}, Body: []byte(body)}
		if verifySignature(provider.Settings{"authToken": token}, cb) != nil {
			return
		}
		if got, err := url.ParseQuery(body); err != nil || q != query || sorted(got) != sorted(want) {
			t.Errorf("believed although not signed: %s %q %q %q", method, q, body, signed)
		}
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	sid := strings.Repeat("0a", 16)
	for name, tt := range map[string]struct {
		s      provider.Settings
		faults string
	}{
		"sender":         {provider.Settings{"accountSid": "AC" + sid, "authToken": "t", "senderId": "SHOP"}, ""},
		"service":        {provider.Settings{"accountSid": "AC" + sid, "authToken": "t", "messagingServiceSid": "MG" + sid}, ""},
		"both":           {provider.Settings{"accountSid": "AC" + sid, "senderId": "SHOP", "messagingServiceSid": "MG" + sid}, "messagingServiceSid"},
		"token as SID":   {provider.Settings{"accountSid": sid}, "accountSid"},
		"key as account": {provider.Settings{"accountSid": "SK" + sid}, "accountSid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(slices.Sorted(maps.Keys(check(tt.s))), " "); got != tt.faults {
				t.Errorf("faults %q, want %q", got, tt.faults)
			}
		})
	}
}

// TestEveryCodeStandsOnce: the table would never reach a second row.
func TestEveryCodeStandsOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range table() {
		for _, code := range row.Codes {
			if seen[code] {
				t.Errorf("%s stands twice", code)
			}
			seen[code] = true
		}
	}
}
