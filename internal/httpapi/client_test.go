package httpapi

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// TestClientThroughTheWholeDoor drives every call of the Go client against the real handler and store.
func TestClientThroughTheWholeDoor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	setup, err := client.New(client.Options{BaseURL: server.URL, ProvisioningKey: provisioningKey})
	if err != nil {
		t.Fatal(err)
	}
	made, err := setup.Provision(ctx, client.NewApp{Name: "FlowBase", Slug: "flowbase", RatePerMinute: 1000, Scopes: []string{"SEND", "READ", "PROVIDERS"}})
	if err != nil || made.APIKey == "" || made.AlreadyRegistered || !made.App.SandboxMode {
		t.Fatalf("%+v %v", made, err)
	}
	c, err := client.New(client.Options{BaseURL: server.URL + "/", App: "flowbase", Key: made.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	when := time.Now().Add(time.Hour)
	sent, err := c.Send(ctx, client.Message{
		Channel: client.Email, To: "ama@example.com", Subject: "s", Body: "<p>x</p>", ScheduledAt: &when, Metadata: map[string]any{"n": 1}, Tags: []string{"a"}, Lane: "CRITICAL", TTLSeconds: 60,
		CC: []string{"b@example.com"}, ReplyTo: "c@example.com", Text: "x", Headers: map[string]string{"X-A": "1"}, Attachments: []client.Attachment{{Filename: "a.txt", ContentType: "text/plain", Content: []byte("hi")}},
	})
	if err != nil || sent.Status != "QUEUED" || sent.IdempotencyKey == "" {
		t.Fatalf("%+v %v", sent, err)
	}
	again, err := c.Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "x", IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	replay, err := c.Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "x", IdempotencyKey: "k"})
	if err != nil || !replay.Deduplicated || replay.ID != again.ID || replay.Segments != 1 {
		t.Errorf("%+v %v", replay, err)
	}
	got, err := c.Get(ctx, sent.ID)
	if err != nil || got.ScheduledAt == nil || got.WaitingFor != "schedule" || got.ExpiresAt == nil || len(got.Events) != 1 || got.Final() || string(got.Metadata) != `{"n":1}` {
		t.Errorf("%+v %v", got, err)
	}
	ids := map[string]bool{}
	for m, err := range c.List(ctx, client.ListOptions{PageSize: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		ids[m.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("%d messages", len(ids))
	}
	if m, err := c.Cancel(ctx, sent.ID); err != nil || m.Status != "CANCELLED" || !m.Final() {
		t.Errorf("%+v %v", m, err)
	}
	if m, err := c.Retry(ctx, sent.ID); err != nil || m.Status != "QUEUED" || m.MayDuplicate {
		t.Errorf("%+v %v", m, err)
	}
	_, err = c.Retry(ctx, sent.ID)
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != 409 || refused.Code != "invalid_state" || refused.Details["status"] != "QUEUED" || refused.RequestID == "" {
		t.Errorf("%v", err)
	}
	_, err = c.Send(ctx, client.Message{Channel: client.SMS, To: "nonsense", Body: "x"})
	if !errors.As(err, &refused) || refused.Code != "invalid_phone" || refused.Fields["to"] == "" {
		t.Errorf("%v", err)
	}
	if _, err := c.Get(ctx, "../app"); client.Code(err) != "not_found" {
		t.Errorf("%v", err)
	}
	clientSettings(ctx, t, c)
}

func clientSettings(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	app, err := c.App(ctx)
	if err != nil || app.Slug != "flowbase" || app.RatePerMinute != 1000 || app.OnUnknownOutcome != comm.RetryUnknown.String() {
		t.Errorf("%+v %v", app, err)
	}
	p, err := c.CreateProvider(ctx, client.ProviderChange{ProviderType: "SMTP", Priority: new(1), Config: map[string]any{"host": "mail.example.com", "port": 587, "username": "u", "password": "p", "from": "a@example.com"}})
	if err != nil || p.Config["password"] != "********" || p.Priority != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	if p, err = c.UpdateProvider(ctx, p.ID, client.ProviderChange{Name: new("Main"), RatePerSecond: new(5)}); err != nil || p.Name != "Main" || p.RatePerSecond != 5 {
		t.Errorf("%+v %v", p, err)
	}
	if one, err := c.Provider(ctx, p.ID); err != nil || one.Name != "Main" {
		t.Errorf("%+v %v", one, err)
	}
	if all, err := c.Providers(ctx); err != nil || len(all) != 1 {
		t.Errorf("%+v %v", all, err)
	}
	if app, err := c.UpdateApp(ctx, client.AppChange{SandboxMode: new(false)}); err != nil || app.SandboxMode || len(app.Warnings) != 1 {
		t.Errorf("%+v %v", app, err)
	}
	if err := c.DeleteProvider(ctx, p.ID); err != nil {
		t.Error(err)
	}
	for range c.Captures(ctx, client.ListOptions{}) {
		t.Error("nothing was captured")
	}
	if _, err := c.Capture(ctx, p.ID); client.Code(err) != "not_found" {
		t.Errorf("%v", err)
	}
}
