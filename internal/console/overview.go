package console

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
)

func (c *Console) overviewRoutes() []route {
	return []route{{"GET", Root, "overview", actSee, false, (*visit).overview}}
}

// overview is the first page: what is wrong, then how much was sent and how well. Each part fails for itself.
type overview struct {
	First  *firstRun // instead of everything else, as long as nothing was sent
	Wrong  []trouble
	Over   []past // what is well again
	Last   *client.AppMessage
	Report *report
	Window string
	Self   template.URL
	Held   []client.QueueUnit // those that wait longest of what waits for somebody
	Totals client.QueueTotals
	Hold   *client.Hold // nil: the server sends

	HeldMore                                              int  // how many more wait for somebody
	Unread                                                bool // more of the queue was not looked at
	OverMore                                              int  // how many more are over
	AlertsAway, HoldAway, QueueAway, LastAway, ReportAway bool // that cannot be read now
}

// Sure says that everything was read that may say that something is wrong.
func (o *overview) Sure() bool {
	return !o.AlertsAway && !o.HoldAway && !o.QueueAway && !o.Unread
}

// trouble is an alert with where to look, and the page that says what to do, "" for none.
type trouble struct {
	client.Alert
	Where, Path, Steps string
}

// firstRun is the three steps of who has just installed the server.
type firstRun struct {
	Apps []client.App
}

// windows are the API's, with their names and how a chart writes their times.
var windows = []struct{ Window, Name, layout string }{
	{"1h", "Hour", "15:04"}, {"24h", "Day", "15:04"}, {"7d", "Week", "Jan 2 15:04"}, {"30d", "Month", "Jan 2"},
}

func (v *visit) overview() error {
	o := &overview{Window: "24h"}
	for _, one := range windows {
		if one.Window == v.asked("window") {
			o.Window = one.Window
		}
	}
	for _, part := range []struct {
		read func(*visit) error
		away *bool
	}{{o.readAlerts, &o.AlertsAway}, {o.readHold, &o.HoldAway}, {o.readQueue, &o.QueueAway}, {o.readLast, &o.LastAway}, {o.readReport, &o.ReportAway}} {
		if err := part.read(v); err != nil {
			if endsVisit(v, err) {
				return err
			}
			*part.away = true // the others are worth more together
		}
	}
	o.Self = link(url.Values{"window": {o.Window}})
	return v.show("overview", page{Title: "Overview", Data: o, Updates: true})
}

// endsVisit says that no part of a page can be read: who asks is not signed in any more, or gone.
func endsVisit(v *visit, err error) bool {
	var e *client.Error
	return v.r.Context().Err() != nil || errors.Is(err, errSignIn) || errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Code == "password_change_required")
}

// readAlerts finds the alerts that stand, and those that are over since not long ago.
func (o *overview) readAlerts(v *visit) error {
	alerts, err := fetch[listing[client.Alert]](v, "", "/api/admin/alerts", nil)
	if err != nil {
		return err
	}
	for _, one := range alerts.Data {
		if one.State != "raised" {
			continue
		}
		t := trouble{Alert: one, Steps: strings.TrimPrefix(one.Page, v.c.cfg.PublicURL)} // it is served here, too, under whatever name this was asked for
		t.Where, t.Path = v.whereToLook(one)
		o.Wrong = append(o.Wrong, t)
	}
	o.over(v, alerts.Data)
	return nil
}

func (o *overview) readHold(v *visit) (err error) {
	o.Hold, err = v.holdOf()
	return err
}

// How far the queue is looked through for what waits for somebody: the page has to come soon, however many apps wait.
const (
	heldPages = 10
	heldApps  = 100 // of a page; the API gives no more
	heldShown = 20
	// heldTime is within which pages behind the first are read, of the 50 ms in which the console is to be there: one of a hundred apps takes some 10 ms.
	heldTime = 25 * time.Millisecond
	// heldFirst is within which the first is, without which nothing of the queue would be known.
	heldFirst = 5 * time.Second
)

// readQueue finds what waits, and the queues that somebody or something holds.
func (o *overview) readQueue(v *visit) error {
	err := o.readPages(v)
	slices.SortStableFunc(o.Held, func(a, b client.QueueUnit) int { return cmp.Compare(b.OldestAgeSeconds, a.OldestAgeSeconds) })
	shown := min(len(o.Held), heldShown)
	o.Held, o.HeldMore = o.Held[:shown], len(o.Held)-shown
	return err
}

// readPages reads page after page: they are in no order that means anything, so that what is held may be on any of them. None is begun that would take
// longer than what is left of the time if it took as long as the last one, and one that is under way when it is over is left: who asked is gone, as
// far as the API knows. On PostgreSQL that costs a connection, and is to be rare.
func (o *overview) readPages(v *visit) error {
	admin, err := v.admin()
	if err != nil {
		return err
	}
	until := func(d time.Duration) (context.Context, func()) {
		ctx, end := context.WithCancel(v.ctx())
		over := time.AfterFunc(d, end)
		return ctx, func() { over.Stop(); end() }
	}
	ctx, end := until(heldFirst)
	defer end()
	more, endMore := until(heldTime)
	defer endMore()
	f := client.QueueFilter{Apps: heldApps}
	over := time.Now().Add(heldTime)
	for range heldPages {
		began := time.Now()
		queue, err := admin.Queue(ctx, f)
		if err != nil && ctx == more && more.Err() != nil {
			break // what was read before it counts
		}
		if err != nil {
			return err
		}
		o.Totals = queue.Totals
		for _, u := range queue.Units {
			if u.Due > 0 && chain.Remedy(u.WaitingFor) != "" {
				o.Held = append(o.Held, u)
			}
		}
		if f.Cursor, ctx = queue.Next, more; f.Cursor == "" || time.Until(over) < time.Since(began) {
			break
		}
	}
	o.Unread = f.Cursor != ""
	return nil
}

// readLast finds the newest message, and where there is none the first steps.
func (o *overview) readLast(v *visit) error {
	last, err := fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", url.Values{"limit": {"1"}})
	if err != nil {
		return err
	}
	if len(last.Data) > 0 {
		o.Last = &last.Data[0]
		return nil
	}
	apps, err := v.someApps()
	o.First = &firstRun{Apps: apps}
	return err
}

func (o *overview) readReport(v *visit) (err error) {
	if o.First == nil {
		o.Report, err = v.report("", o.Window)
	}
	return err
}

// whereToLook is the page of what an alert is about, "" where this console has none.
func (v *visit) whereToLook(a client.Alert) (where, path string) {
	if !idForm.MatchString(a.Subject) {
		return "", "" // the database
	}
	switch a.Alert {
	case "provider_down":
		of := chainOf{}
		if a.App != "" {
			of.App = &client.App{Slug: a.App}
		}
		return "The provider", of.at(a.Subject, "")
	case "messages_waiting":
		return "Its waiting messages", messagesPath + "?" + url.Values{"status": {"QUEUED"}, "app": {a.App}}.Encode()
	case "app_without_provider":
		return "Its providers", providersPath + "?app=" + url.QueryEscape(a.App)
	case "endpoint_failing":
		return "The webhook", endpointPath(a.App, a.Subject)
	case "key_expiring":
		if v.user.can(actRule) {
			return "The keys of the app", appsPath + "/" + url.PathEscape(a.App) + "#h-keys"
		}
		return "The app", appsPath + "/" + url.PathEscape(a.App)
	}
	return "", ""
}

// has says whether the console has a page at a path.
func (c *Console) has(path string) bool {
	return slices.ContainsFunc(c.table, func(one route) bool { return one.method == http.MethodGet && one.path == path })
}

// report is what became of messages within a window, with its charts.
type report struct {
	*client.Stats
	Windows  []windowLink
	Accepted chart
	Outcomes chart
	Waits    chart
	Ended    int64        // how many came to an end of their sending
	Failed   template.URL // of the list of those that failed, accepted within the window
}

type windowLink struct {
	Name    string
	Query   template.URL
	Current bool
}

// report reads the figures of all apps, or of one. The links keep what else is in the query.
func (v *visit) report(app, window string) (*report, error) {
	admin, err := v.admin()
	if err != nil {
		return nil, err
	}
	s, err := admin.Stats(v.ctx(), window, app)
	if err != nil {
		return nil, err
	}
	out := &report{Stats: s, Ended: s.Counts.Sent + s.Counts.Failed + s.Counts.Suppressed + s.Counts.Cancelled}
	out.Failed = link(search{App: app, Status: "FAILED", After: s.From.UTC().Format("2006-01-02T15:04")}.values())
	layout := ""
	for _, one := range windows {
		q := v.r.URL.Query()
		q.Set("window", one.Window)
		out.Windows = append(out.Windows, windowLink{one.Name, link(q), one.Window == s.Window})
		if one.Window == s.Window {
			layout = one.layout
		}
	}
	var in, ends, waits []step
	for _, b := range s.Buckets {
		in = append(in, step{b.At, []int64{b.Counts.Accepted}})
		ends = append(ends, step{b.At, []int64{b.Counts.Sent, b.Counts.Suppressed, b.Counts.Cancelled, b.Counts.Failed}})
		waits = append(waits, step{b.At, []int64{b.Latency.Accepted.P50, b.Latency.Accepted.P95}})
	}
	out.Accepted = columns("volume", "Accepted", []series{{Name: "Accepted", Class: "c-info"}}, in, layout)
	out.Outcomes = columns("outcomes", "What became of them", []series{{Name: "Sent", Class: "c-ok"}, {Name: "Suppressed", Class: "c-warn"}, {Name: "Cancelled", Class: "c-quiet"}, {Name: "Failed", Class: "c-bad"}}, ends, layout)
	out.Waits = waitsOf("waits", "Time until sent", s.Latency.Accepted, waits, layout)
	return out, nil
}
