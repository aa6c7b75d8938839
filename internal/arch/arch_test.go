package arch

import (
	"strings"
	"testing"
)

// rules is every check of one package.
func rules() map[string]func(pkg) []string {
	return map[string]func(pkg) []string{
		"imports":  checkImports,
		"names":    checkNames,
		"comments": checkComment,
		"state":    checkState,
		"dials":    checkDials,
		"sizes": func(p pkg) []string {
			bad, _, _ := checkSizes(p)
			return bad
		},
	}
}

func TestHouse(t *testing.T) {
	t.Parallel()
	all := tree(t)
	if len(all) < 3 {
		t.Fatalf("only %d packages were found: the tree was not read", len(all))
	}
	for name, check := range rules() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range all {
				for _, line := range check(p) {
					t.Error(line)
				}
			}
		})
	}
}

// TestAims reports how much is longer than aimed at; it fails for nothing.
func TestAims(t *testing.T) {
	t.Parallel()
	files, functions := 0, 0
	for _, p := range tree(t) {
		_, moreFiles, moreFunctions := checkSizes(p)
		files += moreFiles
		functions += moreFunctions
	}
	t.Logf("%d files are longer than %d lines, %d functions longer than %d", files, fileAim, functions, functionAim)
}

// TestExceptionsAreNeeded keeps the lists of exceptions short.
func TestExceptionsAreNeeded(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, p := range tree(t) {
		for _, f := range p.files {
			known[f.path] = f.lines > fileLimit
		}
	}
	for path := range longFiles() {
		if !known[path] {
			t.Errorf("%s stands in longFiles(), but is short enough or gone: take it off", path)
		}
	}
}

// TestRulesFindWhatTheyForbid plants each mistake, because a rule that finds
// nothing looks the same as a clean tree.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	t.Parallel()
	const comment = "// Package x is a package whose comment is long enough to pass, because it says what it is for and what it does not do.\n"
	long := "package x\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", 99) + "}\n"
	tests := []struct {
		name, rule, path, source string
		want                     string // "" = allowed
	}{
		{"no floor", "imports", "internal/cellar/x.go", `package x`, "has no floor"},
		{"engine to engine", "imports", "internal/intake/x.go", `package x; import _ "` + module + `/internal/dispatch"`, "engines never import each other"},
		{"engine to adapter", "imports", "internal/dispatch/x.go", `package x; import _ "` + module + `/internal/provider/smtp"`, "only internal/app knows"},
		{"door to adapter", "imports", "internal/httpapi/x.go", `package x; import _ "` + module + `/internal/store/sqlite"`, "only internal/app knows"},
		{"cli to adapter", "imports", "internal/cli/x.go", `package x; import _ "` + module + `/internal/store/sqlite"`, "only internal/app knows"},
		{"app to adapter", "imports", "internal/app/x.go", `package x; import _ "` + module + `/internal/store/sqlite"`, ""},
		{"upwards", "imports", "internal/store/x.go", `package x; import _ "` + module + `/internal/auth"`, "imports go down only"},
		{"same floor", "imports", "internal/sms/x.go", `package x; import _ "` + module + `/internal/pace"`, "both stand on floor 0"},
		{"tools know no words", "imports", "internal/sms/x.go", `package x; import _ "` + module + `/internal/comm"`, "both stand on floor 0"},
		{"words for floor 1", "imports", "internal/chain/x.go", `package x; import _ "` + module + `/internal/comm"`, ""},
		{"words import nothing", "imports", "internal/comm/x.go", `package x; import _ "` + module + `/internal/sms"`, "the vocabulary imports nothing"},
		{"words and waiting", "imports", "internal/comm/x.go", `package x; import _ "context"`, "does no I/O"},
		{"words and files", "imports", "internal/comm/x.go", `package x; import _ "os"`, "does no I/O"},
		{"words and addresses", "imports", "internal/comm/x.go", `package x; import _ "net/netip"`, ""},
		{"family", "imports", "internal/store/sqlite/x.go", `package x; import _ "` + module + `/internal/store/sqlstore"`, ""},
		{"adapter of another family", "imports", "internal/store/sqlite/x.go", `package x; import _ "` + module + `/internal/provider/smtp"`, "only internal/app knows"},
		{"client alone", "imports", "client/x.go", `package x; import _ "` + module + `/internal/comm"`, "stands alone"},
		{"client and a library", "imports", "client/x.go", `package x; import _ "golang.org/x/net/idna"`, "standard library only"},
		{"product and test code", "imports", "internal/app/x.go", `package x; import _ "` + module + `/test/pgtest"`, "nothing that is shipped"},
		{"test and test code", "imports", "internal/store/postgres/x_test.go", `package x; import _ "` + module + `/test/pgtest"`, ""},
		{"test opens a store", "imports", "internal/dispatch/x_test.go", `package x; import _ "` + module + `/internal/store/sqlite"`, ""},
		{"test opens an adapter", "imports", "internal/dispatch/x_test.go", `package x; import _ "` + module + `/internal/store/postgres"`, "only internal/app knows"},
		{"unknown library", "imports", "internal/app/x.go", `package x; import _ "example.com/x"`, "no such library"},
		{"library elsewhere", "imports", "internal/intake/x.go", `package x; import _ "github.com/jackc/pgx/v5/pgxpool"`, "belongs to internal/store/postgres"},
		{"library of tests", "imports", "internal/intake/x.go", `package x; import _ "pgregory.net/rapid"`, "no such library"},
		{"predictable secrets", "imports", "internal/apikey/x.go", `package x; import _ "math/rand/v2"`, "can be predicted"},
		{"jitter", "imports", "internal/dispatch/x.go", `package x; import _ "math/rand/v2"`, ""},

		{"bucket", "names", "internal/store/util/x.go", `package util`, "attracts everything"},
		{"bucket by declaration", "names", "internal/store/x/x.go", `package helpers`, "attracts everything"},
		{"a noun", "names", "internal/store/x.go", `package store`, ""},

		{"no comment", "comments", "internal/sms/x.go", `package x`, "0 package comments"},
		{"short comment", "comments", "internal/sms/x.go", "// Package x is x.\npackage x", "must begin with"},
		{"comment of another", "comments", "internal/sms/x.go", strings.Replace(comment, "x", "y", 1) + "package x", "must begin with"},
		{"good comment", "comments", "internal/sms/x.go", comment + "package x", ""},

		{"init", "state", "internal/sms/x.go", `package x; func init() {}`, "behind the reader's back"},
		{"method called init", "state", "internal/sms/x.go", `package x; type t int; func (t) init() {}`, ""},
		{"assigned", "state", "internal/sms/x.go", `package x; var v int; func f() { v = 1 }`, "v changes after the start"},
		{"counted", "state", "internal/sms/x.go", `package x; var v int; func f() { v++ }`, "v changes after the start"},
		{"map written", "state", "internal/sms/x.go", `package x; var v = map[int]int{}; func f() { v[1] = 2 }`, "v changes after the start"},
		{"field written", "state", "internal/sms/x.go", `package x; var v struct{ a int }; func f() { v.a = 2 }`, "v changes after the start"},
		{"ranged over", "state", "internal/sms/x.go", `package x; var v int; func f() { for v = range 3 { } }`, "v changes after the start"},
		{"local of the same name", "state", "internal/sms/x.go", `package x; var v int; func f() { var v int; v = 1; _ = v }`, ""},
		{"parameter of the same name", "state", "internal/sms/x.go", `package x; var v int; func f(v int) { v = 1 }`, ""},
		{"blank", "state", "internal/sms/x.go", `package x; var _ int = 1; func f() { _ = 2 }`, ""},
		{"lock", "state", "internal/sms/x.go", `package x; import "sync"; var mu sync.Mutex`, "make it a field"},
		{"pool", "state", "internal/sms/x.go", `package x; import "sync"; var p sync.Pool`, ""},

		{"dial", "dials", "internal/webhook/x.go", `package x; import "net"; var _ = net.Dial`, "go through internal/guard"},
		{"default client", "dials", "internal/webhook/x.go", `package x; import "net/http"; var _ = http.DefaultClient`, "go through internal/guard"},
		{"client without transport", "dials", "internal/webhook/x.go", `package x; import "net/http"; var _ = &http.Client{Timeout: 1}`, "without a Transport"},
		{"client with transport", "dials", "internal/webhook/x.go", `package x; import "net/http"; var _ = &http.Client{Transport: nil}`, ""},
		{"certificates that nobody looks at", "dials", "internal/provider/smtp/x.go", `package x; import "crypto/tls"; var _ = tls.Config{InsecureSkipVerify: true}`, "always verified"},
		{"the same later", "dials", "internal/provider/smtp/x.go", `package x; import "crypto/tls"; func f(c *tls.Config) { c.InsecureSkipVerify = true }`, "always verified"},
		{"the guard dials", "dials", "internal/guard/x.go", `package x; import "net"; var _ = net.Dial`, ""},
		{"tests dial", "dials", "internal/webhook/x_test.go", `package x; import "net"; var _ = net.Dial`, ""},

		{"long function", "sizes", "internal/sms/x.go", long, "more than 100"},
		{"full function", "sizes", "internal/sms/x.go", strings.Replace(long, "\t_ = 1\n", "", 1), ""},
		{"long file", "sizes", "internal/sms/x.go", "package x\n" + strings.Repeat("\n", 600), "more than 600"},
		{"generated file", "sizes", "internal/sms/x.go", "// Code generated by x. DO NOT EDIT.\n\npackage x\n" + strings.Repeat("\n", 600), ""},
		{"long test", "sizes", "internal/sms/x_test.go", "package x\n" + strings.Repeat("\n", 1000), "more than 1000"},
	}
	for _, tt := range tests {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			packages, err := parse(map[string]string{tt.path: tt.source})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(rules()[tt.rule](packages[0]), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the rule says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestVariableOfAnotherFileIsSeen(t *testing.T) {
	t.Parallel()
	packages, err := parse(map[string]string{
		"internal/sms/a.go": `package x; var v int`,
		"internal/sms/b.go": `package x; func f() { v = 1 }`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := checkState(packages[0]); len(got) != 1 || !strings.Contains(got[0], "internal/sms/b.go:1") {
		t.Errorf("the rule says %q", got)
	}
}
