package sdk

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/format"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/openapi"
)

var update = flag.Bool("update", false, "write what is generated of the clients")

// The generated part of comms-client.ts follows this line.
const generatedFrom = "// --- Generated from the contract and the error codes by `make docs`; a test fails when it is stale.\n"

// TestDocsAreCurrent keeps the types of the TypeScript client those of the contract, and the codes of the Go client those there are.
func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	const script = "../../sdk/comms-client.ts"
	got, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	own, _, _ := strings.Cut(string(got), generatedFrom)
	current(t, script, strings.TrimRight(own, "\n")+"\n\n"+generatedFrom+types(t))
	current(t, "../../client/codes.go", goCodes())
}

// current compares a file with what it should be, or writes it.
func current(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is stale; run: make docs (%v)", path, err)
	}
}

// goCodes are the error codes as constants of Go.
func goCodes() string {
	var b strings.Builder
	b.WriteString("package client\n\n// Codes of the server's errors, of internal/comm/codes.go; `make docs` writes this file. A newer server may have others.\nconst (\n")
	for _, c := range comm.Codes() {
		name := "Code"
		for word := range strings.SplitSeq(c.Code, "_") {
			switch word {
			case "json", "url", "utf8":
				name += strings.ToUpper(word)
			default:
				name += strings.ToUpper(word[:1]) + word[1:]
			}
		}
		fmt.Fprintf(&b, "\t%s = %q // %s\n", name, c.Code, c.Text)
	}
	b.WriteString(")\n")
	out, err := format.Source([]byte(b.String()))
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// operations are those of apps and of provisioning, by their operationId.
func operations(t *testing.T) map[string]openapi.Operation {
	t.Helper()
	contract, err := openapi.Read()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]openapi.Operation{}
	for _, o := range contract.Operations() {
		if strings.HasPrefix(o.Path, "/api/v1/") || strings.HasPrefix(o.Path, "/api/provision/") {
			out[o.Doc["operationId"].(string)] = o
		}
	}
	return out
}

// types writes the schemas that the operations use, the parameters of their queries, and the error codes.
func types(t *testing.T) string {
	t.Helper()
	contract, err := openapi.Read()
	if err != nil {
		t.Fatal(err)
	}
	w := &typeWriter{schemas: contract.Schemas, needed: map[string]bool{}}
	var b strings.Builder
	used := operations(t)
	for _, name := range slices.Sorted(maps.Keys(used)) {
		doc := used[name].Doc
		if name != "streamEvents" {
			w.query(&b, name, doc)
		}
		w.need(openapi.Dig(doc, "requestBody"))
		for status, answer := range openapi.Dig(doc, "responses") {
			if strings.HasPrefix(status, "2") {
				w.need(answer)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.needed)) {
		w.schema(&b, name, openapi.Dig(w.schemas, name))
	}
	b.WriteString("\n/** Codes of the server's errors; docs/errors.md says what each means. */\nexport type CommsErrorCode =")
	codes := comm.Codes()
	for _, c := range codes {
		fmt.Fprintf(&b, "\n  | %q", c.Code)
	}
	b.WriteString(";\n")
	return b.String()
}

// typeWriter writes JSON Schema as TypeScript.
type typeWriter struct {
	schemas map[string]any
	needed  map[string]bool
}

// renamed are schemas whose names stand for something else in TypeScript.
var renamed = map[string]string{"Event": "TimelineEvent", "Status": "MessageStatus"}

// need notes every schema that is referred to from here.
func (w *typeWriter) need(v any) {
	switch v := v.(type) {
	case map[string]any:
		if name := openapi.Named(v); name != "" && !w.needed[name] {
			w.needed[name] = true
			w.need(w.schemas[name])
		}
		for _, inner := range v {
			w.need(inner)
		}
	case []any:
		for _, inner := range v {
			w.need(inner)
		}
	}
}

func (w *typeWriter) query(b *strings.Builder, operation string, doc map[string]any) {
	var members strings.Builder
	parameters, _ := doc["parameters"].([]any)
	for _, p := range parameters {
		p := p.(map[string]any)
		if p["in"] != "query" {
			continue
		}
		w.need(p)
		schema := openapi.Dig(p, "schema")
		required, _ := p["required"].(bool)
		described, _ := p["description"].(string)
		described = strings.ReplaceAll(described, " Escape + as %2B, or leave it out.", "") // the client escapes
		w.member(&members, p["name"].(string), schema, required, described, true, "  ")
	}
	if members.Len() > 0 {
		fmt.Fprintf(b, "\n/** Query of %s. */\nexport interface %s%sQuery {\n%s}\n", operation, strings.ToUpper(operation[:1]), operation[1:], members.String())
	}
}

func (w *typeWriter) schema(b *strings.Builder, name string, schema map[string]any) {
	b.WriteByte('\n')
	comment(b, schema["description"], "")
	// What is only sent may hold dates as such, and bytes.
	sent := name == "Attachment" || strings.HasPrefix(name, "New") && name != "NewWebhookAnswer" || strings.HasSuffix(name, "Change") || name == "Replay"
	if renamed[name] != "" {
		name = renamed[name]
	}
	if _, ok := schema["properties"]; !ok {
		fmt.Fprintf(b, "export type %s = %s;\n", name, w.of(schema, sent, ""))
		return
	}
	fmt.Fprintf(b, "export interface %s %s\n", name, w.object(schema, sent, ""))
}

func (w *typeWriter) object(schema map[string]any, sent bool, indent string) string {
	var b strings.Builder
	b.WriteString("{\n")
	required, _ := schema["required"].([]any)
	properties := openapi.Dig(schema, "properties")
	names := slices.Sorted(maps.Keys(properties))
	// Those that are always there come first, in the order of the contract.
	slices.SortStableFunc(names, func(a, b string) int { return place(required, a) - place(required, b) })
	for _, name := range names {
		inner, _ := properties[name].(map[string]any)
		described, _ := inner["description"].(string)
		w.member(&b, name, inner, slices.Contains(required, any(name)), described, sent, indent+"  ")
	}
	if schema["additionalProperties"] == true {
		b.WriteString(indent + "  [member: string]: unknown;\n")
	}
	b.WriteString(indent + "}")
	return b.String()
}

func place(required []any, name string) int {
	if i := slices.Index(required, any(name)); i >= 0 {
		return i
	}
	return len(required)
}

func (w *typeWriter) member(b *strings.Builder, name string, schema map[string]any, required bool, described string, sent bool, indent string) {
	if value, ok := schema["default"]; ok {
		given, err := json.Marshal(value)
		if err == nil {
			described = strings.TrimSpace(described + " Default: " + string(given) + ".")
		}
	}
	comment(b, described, indent)
	mark, undefined := "", ""
	if !required {
		mark, undefined = "?", " | undefined"
	}
	fmt.Fprintf(b, "%s%s%s: %s%s;\n", indent, name, mark, w.of(schema, sent, indent), undefined)
}

func comment(b *strings.Builder, described any, indent string) {
	if text, _ := described.(string); text != "" {
		fmt.Fprintf(b, "%s/** %s */\n", indent, strings.ReplaceAll(text, "*/", "*\\/"))
	}
}

// of is the type of a schema.
func (w *typeWriter) of(schema map[string]any, sent bool, indent string) string {
	if name := openapi.Named(schema); name != "" {
		if name == "Id" {
			return "string"
		}
		if renamed[name] != "" {
			return renamed[name]
		}
		return name
	}
	if values, ok := schema["enum"].([]any); ok {
		var out []string
		for _, v := range values {
			if text, ok := v.(string); ok {
				out = append(out, strconv.Quote(text))
			} else {
				out = append(out, "null")
			}
		}
		return strings.Join(out, " | ")
	}
	if either, ok := schema["anyOf"].([]any); ok {
		var out []string
		for _, one := range either {
			out = append(out, w.of(one.(map[string]any), sent, indent))
		}
		return strings.Join(out, " | ")
	}
	kinds, ok := schema["type"].([]any)
	if !ok {
		kinds = []any{schema["type"]}
	}
	var out []string
	for _, kind := range kinds {
		out = append(out, w.kind(kind.(string), schema, sent, indent))
	}
	return strings.Join(out, " | ")
}

func (w *typeWriter) kind(kind string, schema map[string]any, sent bool, indent string) string {
	switch kind {
	case "integer", "number":
		return "number"
	case "string":
		switch {
		case sent && schema["format"] == "date-time":
			return "string | Date"
		case sent && schema["contentEncoding"] == "base64":
			return "string | Uint8Array"
		}
		return "string"
	case "array":
		of := w.of(openapi.Dig(schema, "items"), sent, indent)
		if strings.Contains(of, " | ") {
			of = "(" + of + ")"
		}
		return of + "[]"
	case "object":
		if openapi.Dig(schema, "properties") != nil {
			return w.object(schema, sent, indent)
		}
		if of := openapi.Dig(schema, "additionalProperties"); of != nil {
			return "Record<string, " + w.of(of, sent, indent) + ">"
		}
		return "Record<string, unknown>"
	}
	return kind
}

// TestTypesAreTheContracts: a schema that the generator does not understand would be written as something wrong.
func TestTypesAreTheContracts(t *testing.T) {
	t.Parallel()
	text := types(t)
	for _, want := range []string{
		"export interface NewMessage {\n  channel: Channel;\n", "scheduledAt?: string | Date | undefined;", "  content: string | Uint8Array;",
		`export type MessageStatus = "QUEUED" | "SENDING" | "SENT" | "DELIVERED" | "FAILED" | "SUPPRESSED" | "CANCELLED";`,
		"  createdAt: string | null;", `  | "idempotency_key_reused"`, "export interface ListMessagesQuery {",
	} {
		if !bytes.Contains([]byte(text), []byte(want)) {
			t.Errorf("not there: %s", want)
		}
	}
	if strings.Contains(text, "<nil>") || strings.Contains(text, "interface Error ") {
		t.Error("a schema was not understood")
	}
}
