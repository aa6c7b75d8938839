package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCountsRealRuns runs `go test -json` on small modules, because the format that
// matters is the one the installed Go writes.
func TestCountsRealRuns(t *testing.T) {
	t.Parallel()
	const passing = `func TestOne(t *testing.T) {}
func TestParent(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) {}) }`
	tests := []struct {
		name, body string
		want       string
		ok         bool
		shows      []string
	}{
		{"all pass, parents do not count", passing, "3 passed, 0 failed", true, []string{"ok    m"}},
		{"a subtest fails", `func TestParent(t *testing.T) { t.Run("a", func(t *testing.T) { t.Error("oh no") }); t.Run("b", func(t *testing.T) {}) }`,
			"1 passed, 1 failed", false, []string{"--- TestParent/a", "oh no"}},
		{"a parent fails by itself", `func TestParent(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Error("itself") }`,
			"1 passed, 1 failed", false, []string{"--- TestParent\n", "itself"}},
		{"skipped ones are told", `func TestSkip(t *testing.T) { t.Skip() }
func TestOne(t *testing.T) {}`, "1 passed, 0 failed, 1 skipped", true, nil},
		{"a panic", `func TestOne(t *testing.T) {}
func TestPanic(t *testing.T) { panic("boom") }`, "1 passed, 1 failed", false, []string{"boom"}},
		{"an exit outside a test", passing + `
func TestMain(m *testing.M) { m.Run(); println("leak found"); os.Exit(1) }`, "3 passed, 1 failed", false, []string{"FAIL  m"}},
		{"an exit inside a test", `func TestOne(t *testing.T) { os.Exit(3) }`, "0 passed, 1 failed", false, []string{"TestOne did not end", "FAIL\tm"}},
		{"a time-out", `func TestOne(t *testing.T) { select {} }`, "0 passed, 1 failed", false, []string{"panic: test timed out"}},
		{"does not build", `func TestOne(t *testing.T) { missing() }`, "0 passed, 1 failed", false, []string{"does not build", "undefined: missing"}},
		{"no test at all", ``, "0 passed, 0 failed", false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "go.mod", "module m\n\ngo 1.26\n")
			write(t, dir, "m_test.go", "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\nvar _ *testing.T\n\n"+tt.body+"\n")
			var out bytes.Buffer
			ok, err := run(t.Context(), []string{"--", "go", "test", "-C", dir, "-json", "-timeout", "3s", "./..."}, &out)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tt.ok || !strings.HasSuffix("\n"+out.String(), "\n"+tt.want+"\n") {
				t.Errorf("ok = %v, want %v and %q at the end of:\n%s", ok, tt.ok, tt.want, out.String())
			}
			for _, text := range tt.shows {
				if !strings.Contains(out.String(), text) {
					t.Errorf("no %q in:\n%s", text, out.String())
				}
			}
		})
	}
}

// TestTheSlowestAreNamed: those that take five seconds or more, the slowest first, and no subtest.
func TestTheSlowestAreNamed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newCounter(&out)
	for test, seconds := range map[string]float64{"TestQuick": 4.9, "TestSlow": 5, "TestSlower": 60.25, "TestSlower/sub": 60} {
		c.add(event{Action: "pass", Package: "m", Test: test, Elapsed: seconds})
	}
	c.showSlowest()
	if want := "the slowest tests:\n   60.2s  TestSlower  m\n    5.0s  TestSlow  m\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestACommandThatCannotRunIsAFailure(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no command": nil, "missing program": {"--", "no-such-program"}, "wrong flag": {"--", "go", "test", "-json", "-no-such-flag"},
	} {
		var out bytes.Buffer
		if ok, _ := run(t.Context(), args, &out); ok {
			t.Errorf("%s counts as success: %s", name, out.String())
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	got := fmt.Sprint(split([]string{"--", "a", "b", "--", "c", "--"}))
	if got != "[[a b] [c]]" {
		t.Errorf("split = %s", got)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
