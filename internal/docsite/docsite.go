// Package docsite is the door to the documentation: the pages of docs/ and a reference that
// is made from the contract, at /docs, for people and, as Markdown and llms.txt, for programs.
//
// It promises that a page needs nothing from another host and no script to be read, that every
// sample names this server's own public address, and that a page is rendered once, when it is
// first asked for. It knows no app, asks for no key and shows nothing that is not in the binary.
package docsite

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/yuin/goldmark"

	"github.com/commserver/commserver/internal/webui"
)

// Prefix is where the pages begin.
const Prefix = "/docs"

// Incidents is where each kind of alert has its page.
const Incidents = Prefix + "/incidents"

// Config is what a Site needs.
type Config struct {
	// PublicURL is the base that samples name, without a slash at its end.
	PublicURL string
}

// Site serves the documentation. It is safe for concurrent use.
type Site struct {
	cfg    Config
	ready  func() error // opens the pages at the first call
	md     goldmark.Markdown
	pages  []*page // in reading order, the home page first
	byFile map[string]*page
	assets map[string]*asset // by path
	style  string            // path of the style sheet
	script string
	icon   string
	commit string // what links into the repository name
	search searcher
	full   func() *answer // llms-full.txt
	brief  func() *answer // llms.txt
}

// page is one page of the documentation.
type page struct {
	file, address string
	section       string
	title         string
	source        string // Markdown, with this server's address in it
	before, after *page

	html func() *answer // rendered when it is first asked for
	text func() *answer // the source for programs, likewise
	doc  func() *document
}

// answer is a body that is kept, compressed as most clients take it.
type answer struct {
	zipped []byte
	size   int
	etag   string
	kind   string
}

// New makes a Site. Its pages are read when the first request comes, so that a start does not wait for them.
func New(cfg Config) *Site {
	s := &Site{cfg: cfg, commit: revision(), byFile: map[string]*page{}, assets: map[string]*asset{}}
	s.ready = sync.OnceValue(s.open)
	return s
}

// open reads every page; none is rendered yet.
func (s *Site) open() error {
	if err := s.read(); err != nil {
		return err
	}
	s.style, s.script = s.addAsset("docs.css", "text/css; charset=utf-8", styles()), s.addAsset("docs.js", "text/javascript; charset=utf-8", script)
	s.icon = s.addAsset("icon.svg", "image/svg+xml", webui.Mark())
	if err := s.addFiles(); err != nil {
		return err
	}
	s.search.pages = s.pages
	s.brief = sync.OnceValue(func() *answer { return keep("text/markdown; charset=utf-8", []byte(s.llms())) })
	s.full = sync.OnceValue(func() *answer { return keep("text/markdown; charset=utf-8", []byte(s.llmsFull())) })
	return nil
}

// asset is what is no page, and how long browsers may keep it.
type asset struct {
	body    *answer
	caching string
}

// addAsset takes in a style sheet, script or picture, whose path changes with its content.
func (s *Site) addAsset(name, kind, content string) string {
	sum := sha256.Sum256([]byte(content))
	stem, ext, _ := strings.Cut(name, ".")
	at := Prefix + "/assets/" + stem + "-" + fmt.Sprintf("%x", sum[:6]) + "." + ext
	s.assets[at] = &asset{keep(kind, []byte(content)), "public, max-age=31536000, immutable"}
	return at
}

// keep makes an answer that is sent many times.
func keep(kind string, body []byte) *answer { return pack(kind, body, gzip.BestCompression) }

// once makes an answer that nobody else gets.
func once(body []byte) *answer { return pack("text/html; charset=utf-8", body, gzip.BestSpeed) }

func pack(kind string, body []byte, level int) *answer {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, level) // the level is a valid one
	_, _ = z.Write(body)
	_ = z.Close() // a buffer takes everything
	sum := sha256.Sum256(body)
	return &answer{zipped: b.Bytes(), size: len(body), etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, kind: kind}
}

// Serves says whether a path is the documentation's.
func Serves(urlPath string) bool {
	return urlPath == Prefix || strings.HasPrefix(urlPath, Prefix+"/") || urlPath == "/llms.txt" || urlPath == "/llms-full.txt"
}

// ServeHTTP answers what lies below /docs, and /llms.txt.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Pattern = Prefix // one name in the access log
	headers(w.Header())
	if err := s.ready(); err != nil { // the pages are in the binary: a test opens them
		s.sorry(w, r, http.StatusInternalServerError, "The documentation cannot be shown", err.Error())
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.sorry(w, r, http.StatusMethodNotAllowed, "Pages can only be read", "The documentation answers GET and HEAD.")
		return
	}
	at := r.URL.Path
	switch {
	case at == Prefix+"/search":
		s.find(w, r)
		return
	case at == "/llms.txt" || at == Prefix+"/llms.txt":
		s.send(w, r, s.brief(), fresh)
		return
	case at == "/llms-full.txt" || at == Prefix+"/llms-full.txt":
		s.send(w, r, s.full(), fresh)
		return
	case s.assets[at] != nil:
		s.send(w, r, s.assets[at].body, s.assets[at].caching)
		return
	}
	if tidy := path.Clean(at); tidy != at && Serves(tidy) && !strings.Contains(tidy, `\`) {
		http.Redirect(w, r, tidy, http.StatusMovedPermanently)
		return
	}
	file := strings.TrimPrefix(strings.TrimPrefix(at, Prefix), "/")
	if file == "" {
		s.send(w, r, s.byFile[home].html(), fresh)
		return
	}
	if p := s.byFile[file]; p != nil { // with .md at its end
		s.send(w, r, p.text(), fresh)
		return
	}
	if p := s.byFile[file+".md"]; p != nil && p.file != home {
		s.send(w, r, p.html(), fresh)
		return
	}
	s.sorry(w, r, http.StatusNotFound, "There is no such page", "The address may be misspelt, or the page has another name in this version. Search for it, or begin at the contents.")
}

// fresh lets browsers keep a page and ask whether it is still the same.
const fresh = "public, no-cache"

// headers are those of every answer: nothing may come from elsewhere, and nothing may frame a page.
func headers(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// send writes a kept answer, or 304 when the client has it.
func (s *Site) send(w http.ResponseWriter, r *http.Request, a *answer, caching string) {
	h := w.Header()
	h.Set("Cache-Control", caching)
	h.Set("ETag", a.etag)
	h.Set("Vary", "Accept-Encoding")
	if knows(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.write(w, r, http.StatusOK, a)
}

// write sends a body, unpacked for who does not take gzip.
func (s *Site) write(w http.ResponseWriter, r *http.Request, status int, a *answer) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	zipped := webui.TakesGzip(r.Header.Get("Accept-Encoding"))
	size := a.size
	if zipped {
		h.Set("Content-Encoding", "gzip")
		size = len(a.zipped)
	}
	h.Set("Content-Length", fmt.Sprint(size))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if zipped {
		_, _ = w.Write(a.zipped) // a client that is gone needs no answer
		return
	}
	if plain, err := gzip.NewReader(bytes.NewReader(a.zipped)); err == nil {
		_, _ = io.CopyN(w, plain, int64(a.size))
	}
}

// knows says whether a list of entity tags names this one.
func knows(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == etag {
			return true
		}
	}
	return false
}
