package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/sms"
)

const (
	sandboxPath = Root + "/sandbox"
	// capturesShown is how many captures a page of the inbox has: each comes with its content.
	capturesShown = 25
	// sourceShown bounds how much of a mail's source a page shows; the file has all.
	sourceShown = 128 << 10
)

func (c *Console) sandboxRoutes() []route {
	return []route{
		{"GET", sandboxPath, "sandbox", actSee, false, (*visit).listCaptures},
		{"GET", sandboxPath + "/{app}/{id}", "sandbox", actSee, false, (*visit).showCapture},
		{"GET", sandboxPath + "/{app}/{id}/content", "sandbox", actSee, false, (*visit).frameCapture},
		{"GET", sandboxPath + "/{app}/{id}/source", "sandbox", actSee, false, (*visit).sourceOfCapture},
		{"GET", sandboxPath + "/{app}/{id}/files/{n}", "sandbox", actSee, false, (*visit).fileOfCapture},
	}
}

// inbox is the list of what the sandbox took for an app.
type inbox struct {
	App      *client.App // nil: there is none
	Apps     []client.App
	Channel  string
	To       string // recipient; "" for all
	Wrong    *client.Error
	Captures []capture
	Pager    pager
	Live     bool // the first page is fetched again from time to time
	Query    string
	Sends    string // what sends a message when pasted

	Lacks     []string // of a live app; see lacks
	Providers string   // the page of its chain
}

// Any says whether the inbox is narrowed.
func (in *inbox) Any() bool { return in.Channel+in.To != "" }

// Fields are the API's words about what it is narrowed by.
func (in *inbox) Fields() []string { return fieldsOf(in.Wrong) }

// capture is a captured message in the inbox.
type capture struct {
	client.Captured
	App string // slug
}

// Begins is how the message begins, on one line.
func (c *capture) Begins() string {
	text := c.Text
	if c.Channel == client.SMS || text == "" && c.Subject == "" {
		text = c.Body
	}
	return firstOf(strings.Join(strings.Fields(text), " "), 140)
}

// firstOf cuts a text after so many characters.
func firstOf(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

func (v *visit) listCaptures() error {
	apps, err := v.someApps()
	if err != nil {
		return err
	}
	in := &inbox{Apps: apps, Channel: v.asked("channel"), To: v.asked("to")}
	if in.App, err = v.inboxApp(apps); err != nil {
		return err
	}
	if in.App == nil {
		return v.show("sandbox", page{Title: "Sandbox inbox", Data: in})
	}
	if v.r.Header.Get("HX-Target") == "" { // the list alone does not show it
		if in.Lacks, err = v.liveLacks(in.App); err != nil {
			return err
		}
		in.Providers = providersPath + chainOf{in.App}.Query()
	}
	again := v.r.URL.Query() // all that the page links to, and what it polls, is of this app, whoever sends next
	again.Set("app", in.App.Slug)
	v.r.URL.RawQuery = again.Encode()
	q := url.Values{"limit": {itoa(capturesShown)}}
	for name, value := range map[string]string{"channel": in.Channel, "to": in.To, "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	found, err := fetch[listing[client.Captured]](v, in.App.Slug, "/api/v1/sandbox/messages", q)
	if errors.As(err, &in.Wrong) && in.Wrong.Status == http.StatusBadRequest {
		return v.show("sandbox", page{Title: "Sandbox inbox", Data: in})
	}
	if err != nil {
		return err
	}
	for i := range found.Data {
		in.Captures = append(in.Captures, capture{found.Data[i], in.App.Slug})
	}
	updates := v.asked("cursor") == ""
	in.Pager, in.Live, in.Query = v.pagerOf(found.Next, len(found.Data)), updates && !v.paused(), v.r.URL.RawQuery
	in.Sends = curl(v.c.cfg.PublicURL, in.App.Slug, "<a key of the app>")
	return v.show("sandbox", page{Title: "Sandbox inbox", Data: in, Updates: updates})
}

// newestLooked is how many of the newest messages are looked at for one of the sandbox.
const newestLooked = 50

// inboxApp is the app whose inbox is shown: of which was asked, or the one that sent to the sandbox last.
func (v *visit) inboxApp(apps []client.App) (*client.App, error) {
	if v.asked("app") == "" && len(apps) > 1 {
		// Where they cannot be read now, the inbox of another app is better than none.
		newest, err := fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", url.Values{"limit": {itoa(newestLooked)}})
		if err != nil {
			return v.chosenApp(apps)
		}
		for i := range newest.Data {
			if m := &newest.Data[i]; m.Sandbox {
				admin, err := v.admin()
				if err != nil {
					return nil, err
				}
				return admin.App(v.ctx(), m.App.ID)
			}
		}
	}
	return v.chosenApp(apps)
}

// chosenApp is the app that the query names, else the first one in sandbox mode, else the first one; nil if there is none.
func (v *visit) chosenApp(apps []client.App) (*client.App, error) {
	if name := v.asked("app"); name != "" {
		admin, err := v.admin()
		if err != nil {
			return nil, err
		}
		return admin.App(v.ctx(), name)
	}
	if at := slices.IndexFunc(apps, func(a client.App) bool { return a.SandboxMode }); at >= 0 {
		return &apps[at], nil
	}
	if len(apps) > 0 {
		return &apps[0], nil
	}
	return nil, nil
}

// Views of a captured mail.
const (
	viewLight  = "light"
	viewDark   = "dark"
	viewText   = "text"
	viewSource = "source"
)

// capturePage is a captured message.
type capturePage struct {
	C       *client.Captured
	App     *client.App
	Mail    *mailView // nil: it is an SMS
	Files   []mailFile
	Headers []hidden
	SMS     *smsPage
}

type tab struct {
	Name, Path string
	Current    bool
}

// file is an attachment.
type mailFile struct {
	Name, Type string
	Size       int64
	Path       string
}

// smsPage is an SMS as a phone gets it.
type smsPage struct {
	Parts  []smsPart
	Units  int
	UCS2   bool
	Forced []forced
}

// smsPart is one segment: its text in runs of characters that the GSM alphabet has or lacks.
type smsPart struct {
	N    int
	Runs []run
}

type run struct {
	Text   string
	Forced bool
}

// forced is a character that the GSM alphabet lacks.
type forced struct{ Shown, Code, Instead string }

func (v *visit) showCapture() error {
	c, app, err := v.captured()
	if err != nil {
		return err
	}
	p := &capturePage{C: c, App: app}
	here := sandboxPath + "/" + url.PathEscape(app.Slug) + "/" + c.ID
	title := "SMS to " + c.ToAddress
	if c.Channel == client.SMS {
		p.SMS = phoneOf(c.Body)
	} else {
		if title = c.Subject; title == "" {
			title = "Email to " + c.ToAddress
		}
		if err := v.fillMail(p, here); err != nil {
			return err
		}
	}
	return v.show("capture", page{Title: title, Trail: []crumb{{"Sandbox inbox", sandboxPath + "?app=" + url.QueryEscape(app.Slug)}}, Data: p})
}

// captured reads the message of the path and its app.
func (v *visit) captured() (*client.Captured, *client.App, error) {
	admin, err := v.admin()
	if err != nil {
		return nil, nil, err
	}
	app, err := admin.App(v.ctx(), v.param("app"))
	if err != nil {
		return nil, nil, err
	}
	as, err := v.app(app.Slug)
	if err != nil {
		return nil, nil, err
	}
	c, err := as.Capture(v.ctx(), v.param("id"))
	return c, app, err
}

// fillMail sets what the page of a mail shows besides its head.
func (v *visit) fillMail(p *capturePage, here string) error {
	p.Mail = v.mailView(here, "", p.C.Body, p.C.Text, true)
	p.Headers = headersOf(p.C.Headers)
	if p.Mail.View != viewSource && p.C.Attachments == 0 {
		return nil
	}
	defer v.leave() // a browser that reads the page slowly keeps no mail in memory
	source, err := v.readSource(p.App.Slug, p.C.ID)
	if err != nil {
		return err
	}
	for i, part := range attachmentsOf(source) {
		p.Files = append(p.Files, mailFile{part.name, part.kind, int64(len(part.content)), here + "/files/" + itoa(i+1)})
	}
	if p.Mail.View == viewSource {
		p.Mail.showSource(string(source))
	}
	return nil
}

// readSource is a captured mail as a server would get it. The API bounds one, and the console how many there are.
func (v *visit) readSource(app, id string) ([]byte, error) {
	if err := v.takePlace(); err != nil {
		return nil, err
	}
	as, err := v.app(app)
	if err != nil {
		return nil, err
	}
	stream, err := as.CaptureSource(v.ctx(), id)
	if err != nil {
		return nil, err
	}
	source, err := io.ReadAll(stream)
	return source, errors.Join(err, stream.Close())
}

// frameCapture is the content of a captured mail for the frame of its page.
func (v *visit) frameCapture() error {
	c, _, err := v.captured()
	if err != nil {
		return err
	}
	if c.Body == "" {
		return missing("content")
	}
	return v.frame(c.Channel == client.Email, c.Body, v.asked("as"))
}

// sourceOfCapture hands the mail out as a file, which mail programs open.
func (v *visit) sourceOfCapture() error {
	source, err := v.readSource(v.param("app"), v.param("id"))
	if err != nil {
		return err
	}
	return v.handOut(v.param("id")+".eml", source)
}

// fileOfCapture hands out an attachment. Whatever it says it is, the browser only stores it.
func (v *visit) fileOfCapture() error {
	source, err := v.readSource(v.param("app"), v.param("id"))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(v.param("n"))
	files := attachmentsOf(source)
	if err != nil || n < 1 || n > len(files) {
		return missing("attachment")
	}
	return v.handOut(files[n-1].name, files[n-1].content)
}

// handOut answers a file to be stored and never shown.
func (v *visit) handOut(name string, content []byte) error {
	h := v.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename*=utf-8''"+url.PathEscape(name))
	h.Set("Content-Length", itoa(len(content)))
	v.w.WriteHeader(http.StatusOK)
	out := v.long()
	defer v.c.held.Begin(out, false)()
	_, _ = out.Write(content) // the browser is gone, if it fails
	return nil
}

// plainer is what the GSM alphabet has in place of characters that word processors put in by themselves.
var plainer = map[rune]string{'“': `"`, '”': `"`, '„': `"`, '«': `"`, '»': `"`, '‘': "'", '’': "'", '‚': "'", '´': "'", '`': "'", '–': "-", '—': "-", '…': "...", '•': "-", '\u00a0': "a space", '\u202f': "a space", '\t': "a space",
	'\u200b': "nothing", '\ufeff': "nothing"}

// phoneOf takes an SMS apart as it would be sent.
func phoneOf(text string) *smsPage {
	size := sms.Measure(text)
	out := &smsPage{Units: size.Units, UCS2: size.Encoding == sms.UCS2}
	for i, part := range sms.Split(text) {
		out.Parts = append(out.Parts, smsPart{i + 1, runsOf(part, size.Forced)})
	}
	for _, r := range size.Forced {
		shown := string(r)
		if !unicode.IsPrint(r) {
			shown = "invisible"
		}
		out.Forced = append(out.Forced, forced{shown, fmt.Sprintf("U+%04X", r), plainer[r]})
	}
	return out
}

// runsOf cuts a text where characters that forced UCS-2 begin and end.
func runsOf(text string, of []rune) (out []run) {
	for _, r := range text {
		marked := slices.Contains(of, r)
		if len(out) == 0 || out[len(out)-1].Forced != marked {
			out = append(out, run{Forced: marked})
		}
		out[len(out)-1].Text += string(r)
	}
	return out
}
