package cli

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/commserver/commserver/docs"
)

var shellFence = regexp.MustCompile("(?ms)^ *```sh[^\n]*\n(.*?)^ *```$")

// Command lines of the documentation are ones that the program understands.
func TestWrittenCommandsAreUnderstood(t *testing.T) {
	t.Parallel()
	understood := 0
	if err := fs.WalkDir(docs.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(docs.Files(), path)
		if err != nil {
			return err
		}
		for _, block := range shellFence.FindAllStringSubmatch(string(raw), -1) {
			for line := range strings.SplitSeq(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
				if _, command, ok := strings.Cut(" "+line, " commserver "); ok && !strings.HasPrefix(strings.TrimSpace(line), "#") {
					understood++
					understand(t, "docs/"+path+": "+line, command)
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if understood < 150 {
		t.Errorf("only %d command lines were found", understood)
	}
}

// understand parses what stands behind the program's name in a line.
func understand(t *testing.T, line, command string) {
	t.Helper()
	for _, end := range []string{" | ", " > ", " # "} {
		command, _, _ = strings.Cut(command, end)
	}
	if strings.Contains(line, " install -m ") {
		return // the program is a file there
	}
	command = strings.TrimPrefix(command, "/commserver ")                                // in the container of this name
	args := shellWords(regexp.MustCompile(`\$\([^)]*\)`).ReplaceAllString(command, "x")) // what another command answers is one word here
	found, rest, err := newRoot(Streams{}).Find(args)
	if err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if strings.Contains(line, "xargs") {
		return // its arguments come from there
	}
	if err := found.ValidateArgs(found.Flags().Args()); err != nil {
		t.Errorf("%q: %v", line, err)
	}
}
