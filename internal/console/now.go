package console

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/story"
)

const (
	nowPath = Root + "/live"
	// happensShown is how many events one look brings, happensKept how many the page keeps of all of them.
	happensShown = 50
	happensKept  = 100
	// whyShown bounds what a line says of a provider's words, in characters; the message's page has all.
	whyShown = 160
)

func (c *Console) nowRoutes() []route {
	return []route{{"GET", nowPath, "live", actSee, false, (*visit).showNow}}
}

// nowPage is what happens in all apps, the newest first.
type nowPage struct {
	App, Channel, Only string
	Apps               []client.App
	Lines              []happening
	Looked, Passed     int
	AtLeast            bool
	Kept               int
	Search             string // where what was passed over is found
	Fresh              bool   // it is put on top of what the page had
	Live               bool
	Query, Next        string // of this page, and of the look after this one
	Wrong              *client.Error
}

// Any says whether the page is narrowed.
func (p *nowPage) Any() bool { return p.App+p.Channel+p.Only != "" }

// Narrow says that not everything that was looked at is shown.
func (p *nowPage) Narrow() bool { return p.Channel+p.Only != "" }

// Again is what asks for this page again, whole or for what is new.
func (p *nowPage) Again() string {
	if len(p.Lines) == 0 {
		return p.Query
	}
	return p.Next
}

// Nothing says that there is nothing of what was asked for.
func (p *nowPage) Nothing() string {
	s := "No event has happened there lately."
	if p.Looked > 0 {
		s = "Of the last " + plural(p.Looked, "event", "events") + " none is like this."
	}
	if p.Live {
		s += " As soon as one is, it appears here by itself."
	}
	return s
}

// happening is an event in words.
type happening struct {
	client.NewestEvent
	Words, Why string
	Changed    bool   // the message came to another state
	Trouble    string // the tone of what did not go well; "" for everything else
}

// Only troubles are shown by this word of the query; there is no other one.
const onlyTroubles = "problems"

// tailPart is what htmx fills with what is new.
const tailPart = "tail"

func (v *visit) showNow() error {
	p := &nowPage{App: v.asked("app"), Channel: v.asked("channel"), Only: v.asked("only"), Kept: happensKept, Live: !v.paused()}
	goesOn := v.r.Header.Get("HX-Target") == tailPart
	p.Fresh = goesOn
	admin, err := v.admin()
	if err != nil {
		return err
	}
	look := client.Looking{App: p.App, Channel: p.Channel, Troubles: p.Only == onlyTroubles, Limit: happensShown}
	if goesOn {
		look.After = v.asked("after")
	}
	found, err := admin.NewestEvents(v.ctx(), look)
	switch {
	case err == nil:
		p.see(v, found)
	case !errors.As(err, &p.Wrong) || p.Wrong.Status != http.StatusBadRequest && p.Wrong.Status != http.StatusNotFound:
		return err
	case goesOn: // the app is gone, or the database is another one: the whole page says so
		v.w.Header().Set("HX-Refresh", "true")
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if !goesOn {
		if p.Apps, err = v.someApps(); err != nil {
			return err
		}
	}
	p.Live = p.Live && p.Wrong == nil
	return v.show("live", page{Title: "Live", Data: p, Updates: p.Wrong == nil})
}

// see takes over what a look has found.
func (p *nowPage) see(v *visit, found *client.NewestEvents) {
	p.Looked, p.Passed, p.AtLeast = found.Looked, found.Passed, found.AtLeast
	for _, e := range found.Data {
		words, why := story.Line(&e.Event)
		p.Lines = append(p.Lines, happening{e, story.Capital(words), firstOf(why, whyShown), e.To != "" && e.To != e.From, troubleOf(&e.Event)})
	}
	q, search := v.r.URL.Query(), url.Values{}
	q.Del("after")
	p.Query = q.Encode()
	q.Set("after", found.NextCursor)
	p.Next = q.Encode()
	for name, value := range map[string]string{"app": p.App, "channel": p.Channel, "status": map[string]string{onlyTroubles: "FAILED"}[p.Only]} {
		if value != "" {
			search.Set(name, value)
		}
	}
	p.Search = search.Encode()
}

// troubleOf is how an event looks that did not go well; "" for the others.
func troubleOf(e *client.Event) string {
	cause, _ := comm.ParseCause(e.Type)
	from, _ := comm.ParseStatus(e.From)
	to, _ := comm.ParseStatus(e.To)
	switch one := (comm.Event{Type: cause, From: from, To: to}); {
	case !one.Troubles():
		return ""
	case to == comm.Failed && from != to:
		return "bad"
	}
	return "warn"
}

// clock is the time of a day, for lists of what has just happened.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
