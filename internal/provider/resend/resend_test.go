package resend

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
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

// FuzzVerify: nothing is believed that was not signed with the secret, and nothing stops the program.
func FuzzVerify(f *testing.F) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // Svix's own example
	const id, at, body, signature = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	f.Add("svix-", id, at, signature, []byte(body))
	f.Add("webhook-", id, at, "v1,AAAA "+signature, []byte(body))
	f.Fuzz(func(t *testing.T, prefix, msg, stamp, signed string, content []byte) {
		cb := &provider.Callback{Method: http.MethodPost, Header: http.Header{}, Body: content, At: time.Unix(1614265330, 0)}
		for name, value := range map[string]string{"id": msg, "timestamp": stamp, "signature": signed} {
			cb.Header.Set(prefix+name, value)
		}
		if verifySignature(provider.Settings{"webhookSecret": secret}, cb) == nil && msg+"."+stamp+"."+string(content) != id+"."+at+"."+body {
			t.Errorf("believed although not signed: %q %q %q %q", msg, stamp, signed, content)
		}
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		s      provider.Settings
		faults string
	}{
		"complete":         {provider.Settings{"apiKey": "re_1", "from": "Shop <a@b.example>", "webhookSecret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, ""},
		"key alone":        {provider.Settings{"apiKey": "re_1"}, ""},
		"secret unmarked":  {provider.Settings{"webhookSecret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "webhookSecret"},
		"secret empty":     {provider.Settings{"webhookSecret": "whsec_"}, "webhookSecret"},
		"secret no base64": {provider.Settings{"webhookSecret": "whsec_%%%"}, "webhookSecret"},
		"sender wrong":     {provider.Settings{"from": "nobody"}, "from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(slices.Sorted(maps.Keys(check(tt.s))), " "); got != tt.faults {
				t.Errorf("faults %q, want %q", got, tt.faults)
			}
		})
	}
}

// TestRepeatsAreEqual: key and body are the same on every attempt of a generation, and the key another in the next.
func TestRepeatsAreEqual(t *testing.T) {
	t.Parallel()
	s, err := open(provider.Settings{"apiKey": "re_1", "from": "Shop <a@b.example>"}, provider.Env{DialHTTPS: providertest.DialTo("127.0.0.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	message := func(attempt, generation int) *provider.Message {
		m := providertest.Email(t, comm.Content{To: "ama@example.com", Subject: "Hi", Body: "<p>Hi</p>",
			Headers: map[string]string{"X-B": "2", "X-A": "1", "List-Unsubscribe": "<https://x.example>"}}, comm.Attachment{Filename: "a.txt", ContentType: "text/plain", Content: []byte("a")})
		m.Attempt, m.Generation = attempt, generation
		return m
	}
	first, _ := s.compose(message(1, 1))
	for attempt := 2; attempt < 50; attempt++ {
		m := message(attempt, 1)
		if body, _ := s.compose(m); string(body) != string(first) || idempotencyKey(m) != idempotencyKey(message(1, 1)) {
			t.Fatalf("attempt %d differs: %s", attempt, body)
		}
	}
	if idempotencyKey(message(3, 2)) == idempotencyKey(message(1, 1)) || idempotencyKey(message(1, 0)) != idempotencyKey(message(1, 1)) {
		t.Error("the key of another generation")
	}
	if key := idempotencyKey(message(1, 1)); len(key) > 256 {
		t.Errorf("a key of %d bytes", len(key))
	}
}
