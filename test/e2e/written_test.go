package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// TestNothingSecretIsWrittenDown uses most of what there is, with the log as talkative as it gets, and looks for
// credentials and keys in the database's files, its write-ahead log and a copy, and for those, bodies and addresses in what the server said.
func TestNothingSecretIsWrittenDown(t *testing.T) {
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	srv := pgtest.Private(t)
	url := srv.URL("postgres")
	for name, env := range map[string][]string{"SQLite": nil, "PostgreSQL": {"COMMS_DATABASE_URL=" + url}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &noted{t: t, dir: t.TempDir(), refuser: newMailServer(t, map[string]string{"refused@secret.example.com": "550 5.1.1 <refused@secret.example.com> no such user"}), logins: newLoginServer(t)}
			n.p = serve(t, n.dir, append(env, "COMMS_PROVISIONING_KEY="+provisioningKey, "COMMS_ADMIN_KEY="+n.admin(), "COMMS_ENCRYPTION_KEYS="+ring.Reveal(),
				"COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_LOG_LEVEL=debug", "COMMS_LOG_FORMAT=json", "COMMS_INTERNAL_ADDR=127.0.0.1:0")...)
			n.use()
			n.disturb()
			inside := n.inside()
			stored := scanned{}
			if name == "SQLite" { // as it is with the server running: the log is full
				stored.files(t, filepath.Join(n.dir, "data"), "admin-key", "encryption-keys")
			}
			if code := n.p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if name == "SQLite" {
				after := scanned{}
				after.files(t, n.backup(), "admin-key", "encryption-keys")
				for place, b := range after {
					stored["after the stop: "+place] = b
				}
			} else {
				stored.server(t, srv, url)
				for _, part := range []string{"data/base/", "data/pg_wal/"} { // where the scan finds what it may
					if !strings.Contains(strings.Join(stored.holds("ama@secret.example.com"), " "), part) {
						t.Errorf("nothing is found below %s", part)
					}
				}
				stored.tables(t, url)
			}
			_, key, _ := strings.Cut(ring.Reveal(), ":")
			secrets := append(n.secrets, n.admin(), provisioningKey, key, password("anna"))
			for _, secret := range secrets {
				if places := stored.holds(secret); len(places) > 0 {
					t.Errorf("%.8s… stands in %v", secret, places)
				}
			}
			for _, known := range []string{"hidden words", "ama@secret.example.com", "anna"} { // what a database is for: the scan finds it
				if len(stored.holds(known)) == 0 {
					t.Errorf("%q is not found", known)
				}
			}
			said := scanned{"standard output": []byte(n.p.output()), "standard error": []byte(n.p.errors())}
			for line := range strings.Lines(n.p.errors()) { // one object each, whatever came in
				var record struct{ Time, Level, Msg string }
				if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time == "" || record.Level == "" || record.Msg == "" {
					t.Errorf("%v: no line of the log: %.300q", err, line)
				}
			}
			maps.Copy(said, inside)
			for _, word := range append(secrets, "hidden words", "hidden subject", "hidden variable", "hidden template", "secret.example.com/hidden", "ama@secret", "refused@secret", "imported@secret", "233241239999", "hidden note", "hidden query", "hidden+query", "hidden%20query", "hidden agent", "hidden path", "hidden%20path", "hidden report", "hidden value", "forged line", "planted-hook-path-0123456789", "planted-hook-token-0123456789") {
				if places := said.holds(word); len(places) > 0 {
					t.Errorf("%.12s… was said on %v", word, places)
				}
			}
			if len(said.holds("a***@secret.example.com")) == 0 || len(said.holds(`"msg":"ready"`)) == 0 {
				t.Errorf("the log does not say what it may:\n%.2000s", n.p.errors())
			}
		})
	}
}

// noted is a server that is used with planted words.
type noted struct {
	t       *testing.T
	dir     string
	p       *process
	refuser *mailServer
	logins  *loginServer
	secrets []string
}

func (n *noted) admin() string { return "planted-admin-key-0123456789-abcdef" }

// ask makes a request that may be refused and answers its body.
func (n *noted) ask(a tenant, method, path, kind, body string) string {
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.p.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if a.id == "" {
		req.Header.Set("X-Admin-Key", a.key)
	} else {
		req.Header.Set("X-App-ID", a.id)
		req.Header.Set("X-API-Key", a.key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		n.t.Fatal(err)
	}
	return b.String()
}

// use sends, fails, imports, searches, exports, erases, administers and gets things wrong.
func (n *noted) use() {
	p, json := n.p, "application/json"
	root := http.Header{"X-Admin-Key": {n.admin()}}
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps", map[string]any{"name": "Shop", "slug": "shop",
		"scopes": []string{"SEND", "READ", "PROVIDERS", "TEMPLATES", "SUPPRESSIONS"}, "webhookUrl": "https://hooks.example.com/in", "webhookSecret": "planted-webhook-secret-0123456789"})
	a := tenant{"shop", fmt.Sprint(made["apiKey"])}
	n.secrets = append(n.secrets, a.key, "planted-webhook-secret-0123456789")
	more := p.call(tenant{}, root, http.MethodPost, "/api/admin/apps/shop/keys", map[string]any{"name": "Second"})
	n.secrets = append(n.secrets, fmt.Sprint(more["apiKey"]))
	refusing := fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "SMTP", "name": "Refuser", "config": map[string]any{"host": n.refuser.host, "port": n.refuser.port, "from": "shop@example.com"}})["id"])
	config := fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "SMTP", "name": "Logins", "priority": 1, "config": n.logins.config("anna")})["id"])
	n.ask(a, http.MethodPost, "/api/v1/provider-configs/"+config+"/verify", json, "")
	p.call(a, nil, http.MethodPost, "/api/v1/provider-configs/"+config+"/test", map[string]any{"to": "ama@secret.example.com"})
	p.ended(a, fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "EMAIL", "to": "ama@secret.example.com", "subject": "hidden subject", "body": "hidden words"})["id"])) // captured
	p.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
	p.call(a, nil, http.MethodPost, "/api/v1/templates", map[string]any{"key": "t", "channel": "EMAIL", "subject": "{{x}}", "body": "<p>hidden template {{x}}</p>"})
	letter := func(to string) map[string]any {
		return map[string]any{"channel": "EMAIL", "to": to, "cc": []string{"imported@secret.example.com"}, "subject": "hidden subject", "body": "<p>hidden words</p>", "metadata": map[string]any{"u": "secret.example.com/hidden"}}
	}
	id := fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", letter("ama@secret.example.com"))["id"])
	if m := p.ended(a, id); m["status"] != "SENT" {
		n.t.Errorf("%v", m)
	}
	p.call(a, nil, http.MethodPatch, "/api/v1/provider-configs/"+config, map[string]any{"isActive": false})
	if m := p.ended(a, fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", letter("refused@secret.example.com"))["id"])); m["status"] != "FAILED" {
		n.t.Errorf("%v", m)
	}
	p.ended(a, fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "EMAIL", "to": "ama@secret.example.com", "templateKey": "t", "variables": map[string]any{"x": "hidden variable"}})["id"]))
	p.call(a, nil, http.MethodPost, "/api/v1/messages/preview", letter("ama@secret.example.com"))
	p.call(a, nil, http.MethodPost, "/api/v1/messages/batch", map[string]any{"messages": []any{letter("ama@secret.example.com"), map[string]any{"channel": "SMS", "to": "233241239999"}}})
	n.ask(a, http.MethodPost, "/api/v1/suppressions/import", "text/csv", "channel,address,reason,note\r\nEMAIL,imported@secret.example.com,complaint,hidden note\r\nEMAIL,not an address of imported@secret,,\r\n")
	for _, path := range []string{"/api/v1/messages?to=ama@secret.example.com", "/api/v1/suppressions?address=imported@secret.example.com", "/api/v1/persons/export?address=ama@secret.example.com", "/api/v1/messages?to=nobody", "/api/v1/suppressions/export"} {
		n.ask(a, http.MethodGet, path, json, "")
	}
	for _, body := range []string{`{"channel":"EMAIL","to":"ama@secret.example.com","subject":"hidden subject","body":"hidden words","nope":1}`, `{"to":"hidden words`, `{"channel":"SMS","to":"+233241239999","body":"hidden words","scheduledAt":"hidden words"}`} {
		n.ask(a, http.MethodPost, "/api/v1/messages", json, body)
	}
	n.ask(tenant{"shop", "cs_live_planted_wrong_key_0123456789"}, http.MethodGet, "/api/v1/messages", json, "")
	n.secrets = append(n.secrets, "cs_live_planted_wrong_key_0123456789")
	n.ask(a, http.MethodDelete, "/api/v1/suppressions?channel=EMAIL&address=imported@secret.example.com", json, "")
	n.ask(a, http.MethodPost, "/api/v1/erasures", json, `{"address":"refused@secret.example.com"}`)
	n.ask(tenant{"", n.admin()}, http.MethodGet, "/api/admin/audit", json, "")
	n.ask(tenant{"", n.admin()}, http.MethodGet, "/api/admin/upkeep", json, "")
	n.ask(a, http.MethodDelete, "/api/v1/provider-configs/"+refusing, json, "")
}

// disturb asks in ways that nobody should, and lets a webhook and a provider fail whose addresses hold secrets.
func (n *noted) disturb() {
	p := n.p
	root := http.Header{"X-Admin-Key": {n.admin()}}
	made := p.call(tenant{}, root, http.MethodPost, "/api/admin/apps", map[string]any{"name": "Other", "slug": "other", "sandboxMode": false, "scopes": []string{"SEND", "READ", "PROVIDERS", "TEMPLATES"}})
	a := tenant{"other", fmt.Sprint(made["apiKey"])}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close() // nobody listens there now
	hook := p.call(a, nil, http.MethodPost, "/api/v1/webhooks", map[string]any{"name": "in", "url": closed.URL + "/planted-hook-path-0123456789?token=planted-hook-token-0123456789"})
	config := p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "RESEND", "name": "Closed", "config": map[string]any{"webhookSecret": "whsec_cGxhbnRlZC1yZXBvcnQtc2VjcmV0LTAxMjM0NTY3",
		"apiKey": "re_planted_provider_key_0123456789", "from": "shop@example.com", "baseUrl": closed.URL}})
	n.secrets = append(n.secrets, a.key, "re_planted_provider_key_0123456789", "cGxhbnRlZC1yZXBvcnQtc2VjcmV0LTAxMjM0NTY3")
	if hook["secret"] != nil {
		n.secrets = append(n.secrets, strings.TrimPrefix(fmt.Sprint(hook["secret"]), "whsec_"))
	}
	p.call(a, nil, http.MethodPost, "/api/v1/templates", map[string]any{"key": "t", "channel": "EMAIL", "subject": "{{x}}", "body": "<p>hidden template {{x}}</p>"})
	id := fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "EMAIL", "to": "ama@secret.example.com", "templateKey": "t", "variables": map[string]any{"x": "hidden value"}})["id"])
	n.ask(a, http.MethodPatch, "/api/v1/messages/"+id, "application/json", `{"action":"CANCEL"}`)
	callback := fmt.Sprint(config["callbackUrl"])
	if _, token, ok := strings.Cut(callback, "/api/callbacks/resend/"); ok {
		_, token, _ = strings.Cut(token, "/")
		n.secrets = append(n.secrets, token)
		n.ask(a, http.MethodPost, "/api/callbacks/resend/"+fmt.Sprint(config["id"])+"/"+token+"?x=hidden+query", "application/json", `{"hidden report":"ama@secret.example.com"}`)
	} else {
		n.t.Errorf("no callback URL: %v", config)
	}
	for _, raw := range []string{ // what would begin a line of its own
		"GET /api/v1/messages?to=hidden%20query%0A{\"msg\":\"forged+line\"} HTTP/1.1\r\nHost: x\r\nUser-Agent: hidden agent\r\nX-App-ID: other\n\r\n\r\n",
		"GET /hidden%20path%0Aforged%20line HTTP/1.1\r\nHost: x\r\nX-Request-Id: forged line\r\nUser-Agent: hidden agent\r\n\r\n",
		"FORGED\vLINE /hidden%20path HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := (&net.Dialer{}).DialContext(n.t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			n.t.Fatal(err)
		}
		_, _ = conn.Write([]byte(raw))
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
}

// inside is what the private address tells: metrics and profiles.
func (n *noted) inside() scanned {
	m := regexp.MustCompile(`"msg":"metrics and profiles are served without a key","addr":"([^"]+)"`).FindStringSubmatch(n.p.errors())
	if m == nil {
		n.t.Fatalf("no private address:\n%.2000s", n.p.errors())
	}
	out := scanned{}
	for _, path := range []string{"/metrics", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/allocs?debug=1"} {
		res, err := http.Get("http://" + m[1] + path) //nolint:noctx // a test
		if err != nil {
			n.t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(res.Body); err != nil {
			n.t.Fatal(err)
		}
		_ = res.Body.Close()
		if path != "/debug/pprof/cmdline" && (res.StatusCode != http.StatusOK || b.Len() < 1000) {
			n.t.Errorf("%s: %d, %d bytes", path, res.StatusCode, b.Len())
		}
		out[path] = b.Bytes()
	}
	return out
}

// backup is the data folder with a copy of the database beside it.
func (n *noted) backup() string {
	dir := filepath.Join(n.dir, "data")
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "commserver.db"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.WithoutCancel(n.t.Context()), `VACUUM INTO ?`, filepath.Join(dir, "backup.db")); err != nil {
		n.t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "backup.db")); err != nil || info.Size() < 10_000 {
		n.t.Fatalf("%v %v", info, err)
	}
	return dir
}
