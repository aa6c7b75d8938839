package webhooks

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

func TestAppsWithoutAProviderForAChannelOnSQLite(t *testing.T) {
	t.Parallel()
	channelsWithoutProviders(t)
}

func TestAppsWithoutAProviderForAChannelOnPostgreSQL(t *testing.T) {
	t.Parallel()
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	channelsWithoutProviders(t, "COMMS_DATABASE_URL="+pgtest.Database(t), "COMMS_ENCRYPTION_KEYS="+ring.Reveal())
}

// channelsWithoutProviders: a live app that sends SMS and has a provider for mail alone is told of, until there is one for SMS. One
// that sends mail alone is not, nor one in the sandbox.
func channelsWithoutProviders(t *testing.T, env ...string) {
	page := newPager(t)
	s := newServer(t, alarmed(page, "/in", env...)...)
	apps := map[string]*app{}
	for _, name := range []string{"mailer", "texter", "tester"} {
		a := s.app(name, "")
		s.relay(a, "127.0.0.1:2525", "mail of "+name, nil)
		if name != "tester" {
			s.must("PATCH", "/api/admin/apps/"+name, map[string]any{"sandboxMode": false})
		}
		apps[name] = a
	}
	send := func(name, channel, to string) {
		t.Helper()
		body := map[string]any{"channel": channel, "to": to, "body": "Hello"}
		if channel == "EMAIL" {
			body["subject"] = "Hello"
		}
		if status, out := s.call("POST", "/api/v1/messages", apps[name].head, body); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, out)
		}
	}
	send("mailer", "EMAIL", "ama@example.com")
	send("tester", "SMS", "233241234567")
	for n := range 3 {
		send("texter", "SMS", fmt.Sprintf("23324123456%d", n))
	}
	n := page.told(t, "app_without_provider", "", "raised")[0]
	if !strings.Contains(n.Text, "texter") || !strings.Contains(n.Text, "SMS") || strings.Contains(n.Text, "EMAIL") {
		t.Errorf("%q", n.Text)
	}
	nalo := map[string]any{"providerType": "NALO", "config": map[string]any{"authKey": "hidden-key", "senderId": "SHOP"}}
	if status, out := s.call("POST", "/api/v1/provider-configs", apps["texter"].head, nalo); status != http.StatusCreated {
		t.Fatalf("%d %s", status, out)
	}
	page.told(t, "app_without_provider", "", "raised", "cleared")
	if len(page.wrong) > 0 {
		t.Errorf("%q", page.wrong)
	}
}
