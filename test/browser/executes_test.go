package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPayloadsRunWhereTheyCan shows payloads as a careless page would: most of them must be found there, each as what
// runs or as what it planted. Without that, a test that finds none would prove nothing.
func TestPayloadsRunWhereTheyCan(t *testing.T) {
	need(t)
	all := payloads()
	// The first is the page itself, the others are frames in it.
	careless := []string{
		"<!doctype html><title>x</title><p>%s",
		`<!doctype html><p title="%s">x`, `<!doctype html><p title='%s'>x`, "<!doctype html><p title=%s>x", `<!doctype html><title>%s</title>`, `<!doctype html><textarea>%s</textarea>`,
		`<!doctype html><iframe src="%s"></iframe>`, `<!doctype html><style>p{color:%s}</style><p>x`, `<!doctype html><p style="color:%s">x`,
		`<!doctype html><script>var x = '%s';</script>`, `<!doctype html><script>var x = "%s";</script>`, "<!doctype html><script>var x = `%s`;</script>",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, context, framed := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		n, err := strconv.Atoi(name)
		c, _ := strconv.Atoi(context)
		if err != nil || n < all[0].N || n >= all[0].N+len(all) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		text := all[n-all[0].N].Text
		if !framed {
			for i := range careless[1:] {
				_, _ = fmt.Fprintf(w, `<iframe src="/%d/%d"></iframe>`, n, i+1)
			}
			text += "</iframe>"
		}
		_, _ = fmt.Fprintf(w, careless[c], text)
	}))
	defer srv.Close()
	var start []string
	for i := range all {
		if i%19 == 0 || full() { // each class has a few
			start = append(start, fmt.Sprint("/", all[i].N))
		}
	}
	found := map[int]bool{}
	for _, v := range node.do(t, "executes", map[string]any{"base": srv.URL, "start": start, "payloads": all, "below": "/none", "most": 0, "fill": 0, "all": true}) {
		for line := range strings.Lines(v.Detail) {
			n, _ := strconv.Atoi(strings.TrimPrefix(strings.Split(line, ":")[0], "/"))
			found[n] = true
		}
	}
	t.Logf("%d of %d payloads were found on careless pages", len(found), len(start))
	for _, p := range all {
		if slices.Contains(start, fmt.Sprint("/", p.N)) && !found[p.N] {
			t.Logf("not found: %s: %q", p.Class, p.Text)
		}
	}
	if len(found) < len(start)/2 {
		t.Errorf("%d of %d payloads were found on careless pages", len(found), len(start))
	}
}
