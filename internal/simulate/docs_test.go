package simulate

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents")

// page is written by hand but for the tables between its marks.
const page = "../../docs/simulate.md"

// TestDocsAreCurrent keeps the tables of docs/simulate.md true.
func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := string(raw)
	for name, table := range map[string]string{"faults": faultTable(), "recipients": recipientTable(), "errors": errorTable()} {
		begin, end := "<!-- generated: the "+name+"; run make docs -->\n", "<!-- end of the "+name+" -->\n"
		head, rest, ok := strings.Cut(want, begin)
		_, tail, found := strings.Cut(rest, end)
		if !ok || !found {
			t.Fatalf("%s has lost the marks of the %s", page, name)
		}
		want = head + begin + "\n" + table + "\n" + end + tail
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(raw) != want {
		t.Errorf("%s is stale; run: make docs", page)
	}
}

func faultTable() string {
	var b strings.Builder
	b.WriteString("| fault | fields | what happens | at a mail relay |\n|---|---|---|---|\n")
	for _, f := range Faults() {
		fields := ""
		if len(f.Takes) > 0 {
			fields = "`" + strings.Join(f.Takes, "`, `") + "`"
		}
		relay := f.SMTP
		if f.Report {
			relay = "nothing: it sends no reports"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Fault, fields, f.Meaning, relay)
	}
	return b.String()
}

func recipientTable() string {
	var b strings.Builder
	b.WriteString("| email | SMS | what happens |\n|---|---|---|\n")
	for _, f := range FixedRecipients() {
		fmt.Fprintf(&b, "| `%s@%s` | `%s` | %s |\n", f.Name, FixedDomain, f.Number, f.Meaning)
	}
	return b.String()
}

func errorTable() string {
	var b strings.Builder
	b.WriteString("| type | error | status | says | class |\n|---|---|---|---|---|\n")
	for _, r := range Refusals() {
		fmt.Fprintf(&b, "| %s | `%s` | %d | %s | %s |\n", r.Type, r.Name, r.Status, r.Text, r.Class)
	}
	return b.String()
}
