package metrics

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents")

// TestDocsAreCurrent keeps docs/metrics.md true: it is generated from the table.
func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteDocs(&b); err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is stale; run: make docs", path)
	}
}

// Names keep Prometheus' conventions: the program's prefix, base units, _total for counters and nothing else.
func TestNamesKeepTheConventions(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^commserver(_[a-z]+)+$`)
	seen := map[string]bool{}
	for _, f := range Families() {
		switch {
		case seen[f.Name]:
			t.Errorf("%s stands there twice", f.Name)
		case !name.MatchString(f.Name):
			t.Errorf("%s is no name", f.Name)
		case (f.Kind == Counter) != strings.HasSuffix(f.Name, "_total"):
			t.Errorf("%s is a %s", f.Name, f.Kind)
		case (f.Kind == Histogram) != (len(f.Buckets) > 0):
			t.Errorf("%s: %d buckets", f.Name, len(f.Buckets))
		case strings.Contains(f.Name, "_ms") || strings.Contains(f.Name, "milli") || strings.Contains(f.Name, "_kb"):
			t.Errorf("%s: not a base unit", f.Name)
		case f.Help == "" || f.Group == "" || f.By == 0:
			t.Errorf("%s: %+v", f.Name, f)
		}
		seen[f.Name] = true
		for i := 1; i < len(f.Buckets); i++ {
			if f.Buckets[i] <= f.Buckets[i-1] {
				t.Errorf("%s: buckets %v", f.Name, f.Buckets)
			}
		}
	}
}
