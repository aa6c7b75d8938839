// Package console is the HTML door at /console: for the operator who has to see what is wrong, and for the
// developer who wants to see the message just sent.
//
// It is a client of the HTTP API and of nothing else. inside.go calls the API's handler in this process through
// the package client and passes the browser's session cookie on, so that every rule, role, sentence and audit
// entry exists once, there. What the API does not tell, a page does not show: add it to the API. No page asks
// the API for anything that the API does not bound.
//
// It promises: pages work without JavaScript (htmx only spares reloads); every answer has a policy that lets
// nothing but our own scripts, styles and images in; a form is taken only from a page of ours, with the
// session's token; what would destroy something is confirmed on a page that says what it will do.
//
// # Adding a page
//
//  1. pages/<name>.html defines "content", and "actions" for what stands beside the title. It sees a page
//     (visit.go): its own data as .Data, and .Can, .Token, .Path. The components are in pages/parts: "badge",
//     "time", "copy", "pager", "empty", "fields" and "field" (form.go), "chart" (chart.go), "icon". A part that
//     htmx fetches again is a template of the same file whose name is the id of the element that it fills.
//  2. A method func (c *Console) showThing(v *visit) error in <noun>.go: read with v.admin(), v.app(slug) or
//     fetch[T] (one page of a list with its cursor), then v.show("<name>", page{…}). Return the client's errors
//     as they are: failed (visit.go) makes the sign-in, the 404 and the others of them.
//  3. A POST ends with v.done(path, "What was done."), a redirect; or, refused, with v.refused(err, &form, again),
//     which puts the API's words beside their fields and shows the page again by again. Every <form method="post">
//     begins with {{template "hidden" $}}.
//  4. A destructive act is a GET page of v.confirm(confirmation{…}) and the POST that its form sends. A link to
//     it with {{dialog}} in the tag opens in a dialog where there is JavaScript.
//  5. A row in routes.go, with the section of the navigation that it belongs to, and may, the act that a role
//     needs to see it. A section is shown once a route of it exists. The tests walk that table: give the route's
//     wildcards a value in sample (console_test.go) and data for its page to full (data_test.go).
//  6. Styles only in assets/*.css by the tokens of internal/webui; no style or script in a page, no inline handler.
package console

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/provider"
)

// Root is the path of the console; everything that it serves is below it.
const Root = "/console"

// Config is what a Console needs.
type Config struct {
	// API serves everything below /api, with its own request ids and log.
	API http.Handler
	// PublicURL is what commands that can be pasted begin with, without a slash at the end.
	PublicURL string
	// Adapters are the types of providers: forms are made of their tables of fields.
	Adapters       []provider.Adapter
	Version        string
	TrustedProxies []netip.Prefix
	Now            func() time.Time // nil: time.Now
	Log            *slog.Logger
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	cfg    Config
	inside *inside
	// Read when the first page is asked for: a server whose console nobody opens keeps nothing of it in memory.
	files  func() (*files, error)
	pages  func() (map[string]*template.Template, error)
	table  []route
	routed http.Handler
	cross  *http.CrossOriginProtection
	large  chan struct{} // a place for each captured mail that is in memory
	held   httpserver.Held
	tests  presses[*tried]
	bulks  presses[*bulk]

	bulkTime time.Duration // how long a step of an act on many messages goes on
}

// pressesKept is how many test messages of providers, and how many steps of acts on many messages, are remembered, so that none is
// done twice by one press.
const pressesKept = 500

// largeMails is how many captured mails are in memory at once: each is up to 10 MiB, with its attachments unpacked twice that.
const largeMails = 4

// New makes a Console.
func New(cfg Config) (*Console, error) {
	if cfg.API == nil || cfg.Log == nil {
		return nil, errors.New("console: the API and a log are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Console{cfg: cfg, inside: newInside(cfg.API), cross: httpserver.OwnSite(cfg.PublicURL), large: make(chan struct{}, largeMails), tests: presses[*tried]{most: pressesKept}, bulks: presses[*bulk]{most: pressesKept}, bulkTime: bulkTime}
	c.files, c.pages = sync.OnceValues(readFiles), sync.OnceValues(c.readPages)
	c.table = c.routes()
	c.routed = c.handler()
	return c, nil
}

// Handler serves every route of the console, with request ids, its headers and the access log.
func (c *Console) Handler() http.Handler { return c.routed }

// serveFile serves an asset. Those of the binary can be read: a test reads them all.
func (c *Console) serveFile(w http.ResponseWriter, r *http.Request) {
	all, err := c.files()
	if err != nil {
		c.refuse(w, r, http.StatusInternalServerError)
		return
	}
	all.serve(w, r)
}

func (c *Console) handler() http.Handler {
	routed := httpserver.Routes(func(mux *http.ServeMux) {
		mux.Handle("GET "+assetsPath+"{name...}", http.HandlerFunc(c.serveFile))
		for _, one := range c.table {
			mux.Handle(one.method+" "+one.path, c.serve(one))
		}
	}, c.refuse)
	return httpserver.Wrap(headed(routed), httpserver.Options{
		Log: c.cfg.Log, TrustedProxies: c.cfg.TrustedProxies, HSTS: strings.HasPrefix(c.cfg.PublicURL, "https://"),
		Refuse:   c.refuse,
		Panicked: func(w http.ResponseWriter, r *http.Request) { c.refuse(w, r, http.StatusInternalServerError) },
	})
}

// The policy of every page: nothing but our own files, no script or style inside a page, in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

// headed sets what every answer of the console says; httpserver.Wrap adds nosniff and no-store.
func headed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		// Other sites are told nothing. With no-referrer forms would say that their origin is null, and on plain HTTP browsers say nothing else.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-DNS-Prefetch-Control", "off") // not of the links of a mail either
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		next.ServeHTTP(w, r)
	})
}

// Beside puts the console before the API: what is below Root is its, and / is as Welcome has it.
func Beside(api http.Handler, c *Console) http.Handler {
	others := Welcome(api)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == Root || strings.HasPrefix(r.URL.Path, Root+"/") {
			c.routed.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// Welcome sends people who open the address in a browser from / to the console; everybody else gets what next answers.
func Welcome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if reads && r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Vary", "Accept")
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, Root, http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}
