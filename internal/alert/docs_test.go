package alert

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents")

// TestDocsAreCurrent keeps docs/alerts.md and the heads of docs/incidents true: they are generated from the table of kinds.
func TestDocsAreCurrent(t *testing.T) {
	current(t, "alerts.md", func(string) string { return doc() })
	for i := range kinds {
		k := &kinds[i]
		current(t, "incidents/"+k.Word+".md", func(page string) string {
			_, tail, ok := strings.Cut(page, end)
			if !ok || len(tail) < 200 {
				t.Errorf("docs/incidents/%s.md has lost its mark, or says nothing below it", k.Word)
			}
			return head(k) + end + tail
		})
	}
}

// end is the last line of what is generated in a page of docs/incidents; what to do, step by step, is written by hand below it.
const end = "<!-- end of what is generated -->\n"

func current(t *testing.T, page string, want func(page string) string) {
	t.Helper()
	path := "../../docs/" + page
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := want(string(got))
	if *update {
		if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(got) != whole {
		t.Errorf("%s is stale; run: make docs", path)
	}
}

func head(k *Kind) string {
	return fmt.Sprintf("<!-- Generated from internal/alert/kinds.go up to the mark; run make docs. -->\n\n# %s\n\nThe alert `%s`. %s\n\n| what | is |\n|---|---|\n| subject | %s |\n| told after | %s |\n| over after | %s |\n\n**First:** %s\n\n", k.Title, k.Word, k.Means, k.Subject, k.Hold, k.Calm, k.Do)
}

func doc() string {
	var b strings.Builder
	b.WriteString(`# Alerts

Generated from ` + "`internal/alert/kinds.go`" + `; a test fails when this page is stale.

The server tells its operator what is wrong, and when it is over, without any other system: by a webhook
(` + "`COMMS_ALERT_WEBHOOK_URL`" + `), by mail (` + "`COMMS_ALERT_EMAIL`" + `) and in a list (` + "`commserver alert list`, `GET /api/admin/alerts`" + `). Of all nodes the one that
leads does it; where no worker has run for half a minute, those of the role ` + "`api`" + `. There is one alert and one all-clear for each thing, however long it lasts; at most 50 of a kind are raised within an hour, the newest trouble first. What
lasts for a moment only is not told, and what is well for a moment only is not called over; ` + "`COMMS_ALERT_PATIENCE`" + ` makes both
shorter. A node that begins to lead waits four minutes longer with an all-clear.

What could not be told is tried again after 20 seconds, later every 15 minutes, until it is taken or over: an alert that nobody took has no all-clear. A
process that dies in the middle may tell twice, with the same ` + "`id`" + `.

## The webhook

One POST, answered 2xx; redirects are not followed, and private addresses need ` + "`COMMS_ALLOW_PRIVATE_TARGETS`" + `. With ` + "`COMMS_ALERT_WEBHOOK_SECRET`" + ` it is
signed as [webhooks](webhooks.md) are.

` + "```json\n")
	n := Note{ID: "alert_provider_down_cmx21tpylvu2ap8ipzpzyrbym_1782900000000000_raised", Alert: ProviderDown, State: Raised, Subject: "cmx21tpylvu2ap8ipzpzyrbym", Of: kinds[0].Of, App: "flowbase",
		Title: kinds[0].Title, Text: "The provider configuration \"first\" (SMTP, EMAIL) of the app flowbase does not work. …", Do: "Check the key, the balance and the permissions of the account on the provider's own pages. …", Page: "http://localhost:3008/docs/incidents/provider_down", SinceText: "2026-07-01T10:00:00.000Z"}
	sample, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err.Error()
	}
	b.Write(sample)
	b.WriteString("\n```\n\nThe all-clear has `state` `cleared`, the same `alert`, `subject` and `since`, a `clearedAt`, and neither `do` nor `page`.\n\n" +
		"## Mail\n\nThrough the server's own provider configurations (those of no app), by priority until one takes it, those last that are known not to work. Each has its share of the 15 seconds of a\n" +
		"try. After one that may have taken it (its answer is lost, or it answers 5xx over HTTP) the next one is tried, so that the mail may come twice; where nobody takes it, Resend is asked\n" +
		"again under the same key, and a mail server whose answer to the whole mail is lost counts as having taken it. It is no message of an app: it is stored nowhere, and when it\n" +
		"fails nothing is told of that. Where mail is what is down, only the webhook can say so: the log tells of each try, and the mail goes out when it can. The configurations are in the database, so while that is away no mail goes out either; the webhook needs none.\n\n## What there is\n")
	b.WriteString("\nEach has a page that says what it means and what to do, step by step.\n\n| alert | says | told after | over after |\n|---|---|---|---|\n")
	for i := range kinds {
		k := &kinds[i]
		fmt.Fprintf(&b, "| [`%s`](incidents/%s.md) | %s | %s | %s |\n", k.Word, k.Word, k.Title, k.Hold, k.Calm)
	}
	b.WriteString("\nAn outage of the database is told by the node that led last, from memory: should that process end meanwhile, there is no all-clear.\n")
	return b.String()
}

// TestKindsAreInTheContract: programs read the words.
func TestKindsAreInTheContract(t *testing.T) {
	b, err := os.ReadFile("../../api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Enum []any }
			}
		}
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	var words []any
	for _, k := range Kinds() {
		words = append(words, k.Word)
	}
	if got := c.Components.Schemas["Alert"].Properties["alert"].Enum; !slices.Equal(got, words) {
		t.Errorf("the contract has %v, want %v", got, words)
	}
}
