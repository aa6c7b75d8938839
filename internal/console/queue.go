package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
)

const queuePath = Root + "/queue"

func (c *Console) queueRoutes() []route {
	return []route{
		{"GET", queuePath, "queue", actSee, false, (*visit).showQueue},
		{"GET", queuePath + "/{app}/clear", "queue", actOperate, false, (*visit).confirmClear},
		{"POST", queuePath + "/{app}/clear", "queue", actOperate, false, (*visit).clearQueue},
	}
}

// queuePage is what waits to be sent.
type queuePage struct {
	App, Channel, Lane string
	Apps               []client.App
	Units              []queueLine
	Calls              []queueCalls
	Totals             client.QueueTotals
	CountedTo          int
	Pager              pager
	Query              string
	Live               bool
}

// Any says whether the view is narrowed.
func (q *queuePage) Any() bool { return q.App != "" || q.Channel != "" || q.Lane != "" }

// queueLine is a unit: an app's messages of a channel and a lane.
type queueLine struct {
	client.QueueUnit
	Clear string // the page that offers to cancel what waits
	Tone  string // of why it waits
	Acts  []queueAct
}

// queueCalls is a provider configuration that is called, or behind which messages wait.
type queueCalls struct {
	client.QueueCalls
	Of string // the name of the app that it belongs to, "" where it is none of those that are read
}

// callsOfQueue names the apps of configurations as far as they are known.
func callsOfQueue(all []client.QueueCalls, apps []client.App) []queueCalls {
	out := make([]queueCalls, len(all))
	for i, c := range all {
		out[i].QueueCalls = c
		for j := range apps {
			if apps[j].ID == c.App {
				out[i].Of = apps[j].Name
			}
		}
	}
	return out
}

// queueAct is something that can be done to the whole queue of a line's app.
type queueAct struct{ Name, Path, Label string }

// queueActs are those of the acts on an app that move its queue, and that make sense now. They come back to this page.
func (v *visit) queueActs(u *client.QueueUnit) (out []queueAct) {
	from := queuePath
	if q := v.r.URL.RawQuery; q != "" {
		from += "?" + q
	}
	app := &client.App{QueueState: u.QueueState}
	for _, one := range offered(v, appDeeds(), app) {
		switch one.Word {
		case "pause", "drain", "resume":
			name, _, _ := strings.Cut(one.Name, " ")
			out = append(out, queueAct{name, appsPath + "/" + url.PathEscape(u.App.Slug) + "/do/" + one.Word + "?" + url.Values{"from": {from}}.Encode(), one.Name + " of " + u.App.Name})
		}
	}
	return out
}

func (v *visit) showQueue() error {
	p := &queuePage{App: v.asked("app"), Channel: v.asked("channel"), Lane: v.asked("lane"), Query: v.r.URL.RawQuery}
	updates := v.asked("cursor") == ""
	p.Live = updates && !v.paused()
	admin, err := v.admin()
	if err != nil {
		return err
	}
	found, err := admin.Queue(v.ctx(), client.QueueFilter{App: p.App, Channel: p.Channel, Lane: p.Lane, Cursor: v.asked("cursor")})
	if err != nil {
		return err
	}
	if p.Apps, err = v.someApps(); err != nil {
		return err
	}
	p.Totals, p.Calls, p.CountedTo, p.Pager = found.Totals, callsOfQueue(found.Providers, p.Apps), found.CountedTo, v.pagerOf(found.Next, len(found.Units))
	for _, u := range found.Units {
		line := queueLine{QueueUnit: u, Tone: "quiet", Clear: clearPath(u.App.Slug) + "?" + url.Values{"channel": {u.Channel}, "lane": {u.Lane}}.Encode(), Acts: v.queueActs(&u)}
		if chain.Remedy(u.WaitingFor) != "" {
			line.Tone = "warn"
		}
		p.Units = append(p.Units, line)
	}
	return v.show("queue", page{Title: "Queue", Data: p, Updates: updates})
}

func clearPath(app string) string { return queuePath + "/" + url.PathEscape(app) + "/clear" }

// unitWords names what of an app is meant.
func unitWords(channel, lane string) string {
	what := map[string]string{client.Email: "emails", client.SMS: "SMS"}[channel]
	if what == "" {
		what = "messages"
	}
	if lane == "" {
		return what
	}
	return statusWord(lane) + " " + what
}

func (v *visit) confirmClear() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	return v.askClear(app, v.asked("channel"), v.asked("lane"), "")
}

// askClear shows what waits before anything is done. Only that is meant, and not what comes while somebody reads.
func (v *visit) askClear(app *client.App, channel, lane, wrong string) error {
	queue, err := fetch[client.Queue](v, "", "/api/admin/queue", narrowed(app, channel, lane))
	if err != nil {
		return err
	}
	until := queue.CountedAt.Format(time.RFC3339Nano) // this node's own clock may be another than the one that messages are dated by
	n, more := 0, false
	for _, u := range queue.Units {
		n, more = n+u.Due+u.Later, more || u.AtLeast
	}
	count := plural(n, "message waits", "messages wait") + " at this moment."
	if more {
		count = "More than " + count
	}
	back := queuePath + "?app=" + url.QueryEscape(app.Slug)
	return v.confirm(confirmation{Title: "Cancel what waits?", Lead: fmt.Sprintf("All %s of %s that wait are cancelled. They are not sent.", unitWords(channel, lane), app.Name),
		Points: []string{count, "Calls of providers that have begun are not stopped.", "What is accepted from now on is not touched. To keep more from coming, pause or drain the queue first.", "Each can be queued again later, one by one or by a search."},
		Action: clearPath(app.Slug), Fields: []hidden{{"channel", channel}, {"lane", lane}, {"until", until}}, Type: app.Slug, Button: "Cancel what waits", Back: back, Trail: []crumb{{"Queue", back}}, Error: wrong})
}

// narrowed is the query for what of an app is meant.
func narrowed(app *client.App, channel, lane string) url.Values {
	q := url.Values{"app": {app.ID}}
	for name, value := range map[string]string{"channel": channel, "lane": lane} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// clearSteps is how many bounded calls of the API one form makes; who asked is asked again for the rest.
const clearSteps = 20

func (v *visit) clearQueue() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	in := v.r.PostForm
	channel, lane, cursor, done := in.Get("channel"), in.Get("lane"), in.Get("cursor"), whole(in.Get("done"))
	if in.Get("confirm") != app.Slug {
		return v.askClear(app, channel, lane, "What was typed is not "+app.Slug+". Nothing was cancelled.")
	}
	until := in.Get("until")
	if _, err := time.Parse(time.RFC3339, until); err != nil {
		return v.askClear(app, channel, lane, "This form does not say when it was shown. Nothing was cancelled.")
	}
	body := map[string]string{"action": "CANCEL", "app": app.ID, "confirm": app.Slug, "createdBefore": until}
	for name, value := range map[string]string{"channel": channel, "lane": lane, "cursor": cursor} {
		if value != "" {
			body[name] = value
		}
	}
	back := queuePath + "?app=" + url.QueryEscape(app.Slug)
	for range clearSteps {
		var one client.QueueChanged
		if err := send(v, "", http.MethodPost, "/api/admin/queue", body, &one); err != nil {
			return v.undone(back, err)
		}
		done += one.Cancelled
		if one.NextCursor == "" {
			return v.done(back, plural(done, "message is", "messages are")+" cancelled.")
		}
		body["cursor"] = one.NextCursor
	}
	return v.confirm(confirmation{Title: "There is more to cancel", Lead: plural(done, "message is", "messages are") + " cancelled so far.", Points: []string{"The rest still waits, and goes out as its turn comes."},
		Action: clearPath(app.Slug), Fields: []hidden{{"channel", channel}, {"lane", lane}, {"until", until}, {"cursor", body["cursor"]}, {"done", itoa(done)}, {"confirm", app.Slug}}, Button: "Go on", Back: back, Trail: []crumb{{"Queue", back}}})
}
