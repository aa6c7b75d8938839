package httpapi

import (
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestWebhooksThroughTheClient drives every call about webhooks and the feed against the real handler and store.
func TestWebhooksThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.owns()
	one := w.tenant("one", comm.AllScopes)
	c := w.client(one)
	made, err := c.CreateEndpoint(ctx, client.EndpointChange{Name: "crm", URL: "https://hooks.example.com/in", Statuses: &[]string{"FAILED"}, Tags: &[]string{"otp"}})
	if err != nil || !strings.HasPrefix(made.Secret, "whsec_") || !made.IsActive || made.Statuses[0] != "FAILED" || made.CreatedAt.IsZero() {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := c.CreateEndpoint(ctx, client.EndpointChange{Name: "bad", URL: "https://10.0.0.1/"}); client.Code(err) != "invalid_webhook_url" {
		t.Error(err)
	}
	if got, err := c.UpdateEndpoint(ctx, made.ID, client.EndpointChange{Statuses: &[]string{}, IsActive: new(true)}); err != nil || len(got.Statuses) != 0 || len(got.Tags) != 1 || got.Secret != "" {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.Endpoint(ctx, made.ID); err != nil || got.Name != "crm" || got.PreviousSecretEndsAt != nil || got.DisabledAt != nil {
		t.Errorf("%+v %v", got, err)
	}
	if list, err := c.Endpoints(ctx); err != nil || len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("%+v %v", list, err)
	}
	if got, err := c.RotateSecret(ctx, made.ID, "", time.Hour); err != nil || got.Secret == made.Secret || got.PreviousSecretEndsAt == nil {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.RotateSecret(ctx, made.ID, "a secret of our own", 0); err != nil || got.Secret != "" || got.PreviousSecretEndsAt != nil {
		t.Errorf("%+v %v", got, err)
	}
	deliveries(t, w, one, c, made.ID)
	if err := c.DeleteEndpoint(ctx, made.ID); err != nil {
		t.Error(err)
	}
	if err := c.DeleteEndpoint(ctx, made.ID); client.Code(err) != "not_found" {
		t.Error(err)
	}
}

// deliveries posts tests to an endpoint, lets them fail and asks for them again.
func deliveries(t *testing.T, w *world, one tenant, c *client.Client, endpoint string) {
	t.Helper()
	ctx, began := t.Context(), time.Now().Add(-time.Minute)
	for range 3 {
		d, err := c.TestEndpoint(ctx, endpoint)
		if err != nil || d.State != "waiting" || d.NextAttemptAt == nil || d.Status != "" {
			t.Fatalf("%+v %v", d, err)
		}
		now := comm.At(time.Now())
		if err := w.store.Record(ctx, []store.Attempted{{App: one.app.ID, Endpoint: parsedID(t, endpoint), ID: parsedID(t, d.ID), Attempt: 1, Try: 1, At: now, State: store.DeliveryExhausted,
			Line: `{"attempt":1,"at":"` + now.String() + `","tookMs":7,"status":500,"answer":"inner secret"}` + "\n"}}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for d, err := range c.Deliveries(ctx, endpoint, client.DeliveryFilter{State: "failed", CreatedAfter: began, PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	if len(ids) != 3 {
		t.Fatalf("%v", ids)
	}
	d, err := c.Delivery(ctx, endpoint, ids[0])
	if err != nil || d.EndedAt == nil || len(d.AttemptLog) != 1 || d.AttemptLog[0].Status != 500 || d.AttemptLog[0].TookMs != 7 || d.AttemptLog[0].Answer != "" || !strings.Contains(string(d.Body), `"webhook.test"`) {
		t.Errorf("%+v %v", d, err)
	}
	if got, err := c.ReplayDelivery(ctx, endpoint, ids[0]); err != nil || got.State != "waiting" || got.EventID != d.EventID {
		t.Errorf("%+v %v", got, err)
	}
	if n, err := c.Replay(ctx, endpoint, began, time.Now().Add(time.Minute), ""); err != nil || n != 2 {
		t.Errorf("%d replayed, %v", n, err)
	}
	if _, err := c.Replay(ctx, endpoint, began, time.Now(), "waiting"); client.Code(err) != "invalid_field" {
		t.Error(err)
	}
	if _, err := c.Delivery(ctx, endpoint, "c0"); client.Code(err) != "not_found" {
		t.Error(err)
	}
}

// TestTheFeedThroughTheClient: page by page to the end, and on from there.
func TestTheFeedThroughTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	one := w.tenant("one", comm.AllScopes)
	c := w.client(one)
	const n = 130 // more than a page
	for i := range n {
		if _, err := c.Send(t.Context(), client.Message{Channel: client.SMS, To: "233241234567", Body: string('a' + rune(i%26))}); err != nil {
			t.Fatal(err)
		}
	}
	w.stamped(n)
	walk := func(after string) (events, pages int, cursor string) {
		t.Helper()
		for p, err := range c.Feed(t.Context(), after) {
			if err != nil {
				t.Fatal(err)
			}
			events, pages, cursor = events+len(p.Data), pages+1, p.NextCursor
		}
		return events, pages, cursor
	}
	events, pages, cursor := walk("")
	if events != n || pages != 3 || cursor == "" {
		t.Errorf("%d events on %d pages, then %q", events, pages, cursor)
	}
	if again, pages, end := walk(cursor); again != 0 || pages != 1 || end != cursor {
		t.Errorf("%d more events on %d pages, then %q", again, pages, end)
	}
	for _, err := range c.Feed(t.Context(), "x") {
		if client.Code(err) != "invalid_cursor" {
			t.Error(err)
		}
	}
}
