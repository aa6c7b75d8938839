package httpapi

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// TestNullIsTakenWhereTheContractSaysSo sends null for every member of every
// request body: it is an answer of 2xx where the contract allows null, and else
// a 400 that names the member.
func TestNullIsTakenWhereTheContractSaysSo(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	bases := map[string]map[string]string{
		"POST /api/v1/messages":                    {"channel": `"EMAIL"`, "to": `"a@example.com"`, "subject": `"s"`, "body": `"<p>x</p>"`},
		"PATCH /api/v1/messages/{id}":              {"action": `"CANCEL"`},
		"PATCH /api/v1/app":                        {},
		"POST /api/v1/webhooks":                    {"name": `"crm"`, "url": `"https://hooks.example.com/"`},
		"POST /api/v1/webhooks/{id}/replay":        {"createdAfter": `"2026-07-03T10:00:00Z"`, "createdBefore": `"2026-07-04T10:00:00Z"`},
		"PATCH /api/v1/webhooks/{id}":              {},
		"POST /api/v1/webhooks/{id}/rotate-secret": {},
		"POST /api/v1/provider-configs":            {"providerType": `"SMTP"`, "config": `{"host":"mail.example.com","from":"no-reply@example.com"}`},
		"PATCH /api/v1/provider-configs/{id}":      {},
		"POST /api/provision/apps":                 {"name": `"X"`, "slug": `"abc"`},
		"POST /api/v1/templates":                   {"key": `"k"`, "channel": `"EMAIL"`, "subject": `"s"`, "body": `"<p>x</p>"`},
		"PATCH /api/v1/templates/{id}":             {},
		"POST /api/v1/templates/{id}/rollback":     {"version": `1`},
		"POST /api/v1/templates/{id}/preview":      {},

		"POST /api/admin/apps":                                  {"name": `"X"`, "slug": `"abc"`},
		"PATCH /api/admin/apps/{app}":                           {},
		"POST /api/admin/apps/{app}/keys":                       {},
		"POST /api/admin/apps/{app}/keys/{id}/rotate":           {},
		"POST /api/admin/provider-configs":                      {"providerType": `"SMTP"`, "config": `{"host":"mail.example.com","from":"no-reply@example.com"}`},
		"PATCH /api/admin/provider-configs/{id}":                {},
		"POST /api/v1/provider-configs/{id}/rotate-callback":    {},
		"POST /api/admin/provider-configs/{id}/rotate-callback": {},

		"POST /api/admin/provider-configs/{id}/test": {"to": `"ama@example.com"`},

		"POST /api/v1/provider-configs/{id}/test": {"to": `"ama@example.com"`},

		"PATCH /api/admin/messages/{id}": {"action": `"CANCEL"`},
		"POST /api/admin/queue":          {"action": `"CANCEL"`, "app": `"one"`, "confirm": `"one"`},

		"POST /api/v1/messages/batch":                   {},
		"POST /api/v1/messages/preview":                 {"channel": `"EMAIL"`, "to": `"a@example.com"`, "subject": `"s"`, "body": `"<p>x</p>"`},
		"POST /api/v1/erasures":                         {"address": `"erased@example.com"`},
		"POST /api/admin/users":                         {"name": `"ama"`, "role": `"VIEWER"`, "password": `"seven otters sing at dusk"`},
		"PATCH /api/admin/users/{id}":                   {},
		"POST /api/admin/hold":                          {"action": `"RELEASE"`, "doubtful": `"POLICY"`},
		"POST /api/admin/session/password":              {"current": `"x"`, "new": `"seven otters sing at dusk"`},
		"POST /api/admin/session":                       {},
		"POST /api/admin/session/second-factor":         {},
		"POST /api/admin/session/second-factor/confirm": {},
		"POST /api/admin/session/second-factor/remove":  {"password": `"x"`, "code": `"1"`},

		"POST /api/admin/session/security-keys":             {"name": `"x"`, "securityKey": `"x"`},
		"POST /api/admin/session/security-keys/options":     {"password": `"x"`},
		"POST /api/admin/session/security-keys/{id}/remove": {"password": `"x"`},

		"POST /api/admin/erasures":  {"address": `"erased@example.com"`},
		"POST /api/v1/suppressions": {"channel": `"SMS"`, "address": `"233241234567"`},
	}
	for path, methods := range dig(c.Doc, "paths") {
		for method, operation := range methods.(map[string]any) {
			schema := dig(operation, "requestBody", "content", "application/json", "schema")
			if schema == nil {
				continue
			}
			ref, _ := schema["$ref"].(string)
			members := dig(c.Schemas[ref[strings.LastIndexByte(ref, '/')+1:]], "properties")
			name := strings.ToUpper(method) + " " + path
			base, ok := bases[name]
			if !ok || len(members) == 0 {
				t.Errorf("%s: no body to send null in, or no members", name)
				continue
			}
			for _, member := range slices.Sorted(maps.Keys(members)) {
				kinds, _ := dig(members[member])["type"].([]any)
				t.Run(name+" "+member, func(t *testing.T) {
					t.Parallel()
					sendNull(t, name, overlay(base, `"`+member+`":null`), member, slices.Contains(kinds, any("null")))
				})
			}
		}
	}
}

func TestNullInsideAMember(t *testing.T) {
	t.Parallel()
	file := `{"filename":"a.txt","contentType":"text/plain","content":"YQ=="}`
	for _, one := range []struct{ name, body, field string }{
		{"POST /api/v1/messages", email(`"tags":[null]`), "tags[0]"},
		{"POST /api/v1/messages", email(`"cc":[null]`), "cc[0]"},
		{"POST /api/v1/messages", email(`"bcc":["b@example.com",null]`), "bcc[1]"},
		{"POST /api/v1/messages", email(`"headers":{"X-A":null}`), "headers.X-A"},
		{"POST /api/v1/messages", email(`"variables":{"a":null}`), "variables.a"},
		{"POST /api/v1/messages", email(`"attachments":[null]`), "attachments[0].filename"},
		{"POST /api/v1/messages", email(`"attachments":[` + strings.Replace(file, `"a.txt"`, "null", 1) + `]`), "attachments[0].filename"},
		{"POST /api/v1/messages", email(`"attachments":[` + strings.Replace(file, `"text/plain"`, "null", 1) + `]`), "attachments[0].contentType"},
		{"POST /api/v1/messages", email(`"attachments":[` + file + `,` + strings.Replace(file, `"YQ=="`, "null", 1) + `]`), "attachments[1].content"},
		{"POST /api/v1/provider-configs", `{"providerType":"SMTP","config":{"host":null}}`, "config.host"},
		{"POST /api/v1/webhooks", `{"name":"crm","url":"https://hooks.example.com/","statuses":[null]}`, "statuses[0]"},
		{"POST /api/v1/webhooks", `{"name":"crm","url":"https://hooks.example.com/","tags":[null]}`, "tags[0]"},
		{"POST /api/provision/apps", `{"name":"X","slug":"abc","scopes":[null]}`, "scopes[0]"},
		{"PATCH /api/v1/app", `{"ratePerMinute":null}`, "ratePerMinute"}, // read only
	} {
		t.Run(one.body, func(t *testing.T) {
			t.Parallel()
			sendNull(t, one.name, one.body, one.field, false)
		})
	}
}

func sendNull(t *testing.T, route, body, member string, allowed bool) {
	t.Helper()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer("{id}", w.things(one)[thingOf(path)], "{app}", "one").Replace(path)
	headers := map[string]string{"X-Provisioning-Key": provisioningKey}
	if strings.HasPrefix(path, "/api/admin/") {
		one, headers = tenant{}, map[string]string{"X-Admin-Key": adminKey}
	}
	if strings.HasPrefix(path, sessionPath) {
		headers = map[string]string{"Cookie": w.session(w.member("ama", comm.Viewer, 0))}
	}
	got := w.do(one, method, path, body, headers)
	var refused struct {
		Details struct {
			Fields map[string]string `json:"fields"`
		} `json:"details"`
	}
	if err := json.Unmarshal(got.raw, &refused); err != nil {
		t.Fatal(err)
	}
	_, named := refused.Details.Fields[member]
	switch {
	case allowed && (got.status < 200 || got.status > 299):
		t.Errorf("%s is refused: %d %s", body, got.status, got.raw)
	case !allowed && (got.status != 400 || !named):
		t.Errorf("%s: %d, or %s is not named: %s", body, got.status, member, got.raw)
	}
}
