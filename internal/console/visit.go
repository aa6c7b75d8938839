package console

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/webui"
)

// visit is one request of a browser and its answer.
type visit struct {
	c      *Console
	w      http.ResponseWriter
	r      *http.Request
	route  route
	user   user
	placed bool // it has a place of Console.large
}

// ctx is the context of calls to the API.
func (v *visit) ctx() context.Context { return context.WithValue(v.r.Context(), visitKey{}, v) }

// param is a wildcard of the route's path.
func (v *visit) param(name string) string { return v.r.PathValue(name) }

// asked is a parameter of the query, without blanks around it.
func (v *visit) asked(name string) string { return strings.TrimSpace(v.r.URL.Query().Get(name)) }

func (v *visit) now() time.Time { return v.c.cfg.Now() }

// page is what a template gets. Handlers fill the first part; show fills the rest.
type page struct {
	Title   string
	Section string  // other than the route's
	Trail   []crumb // from the section down to the page above
	Data    any
	Bare    bool // without navigation

	Nav       []navGroup
	User      user
	Token     string // of the session's forms
	Path      string // of this page with its query: where to return to
	Theme     string // light, dark, or "" for the system's
	Toast     *toast
	Updates   bool         // by itself, unless it was stopped
	Paused    bool         // it was
	LiveLink  template.URL // of this page with it going on, or stopped
	RequestID string
	Version   string
	PublicURL string
}

// crumb is a step of the way to a page.
type crumb struct{ Name, Path string }

// Can says whether who is signed in may do something; see roles.go.
func (p *page) Can(a string) bool { return p.User.can(act(a)) }

// maxForm bounds what a form may send.
const maxForm = 2 << 20

// serve makes the handler of a route.
func (c *Console) serve(one route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{c: c, w: w, r: r, route: one}
		defer v.leave()
		if err := v.enter(); err != nil {
			v.failed(err)
			return
		}
		if err := one.handle(v); err != nil {
			v.failed(err)
		}
	})
}

// largeWait is how long a page waits until fewer captured mails are in memory.
const largeWait = 10 * time.Second

// takePlace waits until this visit may hold a captured mail in memory, until it ends.
func (v *visit) takePlace() error {
	if v.placed {
		return nil
	}
	late := time.NewTimer(largeWait)
	defer late.Stop()
	select {
	case v.c.large <- struct{}{}:
		v.placed = true
		return nil
	case <-v.r.Context().Done():
		return v.r.Context().Err()
	case <-late.C:
		return refusal{http.StatusServiceUnavailable, "Others are reading captured mails at this moment.", "Try again in a few seconds."}
	}
}

// leave gives back what the visit holds, if it still does.
func (v *visit) leave() {
	if v.placed {
		v.placed = false
		<-v.c.large
	}
}

// enter checks where a form comes from, who is asking, and what that user may do.
func (v *visit) enter() error {
	if err := v.c.cross.Check(v.r); err != nil {
		return refusal{http.StatusForbidden, "This form was not sent by a page of this console.", "Open the console in a tab of its own and try again."}
	}
	if v.route.method != http.MethodGet {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return refusal{http.StatusBadRequest, "The form could not be read.", "It may be larger than this console takes. Go back and try again."}
		}
	}
	if v.route.handsOut() && httpserver.OtherSite(v.r) {
		return refusal{http.StatusForbidden, "A page of another site asked for this file.", "Fetch it from the console."}
	}
	if v.route.open {
		return nil
	}
	if err := v.signedIn(); err != nil {
		return err
	}
	if v.user.MustChange && !strings.HasPrefix(v.route.path, accountPath) && v.route.path != Root+"/sign-out" {
		return errChange
	}
	if v.route.method != http.MethodGet && !v.tokenHolds() {
		return refusal{http.StatusForbidden, "This form is of an earlier session.", "Go back, load the page again and send it once more. Nothing was changed."}
	}
	if !v.user.can(v.route.may) {
		return forbidden(v.route.may)
	}
	return nil
}

// refusal is an error of the console's own, for an error page.
type refusal struct {
	status   int
	what, do string
}

func (e refusal) Error() string { return e.what }

// forbidden is the error for what a role may not do.
func forbidden(may act) error {
	return refusal{http.StatusForbidden, "Your role does not allow this.", "It takes the right to " + string(may) + ". Ask an administrator of this server."}
}

// missing is the error for what is not there.
func missing(what string) error {
	return refusal{http.StatusNotFound, "There is no such " + what + ".", "It may have been removed, or the address may be incomplete."}
}

// nothingThere is for an identifier that is none, such as a blank one.
var nothingThere = refusal{http.StatusNotFound, "There is nothing at this address.", "It may be incomplete. The overview leads everywhere."}

// failed answers an error of a handler: the sign-in page to who is not signed in any more, else an error page. In a frame neither
// may be shown, so that it says in words what is wrong.
func (v *visit) failed(err error) {
	var e *client.Error
	out := refusal{http.StatusInternalServerError, "Something went wrong in the server.", "Try again. If it stays, look for the request below in the server's log."}
	switch framed := v.route.framed(); {
	case errors.As(err, &e) && e.Status == http.StatusUnauthorized || errors.Is(err, errSignIn):
		if !framed {
			v.toSignIn()
			return
		}
		err = refusal{http.StatusUnauthorized, "You are not signed in any more.", "Sign in, and it is shown again."}
	case errors.Is(err, errChange) || e != nil && e.Code == "password_change_required":
		if !framed {
			v.redirect(accountPath)
			return
		}
		err = refusal{http.StatusForbidden, "Your password has to be changed first.", "The page of your account does it."}
	}
	if e != nil && e.Message == comm.E("not_found").Text { // the API speaks to programs, which know what they asked for
		err = v.route.missing()
	}
	switch {
	case errors.As(err, &out):
	case e != nil:
		out = refusal{e.Status, e.Message, whatToDo(e)}
	case errors.Is(err, client.ErrNoID):
		out = nothingThere
	case errors.Is(err, context.DeadlineExceeded):
		out = refusal{http.StatusGatewayTimeout, "The server did not answer in time.", "It may be busy. Try again in a moment."}
	case errors.Is(err, context.Canceled):
		return // the browser is gone
	default:
		v.c.cfg.Log.Error("the console failed", slog.String("request", httpserver.RequestID(v.r.Context())), slog.String("route", v.route.path), slog.Any("error", err))
	}
	v.sorry(out)
}

// whatToDo is a hint for an error of the API.
func whatToDo(e *client.Error) string {
	switch {
	case e.Status == http.StatusNotFound:
		return "It may have been removed, or the address may be incomplete."
	case e.Status == http.StatusForbidden:
		return "Your role does not allow this. Ask an administrator of this server."
	case e.RetryAfter > 0:
		return "Try again in " + words(e.RetryAfter) + "."
	case e.Status >= http.StatusInternalServerError:
		return "Try again. If it stays, look for the request below in the server's log."
	}
	return "Go back, change what it says and try again. Nothing was changed."
}

// sorry shows an error page.
func (v *visit) sorry(e refusal) {
	if v.route.framed() {
		_ = v.frameStatus(e.status, false, e.what+"\n"+e.do, "")
		return
	}
	p := page{Title: e.what, Bare: v.user.Name == "", Data: map[string]any{"Status": e.status, "What": e.what, "Do": e.do}}
	if err := v.showStatus(e.status, "error", p); err != nil {
		v.c.cfg.Log.Error("the console cannot show an error", slog.Any("error", err))
		http.Error(v.w, e.what, e.status)
	}
}

// refuse answers what is outside of the table of routes.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, status int) {
	if r.URL.Path == Root+"/" {
		http.Redirect(w, r, Root, http.StatusSeeOther)
		return
	}
	v := &visit{c: c, w: w, r: r}
	_ = v.signedIn() // to show the navigation to who may see it
	out := refusal{status, "There is no such page.", "The address may be incomplete. The overview leads everywhere."}
	switch status {
	case http.StatusMethodNotAllowed:
		out = refusal{status, "This address takes no such request.", "Go back and use the links and forms of the page."}
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		out = refusal{status, "The address or the headers of this request are too long.", "Search for less at once, or remove this site's cookies."}
	case http.StatusInternalServerError:
		out = refusal{status, "Something went wrong in the server.", "Try again. If it stays, look for the request below in the server's log."}
	}
	v.sorry(out)
}

// show renders a page, or where htmx asks for one, the part of it that has the name of the target.
func (v *visit) show(name string, p page) error { return v.showStatus(http.StatusOK, name, p) }

func (v *visit) showStatus(status int, name string, p page) error {
	pages, err := v.c.pages()
	if err != nil {
		return fmt.Errorf("read the console's pages: %w", err)
	}
	set, ok := pages[name]
	if !ok {
		return errors.New("console: there is no page " + name)
	}
	if p.Section == "" {
		p.Section = v.route.section
	}
	if !p.Bare {
		p.Nav = v.c.navigation(v.user, p.Section)
	}
	p.User, p.Token, p.Path, p.Theme = v.user, v.token(), v.here(), v.theme()
	p.Paused, p.LiveLink = v.paused(), v.liveLink()
	p.RequestID, p.Version, p.PublicURL = httpserver.RequestID(v.r.Context()), v.c.cfg.Version, v.c.cfg.PublicURL
	part := "layout"
	if target := v.r.Header.Get("HX-Target"); target != "" && set.Lookup("part-"+target) != nil {
		part = "part-" + target
	} else {
		p.Toast = v.takeToast()
	}
	var b bytes.Buffer
	if err := set.ExecuteTemplate(&b, part, &p); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Add("Vary", "HX-Target")
	return v.write(status, b.Bytes())
}

// worthZipping is the size from which an answer is compressed.
const worthZipping = 1 << 10

// write sends an answer, compressed where the browser reads that. Tokens in it are masked anew each time (session.go).
func (v *visit) write(status int, body []byte) error {
	v.w.Header().Add("Vary", "Accept-Encoding")
	if len(body) < worthZipping || !webui.TakesGzip(v.r.Header.Get("Accept-Encoding")) {
		v.w.WriteHeader(status)
		_, _ = v.w.Write(body) // the browser is gone, if it fails
		return nil
	}
	v.w.Header().Set("Content-Encoding", "gzip")
	v.w.WriteHeader(status)
	zip, err := gzip.NewWriterLevel(v.w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	_, _ = zip.Write(body)
	_ = zip.Close()
	return nil
}

// long is where a file goes that may take longer than a page.
func (v *visit) long() *httpserver.LongAnswer { return httpserver.NewLongAnswer(v.r.Context(), v.w) }

// done ends a POST: the browser goes to the path to, and is told there what was done.
func (v *visit) done(to, told string) error {
	if told != "" {
		v.leaveToast(toast{Text: told})
	}
	v.redirect(to)
	return nil
}

// undone ends a POST that the API refused for a reason that no field has.
func (v *visit) undone(to string, err error) error {
	var e *client.Error
	if !errors.As(err, &e) || e.Status == http.StatusUnauthorized || e.Status >= http.StatusInternalServerError {
		return err
	}
	return v.failedHere(to, e.Message)
}

// failedHere ends a POST that came to nothing, or not to all that was asked for: the browser goes to the path to, and is told why.
func (v *visit) failedHere(to, why string) error {
	v.leaveToast(toast{Text: why, Bad: true})
	v.redirect(to)
	return nil
}

func (v *visit) redirect(to string) {
	if v.r.Header.Get("HX-Request") == "true" {
		v.w.Header().Set("HX-Redirect", to)
		v.w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}

// here is the path of this page with its query; of a form, that of the page it stands on.
func (v *visit) here() string {
	if v.r.Method != http.MethodGet {
		return local(v.r.PostForm.Get("_back"))
	}
	return v.r.URL.RequestURI()
}

// cameFrom is the page of this console that a link or its form names with from, to come back to; otherwise the one that is usual.
func (v *visit) cameFrom(usual string) string {
	from := v.asked("from")
	if v.r.Method != http.MethodGet {
		from = v.r.PostForm.Get("from")
	}
	if from == "" {
		return usual
	}
	return local(from)
}

// local is a path of this console; anything else becomes its first page.
func local(to string) string {
	u, err := url.Parse(to)
	inside := err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Path == path.Clean(u.Path) && !strings.ContainsAny(to, "\\\r\n")
	if !inside || u.Path != Root && !strings.HasPrefix(u.Path, Root+"/") {
		return Root
	}
	return to
}

// confirmation is the page before an act that cannot be taken back, or that touches many.
type confirmation struct {
	Title  string
	Lead   string   // one sentence: what will happen
	Points []string // what it means, with counts
	Action string   // the path that the form posts to
	Fields []hidden // what it sends along
	Type   string   // what has to be typed first; "" for nothing
	Button string   // "Delete the app"
	Calm   bool     // nothing is destroyed
	Back   string   // where "Keep it as it is" leads
	Error  string   // of the last try
	Trail  []crumb
}

type hidden struct{ Name, Value string }

func (v *visit) confirm(x confirmation) error {
	return v.show("confirm", page{Title: x.Title, Trail: x.Trail, Data: x})
}

// readPages reads the templates: each page with the layout and all parts.
func (c *Console) readPages() (map[string]*template.Template, error) {
	base, err := template.New("layout").Funcs(c.funcs()).ParseFS(pageFiles, "pages/parts/*.html")
	if err != nil {
		return nil, err
	}
	entries, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	out := map[string]*template.Template{}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		set, err := base.Clone()
		if err == nil {
			set, err = set.ParseFS(pageFiles, "pages/"+entry.Name())
		}
		if err != nil {
			return nil, err
		}
		out[strings.TrimSuffix(entry.Name(), ".html")] = set
	}
	return out, nil
}
