package browser

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/test/browser/staged"
)

// TestActs does everything that the console's forms do, by the table of acts.mjs, and holds what was sent and taken to the
// console's own table: a form that nobody sent fails.
func TestActs(t *testing.T) {
	need(t)
	w := scene.start(t)
	console(t, w)
	all := node.do(t, "acts", looked{World: w, Part: "console", Full: full()})
	all = append(all, release(t)...)
	report(t, all)
	for form, n := range taken(forms(t), all) {
		if n == 0 {
			t.Errorf("no act of acts.mjs sends %s, or the one that does is not well", form)
		}
	}
}

// release does the acts of restored servers: one server for each setting, as it is released once.
func release(t *testing.T) (all []verdict) {
	t.Helper()
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	settings := []string{"phone-light"}
	if full() {
		settings = append(settings, "phone-dark", "desktop-light", "desktop-dark")
	}
	for _, setting := range settings {
		w, err := staged.Restored(t.Context(), staged.Options{Program: path, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, node.do(t, "acts", looked{World: w, Part: "held", Full: full(), Only: setting})...)
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	}
	return all
}

// forms are the paths of the console's forms, as its own tables have them: a test there keeps the list.
func forms(t *testing.T) []string {
	t.Helper()
	all, err := os.ReadFile("../../internal/console/testdata/forms.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(all))
}

// taken counts how often each of the forms was sent and taken.
func taken(forms []string, all []verdict) map[string]int {
	counts := map[string]int{}
	mux := http.NewServeMux()
	for _, form := range forms {
		counts[form] = 0
		mux.HandleFunc("POST "+form, func(http.ResponseWriter, *http.Request) {})
	}
	for _, v := range all {
		for _, path := range v.Posts {
			if _, form := mux.Handler(httptest.NewRequest(http.MethodPost, path, nil)); form != "" {
				counts[form[len("POST "):]]++
			}
		}
	}
	return counts
}

// TestTakenCounts: a form that nobody sent is seen as such.
func TestTakenCounts(t *testing.T) {
	const pause, off = "/console/apps/{app}/do/pause", "/console/apps/{app}/do/off"
	all := forms(t)
	got := taken(all, []verdict{{Posts: []string{"/console/apps/shop/do/pause", "/console/new-app"}}, {Posts: []string{"/console/apps/bank/do/pause", "/console/nothing"}}})
	if _, known := got[off]; !known || got[pause] != 2 || got[off] != 0 || got["/console/new-app"] != 1 {
		t.Errorf("%v", got)
	}
	sent := 0
	for _, n := range got {
		sent += n
	}
	if sent != 3 || !slices.Contains(all, "/console/hold/release") || len(got) < 50 {
		t.Errorf("%d of %d forms: %v", sent, len(got), got)
	}
}

// TestRoles opens every page as people who may do less than the administrator: what they are offered is not refused, and where
// they may not go they are told what to do. It does whatever is offered, so its server is its own.
func TestRoles(t *testing.T) {
	need(t)
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	w, err := staged.Start(t.Context(), staged.Options{Program: path, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	console(t, w)
	report(t, node.do(t, "roles", looked{World: w, Full: true}))
}
