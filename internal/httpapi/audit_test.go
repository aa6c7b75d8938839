package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestTheAuditLogNamesEveryDoor: the same change by the app, the administrator, the
// administrator for the app and a setup job.
func TestTheAuditLogNamesEveryDoor(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	w := newWorld(t)
	provision(w, flowbase)
	app, err := w.store.AppBySlug(t.Context(), "flowbase")
	if err != nil {
		t.Fatal(err)
	}
	own := tenant{app, w.key(app, comm.AllScopes)}
	keys, err := w.store.AppKeys(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.do(own, "PATCH", "/api/v1/app", `{"onUnknownOutcome":"FAIL"}`, nil)
	w.as("flowbase", "PATCH", "/api/v1/app", `{"onUnknownOutcome":"RETRY"}`)
	last := w.root("PATCH", "/api/admin/apps/flowbase", `{"ratePerMinute":5}`)
	provision(w, `{"name":"FlowBase","slug":"flowbase","ratePerMinute":6,"updateExisting":true}`)
	got := w.root("GET", "/api/admin/audit?app=flowbase&action=app_updated", "")
	c.answer(t, "GET", "/api/admin/audit", got)
	want := []struct{ actor, name, detail string }{
		{"provisioning", "", `{"ratePerMinute":{"from":5,"to":6}}`}, {"admin", "", `{"ratePerMinute":{"from":120,"to":5}}`},
		{"admin", "", `{"onUnknownOutcome":{"from":"FAIL","to":"RETRY"}}`}, {"app", keys[len(keys)-1].ID.String(), `{"onUnknownOutcome":{"from":"RETRY","to":"FAIL"}}`},
	}
	list, _ := got.body["data"].([]any)
	if len(list) != len(want) {
		t.Fatalf("%s", got.raw)
	}
	for i, x := range want {
		e := list[i].(map[string]any)
		name, _ := e["actorName"].(string)
		if e["actor"] != x.actor || name != x.name || e["address"] != "192.0.2.1" || !strings.Contains(string(got.raw), x.detail) {
			t.Errorf("%d: %v, want %v", i, e, x)
		}
	}
	if id := list[1].(map[string]any)["requestId"]; id != last.header.Get("X-Request-Id") {
		t.Errorf("request %v, was %s", id, last.header.Get("X-Request-Id"))
	}
	for _, query := range []string{"limit=0", "action=app_exploded", "app=nobody", "after=yesterday", "before=2026", "cursor=x", "nope=1"} {
		if got := w.root("GET", "/api/admin/audit?"+query, ""); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	for query, n := range map[string]int{"actor=provisioning": 3, "actor=admin&app=" + app.ID.String(): 2, "target=" + app.ID.String(): 5, "before=2020-01-01T00:00:00Z": 0, "after=2020-01-01T00:00:00Z&limit=100": 7} {
		if got := w.root("GET", "/api/admin/audit?"+query, ""); len(got.body["data"].([]any)) != n {
			t.Errorf("%s: %d entries, want %d", query, len(got.body["data"].([]any)), n)
		}
	}
	for _, query := range []string{"after=-1", "after=x", "after=1&after=2"} {
		if got := w.root("GET", "/api/admin/audit/verify?"+query, ""); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	for after, checked := range map[string]float64{"0": 7, "3": 4, "7": 0} {
		if got := w.root("GET", "/api/admin/audit/verify?after="+after, ""); got.body["ok"] != true || got.body["checked"] != checked || got.body["nextAfter"] != nil {
			t.Errorf("after %s: %s", after, got.raw)
		}
	}
	newest := w.root("GET", "/api/admin/audit?limit=1", "").body["data"].([]any)[0].(map[string]any)
	if last, _ := w.root("GET", "/api/admin/audit/verify", "").body["last"].(map[string]any); last["sequence"] != 7.0 || last["hash"] != newest["hash"] {
		t.Errorf("the last entry is %v, the verdict ends with %v", newest, last)
	}
	if got := w.root("GET", "/api/admin/audit/verify?after=7", ""); got.body["last"] != nil {
		t.Errorf("%s", got.raw)
	}
	if got := w.root("GET", "/api/admin/audit/verify?after=99", ""); got.body["ok"] != false || got.body["broken"].(map[string]any)["sequence"] != 99.0 {
		t.Errorf("%s", got.raw)
	}
}

// TestTheAuditLogHoldsNoSecret plants secrets wherever one may be given and looks for them.
func TestTheAuditLogHoldsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const secret = "pl4nted-s3cret"
	made := w.root("POST", "/api/admin/apps", `{"name":"X","slug":"one","webhookUrl":"https://example.com/`+secret+`","webhookSecret":"`+secret+secret+`","allowedSenders":["`+secret+`@example.com"]}`)
	config := strings.Replace(probes()["POST /api/v1/provider-configs"].body, "secret-of-one", secret, 1)
	id := w.as("one", "POST", "/api/v1/provider-configs", config).str("id")
	w.as("one", "PATCH", "/api/v1/provider-configs/"+id, `{"name":"Renamed"}`)
	w.as("one", "PATCH", "/api/v1/provider-configs/"+id, `{"config":{"password":"`+secret+`2"}}`)
	w.root("PATCH", "/api/admin/apps/one", `{"webhookSecret":"`+secret+secret+`2"}`)
	w.do(tenant{}, "GET", "/api/v1/app", "", map[string]string{"X-App-ID": secret, "X-API-Key": secret})
	got := string(w.root("GET", "/api/admin/audit?limit=100", "").raw)
	if strings.Contains(got, secret) || strings.Contains(got, made.str("apiKey")) || strings.Contains(got, adminKey) || strings.Contains(w.log.String(), secret) {
		t.Errorf("%s", got)
	}
	if n := strings.Count(got, `"secrets":{"changed":true}`); n != 2 { // created, and changed once: a new name leaves them alone
		t.Errorf("secrets changed %d times: %s", n, got)
	}
}

// TestUsesAndRefusalsOfKeys: when a key was used, and what is told of one that has ended.
func TestUsesAndRefusalsOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	keyView := func() map[string]any {
		return w.root("GET", "/api/admin/apps/one/keys", "").body["data"].([]any)[0].(map[string]any)
	}
	flush := func() {
		t.Helper()
		if err := w.auth.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keyView()["lastUsedAt"] != nil {
		t.Error("used before its first use")
	}
	for range 5 {
		w.do(one, "GET", "/api/v1/app", "", nil)
	}
	flush()
	used := keyView()["lastUsedAt"]
	if at, err := time.Parse(time.RFC3339, fmt.Sprint(used)); err != nil || time.Since(at) > time.Minute {
		t.Errorf("%v %v", used, err)
	}
	w.changed(comm.ID{}) // what was remembered of the key is read again
	w.do(one, "GET", "/api/v1/app", "", nil)
	flush()
	if keyView()["lastUsedAt"] != used {
		t.Error("noted twice within a minute")
	}
	entries := func(action string) int {
		return len(w.root("GET", "/api/admin/audit?action="+action, "").body["data"].([]any))
	}
	if n := entries("key_first_used"); n != 1 {
		t.Errorf("%d first uses", n)
	}
	w.root("DELETE", "/api/admin/apps/one/keys/"+keyView()["id"].(string), "")
	now := comm.At(time.Now())
	expired := apikey.Mint(false)
	if err := w.store.AddKey(t.Context(), &comm.Key{ID: comm.NewID(now), App: one.app.ID, Hash: expired.Hash, Scopes: comm.AllScopes, CreatedAt: now, ExpiresAt: now}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, key := range []string{one.key, expired.Text, apikey.Mint(false).Text} {
			if got := w.do(tenant{one.app, key}, "GET", "/api/v1/app", "", nil); got.status != 401 || string(got.raw) != unauthenticatedBody {
				t.Errorf("%d %s", got.status, got.raw)
			}
		}
	}
	flush()
	page, err := w.store.AuditList(t.Context(), store.AuditFilter{Action: comm.AuditKeyRefused, Limit: 10})
	if err != nil || len(page.Entries) != 2 || page.Entries[0].Actor.Kind != comm.ActorClient || page.Entries[0].Actor.Address != "192.0.2.1" {
		t.Errorf("%+v %v", page, err)
	}
}

// TestWordsOfTheAuditLog keeps the contract and the handbook at the table of words.
func TestWordsOfTheAuditLog(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	handbook, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	for field, words := range map[string][]comm.Word{"action": comm.AuditActions(), "actor": comm.ActorKinds()} {
		var want []any
		for _, w := range words {
			want = append(want, w.Code)
			if line := "| `" + w.Code + "` | " + w.Meaning + " |"; !strings.Contains(string(handbook), line) {
				t.Errorf("docs/admin.md lacks the line %s", line)
			}
		}
		if got := dig(c.Schemas, "AuditEntry", "properties", field)["enum"]; !slices.Equal(got.([]any), want) {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
		for _, p := range auditParameters(c) {
			if p["name"] == field && dig(p, "schema")["enum"] != nil && !slices.Equal(dig(p, "schema")["enum"].([]any), want) {
				t.Errorf("the parameter %s: %v, want %v", field, dig(p, "schema")["enum"], want)
			}
		}
	}
}

// auditParameters are those of the list of the audit log.
func auditParameters(c *contract) []map[string]any {
	o, _ := c.Find("GET", "/api/admin/audit")
	return o.Parameters()
}

// TestTheChainCanBeCheckedFromOutside computes every hash from the API's answer alone, as docs/admin.md says.
func TestTheChainCanBeCheckedFromOutside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, name := range []string{`"quoted" <b>&amp; \\u2028`, "Ünïcode 🌍 \u2028\u00e9\u007e", `back\\slash \/`} {
		if got := w.root("POST", "/api/admin/apps", fmt.Sprintf(`{"name":%s,"slug":"app-%d"}`, quoted(name), i)); got.status != 201 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	w.root("POST", "/api/admin/provider-configs", probes()["POST /api/v1/provider-configs"].body)
	var page struct {
		Data []struct {
			Sequence, AtMicros                                        int64
			Actor, ActorName, Address, RequestID, App, Action, Target string
			Detail                                                    json.RawMessage
			PreviousHash, Hash                                        string
		}
	}
	if err := json.Unmarshal(w.root("GET", "/api/admin/audit?limit=100", "").raw, &page); err != nil {
		t.Fatal(err)
	}
	previous := strings.Repeat("0", 64)
	for _, e := range slices.Backward(page.Data) {
		h := sha256.New()
		for _, field := range []string{fmt.Sprint(e.Sequence), fmt.Sprint(e.AtMicros), e.Actor, e.ActorName, e.Address, e.RequestID, e.App, e.Action, e.Target, string(e.Detail), e.PreviousHash} {
			fmt.Fprintf(h, "%d:%s,", len(field), field)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != e.Hash || e.PreviousHash != previous {
			t.Errorf("entry %d: %s, want %s: %s", e.Sequence, got, e.Hash, e.Detail)
		}
		previous = e.Hash
	}
	if len(page.Data) != 7 {
		t.Errorf("%d entries", len(page.Data))
	}
}
