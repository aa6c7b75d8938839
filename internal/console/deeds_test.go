package console

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// TestFormsAreNamedOneByOne: every form of the table has its path, and each thing that one route does.
func TestFormsAreNamedOneByOne(t *testing.T) {
	t.Parallel()
	got := Forms()
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
	areWhole(t, userDeeds())
	areWhole(t, endpointDeeds())
	areWhole(t, messageDeeds())
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
