package sqltext

import (
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// TestSQLFromDataIsFound runs the analyzer over planted examples: each line with a want comment must be reported, and
// no other. Package upper imports lower, so that what is found out about one package reaches the next.
func TestSQLFromDataIsFound(t *testing.T) {
	found := 0
	for _, r := range analysistest.Run(reports{t}, analysistest.TestData(), Analyzer, module+"/internal/lower", module+"/internal/upper", module+"/internal/store/sqlstore") {
		found += len(r.Diagnostics)
	}
	if found < 40 {
		t.Errorf("only %d places were found", found)
	}
}

// reports are the reports alone: what packages tell each other shows in them.
type reports struct{ *testing.T }

func (r reports) Errorf(format string, args ...any) {
	r.Helper()
	if len(args) < 2 || !strings.Contains(format, "unexpected %s") || args[1] != "fact" {
		r.T.Errorf(format, args...)
	}
}
