package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMessagesInTheDocsAreWritten keeps docs/logs.md true: every message of its table stands in the source, word for word.
func TestMessagesInTheDocsAreWritten(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	if err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range regexp.MustCompile(`(?m)^\| (?:INFO|WARN|ERROR) \| (.*?) \| (.*) \|$`).FindAllStringSubmatch(string(page), -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if n++; !strings.Contains(source.String(), `"`+m[1]+`"`) {
				t.Errorf("docs/logs.md names %q, and nobody writes it", m[1])
			}
		}
	}
	if n < 15 {
		t.Errorf("%d messages", n)
	}
}
