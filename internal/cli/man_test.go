package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestManualPages writes the pages as somebody would: each command has one, with its flags, and nothing that troff would take for something else.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	if got := run(t, nil, nil, "man", dir); got.code != exitOK {
		t.Fatalf("%d: %s", got.code, got.err)
	}
	control := regexp.MustCompile(`^\.(TH|SH|TP|PP|B|BR|I|nf|fi)( |$)`)
	pages := 0
	walk(newRoot(Streams{}), func(cmd *cobra.Command) {
		raw, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Fatal(err)
		}
		pages++
		page := string(raw)
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !control.MatchString(strings.TrimSpace(line)) {
				t.Errorf("%s: troff takes %q for a request", cmd.CommandPath(), line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
				t.Errorf("%s: %q is not ASCII", cmd.CommandPath(), line)
			}
		}
		plain := strings.NewReplacer(`\-`, "-", `\&`, "", `\e`, `\`).Replace(page)
		if !strings.Contains(plain, cmd.Short) || cmd.Runnable() && !cmd.HasSubCommands() && !strings.Contains(plain, cmd.UseLine()) {
			t.Errorf("%s: %s", cmd.CommandPath(), page)
		}
	})
	if files, err := os.ReadDir(dir); err != nil || len(files) < pages {
		t.Errorf("%d files for %d commands, %v", len(files), pages, err)
	}
}

func TestRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"get <id> --json":    `get <id> \-\-json`,
		`a\nb`:               `a\enb`,
		".TH of a line\n'x'": `\&.TH of a line` + "\n" + `\&'x'`,
		"bash|zsh …":         `bash|zsh \[u2026]`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got, want := quoted(`say "no"`), `"say \(dqno\(dq"`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
