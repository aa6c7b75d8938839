package hostile

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/openapi"
)

// TestExamplesOnSQLite and its sibling send every example request of the contract: its
// status is the one beside it, one that is taken fits the schema, and the answer fits its own.
func TestExamplesOnSQLite(t *testing.T) {
	t.Parallel()
	runExamples(t, false)
}

func TestExamplesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	runExamples(t, true)
}

func runExamples(t *testing.T, postgres bool) {
	w := open(t, postgres, toNowhere)
	played := 0
	for _, o := range w.contract.Operations() {
		examples := openapi.Dig(o.Doc, "requestBody", "content", "application/json", "examples")
		if o.Body() != nil && len(examples) == 0 {
			t.Errorf("%s takes a body, and has no example", o.Name())
		}
		for _, name := range slices.Sorted(maps.Keys(examples)) {
			played++
			t.Run(o.Name()+" "+name, func(t *testing.T) { w.playExample(t, o, openapi.Dig(examples, name)) })
		}
	}
	if played < 70 {
		t.Errorf("only %d examples", played)
	}
}

// Test messages go where nobody listens, and never leave this machine.
const (
	toNowhere = "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.2"
	nowhere   = `{"providerType":"SMTP","config":{"host":"127.0.0.2","port":9,"username":"u","password":"p"}}`
)

func (w *world) playExample(t *testing.T, o openapi.Operation, example map[string]any) {
	for _, slug := range []string{"one", "flowbase", "billing"} { // the apps that examples name
		w.admin(t, "DELETE", "/api/admin/apps/"+slug+"?confirm="+slug, "")
	}
	key := map[string]string{"/api/v1/templates": "taken", "/api/v1/messages": "request-approved"}[o.Path]
	if key == "" {
		key = "of-the-example"
	}
	a := w.furnished(t, "one", `{"key":"`+key+`","channel":"SMS","body":"Hi {{firstName}}, request {{reference}} was approved."}`)
	body, err := json.Marshal(example["value"])
	if err != nil {
		t.Fatal(err)
	}
	want := example["x-status"].(string)
	if want[0] == '2' {
		for _, wrong := range w.contract.Check(o.Body(), example["value"], "the example") {
			t.Errorf("it does not fit its schema: %s", wrong)
		}
	}
	path := o.Path
	switch {
	case strings.HasSuffix(path, "/rotate-callback"):
		path = strings.Replace(path, "{id}", a.reporting(t, path), 1)
	case strings.HasPrefix(path, "/api/admin/provider-configs"):
		path = strings.Replace(path, "{id}", a.things["server"], 1)
	}
	q := &request{method: o.Method, path: a.fill(path), body: body, header: with(a.doorOf(o), jsonType())}
	if got := w.send(t, q); strconv.Itoa(got.status) != want {
		t.Errorf("%d, documented %s: %s", got.status, want, got.raw)
	}
	w.admin(t, "DELETE", "/api/admin/provider-configs/"+a.things["server"], "") // of which there may be a hundred
}

// doorOf is what an operation wants to be called with.
func (a *tenant) doorOf(o openapi.Operation) map[string]string {
	switch {
	case o.Name() == "POST "+sessionURL:
		return map[string]string{}
	case isOfSession(o.Path):
		return map[string]string{"Cookie": a.w.users.signed.cookie}
	case strings.HasPrefix(o.Path, "/api/v1/"):
		return a.headers(nil)
	case strings.HasPrefix(o.Path, "/api/admin/"), o.Path == "/metrics":
		return map[string]string{"X-Admin-Key": adminKey}
	case strings.HasPrefix(o.Path, "/api/provision/"):
		return map[string]string{"X-Provisioning-Key": provisioningKey}
	}
	return map[string]string{}
}
