package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// An address on the list gets nothing, also of what was queued before; off the list it gets mail again.
func TestAnOptOutStopsMessagesUntilItIsTakenOff(t *testing.T) {
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"SQLite":     nil,
		"PostgreSQL": {"COMMS_DATABASE_URL=" + pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			optOut(t, serve(t, t.TempDir(), append(env, "COMMS_PROVISIONING_KEY="+provisioningKey)...))
		})
	}
}

func optOut(t *testing.T, p *process) {
	ctx := context.Background()
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": "Test", "slug": "shop", "scopes": []string{"SEND", "READ", "SUPPRESSIONS"}})
	a := tenant{id: "shop", key: fmt.Sprint(made["apiKey"])}
	c, err := client.New(client.Options{BaseURL: p.url, App: a.id, Key: a.key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, added, err := c.Suppress(ctx, client.Email, "Ama@Example.com", "unsubscribed", ""); err != nil || !added {
		t.Fatal(added, err)
	}
	if m := p.ended(a, p.mail(a, "ama@example.com")); m["status"] != "SUPPRESSED" || m["attempts"] != 0.0 {
		t.Errorf("on the list: %v", m)
	}
	if m := p.ended(a, p.mail(a, "kofi@example.com")); m["status"] != "SENT" {
		t.Errorf("another address: %v", m)
	}
	if err := c.Unsuppress(ctx, client.Email, "ama@example.com"); err != nil {
		t.Fatal(err)
	}
	if m := p.ended(a, p.mail(a, "ama@example.com")); m["status"] != "SENT" {
		t.Errorf("off the list: %v", m)
	}
}
