package comm

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents")

// TestDocsAreCurrent keeps docs/states.md true: it is generated from the tables of this package.
func TestDocsAreCurrent(t *testing.T) {
	for path, want := range map[string]string{"../../docs/states.md": statesDoc()} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is stale; run: make docs", path)
		}
	}
}

func statesDoc() string {
	var b strings.Builder
	b.WriteString("# States of a message\n\nGenerated from `internal/comm/state.go`; a test fails when this page is stale. The API accepts work; the worker and the provider decide what becomes of it. `SENT` says that a provider accepted the message, `DELIVERED` that it reported the arrival, which needs a\nprovider that [reports](providers.md#the-types). Ask with `GET /api/v1/messages/{id}` when a page shows the state of now, and use [webhooks](webhooks.md) for everything else. Any change that is not listed is a bug.\n\n```mermaid\nstateDiagram-v2\n")
	type pair struct{ from, to Status }
	causes := map[pair][]string{}
	var order []pair
	for _, e := range Edges() {
		p := pair{e.From, e.To}
		if causes[p] == nil {
			order = append(order, p)
		}
		causes[p] = append(causes[p], e.Cause.String())
	}
	for _, p := range order {
		from := p.from.String()
		if p.from == None {
			from = "[*]"
		}
		fmt.Fprintf(&b, "  %s --> %s: %s\n", from, p.to, strings.Join(causes[p], ", "))
	}
	b.WriteString("```\n\n| state | meaning |\n|---|---|\n")
	for _, s := range [][2]string{
		{"QUEUED", "accepted; waits for its time, its retry or its turn"},
		{"SENDING", "one node has stored the start of an attempt; a provider call may be running"},
		{"SENT", "a provider accepted it (the sandbox logger: `providerName: \"sandbox\"`)"},
		{"DELIVERED", "a provider's report says that it arrived ([some recipients](sandbox.md#recipients-with-a-fixed-outcome) of the sandbox have it reported)"},
		{"FAILED", "refused for good, retries exhausted, expired, or outcome unknown under policy FAIL; RETRY may reopen it"},
		{"SUPPRESSED", "the recipient is on the app's opt-out list; no provider call was made after the check"},
		{"CANCELLED", "cancelled before any provider could have accepted it; RETRY may reopen it"},
	} {
		fmt.Fprintf(&b, "| `%s` | %s |\n", s[0], s[1])
	}
	b.WriteString("\n| # | from | to | event | who | guard |\n|---|---|---|---|---|---|\n")
	for _, e := range Edges() {
		from := e.From.String()
		if e.From == None {
			from = "-"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` | %s | %s |\n", e.Name, from, e.To, e.Cause, e.Who, e.Guard)
	}
	b.WriteString("\nEvents that change no state:")
	changing := map[Cause]bool{}
	for _, e := range Edges() {
		changing[e.Cause] = true
	}
	sep := " "
	for _, c := range Causes() {
		if !changing[c] {
			b.WriteString(sep + "`" + c.String() + "`")
			sep = ", "
		}
	}
	b.WriteString("; and `attempt_started` of the next provider of a round, from SENDING to SENDING.\n")
	return b.String()
}
