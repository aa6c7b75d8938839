package scale

import (
	"cmp"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a page of the console or the documentation.
const (
	pageTime  = 50 * time.Millisecond
	pageBytes = 150_000 // on the wire, with everything that the first view loads
)

// visitor is a browser that is signed in, as far as pages are concerned.
type visitor struct {
	w     *world
	base  string
	web   *http.Client
	sizes map[string]int // of what pages load, by URL
	hooks *httptest.Server
}

func (w *world) visitor(base string) *visitor {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	v := &visitor{w: w, base: base, web: &http.Client{Jar: jar, Transport: web.Transport}, sizes: map[string]int{},
		hooks: httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
	w.t.Cleanup(v.hooks.Close)
	resp, err := v.web.PostForm(base+"/console/sign-in", url.Values{"adminKey": {adminKey}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/console" {
		w.t.Fatalf("signing in: %d at %s: %.300s", resp.StatusCode, resp.Request.URL, body)
	}
	return v
}

// get answers how many bytes a page took on the wire, and the page where it was not compressed.
func (v *visitor) get(path, encoding string) (int, string) {
	v.w.t.Helper()
	req, err := http.NewRequestWithContext(v.w.t.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		v.w.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", encoding) // said by us: the client unpacks nothing
	resp, err := v.web.Do(req)
	if err != nil {
		v.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.RequestURI() != path {
		v.w.t.Fatalf("%s: %d at %s: %.300s %v", path, resp.StatusCode, resp.Request.URL, body, err)
	}
	return len(body), string(body)
}

// loaded finds what a page loads with itself: styles, scripts, icons, pictures and frames. What is not from the server itself no page has.
var loaded = regexp.MustCompile(`(?:<link[^>]+rel="(?:stylesheet|icon|preload)"[^>]*href|<script[^>]+src|<(?:img|iframe)[^>]+src)="(/[^"]+)"`)

// weight is what the first view of a page takes on the wire.
func (v *visitor) weight(path string) int {
	n, _ := v.get(path, "gzip")
	_, page := v.get(path, "identity")
	assets := loaded.FindAllStringSubmatch(page, -1)
	if len(assets) < 2 && !framed(path) {
		v.w.t.Errorf("%s loads %d assets: its style sheet and its script are not seen", path, len(assets))
	}
	for _, found := range assets {
		asset := strings.ReplaceAll(found[1], "&amp;", "&")
		if v.sizes[asset] == 0 {
			v.sizes[asset], _ = v.get(asset, "gzip")
		}
		n += v.sizes[asset]
	}
	return n
}

// framed says that a page is shown in a frame of another one.
func framed(path string) bool { return strings.HasSuffix(path, "/content") }

// docs are the pages of the documentation.
func (v *visitor) docs() (out []string) {
	_, index := v.get("/docs", "identity")
	links := regexp.MustCompile(`href="(/docs/[^"#?]+)"`)
	for _, found := range links.FindAllStringSubmatch(index, -1) {
		if !strings.Contains(found[1], "/assets/") && !strings.HasSuffix(found[1], ".md") && !slices.Contains(out, found[1]) {
			out = append(out, found[1])
		}
	}
	return append(out, "/docs")
}

// first is the id of the first message that a query finds.
func (v *visitor) first(h *history, query string) string {
	status, answer, err := call(v.base, h.who, http.MethodGet, "/api/v1/messages"+query, nil)
	found := regexp.MustCompile(`"id":"([a-z0-9]+)"`).FindSubmatch(answer)
	if err != nil || status != http.StatusOK || found == nil {
		v.w.t.Fatalf("%s: %d %.300s %v", query, status, answer, err)
	}
	return string(found[1])
}

// walk holds each page of the console and of the documentation to its bounds.
func (v *visitor) walk(h *history, rounds int) {
	type line struct {
		path string
		took figures
	}
	var lines []line
	var all figures
	pages, wrong := v.shown(h).addresses(routes(v.w.t))
	for _, what := range wrong {
		v.w.t.Error(what)
	}
	docs := v.docs()
	if len(docs) < 40 {
		v.w.t.Errorf("only %d pages of the documentation", len(docs))
	}
	heaviest, which := 0, ""
	machine := v.w.meter()
	ask := func(x *line, rounds int) {
		for range rounds {
			at := time.Now()
			v.get(x.path, "gzip")
			x.took = append(x.took, time.Since(at))
		}
	}
	for _, path := range append(pages, docs...) {
		if n := v.weight(path); n > heaviest {
			heaviest, which = n, path
		}
		x := line{path: path}
		if ask(&x, rounds); x.took.at(.95) > pageTime {
			ask(&x, 100) // as with lists: of a few, one pause of the machine is the 95th of 100
		}
		lines, all = append(lines, x), append(all, x.took...)
	}
	bound := machine.bound(pageTime)
	v.w.t.Logf("%d pages of the console and %d of the documentation at %d messages: %s; the heaviest is %s with %d bytes", len(pages), len(docs), h.n, all, which, heaviest)
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(b.took.at(.95), a.took.at(.95)) })
	for i, x := range lines {
		if i < 12 {
			v.w.t.Logf("  %s  %s", x.took, x.path)
		}
		if x.took.at(.95) > bound {
			v.w.t.Errorf("p95 %s, the bound is %s: %s", x.took.at(.95), bound, x.path)
		}
	}
	if heaviest > pageBytes || heaviest < 1000 {
		v.w.t.Errorf("%s takes %d bytes on the wire, the bound is %d", which, heaviest, pageBytes)
	}
}
