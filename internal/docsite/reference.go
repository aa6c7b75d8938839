package docsite

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/commserver/commserver/api"
	"github.com/commserver/commserver/docs"
	"github.com/commserver/commserver/internal/openapi"
)

// group is a page of the reference: the operations whose paths begin with one of its prefixes. The first
// group that fits takes an operation.
type group struct {
	file, title, about string
	prefixes           []string
}

func groups() []group {
	return []group{
		{"api/messages.md", "Messages", "Queue, read, cancel and retry. The guide to it: [Messages](../guide/messages.md).", []string{"/api/v1/messages"}},
		{"api/sandbox.md", "Captured messages", "What the [sandbox](../sandbox.md) took instead of a provider.", []string{"/api/v1/sandbox"}},
		{"api/events.md", "Events", "Everything that happens to an app's messages, [in one order](../webhooks.md#reading-instead-of-being-told).", []string{"/api/v1/events"}},
		{"api/webhooks.md", "Webhooks", "Endpoints that are told of every change, and what was posted to them. The guide to it: [Webhooks and events](../webhooks.md).", []string{"/api/v1/webhooks"}},
		{"api/templates.md", "Templates", "Content that is stored once. The guide to it: [Templates](../templates.md).", []string{"/api/v1/templates"}},
		{"api/provider-configs.md", "Provider configurations", "An app's accounts at providers, in the order of its chain. The guide to it: [Providers](../providers.md).", []string{"/api/v1/provider-configs"}},
		{"api/suppressions.md", "Suppressions", "The app's [opt-out list](../guide/suppressions.md).", []string{"/api/v1/suppressions"}},
		{"api/persons.md", "Persons", "Erase and export what is held of one person: [Retention](../retention.md).", []string{"/api/v1/erasures", "/api/v1/persons"}},
		{"api/app.md", "App and figures", "The app's own settings, and what became of its messages lately.", []string{"/api/v1/app", "/api/v1/stats"}},
		{"api/provisioning.md", "Provisioning", "Make an app from a deployment job. The guide to it: [Self-provisioning](../guide/provisioning.md).", []string{"/api/provision"}},
		{"api/admin-apps.md", "Administration: apps and keys", "All apps and their keys. The guide to it: [Administration](../admin.md).", []string{"/api/admin/apps"}},
		{"api/admin-providers.md", "Administration: server-level providers", "The chain of apps that have none of their own. The guide to it: [Providers](../providers.md).", []string{"/api/admin/provider-configs"}},
		{"api/admin-messages.md", "Administration: messages and the queue", "Messages of all apps, what happens to them, what waits, and persons in all apps. The guide to it: [Administration](../admin.md).",
			[]string{"/api/admin/messages", "/api/admin/events", "/api/admin/queue", "/api/admin/chains", "/api/admin/suppressions", "/api/admin/erasures"}},
		{"api/admin-sessions.md", "Administration: sessions", "Signing in by name, passwords and second factors. The guide to it: [Administration](../admin.md#sessions).", []string{"/api/admin/session"}},
		{"api/admin-users.md", "Administration: users", "Who may sign in. The guide to it: [Administration](../admin.md#users-and-roles).", []string{"/api/admin/users"}},
		{"api/admin-operation.md", "Administration: operation", "Alerts, figures, the audit log, backups, the hold after a restore. The guide to it: [Administration](../admin.md).", []string{"/api/admin/"}},
		{"api/server.md", "Server", "Health, the contract, and what providers call.", []string{"/"}},
	}
}

// maker writes the pages of the reference from the contract.
type maker struct {
	c     *openapi.Contract
	codes map[string][]string // error codes by status
	apps  map[string]bool     // the schemas that operations other than the administration's reach
	order map[string][]string // the members of each object as the contract lists them, by their sorted names
}

// reference is the pages that are made from the contract, as Markdown by file.
func reference() (map[string]string, error) {
	c, err := openapi.Read()
	if err != nil {
		return nil, err
	}
	m := &maker{c: c, apps: map[string]bool{}, order: map[string][]string{}}
	if err := m.readOrder(json.NewDecoder(bytes.NewReader(api.OpenAPI()))); err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	if m.codes, err = codesByStatus(); err != nil {
		return nil, err
	}
	of := map[string][]openapi.Operation{}
	for _, o := range c.Operations() {
		g := groupOf(o.Path)
		of[g.file] = append(of[g.file], o)
		if !strings.HasPrefix(o.Path, "/api/admin/") {
			m.reach(o.Doc)
		}
	}
	out := map[string]string{}
	var index strings.Builder
	index.WriteString(apiIntroduction)
	for _, g := range groups() {
		slices.SortStableFunc(of[g.file], func(a, b openapi.Operation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(rank(a.Method), rank(b.Method)))
		})
		var b strings.Builder
		fmt.Fprintf(&b, "# %s\n\n%s\n\n", g.title, g.about)
		fmt.Fprintf(&index, "\n## %s\n\n%s\n\n| operation | does | needs |\n|---|---|---|\n", g.title, strings.ReplaceAll(g.about, "](../", "]("))
		for _, o := range of[g.file] {
			m.operation(&b, o)
			fmt.Fprintf(&index, "| [`%s`](%s#%s) | %s | %s |\n", o.Name(), g.file, o.Doc["operationId"], o.Doc["summary"], needs(o))
		}
		out[g.file] = b.String()
	}
	out["api.md"] = index.String()
	out[schemasFile] = m.schemas(schemasFile, "# Schemas\n\nThe objects of requests and answers, by name. Those of the administration alone have [their own page](admin-schemas.md).\n\n")
	out[adminSchemasFile] = m.schemas(adminSchemasFile, "# Administration: schemas\n\nThe objects of the administration's requests and answers, by name, but for those that [apps see too](schemas.md).\n\n")
	return out, nil
}

// readOrder reads one value and notes the order of its members, which a map forgets.
func (m *maker) readOrder(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	var names []string
	switch token {
	case json.Delim('{'):
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return err
			}
			names = append(names, fmt.Sprint(name))
			if err := m.readOrder(d); err != nil {
				return err
			}
		}
		sorted := slices.Sorted(slices.Values(names))
		m.order[strings.Join(sorted, " ")] = names
	case json.Delim('['):
		for d.More() {
			if err := m.readOrder(d); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = d.Token() // the end of it
	return err
}

const apiIntroduction = `# API reference

Made from the contract, which every server gives to programs at ` + "[`GET /api/openapi`](api/server.md#getContract)" + ` (OpenAPI 3.1, no key needed). A test holds that routes, contract, clients and
these pages agree.

- **Base address**: ` + "`http://localhost:3008`" + `
- **JSON** in UTF-8, in and out. Times are ISO 8601 in UTC with milliseconds. Requests with a body need ` + "`Content-Type: application/json`" + `.
- **Unknown fields and parameters are refused**: a misspelt ` + "`scheduledAt`" + ` must not send now.
- **Lists** are ` + "`{\"data\": […], \"nextCursor\": …}`" + `, a single resource is answered bare, a deletion with 204.
- **Errors** are ` + "`{\"error\": \"…\", \"details\": {\"code\": \"…\"}}`" + `; [all codes](errors.md), and [what to do with each status](guide/errors.md).
- Every answer carries ` + "`X-Request-Id`" + `: quote it when you ask the operator.

Any operation may answer 404, 405, 414, 431 or 500, which are not repeated below.
`

// rank orders methods as people expect them.
func rank(method string) int { return slices.Index([]string{"POST", "GET", "PATCH", "DELETE"}, method) }

func groupOf(path string) group {
	for _, g := range groups() {
		for _, prefix := range g.prefixes {
			if strings.HasPrefix(path, prefix) {
				return g
			}
		}
	}
	return group{}
}

// needs says who may call an operation.
func needs(o openapi.Operation) string {
	var schemes []string
	list, _ := o.Doc["security"].([]any)
	for _, one := range list {
		schemes = append(schemes, slices.Sorted(maps.Keys(openapi.Dig(one)))...)
	}
	switch scope, _ := o.Doc["x-scope"].(string); {
	case scope != "":
		return "app's key, `" + strings.ReplaceAll(scope, ",", "` and `") + "`"
	case slices.Contains(schemes, "provisioningKey"):
		return "provisioning key"
	case slices.Contains(schemes, "adminKey"):
		return "admin key"
	}
	return "no key"
}

func (m *maker) operation(b *strings.Builder, o openapi.Operation) {
	fmt.Fprintf(b, "## %s {#%s}\n\n`%s` ([%s](../guide/authentication.md))\n\n", o.Doc["summary"], o.Doc["operationId"], o.Name(), needs(o))
	if about, ok := o.Doc["description"].(string); ok {
		b.WriteString(about + "\n\n")
	}
	if list := o.Parameters(); len(list) > 0 {
		b.WriteString("| parameter | in | value | about |\n|---|---|---|---|\n")
		for _, p := range list {
			schema := openapi.Dig(p, "schema")
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p["name"], p["in"], m.value(schema, p["required"] == true || p["in"] == "path"), cell(cmp.Or(described(p), described(m.c.Resolve(schema)))))
		}
		b.WriteString("\n")
	}
	m.body(b, o)
	fmt.Fprintf(b, "```sh\n%s\n```\n\n", curl(o))
	m.answers(b, o)
}

func (m *maker) body(b *strings.Builder, o openapi.Operation) {
	content := openapi.Dig(o.Doc, "requestBody", "content")
	for _, kind := range slices.Sorted(maps.Keys(content)) {
		schema := openapi.Dig(content, kind, "schema")
		if name := openapi.Named(schema); name != "" {
			fmt.Fprintf(b, "The body is a %s:\n\n", m.link(name))
			m.fields(b, m.c.Resolve(schema))
			continue
		}
		fmt.Fprintf(b, "The body is `%s`. %s\n\n", kind, described(schema))
	}
}

func (m *maker) answers(b *strings.Builder, o openapi.Operation) {
	b.WriteString("| answer | body | means |\n|---|---|---|\n")
	for _, status := range o.Statuses() {
		response := openapi.Dig(o.Doc, "responses", status)
		var bodies []string
		for _, kind := range slices.Sorted(maps.Keys(openapi.Dig(response, "content"))) {
			schema := openapi.Dig(response, "content", kind, "schema")
			switch name := openapi.Named(schema); {
			case name != "":
				bodies = append(bodies, m.link(name))
			default:
				bodies = append(bodies, "`"+kind+"`")
			}
		}
		means := cell(described(response))
		if codes := m.codes[status]; status >= "400" && len(codes) > 0 {
			means += " " + codeList(status, codes)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", status, strings.Join(bodies, ", "), means)
	}
	b.WriteString("\n")
}

// codeList names the codes that have a status, or where they stand when they are many.
func codeList(status string, codes []string) string {
	const few = 8
	if len(codes) > few {
		return fmt.Sprintf("Code: [one of those with status %s](../errors.md#%s).", status, codes[0])
	}
	var links []string
	for _, code := range codes {
		links = append(links, fmt.Sprintf("[`%s`](../errors.md#%s)", code, code))
	}
	return "Code: " + strings.Join(links, ", ") + "."
}

// codesByStatus reads the generated table of error codes.
func codesByStatus() (map[string][]string, error) {
	raw, err := fs.ReadFile(docs.Files(), "errors.md")
	if err != nil {
		return nil, fmt.Errorf("read the error codes: %w", err)
	}
	table, _, _ := strings.Cut(string(raw), "\n## ")
	out := map[string][]string{}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[2], "`") {
			continue
		}
		for word := range strings.FieldsFuncSeq(cells[1], func(r rune) bool { return r < '0' || r > '9' }) {
			out[word] = append(out[word], strings.Trim(cells[2], " `"))
		}
	}
	return out, nil
}
