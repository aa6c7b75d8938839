package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpapi"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/erased"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

const adminKey = "a-long-admin-key-for-tests-0001"

// door is the API of one node over its store; nothing is sent.
type door struct {
	t       *testing.T
	handler http.Handler
	reports *receipt.Service
}

func newDoor(t *testing.T, s store.Store, ring *seal.Ring, now func() time.Time) *door {
	t.Helper()
	book, err := erased.Open(t.Context(), s, ring)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keys := auth.New(auth.Config{Keys: s, Apps: s, AdminKey: adminKey})
	in := intake.New(intake.Config{Store: s, Look: s, Configs: s, Templates: s, Listed: book, Node: "node", CannotSend: provider.CannotSend(all.Adapters()), Now: now})
	reg := registry.New(registry.Config{Apps: s, Keys: s, Providers: s, Endpoints: s, Templates: s, Messages: s, Audit: s, Adapters: all.Adapters(), Ring: ring,
		PublicURL: "http://localhost:3008", Changed: func(comm.ID) { keys.Invalidate(); in.Invalidate() }, Log: log})
	reports := receipt.New(receipt.Config{Store: s, Lists: book, Adapters: all.Adapters(), OpenSecrets: reg.OpenSecrets, Recipient: in.Recipient, Env: provider.Env{PublicURL: "http://localhost:3008"}, Node: "node", Log: log})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 2)
	go func() { ran <- in.Run(ctx) }()
	go func() { ran <- reports.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, <-ran); err != nil {
			t.Error(err)
		}
	})
	return &door{t: t, reports: reports, handler: httpapi.New(httpapi.Config{Auth: keys, Intake: in, Registry: reg, Receipts: reports, Messages: book.Messages(s), PublicURL: "http://localhost:3008", Now: now, Log: log}).Handler()}
}

// file is a store on SQLite whose clock is the test's.
func file(t *testing.T, now func() time.Time) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// key is what opens a door: an app's slug and key; the zero one is the administrator's.
type key struct{ app, secret string }

// reply is a decoded answer.
type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (r reply) str(name string) string { s, _ := r.body[name].(string); return s }

func (r reply) details() map[string]any { m, _ := r.body["details"].(map[string]any); return m }

func (r reply) code() string { s, _ := r.details()["code"].(string); return s }

// items are the answers of a batch.
func (r reply) items() (out []reply) {
	list, _ := r.body["data"].([]any)
	for _, x := range list {
		item, _ := x.(map[string]any)
		out = append(out, reply{body: item})
	}
	return out
}

func (d *door) do(as key, method, path, body string) reply {
	d.t.Helper()
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	if as == (key{}) {
		q.Header.Set("X-Admin-Key", adminKey)
	} else {
		q.Header.Set("X-App-ID", as.app)
		q.Header.Set("X-API-Key", as.secret)
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, q)
	out := reply{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if err := json.Unmarshal(rec.Body.Bytes(), &out.body); err != nil {
		d.t.Errorf("%s %s: %v in %s", method, path, err, out.raw)
	}
	return out
}

// made makes an app by the members of its body beside its name.
func (d *door) made(slug, members string) (key, reply) {
	d.t.Helper()
	got := d.do(key{}, "POST", "/api/admin/apps", `{"name":"App","slug":"`+slug+`",`+members+`}`)
	if got.status != http.StatusCreated {
		d.t.Fatalf("%d %s", got.status, got.raw)
	}
	return key{slug, got.str("apiKey")}, got
}
