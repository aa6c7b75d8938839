package console

import (
	"flag"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/forms.txt and pages.txt again")

// forms are the paths that take forms, as http.ServeMux reads them, and gets those that can be opened: of a route that does several things one for each.
func forms() []string { return paths(http.MethodPost) }
func gets() []string  { return paths(http.MethodGet) }

func paths(method string) []string {
	words := map[string][]string{messagesPath: wordsOf(messageDeeds(time.Now())), appsPath: wordsOf(appDeeds()), providersPath: wordsOf(providerDeeds()), usersPath: wordsOf(userDeeds("")), webhooksPath: wordsOf(endpointDeeds())}
	var out []string
	for _, one := range (&Console{}).routes() {
		if one.method != method {
			continue
		}
		section, _, _ := strings.Cut(one.path, "/{")
		before, last := path.Split(one.path)
		if last != "{act}" && last != "{action}" {
			out = append(out, one.path)
			continue
		}
		for _, word := range words[section] {
			out = append(out, before+word)
		}
	}
	return out
}

func wordsOf[T any](all []deed[T]) (out []string) {
	for i := range all {
		out = append(out, all[i].Word)
	}
	return out
}

// TestFormsAreListed holds the list of forms to the tables. test/browser reads it: a form of it that no act there sends fails.
func TestFormsAreListed(t *testing.T) {
	t.Parallel()
	areListed(t, "testdata/forms.txt", forms())
}

// TestPagesAreListed holds the list of what can be opened to the tables. test/scale reads it: a page of it that is not measured there fails.
func TestPagesAreListed(t *testing.T) {
	t.Parallel()
	areListed(t, "testdata/pages.txt", gets())
}

func areListed(t *testing.T, file string, paths []string) {
	t.Helper()
	want := strings.Join(paths, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the tables say; write it again with -update. It should be\n%s", file, want)
	}
}

// TestFormsAreNamedOneByOne: every form of the table has its path, and each thing that one route does.
func TestFormsAreNamedOneByOne(t *testing.T) {
	t.Parallel()
	got := forms()
	for _, want := range []string{Root + "/sign-in", messagesPath + "/{id}/retry", messagesPath + "/bulk", appsPath + "/{app}/do/pause", providersPath + "/{id}/do/callback", usersPath + "/{id}/do/password", webhooksPath + "/{app}/{id}/do/delete", templatesPath + "/{app}/{id}"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among %v", want, got)
		}
	}
	for _, one := range got {
		if strings.Contains(one, "{act") {
			t.Errorf("nobody says what %s does", one)
		}
	}
	posts := 0
	for _, one := range (&Console{}).routes() {
		if one.method != "GET" {
			posts++
		}
		before, last := path.Split(one.path)
		if one.method == "POST" && strings.HasPrefix(last, "{act") && !slices.ContainsFunc(got, func(form string) bool { return strings.HasPrefix(form, before) }) {
			t.Errorf("nobody says what %s does", one.path)
		}
	}
	if len(got) <= posts {
		t.Errorf("%d forms of %d routes", len(got), posts)
	}
}

// TestDeedsAreWhole: each can be asked for, done and told of, and none is named twice.
func TestDeedsAreWhole(t *testing.T) {
	t.Parallel()
	areWhole(t, appDeeds())
	areWhole(t, providerDeeds())
	areWhole(t, userDeeds(""))
	areWhole(t, endpointDeeds())
	areWhole(t, messageDeeds(time.Now()))
}

func areWhole[T any](t *testing.T, all []deed[T]) {
	t.Helper()
	seen := map[string]bool{}
	for _, d := range all {
		if seen[d.Word] || d.Name == "" || d.when == nil || !strings.HasSuffix(d.title, "?") || d.lead == "" || d.button == "" || (d.do == nil) == (d.shows == nil) || (d.done == "") != (d.shows != nil) {
			t.Errorf("the deed %q of %T is not whole", d.Word, d)
		}
		seen[d.Word] = true
	}
}
