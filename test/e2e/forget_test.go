package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// TestAPersonIsForgottenForGood erases a person while the server is killed in the middle,
// and then looks for the address and the content in every byte that is left.
func TestAPersonIsForgottenForGood(t *testing.T) {
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t)
	for name, env := range map[string][]string{
		"SQLite":     nil,
		"PostgreSQL": {"COMMS_DATABASE_URL=" + url, "COMMS_ENCRYPTION_KEYS=" + ring.Reveal(), "COMMS_LEASE=2s", "COMMS_HEARTBEAT=500ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &forgetting{t: t, dir: t.TempDir(), env: append(env, "COMMS_PROVISIONING_KEY="+provisioningKey, "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc")}
			f.fill()
			f.erase()
			left := scanned{}
			if name == "SQLite" {
				vacuum(t, filepath.Join(f.dir, "data", "commserver.db"))
				left.files(t, filepath.Join(f.dir, "data"))
			} else {
				left.tables(t, url)
			}
			for _, gone := range []string{her, "planted words", "planted subject", "planted file", "planted key of", "planted note"} {
				if places := left.holds(gone); len(places) > 0 {
					t.Errorf("%q is left in %v", gone, places)
				}
			}
			for _, kept := range []string{"kofi@example.com", "a***@planted.example.com", "words for kofi"} { // else the scan would find nothing whatever is there
				if len(left.holds(kept)) == 0 {
					t.Errorf("%q is not found", kept)
				}
			}
		})
	}
}

const her = "ama.mensah@planted.example.com"

type forgetting struct {
	t      *testing.T
	dir    string
	env    []string
	p      *process
	a      tenant
	copied string
	hers   string
}

// fill makes messages of every kind, and stops when they can be found.
func (f *forgetting) fill() {
	f.p = serve(f.t, f.dir, f.env...)
	made := f.p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": "Shop", "slug": "shop", "ratePerMinute": 100000, "scopes": []string{"SEND", "READ", "SUPPRESSIONS", "TEMPLATES"}})
	f.a = tenant{"shop", fmt.Sprint(made["apiKey"])}
	post := func(m map[string]any) string {
		return fmt.Sprint(f.p.call(f.a, nil, http.MethodPost, "/api/v1/messages", m)["id"])
	}
	f.p.call(f.a, nil, http.MethodPost, "/api/v1/templates", map[string]any{"key": "welcome", "channel": "EMAIL", "subject": "Hello {{name}}", "body": "<p>{{name}}</p>"})
	f.hers = post(map[string]any{"channel": "EMAIL", "to": "Ama.Mensah@Planted.Example.com", "subject": "planted subject", "body": "<p>planted words</p>", "idempotencyKey": "planted key of " + her,
		"attachments": []any{map[string]any{"filename": "a.txt", "contentType": "text/plain", "content": base64.StdEncoding.EncodeToString([]byte("planted file"))}}})
	post(map[string]any{"channel": "EMAIL", "to": her, "templateKey": "welcome", "variables": map[string]any{"name": "planted words"}})
	post(map[string]any{"channel": "EMAIL", "to": her, "subject": "planted subject", "body": "planted words", "scheduledAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	f.copied = post(map[string]any{"channel": "EMAIL", "to": "kofi@example.com", "cc": []string{her}, "subject": "s", "body": "words for kofi, not for AMA.Mensah@planted.example.com", "tags": []string{"of " + her},
		"metadata": map[string]any{"by": her}})
	for range 3 {
		var batch []any
		for i := range 100 {
			m := map[string]any{"channel": "EMAIL", "to": her, "subject": "planted subject", "body": "planted words"}
			if i%2 == 0 {
				m["to"] = "kofi@example.com"
				m["subject"], m["body"] = "s", "words for kofi"
			}
			batch = append(batch, m)
		}
		f.p.call(f.a, nil, http.MethodPost, "/api/v1/messages/batch", map[string]any{"messages": batch})
	}
	f.p.call(f.a, nil, http.MethodPost, "/api/v1/suppressions", map[string]any{"channel": "EMAIL", "address": her, "reason": "complaint", "note": "planted note"})
	f.p.ended(f.a, f.hers)
}

// erase kills the server once it has begun and waits until another one is done.
func (f *forgetting) erase() {
	t := f.t
	e := f.p.call(f.a, nil, http.MethodPost, "/api/v1/erasures", map[string]any{"address": her})
	path := "/api/v1/erasures/" + fmt.Sprint(e["id"])
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		e = f.p.call(f.a, nil, http.MethodGet, path, nil)
		if e["stage"] != "queued" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v", e)
		}
	}
	_ = f.p.cmd.Process.Kill()
	<-f.p.exited
	if e["status"] != "RUNNING" {
		t.Fatalf("it was done before the kill: %v", e)
	}
	f.p = serve(t, f.dir, f.env...)
	// What it finds late it waits for anew: on SQLite it was done after 42 s, of which 40 are two such waits, on a machine that did nothing else.
	for end := time.Now().Add(2 * time.Minute); e["status"] != "DONE"; time.Sleep(50 * time.Millisecond) {
		e = f.p.call(f.a, nil, http.MethodGet, path, nil)
		if time.Now().After(end) {
			t.Fatalf("%v", e)
		}
	}
	m := f.p.call(f.a, nil, http.MethodGet, "/api/v1/messages/"+f.hers, nil)
	if m["contentRemoved"] != "erased" || m["body"] != nil || m["toAddress"] != "a***@planted.example.com" {
		t.Errorf("%v", m)
	}
	m = f.p.call(f.a, nil, http.MethodGet, "/api/v1/messages/"+f.copied, nil)
	if m["contentRemoved"] != nil || m["body"] != "words for kofi, not for a***@planted.example.com" {
		t.Errorf("%v", m)
	}
	preview := f.p.call(f.a, nil, http.MethodPost, "/api/v1/messages/preview", map[string]any{"channel": "EMAIL", "to": her, "subject": "s", "body": "b"})
	if s := fmt.Sprint(preview["warnings"]); !strings.Contains(s, "recipient_suppressed") {
		t.Errorf("the opt-out is gone: %v", s)
	}
	if code := f.p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
