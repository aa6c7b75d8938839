package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
)

// TestAdminThroughTheClient drives every call of the administrator's Go client against the real handler and store.
func TestAdminThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	made, err := admin.CreateApp(ctx, client.AdminApp{Name: "FlowBase", Slug: "flowbase", RatePerMinute: 99, AllowedSenders: &[]string{"@example.com"}})
	if err != nil || made.APIKey == "" || made.App.RatePerMinute != 99 || !made.App.SandboxMode {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := admin.CreateApp(ctx, client.AdminApp{Name: "Second", Slug: "second"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for app, err := range admin.Apps(ctx, client.AppFilter{PageSize: 1, Active: new(true)}) {
		if err != nil || app.Slug == "" {
			t.Fatal(app, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d apps", n)
	}
	if app, err := admin.UpdateApp(ctx, "flowbase", client.AdminApp{Name: "Flow", OnUnknownOutcome: "FAIL", SandboxMode: new(false)}); err != nil || app.Name != "Flow" || len(app.Warnings) != 2 {
		t.Errorf("%+v %v", app, err)
	}
	if app, err := admin.App(ctx, made.App.ID); err != nil || app.OnUnknownOutcome != "FAIL" {
		t.Errorf("%+v %v", app, err)
	}
	user, err := admin.CreateUser(ctx, client.NewUser{Name: "ama", Role: "VIEWER", Password: startPassword})
	if err != nil || user.StartPasswordUntil == nil {
		t.Fatalf("%+v %v", user, err)
	}
	if user, err = admin.UpdateUser(ctx, user.ID, client.UserChange{Role: "ADMIN", IsActive: new(false), SecondFactor: new(false)}); err != nil || user.Role != "ADMIN" || user.IsActive {
		t.Errorf("%+v %v", user, err)
	}
	for u, err := range admin.Users(ctx, 1) {
		if again, failed := admin.User(ctx, u.ID); err != nil || failed != nil || again.Name != "ama" {
			t.Errorf("%+v %v %v", again, err, failed)
		}
	}
	if err := admin.DeleteUser(ctx, user.ID); err != nil {
		t.Error(err)
	}
	if alerts, err := admin.Alerts(ctx); err != nil || alerts == nil || len(alerts) != 0 {
		t.Errorf("%+v %v", alerts, err)
	}
	until := time.Now().Add(time.Hour)
	key, err := admin.CreateKey(ctx, "flowbase", client.NewKey{Name: "n", Scopes: []string{"READ"}, ExpiresAt: &until})
	if err != nil || key.APIKey == "" || key.ExpiresAt == nil {
		t.Fatalf("%+v %v", key, err)
	}
	next, err := admin.RotateKey(ctx, "flowbase", key.ID, time.Minute)
	if err != nil || next.APIKey == key.APIKey || next.Name != "n" {
		t.Fatalf("%+v %v", next, err)
	}
	if err := admin.RevokeKey(ctx, "flowbase", next.ID); err != nil {
		t.Error(err)
	}
	ended := 0
	for k, err := range admin.Keys(ctx, "flowbase") {
		if err != nil || k.APIKey != "" {
			t.Fatal(k, err)
		}
		if k.RevokedAt != nil {
			ended++
		}
	}
	if ended != 2 {
		t.Errorf("%d keys have an end", ended)
	}
	for app := range map[string]bool{"flowbase": true, made.App.ID: true} {
		if m, err := admin.For(app).Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "x"}); err != nil || m.Status != "QUEUED" {
			t.Errorf("%+v %v", m, err)
		}
	}
	config := client.ProviderChange{ProviderType: "SMTP", Config: map[string]any{"host": "mail.example.com", "from": "a@example.com"}}
	p, err := admin.CreateServerProvider(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = admin.UpdateServerProvider(ctx, p.ID, client.ProviderChange{Name: new("Main")}); err != nil || p.Name != "Main" {
		t.Errorf("%+v %v", p, err)
	}
	if p, err = admin.ServerProvider(ctx, p.ID); err != nil || p.Name != "Main" {
		t.Errorf("%+v %v", p, err)
	}
	if list, err := admin.ServerProviders(ctx); err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if own, err := admin.For("flowbase").Providers(ctx); err != nil || len(own) != 0 {
		t.Errorf("%+v %v", own, err)
	}
	if err := admin.DeleteServerProvider(ctx, p.ID); err != nil {
		t.Error(err)
	}
	if err := admin.DeleteApp(ctx, "flowbase", "second"); client.Code(err) != "invalid_query" {
		t.Errorf("%v", err)
	}
	if err := admin.DeleteApp(ctx, "flowbase", "flowbase"); err != nil {
		t.Error(err)
	}
	if _, err := admin.App(ctx, "flowbase"); client.Code(err) != "not_found" {
		t.Errorf("%v", err)
	}
	adminAuditThroughTheClient(t, admin, made.App.ID)
	wrong, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.App(ctx, "second"); client.Code(err) != "unauthenticated" {
		t.Errorf("%v", err)
	}
}

func adminAuditThroughTheClient(t *testing.T, admin *client.Admin, app string) {
	t.Helper()
	ctx := t.Context()
	var actions []string
	for e, err := range admin.Audit(ctx, client.AuditFilter{App: app, PageSize: 2, Actor: "admin", After: time.Now().Add(-time.Hour), Before: time.Now().Add(time.Hour)}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.App != app || e.RequestID == "" || e.Address != "127.0.0.1" || len(e.Hash) != 64 {
			t.Errorf("%+v", e)
		}
		actions = append(actions, e.Action)
	}
	if got := strings.Join(actions, " "); got != "app_deleted key_revoked key_replaced key_created app_updated key_created app_created" {
		t.Errorf("%s", got)
	}
	if v, err := admin.VerifyAudit(ctx, nil); err != nil || !v.OK || v.Checked < 12 || v.BrokenAt != 0 || v.Last != v.Checked || len(v.LastHash) != 64 {
		t.Errorf("%+v %v", v, err)
	}
}
