package docsite

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"github.com/commserver/commserver/docs"
	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/openapi"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/webui"
)

const base = "https://comms.example.net:8443"

// shared is one site for all tests: drawing every page once is most of what they cost.
var shared = sync.OnceValues(func() (*Site, error) {
	s := New(Config{PublicURL: base})
	return s, s.ready()
})

func site(t *testing.T) *Site {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reply is an answer's status and headers.
type reply struct {
	StatusCode int
	Header     http.Header
}

// get asks for a path as a client that takes no compression.
func get(t *testing.T, s *Site, path string, change ...func(*http.Request)) (reply, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{w.Code, w.Header()}, w.Body.String()
}

// TestAlertsLeadToTheServersOwnPages: what runbook_url names in the repository is there on a server, too, under the same anchors.
func TestAlertsLeadToTheServersOwnPages(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, page := get(t, site(t), "/docs/runbook")
	all := regexp.MustCompile(`runbook_url: \S+/docs/runbook\.md#(\S+)`).FindAllSubmatch(rules, -1)
	for _, m := range all {
		if !strings.Contains(page, `id="`+string(m[1])+`"`) {
			t.Errorf("/docs/runbook has no #%s", m[1])
		}
	}
	if len(all) < 20 {
		t.Errorf("%d rules", len(all))
	}
}

// TestEveryPageIsInTheContents: a page that nobody can find is not there, and one that is listed exists.
func TestEveryPageIsInTheContents(t *testing.T) {
	t.Parallel()
	s := site(t)
	if err := fs.WalkDir(docs.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && s.byFile[path] == nil {
			t.Errorf("docs/%s is in no section of contents()", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// drawn is a page as a browser reads it.
type drawn struct {
	ids    map[string]bool
	links  []string
	titles int
}

func read(t *testing.T, at, body string) *drawn {
	t.Helper()
	tree, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	d := &drawn{ids: map[string]bool{}}
	for n := range tree.Descendants() {
		if n.Data == "h1" {
			d.titles++
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id" && d.ids[a.Val]:
				t.Errorf("%s: the id %q stands twice", at, a.Val)
			case a.Key == "id":
				d.ids[a.Val] = true
			case a.Key == "href" || a.Key == "src" || a.Key == "action":
				d.links = append(d.links, a.Val)
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("%s: <%s %s> is refused by the policy", at, n.Data, a.Key)
			}
		}
		if n.Type == html.ElementNode && n.Data == "script" && n.FirstChild != nil || n.Data == "style" && n.Type == html.ElementNode {
			t.Errorf("%s: an inline <%s> is refused by the policy", at, n.Data)
		}
	}
	return d
}

// TestEverythingIsDocumented: every operation, code, state, alert, option and type of provider has its place.
func TestEverythingIsDocumented(t *testing.T) {
	t.Parallel()
	s := site(t)
	has := func(path string, ids ...string) {
		t.Helper()
		res, body := get(t, s, path)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
			return
		}
		d := read(t, path, body)
		for _, id := range ids {
			if !d.ids[id] {
				t.Errorf("%s has no #%s", path, id)
			}
		}
	}
	c, err := openapi.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range c.Operations() {
		has(address(groupOf(o.Path).file), fmt.Sprint(o.Doc["operationId"]))
	}
	pages := map[string]*drawn{}
	for _, file := range []string{schemasFile, adminSchemasFile} {
		_, body := get(t, s, address(file))
		pages[file] = read(t, file, body)
	}
	for name := range c.Schemas {
		if pages[schemasFile].ids[name] == pages[adminSchemasFile].ids[name] {
			t.Errorf("the schema %s stands on none of the two pages, or on both", name)
		}
	}
	for file, one := range map[string]string{schemasFile: "Accepted", adminSchemasFile: "AuditPage"} {
		if !pages[file].ids[one] {
			t.Errorf("%s does not stand in %s", one, file)
		}
	}
	var codes, options []string
	for _, code := range comm.Codes() {
		codes = append(codes, code.Code)
	}
	for _, o := range config.Options() {
		options = append(options, o.Env())
	}
	has("/docs/errors", codes...)
	has("/docs/config", options...)
	has("/docs/states", "QUEUED", "SENDING", "SENT", "DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED")
	for _, k := range alert.Kinds() {
		has(Incidents+"/"+k.Word, "look", "afterwards")
	}
	for _, a := range all.Adapters() {
		has("/docs/providers/"+strings.ToLower(a.Type), "set-up", "fields")
	}
}

// TestTheReferenceSaysWhatTheContractSays looks at one operation in full.
func TestTheReferenceSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	s := site(t)
	source := s.byFile["api/messages.md"].source
	for _, want := range []string{
		"## Queue a message {#sendMessage}", "`POST /api/v1/messages`", "| `Idempotency-Key` | header |", "| `to` | **required**, string, 1 to 254 characters |",
		"| 202 | [`Accepted`](schemas.md#Accepted) |", "[`missing_variables`](../errors.md#missing_variables)", `-H "X-API-Key: $COMMS_API_KEY"`, "`CRITICAL` `NORMAL` `BULK`, default `\"NORMAL\"`",
	} {
		if !strings.Contains(source, want) {
			t.Errorf("the page of messages lacks %s", want)
		}
	}
	if strings.Index(source, "| `body` |") > strings.Index(source, "| `attachments` |") {
		t.Error("fields do not stand in the order of the contract")
	}
}

// TestTheReadersOwnAddress: samples speak to this server, and to no other.
func TestTheReadersOwnAddress(t *testing.T) {
	t.Parallel()
	s := site(t)
	_, page := get(t, s, "/docs/guide/quickstart")
	if !strings.Contains(page, base) || strings.Contains(page, local) {
		t.Error("the quickstart does not name this server")
	}
	for _, p := range s.pages {
		if !literal(p.file) && strings.Contains(p.source, local) {
			t.Errorf("%s names another server", p.file)
		}
	}
	_, brief := get(t, s, "/llms.txt")
	if !strings.HasPrefix(brief, "# CommServer\n\n> ") || !strings.Contains(brief, "("+base+"/docs/guide/quickstart.md)") {
		t.Errorf("llms.txt:\n%.500s", brief)
	}
	for _, m := range regexp.MustCompile(`\(`+regexp.QuoteMeta(base)+`([^)]+)\)`).FindAllStringSubmatch(brief, -1) {
		if res, _ := get(t, s, m[1]); res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/markdown") {
			t.Errorf("llms.txt names %s: %d %s", m[1], res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
	if _, full := get(t, s, "/llms-full.txt"); strings.Count(full, "<!-- "+base) < 40 {
		t.Error("llms-full.txt lacks pages")
	}
}

// TestHeaders: nothing from elsewhere, nothing in a frame, nothing twice over the wire.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := site(t)
	for _, path := range []string{"/docs", "/docs/cli", "/docs/nothing", "/docs/search?q=key", s.style, s.script, "/llms.txt"} {
		res, _ := get(t, s, path)
		for name, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Vary":                         "Accept-Encoding",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
	}
	res, _ := get(t, s, s.style)
	if res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("the style sheet is kept %q", res.Header.Get("Cache-Control"))
	}
	res, _ = get(t, s, "/docs/cli")
	etag := res.Header.Get("ETag")
	if res.Header.Get("Cache-Control") != "public, no-cache" || etag == "" {
		t.Errorf("a page: %v", res.Header)
	}
	for list, want := range map[string]int{etag: 304, `"other", W/` + etag: 304, "*": 304, `"other"`: 200} {
		res, body := get(t, s, "/docs/cli", func(r *http.Request) { r.Header.Set("If-None-Match", list) })
		if res.StatusCode != want || (want == 304) != (body == "") {
			t.Errorf("If-None-Match %s: %d, %d bytes", list, res.StatusCode, len(body))
		}
	}
	plain, body := get(t, s, "/docs/cli")
	zipped, raw := get(t, s, "/docs/cli", func(r *http.Request) { r.Header.Set("Accept-Encoding", "br, gzip;q=0.5") })
	z, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(z); err != nil || !bytes.Equal(unpacked, []byte(body)) || plain.Header.Get("Content-Encoding") != "" || zipped.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("packed and plain differ (%v)", err)
	}
	for accept, want := range map[string]bool{"gzip": true, "GZIP": true, "gzip;q=0": false, "gzip; q=0.0": false, "gzip;q=1": true, "identity": false, "": false} {
		if webui.TakesGzip(accept) != want {
			t.Errorf("Accept-Encoding %q: %v", accept, !want)
		}
	}
}

// TestTheClientsAreHandedOut: whoever has nothing but the program gets its clients from it, and finds them on the pages.
func TestTheClientsAreHandedOut(t *testing.T) {
	t.Parallel()
	s := site(t)
	for name, pages := range map[string][]string{"comms-client.ts": {"/docs/sdk", "/docs/guide/sdk"}, "comms_client.py": {"/docs/sdk"}, "CommsClient.php": {"/docs/sdk"}} {
		want, err := os.ReadFile("../../sdk/" + name)
		if err != nil {
			t.Fatal(err)
		}
		at := Prefix + "/files/" + name
		res, body := get(t, s, at)
		if res.StatusCode != http.StatusOK || body != string(want) || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("Cache-Control") != "public, no-cache" {
			t.Errorf("%s: %d %v, %d bytes", at, res.StatusCode, res.Header, len(body))
		}
		if again, _ := get(t, s, at, func(r *http.Request) { r.Header.Set("If-None-Match", res.Header.Get("ETag")) }); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, asked again: %d", at, again.StatusCode)
		}
		for _, page := range pages {
			if _, body := get(t, s, page); !strings.Contains(body, `href="`+at+`"`) || !strings.Contains(body, "curl -fsSO "+base+at) {
				t.Errorf("%s does not lead to %s", page, at)
			}
		}
	}
	for _, path := range []string{"/docs/files/", "/docs/files/sdk.go", "/docs/files/package.json", "/docs/files/../sdk.go"} {
		if res, _ := get(t, s, path); res.StatusCode == http.StatusOK {
			t.Errorf("%s is handed out", path)
		}
	}
	pinned := &Site{commit: "0123456789abcdef", assets: s.assets, byFile: s.byFile}
	if got := pinned.resolve("operate/upgrade.md", "../../CHANGELOG.md", forPeople); got != "https://github.com/commserver/commserver/blob/0123456789abcdef/CHANGELOG.md" {
		t.Errorf("a link into the repository leads to %s", got)
	}
}

// TestOtherRequests: what is no page of ours.
func TestOtherRequests(t *testing.T) {
	t.Parallel()
	s := site(t)
	for path, want := range map[string]int{"/docs/": 301, "/docs/guide/": 301, "/docs//guide/quickstart": 301, "/docs/nothing": 404, "/docs/README": 404, "/docs/guide": 404, "/docs/../docs/cli": 301, "/docs/assets/docs.css": 404} {
		if res, body := get(t, s, path); res.StatusCode != want || want == 404 && !strings.Contains(body, "There is no such page") {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if res, _ := get(t, s, "/docs", func(r *http.Request) { r.Method = http.MethodPost }); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", res.StatusCode)
	}
	if res, body := get(t, s, "/docs", func(r *http.Request) { r.Method = http.MethodHead }); res.StatusCode != http.StatusOK || body != "" || res.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes", res.StatusCode, len(body))
	}
	for path, want := range map[string]bool{"/docs": true, "/docs/x": true, "/llms.txt": true, "/llms-full.txt": true, "/docsite": false, "/": false, "/api/openapi": false} {
		if Serves(path) != want {
			t.Errorf("Serves(%s): %v", path, !want)
		}
	}
}

// TestTheFirstViewIsLight: page, style, script and picture of any page, as they are sent.
func TestTheFirstViewIsLight(t *testing.T) {
	t.Parallel()
	const most = 150_000
	s := site(t)
	assets := 0
	for _, a := range s.assets {
		assets += len(a.body.zipped)
	}
	for _, p := range s.pages {
		if n := len(p.html().zipped) + assets; n > most {
			t.Errorf("%s: %d bytes", p.address, n)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := site(t)
	for query, want := range map[string]string{
		"idempotency_key_reused": "/docs/errors#", "COMMS_LIVE_FALLBACK": "/docs/config#", "verify python": "/docs/webhooks#verifying", "storage_low": "/docs/incidents/storage_low#", "provisionApp": "/docs/guide/provisioning#",
	} {
		_, body := get(t, s, "/docs/search?q="+strings.ReplaceAll(query, " ", "+"))
		if !strings.Contains(body, `href="`+want) {
			t.Errorf("%q does not find %s", query, want)
		}
	}
	if _, body := get(t, s, "/docs/search?q=quickstart"); !strings.Contains(body, `class="results"><li><a href="/docs/guide/quickstart`) {
		t.Error("the quickstart is not the first that is found by its name")
	}
	for query, want := range map[string]string{"": "Write a word", "zzzqqq": "Nothing holds all of", "%3Cscript%3Ealert(1)%3C/script%3E": "Nothing holds all of", strings.Repeat("%C3%A9", 300): "Nothing holds"} {
		res, body := get(t, s, "/docs/search?q="+query)
		if res.StatusCode != http.StatusOK || !strings.Contains(body, want) || strings.Contains(body, "<script>alert") || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.40q: %d", query, res.StatusCode)
		}
	}
}

func TestColours(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"go", "// a \"b\"\nreturn \"x // y\" < z", `<span class="c">// a &#34;b&#34;</span>` + "\n" + `<span class="k">return</span> <span class="s">&#34;x // y&#34;</span> &lt; z`},
		{"sh", "curl 'a # b' # c", `curl <span class="s">&#39;a # b&#39;</span> <span class="c"># c</span>`},
		{"text", "<b> // no", "&lt;b&gt; // no"},
	} {
		if got := colour(c[0], c[1]); got != c[2] {
			t.Errorf("%s: %s", c[0], got)
		}
	}
	// Whatever the marks, the text stays the same.
	tags := regexp.MustCompile(`</?span[^>]*>`)
	for _, language := range []string{"go", "sh", "py", "php", "json", "ts", "env", ""} {
		const text = "# \"a\\\" b' // `x`\n\t{\"k\": [1, true]} \xff é $x;#y"
		if got := html.UnescapeString(tags.ReplaceAllString(colour(language, text), "")); got != text {
			t.Errorf("%s: %q", language, got)
		}
	}
}

// TestTheDiagramHasEveryState: a state that has no place is not drawn.
func TestTheDiagramHasEveryState(t *testing.T) {
	t.Parallel()
	for _, e := range comm.Edges() {
		if _, ok := spots()[e.To.String()]; !ok {
			t.Errorf("%s has no place in the diagram", e.To)
		}
	}
	_, body := get(t, site(t), "/docs/states")
	pairs := map[[2]comm.Status]bool{}
	for _, e := range comm.Edges() {
		pairs[[2]comm.Status{e.From, e.To}] = true
	}
	if n := strings.Count(body, `marker-end="url(#tip)"`); n != len(pairs) {
		t.Errorf("%d arrows, the machine has %d", n, len(pairs))
	}
}

// TestGroupsAreWhole: no page of the reference is empty.
func TestGroupsAreWhole(t *testing.T) {
	t.Parallel()
	made, err := reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Concat(apiFiles(), []string{"api.md"}) {
		if strings.Count(made[file], "\n## ") == 0 {
			t.Errorf("%s has nothing on it", file)
		}
	}
}

// BenchmarkEveryPage is what a reader of all pages costs a process once.
func BenchmarkEveryPage(b *testing.B) {
	for b.Loop() {
		s := New(Config{PublicURL: base})
		if err := s.ready(); err != nil {
			b.Fatal(err)
		}
		for _, p := range s.pages {
			p.html()
		}
	}
}
