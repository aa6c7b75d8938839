package arch

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lines is how many requirements docs/security.md goes through.
const lines = 66

// TestEverySecurityLineHasATest holds docs/security.md against the tree: each requirement is
// there once, and every test that it names exists; one without a test says why.
func TestEverySecurityLineHasATest(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tools, err := readModule("../../tools", "tools/") // a module of its own, whose tests make check runs
	if err != nil {
		t.Fatal(err)
	}
	known := testNames(slices.Concat(tree(t), tools))
	if len(known) < 30 {
		t.Fatalf("only %d packages with tests were found", len(known))
	}
	for _, wrong := range checkSecurity(string(page), known) {
		t.Error(wrong)
	}
}

// TestSecurityCheckFinds proves the check on pages that are wrong.
func TestSecurityCheckFinds(t *testing.T) {
	t.Parallel()
	page := func(change func(n int) string) string {
		var b strings.Builder
		for n := 1; n <= lines; n++ {
			b.WriteString(change(n))
		}
		return b.String()
	}
	row := func(n int, proof string) string { return fmt.Sprintf("| S%d | what | %s |\n", n, proof) }
	known := map[string]map[string]bool{"internal/x": {"TestA": true}}
	good := func(n int) string { return row(n, "`internal/x` TestA") }
	if wrong := checkSecurity(page(good), known); len(wrong) != 0 {
		t.Errorf("a good page: %v", wrong)
	}
	for name, last := range map[string]string{
		"missing": "", "twice": good(lines) + good(lines), "no such test": row(lines, "`internal/x` TestB"), "no such package": row(lines, "`internal/y` TestA"), "no proof": row(lines, ""),
		"a word only": row(lines, "sure"), "too many": good(lines) + good(lines+1), "no reason": row(lines, "not built yet"), "a package without a test": row(lines, "`internal/x`"), "a test without a package": row(lines, "TestA"),
	} {
		wrong := checkSecurity(page(func(n int) string {
			if n == lines {
				return last
			}
			return good(n)
		}), known)
		if len(wrong) != 1 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

// testNames are the tests and fuzz targets of each package.
func testNames(all []pkg) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, p := range all {
		for _, f := range p.files {
			for _, d := range f.syntax.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !f.test || !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
					continue
				}
				if out[p.path] == nil {
					out[p.path] = map[string]bool{}
				}
				out[p.path][fn.Name.Name] = true
			}
		}
	}
	return out
}

var (
	securityRow = regexp.MustCompile(`(?m)^\| S(\d+) \|(.*)\|(.*)\|$`)
	proofWord   = regexp.MustCompile("`([a-z0-9/]+)`|\\b((?:Test|Fuzz)[A-Z]\\w*)")
	notBuilt    = regexp.MustCompile(`not built yet: \w+`)
)

// checkSecurity lists what is wrong with the page. A proof is a package in backquotes and the names of its tests.
func checkSecurity(page string, known map[string]map[string]bool) (wrong []string) {
	seen := map[string]int{}
	for _, row := range securityRow.FindAllStringSubmatch(page, -1) {
		number, proof := "S"+row[1], row[3]
		seen[number]++
		tests, folder, unnamed := 0, "", false
		for _, word := range proofWord.FindAllStringSubmatch(proof, -1) {
			switch {
			case word[1] != "":
				unnamed = unnamed || folder != "" && tests == 0
				folder = word[1]
			case folder == "":
				unnamed = true
			case !known[folder][word[2]]:
				wrong = append(wrong, fmt.Sprintf("%s: there is no %s in %s", number, word[2], folder))
				tests++
			default:
				tests++
			}
		}
		if unnamed || tests == 0 && !notBuilt.MatchString(proof) {
			wrong = append(wrong, number+" names no test, or a test without its package, and does not say what is not built yet")
		}
	}
	for n := 1; n <= lines; n++ {
		number := fmt.Sprintf("S%d", n)
		if seen[number] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s stands %d times on the page", number, seen[number]))
		}
		delete(seen, number)
	}
	for number := range seen {
		wrong = append(wrong, number+" is not a requirement")
	}
	return wrong
}
