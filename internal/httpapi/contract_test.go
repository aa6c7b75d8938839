package httpapi

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
)

// TestRoutesAreTheContract proves that what is served is what is documented, with the same credentials.
func TestRoutesAreTheContract(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	documented := map[string]map[string]any{}
	for path, methods := range dig(c.Doc, "paths") {
		for method, operation := range methods.(map[string]any) {
			documented[strings.ToUpper(method)+" "+path] = operation.(map[string]any)
		}
	}
	for _, route := range newWorld(t).api.Routes() {
		name := route.Method + " " + strings.Replace(route.Path, "/{$}", "/", 1)
		operation, ok := documented[name]
		if !ok {
			t.Errorf("%s is served, but not in the contract", name)
			continue
		}
		delete(documented, name)
		security, _ := json.Marshal(operation["security"])
		want := map[Who]string{Anyone: `[]`, AnApp: `[{"apiKey":[],"appId":[]},{"appId":[],"bearer":[]},{"adminKey":[],"appId":[]},{"appId":[],"session":[]}]`, ASession: `[{"session":[]}]`,
			Provisioner: `[{"provisioningKey":[]}]`, Admin: `[{"adminKey":[]},{"session":[]}]`, Scraper: `[{"adminKey":[]},{"adminBearer":[]}]`}[route.Who]
		if string(security) != want {
			t.Errorf("%s: security %s, want %s", name, security, want)
		}
		if scope, _ := operation["x-scope"].(string); scope != route.Scope.String() {
			t.Errorf("%s: scope %q, want %q", name, scope, route.Scope)
		}
		if role, _ := operation["x-role"].(string); role != route.Role.String() {
			t.Errorf("%s: role %q, want %q", name, role, route.Role)
		}
		if operation["operationId"] == nil || operation["summary"] == nil {
			t.Errorf("%s: operationId or summary is missing", name)
		}
	}
	for name := range documented {
		t.Errorf("%s is in the contract, but not served", name)
	}
}

// answer holds an answer against the contract.
func (c *contract) answer(t *testing.T, method, path string, got answer) {
	t.Helper()
	for _, wrong := range c.Answer(method, path, got.status, got.header.Get("Content-Type"), got.raw) {
		t.Errorf("%s %s %d: %s", method, path, got.status, wrong)
	}
}

// TestAnswersFitTheContract walks through every route with real answers, good and bad.
func TestAnswersFitTheContract(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	message := w.do(one, "POST", "/api/v1/messages", emailBody, nil).str("id")
	config := w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil).str("id")
	for i := range 3 {
		w.do(one, "POST", "/api/v1/messages", sms(fmt.Sprintf(`"idempotencyKey":"%d","metadata":{"a":[1,{"b":null}]},"tags":["x"]`, i)), nil)
	}
	w.do(one, "PATCH", "/api/v1/messages/"+message, `{"action":"CANCEL"}`, nil)
	ids := map[string]string{"message": message, "provider": config, "template": w.template(one, "request-approved"), "webhook": w.webhook(one),
		"erasure": w.do(one, "POST", "/api/v1/erasures", probes()["POST /api/v1/erasures"].body, nil).str("id")}
	delivery := w.do(one, "POST", "/api/v1/webhooks/"+ids["webhook"]+"/test", "", nil).str("id")
	for _, route := range w.api.Routes() {
		name := route.Method + " " + route.Path
		path := strings.Replace(route.Path, "/{$}", "/", 1)
		if route.Who == Admin || route.Who == ASession {
			continue // TestAdminAnswersFitTheContract, TestSessionsFromSigningInToTheEnd
		}
		p := probes()[name]
		url := atVersion.Replace(strings.NewReplacer("{id}", ids[p.id], "{delivery}", delivery).Replace(path)) + p.query
		if name == "PATCH /api/v1/messages/{id}" {
			p.body = `{"action":"RETRY"}`
		}
		for _, who := range []tenant{one, {}, {one.app, w.key(one.app, comm.ScopeTemplates)}} {
			if route.Who != AnApp && who.app == nil {
				continue
			}
			headers := map[string]string{}
			if route.Who == Provisioner {
				p.body, headers["X-Provisioning-Key"] = flowbase, provisioningKey
			}
			if route.Method == http.MethodDelete && who.key == one.key {
				continue // needed by the routes after it; its good answer is checked below
			}
			c.answer(t, route.Method, path, w.do(who, route.Method, url, p.body, headers))
		}
		if p.id != "" {
			c.answer(t, route.Method, path, w.do(one, route.Method, atVersion.Replace(strings.Replace(path, "{id}", "nothing", 1)), p.body, nil))
		}
		if p.body != "" && route.Who == AnApp {
			c.answer(t, route.Method, path, w.do(one, route.Method, url, `{"nope":1}`, nil))
			c.answer(t, route.Method, path, w.do(one, route.Method, url, p.body, map[string]string{"Content-Type": "text/plain"}))
			c.answer(t, route.Method, path, w.do(one, route.Method, url, `"`+strings.Repeat("x", 2<<20)+`"`, nil))
		}
	}
	c.answer(t, "PATCH", "/api/v1/messages/{id}", w.do(one, "PATCH", "/api/v1/messages/"+message, `{"action":"RETRY"}`, nil))
	c.answer(t, "POST", "/api/v1/messages", w.do(one, "POST", "/api/v1/messages", sms(`"idempotencyKey":"0"`), nil))
	c.answer(t, "GET", "/api/v1/messages", w.do(one, "GET", "/api/v1/messages?limit=1", "", nil))
	c.answer(t, "GET", "/api/v1/templates", w.do(one, "GET", "/api/v1/templates?limit=1", "", nil))
	c.answer(t, "DELETE", "/api/v1/templates/{id}", w.do(one, "DELETE", "/api/v1/templates/"+ids["template"], "", nil))
	c.answer(t, "GET", "/api/v1/webhooks/{id}/deliveries", w.do(one, "GET", "/api/v1/webhooks/"+ids["webhook"]+"/deliveries?limit=1", "", nil))
	c.answer(t, "DELETE", "/api/v1/webhooks/{id}", w.do(one, "DELETE", "/api/v1/webhooks/"+ids["webhook"], "", nil))
	c.answer(t, "DELETE", "/api/v1/provider-configs/{id}", w.do(one, "DELETE", "/api/v1/provider-configs/"+config, "", nil))
}

// TestProviderTypesAreInTheContract keeps the enumeration of types true.
func TestProviderTypesAreInTheContract(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	listed := dig(c.Schemas, "ProviderType")["enum"]
	var types []any
	for _, a := range all.Adapters() {
		types = append(types, a.Type)
		schemaOfType(t, c, &a)
	}
	if !reflect.DeepEqual(listed, types) {
		t.Errorf("%v, the adapters are %v", listed, types)
	}
}

var update = flag.Bool("update", false, "write the generated documents")

// TestDocsAreCurrent keeps docs/errors.md true: it is generated from the table of codes and the table of statuses.
func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Error codes\n\nGenerated from `internal/comm/codes.go` and `internal/httpapi/errors.go`; a test fails when this page is stale.\n\n" +
		"Every error is `{\"error\": \"…\", \"details\": {\"code\": \"…\", …}}`: `error` is for people, `details.code` for machines.\n\n" +
		"| status | code | sentence |\n|---|---|---|\n")
	for _, code := range comm.Codes() {
		status, ok := statuses[code.Kind]
		if !ok {
			t.Errorf("kind %d of %s has no status", code.Kind, code.Code)
		}
		of := strconv.Itoa(status)
		if slices.Contains(comm.OfValues(), code.Code) {
			of += fmt.Sprintf(", or %d where a template's values cause it", statuses[comm.Unprocessable])
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", of, code.Code, code.Text)
	}
	for _, table := range []struct {
		title, about string
		words        []comm.Word
	}{
		{"Reasons of invalid_state", "`details.reason` of `invalid_state`, beside `details.status`:", comm.Reasons()},
		{"Warnings", "Answers that are no errors may have `warnings`: `[{\"code\": \"…\", \"message\": \"…\"}]`.", comm.Warnings()},
		{"Reasons of suppressions", "`reason` of an address on the list of suppressions:", comm.SuppressionReasons()},
		{"Sources of suppressions", "`source` of an address on the list of suppressions:", comm.SuppressionSources()},
		{"Why a message failed", "`errorCode` of a message is one of these, or the code of the last attempt's answer (`attemptLog`):", ends()},
		{"Why an attempt failed", "`errorCode` in a message's `attemptLog`:", attempts()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| code | meaning |\n|---|---|\n", table.title, table.about)
		for _, w := range table.words {
			fmt.Fprintf(&b, "| `%s` | %s |\n", w.Code, w.Meaning)
		}
	}
	const path = "../../docs/errors.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is stale; run: make docs", path)
	}
}

// ends is the causes that may end a message without a provider's answer.
func ends() (out []comm.Word) {
	for _, e := range comm.Edges() {
		if text := comm.EndText(e.Cause); e.To == comm.Failed && text != "" && !slices.ContainsFunc(out, func(w comm.Word) bool { return w.Code == e.Cause.String() }) {
			out = append(out, comm.Word{Code: e.Cause.String(), Meaning: text})
		}
	}
	return out
}

// attempts is what an attempt may come to, but for the provider's acceptance.
func attempts() (out []comm.Word) {
	for _, r := range provider.Rules() {
		if r.Code != "" {
			out = append(out, comm.Word{Code: r.Code, Meaning: r.Meaning})
		}
	}
	return append(out, comm.Word{Code: comm.CauseInternalError.String(), Meaning: "The stored message cannot be read, or the adapter failed on it."})
}

// TestStatusesAreKnown keeps the table from holding a kind twice or a status that the contract never names.
func TestStatusesAreKnown(t *testing.T) {
	t.Parallel()
	if n := len(slices.Compact(slices.Sorted(maps.Values(statuses)))); n != len(statuses) {
		t.Errorf("%d kinds share %d statuses", len(statuses), n)
	}
}
