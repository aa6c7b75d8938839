package browser

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/test/browser/staged"
)

// looked is what the driver needs to know of a server.
type looked struct {
	*staged.World
	Full     bool      `json:"full"`
	Part     string    `json:"part,omitempty"`
	Only     string    `json:"only,omitempty"` // a setting
	Paths    []string  `json:"paths,omitempty"`
	Start    []string  `json:"start,omitempty"`
	Below    string    `json:"below,omitempty"`
	Slugs    []string  `json:"slugs,omitempty"`
	Most     int       `json:"most,omitempty"`
	Fill     int       `json:"fill,omitempty"`
	Payloads []payload `json:"payloads,omitempty"`
}

// console ends a test where the program serves no console.
func console(t *testing.T, w *staged.World) {
	t.Helper()
	res, err := http.Get(w.URL + "/console/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		t.Fatal("this program serves no console")
	}
}

// TestDocsPages walks over the documentation's part of the table of pages.mjs: phone and desktop, light and dark.
func TestDocsPages(t *testing.T) {
	need(t)
	report(t, node.do(t, "pages", looked{World: scene.start(t), Part: "docs", Full: full()}))
}

// TestConsolePages walks over the console's part of it.
func TestConsolePages(t *testing.T) {
	need(t)
	w := scene.start(t)
	console(t, w)
	report(t, node.do(t, "pages", looked{World: w, Part: "console", Full: full()}))
}

// TestMessagePagesTellTheStory holds the message page of each staged failure to what a reader must be able to say who knows
// that page alone: the words that the command line has, what happens next, and whatever the page has beside them.
func TestMessagePagesTellTheStory(t *testing.T) {
	need(t)
	w := scene.start(t)
	console(t, w)
	l := looked{World: w}
	var stories []staged.Story
	for _, s := range w.Stories {
		if s.After > 30 && !full() {
			continue
		}
		if _, err := w.Await(t.Context(), &s); err != nil {
			t.Fatal(err)
		}
		stories = append(stories, s)
		l.Paths = append(l.Paths, "/console/messages/"+s.Message)
	}
	pages := node.do(t, "read", l)
	for i, s := range stories {
		t.Run(s.Name, func(t *testing.T) {
			text := strings.Join(strings.Fields(pages[i].Text), " ")
			for _, words := range slices.Concat(s.Says, s.Page, []string{"What happens next"}) {
				if words != "Next attempt:" && !strings.Contains(text, words) {
					t.Errorf("%s does not say %q:\n%s", pages[i].Path, words, text)
				}
			}
		})
	}
}

// TestFirstRun walks as a newcomer: from the key that the first start prints to the first message, by the three steps that
// the console greets with.
func TestFirstRun(t *testing.T) {
	need(t)
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	w, err := staged.First(t.Context(), staged.Options{Program: path, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	console(t, w)
	all := node.do(t, "firstRun", looked{World: w})
	for _, v := range all {
		t.Logf("%s: %s", v.Check, v.Detail)
	}
	report(t, all)
}

// report makes each verdict a subtest, by page, setting and check.
func report(t *testing.T, all []verdict) {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("nothing was looked at")
	}
	var order []string
	by := map[string][]verdict{}
	for _, v := range all {
		name := strings.ReplaceAll(v.Page, "/", "-") + "/" + v.Setting
		if by[name] == nil {
			order = append(order, name)
		}
		by[name] = append(by[name], v)
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			for _, v := range by[name] {
				t.Run(v.Check, func(t *testing.T) {
					if !v.OK {
						t.Error(v.Detail)
					}
				})
			}
		})
	}
}
