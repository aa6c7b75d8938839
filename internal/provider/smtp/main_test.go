package smtp

import (
	"errors"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// greet is a message whose parts are known.
func greet(t testing.TB, to ...string) *provider.Message {
	t.Helper()
	c := comm.Content{To: "ama@example.com", Subject: "Hi", Body: "<p>Hello body-mark</p>"}
	if len(to) > 0 {
		c.To, c.CC = to[0], to[1:]
	}
	return providertest.Email(t, c)
}

// sender opens a sender for mail.test over dial; edit changes settings.
func newSender(t testing.TB, dial providertest.Dialer, edit ...string) *Sender {
	t.Helper()
	settings := provider.Settings{"host": "mail.test", "from": "Shop <no-reply@shop.test>"}
	for _, e := range edit {
		k, v, _ := strings.Cut(e, "=")
		settings[k] = v
	}
	s, err := open(settings, provider.Env{Dial: dial, Hostname: "client.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// wantError checks class and code.
func wantError(t testing.TB, err error, class provider.Class, code string) *provider.Error {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != class || e.Code != code {
		t.Fatalf("got %v, want %s (%s)", err, class, code)
	}
	return e
}
