package all_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
)

var update = flag.Bool("update", false, "write the generated documents")

// Marks of what is generated within a page; the rest is written by hand.
const (
	folder     = "../../../docs/"
	beginTypes = "<!-- generated: the types; run make docs -->\n"
	beginField = "<!-- generated: the fields; run make docs -->\n"
	end        = "<!-- end of what is generated -->\n"
)

// TestDocsAreCurrent keeps the tables of docs/providers.md and of the page of each type true: they are generated from the adapters' fields.
func TestDocsAreCurrent(t *testing.T) {
	current(t, "providers.md", beginTypes, types())
	for _, a := range all.Adapters() {
		current(t, pageOf(&a), beginField, fields(&a))
	}
}

func pageOf(a *provider.Adapter) string { return "providers/" + strings.ToLower(a.Type) + ".md" }

// current holds what stands between the marks of a page against what should.
func current(t *testing.T, page, begin, want string) {
	t.Helper()
	got, err := os.ReadFile(folder + page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(got), begin)
	_, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("docs/%s has lost the marks of what is generated", page)
	}
	whole := head + begin + want + end + tail
	if *update {
		if err := os.WriteFile(folder+page, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(got) != whole {
		t.Errorf("docs/%s is stale; run: make docs", page)
	}
}

func types() string {
	var b strings.Builder
	b.WriteString("\n| type | provider | channel | this version sends with it | reports to a callback URL | a repeat is taken only once |\n|---|---|---|---|---|---|\n")
	for _, a := range all.Adapters() {
		fmt.Fprintf(&b, "| [`%s`](%s) | %s | %s | %s | %s | %s |\n", a.Type, pageOf(&a), a.Title, a.Channel, yes(a.Open != nil), yes(a.Reports()), once(a.RepeatFor))
	}
	b.WriteString("\n")
	return b.String()
}

func fields(a *provider.Adapter) string {
	var b strings.Builder
	b.WriteString("\n| field | value | about |\n|---|---|---|\n")
	for _, f := range a.Fields {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, value(&f), f.Help)
	}
	b.WriteString("\n")
	return b.String()
}

// once says for how long after the first attempt.
func once(d time.Duration) string {
	if d == 0 {
		return yes(false)
	}
	return fmt.Sprintf("for %d hours", d/time.Hour)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func value(f *provider.Field) string {
	text := map[provider.FieldKind]string{
		provider.Text: "text", provider.Int: "whole number", provider.Bool: "true or false", provider.Host: "host name", provider.URL: "https URL",
		provider.Mailbox: "email address, with or without a name", provider.Token: "ASCII without spaces", provider.SenderID: "sender id",
	}[f.Kind]
	switch f.Kind {
	case provider.Int:
		text += fmt.Sprintf(", %d to %d", f.Min, f.Max)
	case provider.Text, provider.Token:
		text += fmt.Sprintf(", up to %d bytes", f.Max)
	}
	if f.Required {
		text += "; required"
	}
	if f.Secret {
		text += "; secret"
	}
	if f.Default != "" {
		text += "; usually `" + f.Default + "`"
	}
	return text
}
