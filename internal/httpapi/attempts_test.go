package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestAttemptsNameTheirConfiguration: two relays of one type are told apart. Of the server's own an app sees the level only, as in a preview.
func TestAttemptsNameTheirConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	one := w.tenant("one", comm.AllScopes, func(a *comm.App) { a.Sandbox = false })
	other := w.tenant("other", comm.AllScopes)
	if _, err := w.store.Beat(ctx, store.NodeInfo{Node: "worker", Role: "all", Lease: time.Hour.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	leases, err := w.store.Take(ctx, "worker", comm.ShardsOf(one.app.ID, 1))
	if err != nil {
		t.Fatal(err)
	}
	make := func(owner comm.ID, name string) comm.ID {
		c := &comm.ProviderConfig{App: owner, ID: comm.NewID(comm.At(time.Now())), Type: "SMTP", Channel: comm.Email, Name: name, Settings: map[string]string{"host": "mail.example.com"}}
		if err := w.store.CreateProviderConfig(ctx, c); err != nil {
			t.Fatal(err)
		}
		return c.ID
	}
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	gone := comm.NewID(comm.At(time.Now()))
	ours, theirs := make(one.app.ID, "Our relay"), make(comm.ID{}, "The house's relay")
	foreign := make(other.app.ID, "Somebody else's relay") // no attempt of ours can have it; nothing of it would be told
	for name, c := range map[string]struct {
		config     comm.ID
		app, admin client.Attempt // what they see of the configuration
	}{
		"the app's own": {ours, client.Attempt{ConfigID: ours.String(), ConfigName: "Our relay", ConfigLevel: "APP"}, client.Attempt{ConfigID: ours.String(), ConfigName: "Our relay", ConfigLevel: "APP"}},
		"the server's":  {theirs, client.Attempt{ConfigLevel: "SERVER"}, client.Attempt{ConfigID: theirs.String(), ConfigName: "The house's relay", ConfigLevel: "SERVER"}},
		"a deleted one": {gone, client.Attempt{}, client.Attempt{ConfigID: gone.String()}},
		"a foreign one": {foreign, client.Attempt{}, client.Attempt{ConfigID: foreign.String()}},
		"none":          {comm.ID{}, client.Attempt{}, client.Attempt{}},
	} {
		sent, err := clientOf(t, w, one).Send(ctx, client.Message{Channel: client.Email, To: "ama@example.com", Subject: name, Body: "Hello"})
		if err != nil {
			t.Fatal(err)
		}
		w.sendBy(one, sent.ID, "worker", "smtp", c.config, leases)
		seen := func(who string, m *client.Stored, want client.Attempt) {
			if len(m.AttemptLog) != 1 {
				t.Fatalf("%s, %s: %+v", name, who, m.AttemptLog)
			}
			if got := m.AttemptLog[0]; got.ConfigID != want.ConfigID || got.ConfigName != want.ConfigName || got.ConfigLevel != want.ConfigLevel {
				t.Errorf("%s, %s: %+v", name, who, got)
			}
		}
		m, err := clientOf(t, w, one).Get(ctx, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		seen("its app", m, c.app)
		all, err := admin.Message(ctx, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		seen("the administrator", &all.Stored, c.admin)
		if m, err = admin.For("one").Get(ctx, sent.ID); err != nil {
			t.Fatal(err)
		}
		seen("the administrator for the app", m, c.admin)
	}
	if said := w.log.String(); strings.Contains(said, "without the names") {
		t.Error(said)
	}
}
