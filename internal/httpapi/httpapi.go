// Package httpapi is the JSON door: it checks who is asking, decodes, calls an
// engine, and encodes the answer. routes.go is the table of everything it serves.
//
// It promises that every answer is JSON in the documented shape (but those that
// net/http gives to what is no HTTP request at all), that every error goes through one table and one writer, and that no route can be reached
// without the credentials its row names. It holds no rules and no SQL.
package httpapi

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/stats"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
	"github.com/commserver/commserver/internal/suppress"
	"github.com/commserver/commserver/internal/trial"
	"github.com/commserver/commserver/internal/upkeep"
	"github.com/commserver/commserver/internal/webhook"
)

// Auth says who is asking.
type Auth interface {
	App(ctx context.Context, h http.Header, from netip.Addr) (*auth.Caller, error)
	Provisioning(ctx context.Context, h http.Header, from netip.Addr) error
	Admin(ctx context.Context, h http.Header, from netip.Addr) error
	// For is App for somebody with a session.
	For(ctx context.Context, h http.Header, by auth.Visitor) (*auth.Caller, error)
	// Holds answers the error that ends an admitted caller's call; nil: it may go on.
	Holds(ctx context.Context, c *auth.Caller) error
	// While is a context that ends, with that error for its cause, when the caller does.
	While(ctx context.Context, c *auth.Caller, ended func()) (during context.Context, stop func())
}

// Intake accepts messages.
type Intake interface {
	Accept(ctx context.Context, app *comm.App, reqs []intake.Request) []intake.Result
	// Preview answers what Accept would make of a request; it stores and counts nothing.
	Preview(ctx context.Context, app *comm.App, q *intake.Request) (*intake.Preview, error)
	// Rate is what is known of an app's rate, for answers to what was not counted.
	Rate(app *comm.App) intake.Rate
	// Recipient normalises an address for searching.
	Recipient(ch comm.Channel, to string) (string, error)
	// Bound is how much memory a request's template may need beside the request.
	Bound(ctx context.Context, app *comm.App, q *intake.Request) int64
	// Sample renders a template as Accept would, and stores nothing.
	Sample(t *comm.Template, values intake.Variables) (*intake.Sample, error)
	// Hindrance says why live messages of the app's channel cannot start now, as far as settings tell.
	Hindrance(ctx context.Context, app *comm.App, ch comm.Channel) (string, error)
}

// Check is one part of readiness.
type Check struct {
	Name string
	Run  func(ctx context.Context) error
}

// Door answers the requests to some paths, beside the API.
type Door struct {
	Serves  func(path string) bool
	Handler http.Handler
}

// Config is what an API needs.
type Config struct {
	Auth Auth
	// Identity is the users of the console and their sessions.
	Identity *identity.Service
	Intake   Intake
	Registry *registry.Service
	Trial    *trial.Service
	Messages store.Messages
	Files    store.Files
	// Everywhere reads across apps, and Backlog shows and clears what waits: for the administrator.
	Everywhere store.Everywhere
	Backlog    *backlog.Service
	// Hold keeps a restored database from sending, and Backup writes everything that is stored to w.
	Hold   Hold
	Backup func(ctx context.Context, w io.Writer) error
	Stats  *stats.Service
	// Alerts lists what the operator was told.
	Alerts *alert.Service
	// Feed is every app's events in order.
	Feed *feed.Service
	// Watch is what happens now, of all apps.
	Watch *feed.Watch
	// Tail says that an app may have new ones.
	Tail *feed.Tail
	// Deliveries is what is posted to the apps' endpoints.
	Deliveries *webhook.Log
	// Suppressions keeps the apps' opt-outs.
	Suppressions *suppress.Service
	// Upkeep removes what was kept long enough, and persons who ask for it.
	Upkeep *upkeep.Service
	// RetryHorizon is how long a message without a time to live is retried.
	RetryHorizon time.Duration
	// Receipts takes what providers report.
	Receipts Receipts
	// Metrics is what is served under /metrics [nothing, with 404]; Meter is told of every answer [nobody is].
	Metrics http.Handler
	Meter   httpserver.Meter
	// Checks make up /readyz; each runs at most once a second.
	Checks []Check
	// Beside are other doors on the same address: one that serves a path has every request to it. Not with HealthOnly.
	Beside []Door
	// HealthOnly leaves nothing but /healthz, /readyz and /metrics: the door of a worker node.
	HealthOnly bool
	// Leaving is closed when the process is about to stop: whoever waits for something is sent away.
	Leaving <-chan struct{}
	// Pushed is called after a RETRY, to wake the dispatcher. It must not block.
	Pushed    func(comm.Unit, store.Head)
	PublicURL string
	// BrowsersAt is where browsers find this server, as it was configured; "": that is not known.
	BrowsersAt     string
	TrustedProxies []netip.Prefix
	Now            func() time.Time // nil: time.Now
	Log            *slog.Logger
}

// API serves the routes.
type API struct {
	cfg       Config
	parcels   sync.Pool
	bodies    *room
	held      httpserver.Held // sources of captured mails
	waits     pace.Places[comm.ID]
	imports   pace.Places[comm.ID]
	exports   pace.Places[comm.ID]
	streams   pace.Places[comm.ID]
	streaming streamTimes
	callbacks pace.Places[comm.ID] // by configuration
	backups   atomic.Int32         // under way
	ready     readiness
	finishing atomic.Int32 // refused bodies that are being read to their ends
	refusals  outage.Spaced
	sites     *http.CrossOriginProtection
	cookie    cookie
}

// New makes an API.
func New(cfg Config) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Pushed == nil {
		cfg.Pushed = func(comm.Unit, store.Head) {}
	}
	a := &API{cfg: cfg, bodies: newRoom(), streaming: usualStreams()}
	a.waits.All, a.waits.OfApp = waitsAtOnce, waitsOfApp
	a.imports.All, a.imports.OfApp = importsAtOnce, importsOfApp
	a.exports.All, a.exports.OfApp = exportsAtOnce, exportsOfApp
	a.streams.All, a.streams.OfApp = streamsAtOnce, streamsOfApp
	a.callbacks.All, a.callbacks.OfApp = callbacksAtOnce, callbacksOfConfig
	a.sites, a.cookie = httpserver.OwnSite(cfg.PublicURL), cookieOf(cfg.PublicURL)
	a.parcels.New = func() any { return new(parcel) }
	a.ready.of(cfg.Checks, cfg.Log)
	return a
}

// Handler serves every route, with request ids, security headers and the access log.
func (a *API) Handler() http.Handler {
	routed := httpserver.Routes(func(mux *http.ServeMux) {
		for _, route := range a.routes() {
			mux.Handle(route.Method+" "+route.Path, a.serve(route))
		}
	}, a.refuse)
	classes := map[string]string{}
	for _, route := range a.routes() {
		classes[route.Method+" "+route.Path] = route.class()
	}
	return httpserver.Wrap(a.beside(routed), httpserver.Options{
		Meter: a.cfg.Meter, Route: func(r *http.Request) string { return cmp.Or(classes[r.Pattern], a.otherClass(r.URL.Path)) },
		Log: a.cfg.Log, TrustedProxies: a.cfg.TrustedProxies, HSTS: strings.HasPrefix(a.cfg.PublicURL, "https://"),
		Refuse:   a.refuse,
		Panicked: func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, comm.E("internal")) },
	})
}

// beside gives the other doors what is theirs.
func (a *API) beside(routed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i := a.doorOf(r.URL.Path); i >= 0 {
			a.cfg.Beside[i].Handler.ServeHTTP(w, r)
			return
		}
		routed.ServeHTTP(w, r)
	})
}

// doorOf is which of the other doors serves a path, or -1. A node that only sends has none.
func (a *API) doorOf(path string) int {
	if a.cfg.HealthOnly {
		return -1
	}
	return slices.IndexFunc(a.cfg.Beside, func(d Door) bool { return d.Serves(path) })
}

func (a *API) refuse(w http.ResponseWriter, r *http.Request, status int) {
	err := comm.E("not_found", "No such path here; see /api/openapi for those that exist.")
	switch {
	case status == http.StatusMethodNotAllowed:
		err = comm.E("method_not_allowed")
	case status == http.StatusRequestURITooLong:
		err = comm.E("request_line_too_long")
	case status == http.StatusRequestHeaderFieldsTooLarge:
		err = comm.E("too_many_headers")
	case a.cfg.HealthOnly:
		err = comm.E("not_found", "This node only sends; ask a node with role api or all. Here are /healthz, /readyz and /metrics.")
	}
	a.letFinish(w, r, err)
	a.fail(w, r, err)
}

// serve checks the credentials that the route asks for, and writes the error of its handler.
func (a *API) serve(route Route) http.Handler {
	watched := route.watched()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, actor, err := a.admit(route, r)
		if err == nil && route.Who != Anyone && !route.Query {
			_, err = readQuery(r)
		}
		if err == nil {
			if route.audited() {
				r = r.WithContext(a.signed(r, actor))
			}
			if watched {
				during, stop := a.during(w, r, caller)
				defer stop()
				r = r.WithContext(during)
			}
			if err = route.handle(w, r, caller); err != nil {
				err = cmp.Or(ended(r.Context()), err)
			}
		}
		if err != nil {
			a.letFinish(w, r, err)
			a.fail(w, r, err)
		}
	})
}

// admit checks the credentials that the route asks for, and says who makes the request's changes.
func (a *API) admit(route Route, r *http.Request) (caller *auth.Caller, actor comm.Actor, err error) {
	from := httpserver.ClientAddr(r.Context())
	if id, ok := a.cookie.read(r); ok && route.takesSessions() {
		return a.admitSession(route, r, id)
	}
	switch route.Who {
	case AnApp:
		if caller, err = a.cfg.Auth.App(r.Context(), r.Header, from); err == nil {
			actor, err = caller.Actor(), caller.Require(route.Scope)
		}
	case Provisioner:
		actor.Kind, err = comm.ActorProvisioning, a.cfg.Auth.Provisioning(r.Context(), r.Header, from)
	case Admin:
		actor.Kind, err = comm.ActorAdmin, a.cfg.Auth.Admin(r.Context(), r.Header, from)
	case ASession:
		err = notSignedIn()
	case Scraper:
		actor.Kind, err = comm.ActorAdmin, a.cfg.Auth.Admin(r.Context(), scraped(r.Header), from)
	}
	return caller, actor, err
}

// audited says whether the route can change settings, or exports a person. Accepting messages is not
// in the audit log: each has a log of its own, and this copy of the request would be for nothing.
func (route Route) audited() bool {
	return route.Method != http.MethodGet && route.Scope != comm.ScopeSend || route.Path == exportPath || route.Path == backupPath
}

// watched says whether a call of the route ends with its caller at any moment.
// Accepting messages asks by itself, each time before it stores some: so what it
// answers is what was stored, and the copy of the request would be for nothing.
func (route Route) watched() bool {
	accepts := route.Method == http.MethodPost && (route.Path == "/api/v1/messages" || route.Path == "/api/v1/messages/batch")
	return route.Who == AnApp && !accepts
}

// during is the context of a call that ends with its caller; what is left of its body is then no longer waited for.
func (a *API) during(w http.ResponseWriter, r *http.Request, caller *auth.Caller) (context.Context, func()) {
	return a.cfg.Auth.While(r.Context(), caller, func() {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // where it cannot be set there is none
		}
	})
}

// ended is why the call's context ended with its caller; nil: it did not.
func ended(ctx context.Context) error {
	if e, ok := errors.AsType[*comm.Error](context.Cause(ctx)); ok {
		return e
	}
	return nil
}

// signed is the request's context with who makes its changes.
func (a *API) signed(r *http.Request, actor comm.Actor) context.Context {
	actor.Request = httpserver.RequestID(r.Context())
	if from := httpserver.ClientAddr(r.Context()); from.IsValid() {
		actor.Address = from.String()
	}
	return store.WithActor(r.Context(), actor)
}

// Limits of a request body. Attachment content counts only for the larger one.
const (
	maxBody  = 1 << 20
	maxFiles = 16 << 20
)

// decode reads a small JSON body into v. codes are as in strictjson.Decode.
func (a *API) decode(w http.ResponseWriter, r *http.Request, v any, codes map[string]string) error {
	p, err := a.receive(w, r, comm.ID{}, maxBody)
	if err != nil {
		return err
	}
	defer a.release(p)
	return strictjson.Decode(p.text, v, codes)
}

func (a *API) now() comm.Micros { return comm.At(a.cfg.Now()) }
