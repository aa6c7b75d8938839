package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// TestTemplates goes the way of a developer on both stores: register, send, look at what
// the sandbox took, change, and find old messages as they were.
func TestTemplates(t *testing.T) {
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	const provisioning = "the-key-of-setup-jobs-0123456789"
	for name, env := range map[string][]string{
		"SQLite":     nil,
		"PostgreSQL": {"COMMS_DATABASE_URL=" + pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, t.TempDir(), append([]string{"COMMS_PROVISIONING_KEY=" + provisioning}, env...)...)
			setup, err := client.New(client.Options{BaseURL: p.url, ProvisioningKey: provisioning})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(setup.Close)
			made, err := setup.Provision(t.Context(), client.NewApp{Name: "Flow", Slug: "flow", Scopes: []string{"SEND", "READ", "TEMPLATES"}})
			if err != nil {
				t.Fatal(err)
			}
			c, err := client.New(client.Options{BaseURL: p.url, App: "flow", Key: made.APIKey})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			templates(t, c)
		})
	}
}

func templates(t *testing.T, c *client.Client) {
	ctx := t.Context()
	sms, err := c.CreateTemplate(ctx, client.NewTemplate{Key: "request-approved", Channel: client.SMS, Body: "Hi {{firstName}}, request {{reference}} was approved."})
	if err != nil {
		t.Fatal(err)
	}
	mail, err := c.CreateTemplate(ctx, client.NewTemplate{Key: "welcome", Channel: client.Email, Subject: "Welcome, {{firstName}}", Body: `<p>Hi {{firstName}}, <a href="{{url}}">go on</a>.</p>`, Text: "Hi {{firstName}}: {{url}}"})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"firstName": "Ama <b>", "reference": 42, "url": "https://example.com/?a=1&b=2"}
	old, taken := sent(ctx, t, c, client.Message{Channel: client.SMS, To: "233241234567", TemplateKey: sms.Key, Variables: values})
	if taken.Body != "Hi Ama <b>, request 42 was approved." || taken.Segments != 1 || old.TemplateVersion != 1 || old.TemplateKey != sms.Key {
		t.Errorf("%+v\n%+v", taken, old)
	}
	_, taken = sent(ctx, t, c, client.Message{Channel: client.Email, To: "ama@example.com", TemplateKey: mail.Key, Variables: values})
	if taken.Subject != "Welcome, Ama <b>" || taken.Body != `<p>Hi Ama &lt;b&gt;, <a href="https://example.com/?a=1&amp;b=2">go on</a>.</p>` || taken.Text != "Hi Ama <b>: https://example.com/?a=1&b=2" {
		t.Errorf("%+v", taken)
	}
	if got, err := c.UpdateTemplate(ctx, sms.ID, client.TemplateChange{Body: new("{{reference}}: approved")}); err != nil || got.Version != 2 {
		t.Errorf("%+v %v", got, err)
	}
	if m, taken := sent(ctx, t, c, client.Message{Channel: client.SMS, To: "233241234567", TemplateKey: sms.Key, Variables: values}); taken.Body != "42: approved" || m.TemplateVersion != 2 {
		t.Errorf("%+v", taken)
	}
	if m, err := c.Get(ctx, old.ID); err != nil || m.TemplateVersion != 1 || m.Body != "Hi Ama <b>, request 42 was approved." {
		t.Errorf("the old message changed: %+v %v", m, err)
	}
	if _, err := c.Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", TemplateKey: sms.Key}); client.Code(err) != "missing_variables" {
		t.Errorf("%v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n := 0
		for m, err := range c.List(ctx, client.ListOptions{TemplateKey: sms.Key, To: "233241234567"}) {
			if err != nil || m.TemplateKey != sms.Key {
				t.Fatalf("%+v %v", m, err)
			}
			n++
		}
		if n == 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages of the template are found", n)
		}
	}
}

// sent sends a message, waits for SENT and answers it with what the sandbox took.
func sent(ctx context.Context, t *testing.T, c *client.Client, m client.Message) (*client.Stored, *client.Captured) {
	t.Helper()
	accepted, err := c.Send(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		got, err := c.Get(ctx, accepted.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status == "SENT" {
			taken, err := c.Capture(ctx, accepted.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got, taken
		}
		if time.Now().After(end) {
			t.Fatalf("not SENT: %+v", got)
		}
	}
}
