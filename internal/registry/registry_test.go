package registry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

func open(t *testing.T) (*Service, *sqlite.Store, *announced) {
	t.Helper()
	ctx := context.Background()
	st, err := sqlite.Open(ctx, sqlite.Options{Path: sqlitetest.Path(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := st.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	// An adapter with every kind of field and a rule over two of them.
	adapter := provider.Adapter{Type: "TEST", Title: "Test", Channel: comm.Email, Fields: []provider.Field{
		{Name: "host", Kind: provider.Host, Required: true}, {Name: "port", Kind: provider.Int, Min: 1, Max: 65535}, {Name: "secure", Kind: provider.Bool},
		{Name: "baseUrl", Kind: provider.URL}, {Name: "from", Kind: provider.Mailbox}, {Name: "apiKey", Kind: provider.Text, Secret: true, Max: 20}, {Name: "user", Kind: provider.Text},
	}, Check: func(s provider.Settings) map[string]string {
		if s["user"] != "" && s["apiKey"] == "" {
			return map[string]string{"apiKey": "goes with user"}
		}
		return nil
	}}
	changed := new(announced)
	s := New(Config{Apps: st, Keys: st, Providers: st, Templates: st, Adapters: []provider.Adapter{adapter}, Ring: ring, Mail: &guard.Dialer{Ports: guard.SMTPPorts()},
		Web: &guard.Dialer{Ports: guard.WebPorts()}, Changed: func(app comm.ID) { changed.tell(app) }, Log: slog.New(slog.DiscardHandler)})
	return s, st, changed
}

// announced is what Config.Changed was told.
type announced struct {
	mu   sync.Mutex
	apps []comm.ID
}

func (a *announced) tell(app comm.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.apps = append(a.apps, app)
}

func (a *announced) all() []comm.ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.apps)
}

// TestEveryChangeNamesItsApp: whoever remembers settings of the app must read them again.
func TestEveryChangeNamesItsApp(t *testing.T) {
	t.Parallel()
	s, _, changed := open(t)
	ctx := t.Context()
	made, err := s.Provision(ctx, Provision{Name: "One", Slug: "one"})
	if err != nil {
		t.Fatal(err)
	}
	app, rate, live, kind, name := made.App.ID, int64(5), false, "TEST", "another"
	want := []comm.ID{app}
	for _, owner := range []comm.ID{app, {}} {
		p, err := s.CreateProvider(ctx, owner, ProviderChange{Type: &kind, Config: map[string]any{"host": "mail.example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.UpdateProvider(ctx, owner, p.ID, ProviderChange{Name: &name}); err != nil {
			t.Fatal(err)
		}
		if err = s.DeleteProvider(ctx, owner, p.ID); err != nil {
			t.Fatal(err)
		}
		want = append(want, owner, owner, owner)
	}
	if _, err = s.UpdateApp(ctx, app, AppChange{Sandbox: &live}); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Provision(ctx, Provision{Name: "One", Slug: "one", Rate: &rate, UpdateExisting: true, RotateKey: true}); err != nil {
		t.Fatal(err)
	}
	want = append(want, app, app, app)
	if got := changed.all(); !slices.Equal(got, want) {
		t.Errorf("changes of %v, want %v", got, want)
	}
}

func TestEveryKindOfField(t *testing.T) {
	t.Parallel()
	s, _, changed := open(t)
	app := comm.NewID(comm.At(time.Now()))
	kind := "TEST"
	for name, c := range map[string]struct {
		config map[string]any
		wrong  string
	}{
		"all good":         {map[string]any{"host": "mail.example.com", "port": 25.0, "secure": true, "baseUrl": "https://api.example.com/v1", "from": "A <a@x.example>", "apiKey": "k", "user": "u"}, ""},
		"url to a file":    {map[string]any{"host": "mail.example.com", "baseUrl": "file:///etc/passwd"}, "config.baseUrl"},
		"gopher":           {map[string]any{"host": "mail.example.com", "baseUrl": "gopher://x.example"}, "config.baseUrl"},
		"private url":      {map[string]any{"host": "mail.example.com", "baseUrl": "https://10.0.0.1/"}, "config.baseUrl"},
		"ssh port":         {map[string]any{"host": "mail.example.com", "port": 22.0}, "config.port"},
		"long secret":      {map[string]any{"host": "mail.example.com", "apiKey": strings.Repeat("k", 21)}, "config.apiKey"},
		"line break":       {map[string]any{"host": "mail.example.com", "user": "a\r\nb"}, "config.user"},
		"rule over fields": {map[string]any{"host": "mail.example.com", "user": "u"}, "config.apiKey"},
		"list":             {map[string]any{"host": []any{"mail.example.com"}}, "config.host"},
		"missing":          {map[string]any{}, "config.host"},
	} {
		_, err := s.CreateProvider(context.Background(), app, ProviderChange{Type: &kind, Config: c.config})
		e, _ := errors.AsType[*comm.Error](err)
		if c.wrong == "" && err != nil || c.wrong != "" && (e == nil || e.Code != "invalid_config" || e.Fields[c.wrong] == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := s.ProviderList(context.Background(), app); err != nil || len(list) != 1 || !slices.Equal(changed.all(), []comm.ID{app}) {
		t.Errorf("%d stored, changes of %v, %v", len(list), changed.all(), err)
	}
}

func TestSecretsOfAnotherRowDoNotOpen(t *testing.T) {
	t.Parallel()
	s, st, _ := open(t)
	ctx := context.Background()
	app, kind := comm.NewID(comm.At(time.Now())), "TEST"
	p, err := s.CreateProvider(ctx, app, ProviderChange{Type: &kind, Config: map[string]any{"host": "mail.example.com", "apiKey": "planted"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := st.ProviderConfig(ctx, app, p.ID)
	if err != nil || bytes.Contains(c.Secrets, []byte("planted")) {
		t.Fatalf("%v", err)
	}
	moved := *c
	moved.App = comm.NewID(comm.At(time.Now()))
	if _, err := s.OpenSecrets(&moved); err == nil {
		t.Error("a secret moved to another app opened")
	}
	if got, err := s.OpenSecrets(c); err != nil || got["apiKey"] != "planted" {
		t.Errorf("%v %v", got, err)
	}
}

// TestSecretsThatCannotBeOpened: their owner can switch the configuration off, and mend it.
func TestSecretsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	s, st, _ := open(t)
	ctx := context.Background()
	app, kind, off := comm.NewID(comm.At(time.Now())), "TEST", false
	p, err := s.CreateProvider(ctx, app, ProviderChange{Type: &kind, Config: map[string]any{"host": "mail.example.com", "apiKey": "planted"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := st.ProviderConfig(ctx, app, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	c.Secrets = make([]byte, len(c.Secrets))
	if err := st.UpdateProviderConfig(ctx, c); err != nil {
		t.Fatal(err)
	}
	if got, err := s.UpdateProvider(ctx, app, p.ID, ProviderChange{Active: &off}); err != nil || got.Active {
		t.Errorf("switched off: %+v %v", got, err)
	}
	if kept, err := st.ProviderConfig(ctx, app, p.ID); err != nil || !bytes.Equal(kept.Secrets, c.Secrets) {
		t.Errorf("what could not be read was changed: %v", err)
	}
	_, err = s.UpdateProvider(ctx, app, p.ID, ProviderChange{Config: map[string]any{"host": "mail2.example.com"}})
	if e, _ := errors.AsType[*comm.Error](err); e == nil || e.Code != "invalid_config" || e.Fields["config.apiKey"] == "" {
		t.Errorf("without the secret: %v", err)
	}
	if _, err := s.UpdateProvider(ctx, app, p.ID, ProviderChange{Config: map[string]any{"apiKey": "again"}}); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	if c, err = st.ProviderConfig(ctx, app, p.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.OpenSecrets(c); err != nil || got["apiKey"] != "again" {
		t.Errorf("%v %v", got, err)
	}
}

func TestWebhookSecretIsSealedAndGeneratedOnce(t *testing.T) {
	t.Parallel()
	s, st, _ := open(t)
	ctx := context.Background()
	made, err := s.Provision(ctx, Provision{Name: "One", Slug: "one", WebhookURL: new("https://example.com/hook")})
	if err != nil || !strings.HasPrefix(made.WebhookSecret, "whsec_") {
		t.Fatalf("%+v %v", made, err)
	}
	app, err := st.AppBySlug(ctx, "one")
	if err != nil || len(app.WebhookSecret) == 0 || bytes.Contains(app.WebhookSecret, []byte(made.WebhookSecret)) || app.WebhookURL != "https://example.com/hook" {
		t.Fatalf("%+v %v", app, err)
	}
	again, err := s.UpdateApp(ctx, app.ID, AppChange{WebhookURL: new("https://example.com/other")})
	if err != nil || again.WebhookSecret != "" || again.App.WebhookURL != "https://example.com/other" {
		t.Errorf("%+v %v", again, err)
	}
	gone, err := s.UpdateApp(ctx, app.ID, AppChange{WebhookURL: new("")})
	if err != nil || gone.App.WebhookURL != "" {
		t.Errorf("%+v %v", gone, err)
	}
}

// Of two changes at once neither undoes the other: a PATCH of one setting once
// put an app back to live that another PATCH had just put into the sandbox.
func TestConcurrentChangesKeepBoth(t *testing.T) {
	t.Parallel()
	s, _, _ := open(t)
	ctx := context.Background()
	made, err := s.Provision(ctx, Provision{Name: "A", Slug: "both"})
	if err != nil {
		t.Fatal(err)
	}
	on, off, fail, retry, rate := true, false, comm.FailUnknown, comm.RetryUnknown, int64(77)
	for range 20 {
		if _, err := s.UpdateApp(ctx, made.App.ID, AppChange{Sandbox: &off, OnUnknown: &retry}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, change := range []func() error{
			func() error { _, err := s.UpdateApp(ctx, made.App.ID, AppChange{Sandbox: &on}); return err },
			func() error { _, err := s.UpdateApp(ctx, made.App.ID, AppChange{OnUnknown: &fail}); return err },
			func() error {
				_, err := s.Provision(ctx, Provision{Name: "A", Slug: "both", Rate: &rate, UpdateExisting: true})
				return err
			},
		} {
			wg.Go(func() {
				if err := change(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		app, err := s.App(ctx, made.App.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !app.Sandbox || app.OnUnknown != comm.FailUnknown || app.RatePerMinute != int(rate) {
			t.Fatalf("a change was undone: sandbox %v, %v, rate %d", app.Sandbox, app.OnUnknown, app.RatePerMinute)
		}
	}
}

// A stored secret once went along to a host that the same change had named.
func TestANewHostWantsItsSecretAgain(t *testing.T) {
	t.Parallel()
	s, _, _ := open(t)
	ctx := context.Background()
	app, kind := comm.NewID(comm.At(time.Now())), "TEST"
	made, err := s.CreateProvider(ctx, app, ProviderChange{Type: &kind, Config: map[string]any{"host": "mail.example.com", "apiKey": "k1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		config  map[string]any
		refused bool
	}{
		{"another host alone", map[string]any{"host": "elsewhere.example.com"}, true},
		{"another host, secret masked", map[string]any{"host": "elsewhere.example.com", "apiKey": Masked}, true},
		{"a base URL alone", map[string]any{"baseUrl": "https://elsewhere.example.com"}, true},
		{"the same host", map[string]any{"host": "mail.example.com", "user": "u"}, false},
		{"another host with its secret", map[string]any{"host": "elsewhere.example.com", "apiKey": "k2"}, false},
		{"secret removed, another host", map[string]any{"host": "third.example.com", "apiKey": nil, "user": nil}, false},
	} {
		_, err := s.UpdateProvider(ctx, app, made.ID, ProviderChange{Config: c.config})
		refusal, _ := errors.AsType[*comm.Error](err)
		if c.refused != (refusal != nil && refusal.Fields["config.apiKey"] != "") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
