package console

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/mime"
	"github.com/commserver/commserver/internal/story"
)

// messagePage is a message as a story.
type messagePage struct {
	M         *client.AppMessage
	Story     story.Story
	Tone      string
	Lines     []storyLine
	Calls     []call
	Ways      []crumb // where the story goes on
	Live      bool    // it still changes by itself
	Acts      []deed[*client.AppMessage]
	Mail      *mailView // nil: it is an SMS, or nothing of it is there
	Headers   []hidden
	Gone      string
	Carrier   string // who was called last
	Metadata  string
	Posts     []posted // what webhooks were told of it
	PostsAway bool     // that cannot be read now
	Untold    []posted // of each webhook that is still to be told something of it, the first
	Next      string   // the story's, as long as none is
}

// call is a call of a provider, with the page of the configuration that was called; "" where there is none any more.
type call struct {
	providerCall
	Page string
	Code string // "" where the answer begins with it
}

// providerCall has a name of its own, since Attempt is a field of it.
type providerCall = client.Attempt

func callsOf(m *client.AppMessage) []call {
	out := make([]call, len(m.AttemptLog))
	for i, a := range m.AttemptLog {
		if out[i].providerCall = a; !strings.HasPrefix(a.Detail, a.ErrorCode+":") {
			out[i].Code = a.ErrorCode
		}
		switch a.ConfigLevel {
		case "APP":
			out[i].Page = chainOf{&client.App{Slug: m.App.Slug}}.at(a.ConfigID, "")
		case "SERVER":
			out[i].Page = chainOf{}.at(a.ConfigID, "")
		}
	}
	return out
}

// waysOn are the pages that a message's story goes on at.
func waysOn(m *client.AppMessage) (out []crumb) {
	if m.ToAddress != "" && story.AsksList(&m.Stored) {
		out = append(out, crumb{"Look the address up on the suppression list", suppressionsPath + "?" + url.Values{"app": {m.App.Slug}, "channel": {m.Channel}, "address": {m.ToAddress}}.Encode()})
	}
	if chain.EndOf(m.WaitingFor) != "" || m.WaitingFor == chain.WaitThrottled {
		switch m.WaitingFor {
		case chain.WaitAppPaused, chain.WaitQueuePaused:
			out = append(out, crumb{"The app, where it is switched on and its queue resumed", appsPath + "/" + m.App.ID}, crumb{"Who did it, and when", auditPath + "?" + url.Values{"app": {m.App.Slug}}.Encode()})
		case chain.WaitHeld:
		default:
			out = append(out, crumb{"The app's providers, with what holds each", providersPath + chainOf{&client.App{Slug: m.App.Slug}}.Query()})
		}
	}
	if m.ProviderName == chain.Sandbox && m.SentAt != nil {
		out = append(out, crumb{"The capture in the sandbox inbox", sandboxPath + "/" + url.PathEscape(m.App.Slug) + "/" + m.ID})
	}
	return out
}

// listOf is what the suppression list of the message's app says of its address. A story is worth more than the list: without it
// the story says that it cannot tell.
func (v *visit) listOf(m *client.AppMessage) (out story.List) {
	if m.ToAddress == "" || !story.AsksList(&m.Stored) {
		return out
	}
	found, err := fetch[listing[client.Suppression]](v, m.App.Slug, "/api/v1/suppressions", url.Values{"channel": {m.Channel}, "address": {m.ToAddress}})
	if err != nil {
		return out
	}
	out.Read = true
	if len(found.Data) > 0 {
		out.Entry = &found.Data[0]
	}
	return out
}

// posted is an event on its way to an endpoint, with the page that shows it.
type posted struct {
	client.Delivery
	Endpoint string // its name; "" where it goes without saying
	Page     string
	Off      bool // the endpoint is switched off: it waits until it is on
}

// untold finds the first event that each webhook is still to be told.
func untold(posts []posted) (out []posted) {
	for _, p := range posts {
		if p.State == "waiting" && !slices.ContainsFunc(out, func(o posted) bool { return o.Endpoint == p.Endpoint }) {
			out = append(out, p)
		}
	}
	return out
}

// storyLine is an event in words.
type storyLine struct {
	At            time.Time
	Words, Detail string
	Provider, To  string
	Config        string // the provider configuration's name
	Tone          string
	Apart         string // the time since the line before, where it is long
}

// gone are the reasons why a content is not shown.
var gone = map[string]string{
	"content_purged": "Its content was removed when the time to keep it was over.",
	"erased":         "Its content was erased on request.",
	"unreadable":     "Its content is there, but this version of the server cannot read it.",
}

// theMessage is the one that the path names.
func (v *visit) theMessage() (*client.AppMessage, error) {
	admin, err := v.admin()
	if err != nil {
		return nil, err
	}
	return admin.Message(v.ctx(), v.param("id"))
}

func (v *visit) showMessage() error {
	m, err := v.theMessage()
	if err != nil {
		return err
	}
	beside := story.Beside{When: v.when, Reports: v.c.reports, Alone: func() bool { return !m.Sandbox && v.alone(m.App.Slug, m.Channel) }, List: v.listOf(m)}
	p := &messagePage{M: m, Story: story.Tell(&m.Stored, beside), Tone: tone(became(m.Status, m.Sandbox, m.ProviderName)), Headers: headersOf(m.Headers),
		Acts: offered(v, messageDeeds(v.now()), m), Gone: gone[m.ContentRemoved], Carrier: story.Carrier(&m.Stored)}
	if m.Channel == client.Email && m.Body+m.Text != "" {
		p.Mail = v.mailView(messagesPath+"/"+m.ID, "#h-content", m.Body, m.Text, m.Body != "")
		p.Mail.showSource(m.Body)
	}
	p.Lines = lines(&m.Stored)
	p.Calls, p.Ways = callsOf(m), waysOn(m)
	if len(m.Metadata) > 0 && string(m.Metadata) != "null" && string(m.Metadata) != "{}" {
		p.Metadata = pretty(m.Metadata)
	}
	if p.Posts, err = v.postsOf(m); err != nil {
		p.PostsAway = true // the story is worth more than they are
	}
	if p.Untold, p.Next = untold(p.Posts), p.Story.Next; len(p.Untold) > 0 {
		p.Next = p.Story.OfItself()
	}
	updates := !m.Final() || v.now().Sub(m.UpdatedAt) < watched && (m.Status == "SENT" || len(p.Untold) > 0)
	p.Live = updates && !v.paused()
	if p.Story.Doubts != nil && p.Tone != "bad" {
		p.Tone = "warn"
	}
	return v.show("message", page{Title: titleOf(m), Trail: []crumb{{"Messages", messagesPath}}, Data: p, Updates: updates})
}

// postsTold is what a message's page tells of each webhook at most; the endpoint's page has the rest.
const postsTold = 20

// postsOf are the newest events of a message that go to each of its app's endpoints, of which there are few (store.MaxEndpoints). The API answers
// for one endpoint at a time.
func (v *visit) postsOf(m *client.AppMessage) ([]posted, error) {
	if len(m.Events) == 1 {
		return nil, nil // it was accepted, and waits, perhaps for days, with this page open
	}
	as, err := v.app(m.App.Slug)
	if err != nil {
		return nil, err
	}
	all, err := as.Endpoints(v.ctx())
	if err != nil {
		return nil, err
	}
	var out []posted
	for _, e := range all {
		found, err := fetch[listing[client.Delivery]](v, m.App.Slug, "/api/v1/webhooks/"+client.Escape(e.ID)+"/deliveries", url.Values{"messageId": {m.ID}, "limit": {itoa(postsTold)}})
		if err != nil {
			return nil, err
		}
		for _, d := range found.Data {
			out = append(out, posted{d, e.Name, endpointPath(m.App.ID, e.ID) + "/deliveries/" + d.ID, e.DisabledReason != "" || !e.IsActive})
		}
	}
	slices.SortStableFunc(out, func(a, b posted) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

// watched is how long a page goes on looking after a message came to an end: what is sent may still turn to something else, and a webhook may still
// be told.
const watched = 2 * time.Minute

// when writes an instant into a sentence: in how long, and at what time.
func (v *visit) when(t time.Time) string {
	return relative(t, v.now()) + " (" + t.UTC().Format("2006-01-02 15:04:05") + " UTC)"
}

func titleOf(m *client.AppMessage) string {
	switch {
	case m.Subject != "":
		return m.Subject
	case m.Channel == client.SMS:
		return "SMS to " + m.ToAddress
	}
	return "Email to " + m.ToAddress
}

// longApart is a pause between two events that is worth saying.
const longApart = 5 * time.Second

func lines(m *client.Stored) []storyLine {
	events, named := m.Events, map[int]string{}
	for i := range m.AttemptLog {
		named[m.AttemptLog[i].Attempt] = m.AttemptLog[i].ConfigName
	}
	out := make([]storyLine, 0, len(events))
	for i := range events {
		e := &events[i]
		line := storyLine{At: e.At, Provider: e.Provider, Config: named[e.Attempt], Tone: "quiet"}
		if line.Words, line.Detail = story.Line(e); line.Detail == line.Config {
			line.Detail = "" // it stands beside the words
		}
		if e.To != "" && e.To != e.From {
			line.To = became(e.To, m.Sandbox, e.Provider)
			line.Tone = tone(line.To)
		}
		if i > 0 {
			if d := e.At.Sub(events[i-1].At); d >= longApart {
				line.Apart = words(d) + " later"
			}
		}
		out = append(out, line)
	}
	return out
}

// framePolicy is that of a message's content: no script, no form, nothing that is fetched, and an origin of its own.
const framePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox"

// frameMessage is the rendered content of an email, for the frame of its page.
func (v *visit) frameMessage() error {
	m, err := v.theMessage()
	if err != nil {
		return err
	}
	if m.Body == "" {
		return missing("content")
	}
	return v.frame(m.Channel == client.Email, m.Body, v.asked("as"))
}

// frame answers somebody's content for a frame. It is somebody else's: nothing of it may run, be sent or be fetched. scheme is
// light or dark, as the reader's program would have it; "" is as the system has it.
func (v *visit) frame(markup bool, body, scheme string) error {
	return v.frameStatus(http.StatusOK, markup, body, scheme)
}

func (v *visit) frameStatus(status int, markup bool, body, scheme string) error {
	if markup {
		body = mime.Quiet(body)
	} else {
		body = "<pre>" + html.EscapeString(body) + "</pre>"
	}
	look := "light"
	if scheme == "dark" {
		look = "dark"
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", framePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	// What stands before the content is what mail programs do: it has a page of its own, in the colours of the system.
	return v.write(status, []byte(`<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Content of the message</title>`+
		`<style>:root{color-scheme:`+look+`}body{font-family:system-ui,sans-serif;margin:16px;overflow-wrap:anywhere}pre{white-space:pre-wrap}</style>`+body))
}

// retryable says that a message can be queued again: it is over, in time and still has its content (comm.RetryVerdict).
func retryable(m *client.AppMessage, now time.Time) bool {
	over := m.Status == "FAILED" || m.Status == "CANCELLED"
	return over && (m.ExpiresAt == nil || now.Before(*m.ExpiresAt)) && (m.ContentRemoved == "" || m.ContentRemoved == "unreadable")
}

// messageDeeds is the table of what can be done to a message now.
func messageDeeds(now time.Time) []deed[*client.AppMessage] {
	return []deed[*client.AppMessage]{
		{Word: "cancel", Name: "Cancel it", Danger: true, when: func(m *client.AppMessage) bool { return m.Status == "QUEUED" }, title: "Cancel this message?", lead: "It will not be sent.",
			points: []string{"It is taken out of the queue at once.", "A call of a provider that has begun is not stopped: then the answer decides, and you are told.", "It can be queued again later."},
			button: "Cancel the message", done: "The message is cancelled.", do: func(v *visit, m *client.AppMessage) error {
				a, err := v.admin()
				if err == nil {
					_, err = a.CancelMessage(v.ctx(), m.ID)
				}
				return err
			}},
		{Word: "retry", Name: "Queue it again", when: func(m *client.AppMessage) bool { return retryable(m, now) }, title: "Queue this message again?", lead: "It is sent as soon as its turn comes.",
			points: []string{"The attempts begin anew, with the provider configurations of now."}, also: func(m *client.AppMessage) []string {
				if !m.MayHaveBeenSent && !m.PossibleDuplicate {
					return nil
				}
				return []string{"An earlier attempt had no answer: the recipient may get it twice."}
			},
			button: "Queue it again", done: "The message is queued again.", do: func(v *visit, m *client.AppMessage) error {
				a, err := v.admin()
				if err == nil {
					_, err = a.RetryMessage(v.ctx(), m.ID)
				}
				return err
			}},
	}
}

// aMessage is the message of the path as what is done to it speaks of it.
func (v *visit) aMessage() (*subject[*client.AppMessage], error) {
	m, err := v.theMessage()
	if err != nil {
		return nil, err
	}
	at := messagesPath + "/" + m.ID
	return &subject[*client.AppMessage]{x: m, at: at, acts: at + "/", trail: []crumb{{"Messages", messagesPath}, {titleOf(m), at}},
		counts: func(m *client.AppMessage) ([]string, error) {
			return []string{fmt.Sprintf("%s, of the app %s.", titleWithAddress(m), m.App.Name)}, nil
		}}, nil
}

func titleWithAddress(m *client.AppMessage) string {
	if m.Subject != "" {
		return "“" + m.Subject + "” to " + m.ToAddress
	}
	return titleOf(m)
}

func (v *visit) confirmMessage() error {
	return confirmDeed(v, messageDeeds(v.now()), v.param("action"), v.aMessage)
}

// changeMessage asks for no more than the act: the API answers what the message is.
func (v *visit) changeMessage() error {
	return runDeed(v, messageDeeds(v.now()), v.param("action"), func() (*subject[*client.AppMessage], error) {
		return &subject[*client.AppMessage]{x: &client.AppMessage{Stored: client.Stored{ID: v.param("id")}}, at: messagesPath + "/" + v.param("id")}, nil
	})
}
