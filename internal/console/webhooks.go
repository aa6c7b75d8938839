package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/commserver/commserver/client"
)

const webhooksPath = Root + "/webhooks"

func (c *Console) webhookRoutes() []route {
	one := webhooksPath + "/{app}/{id}"
	return []route{
		{"GET", webhooksPath, "webhooks", actSee, false, (*visit).listEndpoints},
		{"GET", webhooksPath + "/{app}/new", "webhooks", actOperate, false, (*visit).showNewEndpoint},
		{"POST", webhooksPath + "/{app}/new", "webhooks", actOperate, false, (*visit).createEndpoint},
		{"GET", one, "webhooks", actSee, false, (*visit).showEndpoint},
		{"GET", one + "/edit", "webhooks", actOperate, false, (*visit).showEditEndpoint},
		{"POST", one + "/edit", "webhooks", actOperate, false, (*visit).saveEndpoint},
		{"POST", one + "/test", "webhooks", actOperate, false, (*visit).testEndpoint},
		{"GET", one + "/rotate", "webhooks", actOperate, false, (*visit).showRotateSecret},
		{"POST", one + "/rotate", "webhooks", actOperate, false, (*visit).rotateSecret},
		{"GET", one + "/replay", "webhooks", actOperate, false, (*visit).showReplay},
		{"POST", one + "/replay", "webhooks", actOperate, false, (*visit).replay},
		{"GET", one + "/do/{act}", "webhooks", actOperate, false, (*visit).confirmEndpointAct},
		{"POST", one + "/do/{act}", "webhooks", actOperate, false, (*visit).endpointAct},
		{"GET", one + "/deliveries/{delivery}", "webhooks", actSee, false, (*visit).showDelivery},
		{"POST", one + "/deliveries/{delivery}", "webhooks", actOperate, false, (*visit).replayDelivery},
	}
}

// endpointList is the page of an app's endpoints.
type endpointList struct {
	App       *client.App
	Apps      []client.App
	Endpoints []client.Endpoint
}

func (v *visit) listEndpoints() error {
	l := &endpointList{}
	var err error
	if l.Apps, err = v.someApps(); err != nil {
		return err
	}
	if l.App, err = v.chosenApp(l.Apps); err != nil {
		return err
	}
	if l.App != nil {
		as, err := v.app(l.App.Slug)
		if err != nil {
			return err
		}
		if l.Endpoints, err = as.Endpoints(v.ctx()); err != nil {
			return err
		}
	}
	return v.show("webhooks", page{Title: "Webhooks", Data: l})
}

// countEndpoints is how many endpoints an app has, and how many of them are off.
func (v *visit) countEndpoints(app *client.App) (all, off int, err error) {
	as, err := v.app(app.Slug)
	if err != nil {
		return 0, 0, err
	}
	list, err := as.Endpoints(v.ctx())
	for _, e := range list {
		if endpointState(e) != endpointOn {
			off++
		}
	}
	return len(list), off, err
}

// endpointOn is the state of an endpoint that gets what happens.
const endpointOn = "active"

// endpointState is the word for how an endpoint stands.
func endpointState(e client.Endpoint) string {
	switch {
	case e.DisabledReason != "":
		return "switched off"
	case e.IsActive && e.Failing != nil:
		return "failing"
	case e.IsActive:
		return endpointOn
	}
	return "off"
}

// answerShown bounds, in characters, what a list shows of what an endpoint answered; the delivery's page has all that is kept.
const answerShown = 60

// disabledWords say why the server switched an endpoint off.
var disabledWords = map[string]string{
	"gone":       "It answered 410 Gone, so the server switched it off. Switch it on once the receiver is there again.",
	"failed":     "It took nothing for days, so the server switched it off. Switch it on once the receiver works: what waits is posted then, and what was given up can be replayed. What happened since it is off is in the feed alone.",
	"unreadable": "Its secret cannot be read with the encryption keys of this server. Give it another one.",
}

// endpointAt is an endpoint with the paths of its pages.
type endpointAt struct {
	App  *client.App
	As   *client.Client
	E    *client.Endpoint
	List string // the page of the app's endpoints
	At   string // the page of this one
}

func (v *visit) theEndpoint() (*endpointAt, error) {
	app, err := v.theApp()
	if err != nil {
		return nil, err
	}
	x := &endpointAt{App: app, List: webhooksPath + "?app=" + url.QueryEscape(app.Slug)}
	if x.As, err = v.app(app.Slug); err != nil {
		return nil, err
	}
	if x.E, err = x.As.Endpoint(v.ctx(), v.param("id")); err != nil {
		return nil, err
	}
	x.At = endpointPath(app.Slug, x.E.ID)
	return x, nil
}

// endpointPath is the page of an endpoint; the app is named by its id or slug.
func endpointPath(app, id string) string { return webhooksPath + "/" + url.PathEscape(app) + "/" + id }

// trail leads to the page of the endpoint, or to the list.
func (x *endpointAt) trail(whole bool) []crumb {
	out := []crumb{{"Webhooks", x.List}}
	if whole {
		out = append(out, crumb{x.E.Name, x.At})
	}
	return out
}

// statusesTold are the statuses that an endpoint may choose.
var statusesTold = []string{"QUEUED", "SENDING", "SENT", "DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED"}

func endpointForm(e *client.Endpoint) *form {
	statuses := make([]choice, 0, len(statusesTold))
	for _, s := range statusesTold {
		statuses = append(statuses, choice{s, statusWord(s), ""})
	}
	f := &form{Fields: []field{
		{Name: "name", Label: "Name", Kind: textField, Must: true, Length: 64, Mono: true, Help: "Lower-case letters, digits and dashes, such as orders. The one named default is the app's webhookUrl."},
		{Name: "url", Label: "Address", Kind: urlField, Must: true, Length: 2048, Hint: "https://example.com/hooks/comms", Help: "Events are posted there, signed. Addresses inside your network are refused, unless the operator allows them."},
		{Name: "statuses", Label: "Which changes", Kind: manyField, Choose: statuses, Help: "None chosen: all but the ones on the way."},
		{Name: "channels", Label: "Which channels", Kind: manyField, Choose: []choice{{client.Email, "Email", ""}, {client.SMS, "SMS", ""}}, Help: "None chosen: both."},
		{Name: "tags", Label: "Which tags", Kind: textField, Length: 700, Help: "Messages that have one of these tags; separate them by commas. Empty: all."},
	}}
	if e != nil {
		f.Fields[0].Value, f.Fields[1].Value, f.Fields[2].Values, f.Fields[3].Values, f.Fields[4].Value = e.Name, e.URL, e.Statuses, e.Channels, strings.Join(e.Tags, ", ")
	}
	return f
}

// endpointOf reads a form. The lists are said even where they are empty: that takes a filter away.
func endpointOf(in url.Values) client.EndpointChange {
	statuses, channels := append([]string{}, in["statuses"]...), append([]string{}, in["channels"]...)
	tags := []string{}
	for tag := range strings.SplitSeq(in.Get("tags"), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return client.EndpointChange{Name: strings.TrimSpace(in.Get("name")), URL: strings.TrimSpace(in.Get("url")), Statuses: &statuses, Channels: &channels, Tags: &tags}
}

func (v *visit) showNewEndpoint() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	return v.newEndpointPage(http.StatusOK, app, endpointForm(nil))
}

func (v *visit) newEndpointPage(status int, app *client.App, f *form) error {
	list := webhooksPath + "?app=" + url.QueryEscape(app.Slug)
	return v.showStatus(status, "form", page{Title: "New webhook of " + app.Name, Trail: []crumb{{"Webhooks", list}}, Data: formPage{Form: f, Action: webhooksPath + "/" + url.PathEscape(app.Slug) + "/new", Button: "Add the webhook", Back: list,
		Lead: "Its secret is shown once, on the next page: the receiver checks signatures with it."}})
}

func (v *visit) createEndpoint() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	as, err := v.app(app.Slug)
	if err != nil {
		return err
	}
	f := endpointForm(nil)
	f.take(v.r.PostForm)
	made, err := as.CreateEndpoint(v.ctx(), endpointOf(v.r.PostForm))
	if err != nil {
		return v.refused(err, f, func(status int) error { return v.newEndpointPage(status, app, f) })
	}
	return v.showSecret(app, made, "The webhook is made")
}

// secretShown is the page that shows a secret, once.
type secretShown struct {
	E   *client.Endpoint
	At  string
	Env string
}

func (v *visit) showSecret(app *client.App, e *client.Endpoint, title string) error {
	list := webhooksPath + "?app=" + url.QueryEscape(app.Slug)
	at := endpointPath(app.Slug, e.ID)
	return v.show("secret", page{Title: title, Trail: []crumb{{"Webhooks", list}, {e.Name, at}}, Data: secretShown{E: e, At: at, Env: `COMMS_WEBHOOK_SECRET="` + e.Secret + `"`}})
}

// endpointPage is an endpoint with what was posted to it.
type endpointPage struct {
	*endpointAt
	State, Why string
	Deliveries []posted
	Filter     struct{ State, Message string }
	Pager      pager
	Live       bool
	Query      string
	Acts       []deed[*endpointAt]
}

func (v *visit) showEndpoint() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	p := &endpointPage{endpointAt: x, State: endpointState(*x.E), Why: disabledWords[x.E.DisabledReason], Query: v.r.URL.RawQuery}
	updates := v.asked("cursor") == ""
	p.Live = updates && !v.paused()
	p.Filter.State, p.Filter.Message = v.asked("state"), v.asked("message")
	q := url.Values{"limit": {itoa(messagesShown)}}
	for name, value := range map[string]string{"state": p.Filter.State, "messageId": p.Filter.Message, "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	found, err := fetch[listing[client.Delivery]](v, x.App.Slug, "/api/v1/webhooks/"+client.Escape(x.E.ID)+"/deliveries", q)
	if err != nil {
		return err
	}
	for _, d := range found.Data {
		p.Deliveries = append(p.Deliveries, posted{Delivery: d, Page: x.At + "/deliveries/" + d.ID})
	}
	p.Pager = v.pagerOf(found.Next, len(found.Data))
	p.Acts = offered(v, endpointDeeds(), x)
	return v.show("webhook", page{Title: x.E.Name, Trail: x.trail(false), Data: p, Updates: updates})
}

func (v *visit) showEditEndpoint() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	return v.editPage(http.StatusOK, x, endpointForm(x.E).remembering())
}

func (v *visit) editPage(status int, x *endpointAt, f *form) error {
	return v.showStatus(status, "form", page{Title: "Change " + x.E.Name, Trail: x.trail(true), Data: formPage{Form: f, Action: x.At + "/edit", Button: "Save", Back: x.At, Lead: "A change holds for the next post already."}})
}

func (v *visit) saveEndpoint() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	f, in := endpointForm(x.E).remembering(), v.r.PostForm
	again := func(status int) error { return v.editPage(status, x, f) }
	done, ok := f.edited(in)
	if !ok {
		return again(stale)
	}
	all := endpointOf(in)
	change := done.only(map[string]any{"name": all.Name, "url": all.URL, "statuses": all.Statuses, "channels": all.Channels, "tags": all.Tags}, "")
	if len(change) == 0 {
		return v.unedited(x.At)
	}
	if err := send(v, x.App.Slug, http.MethodPatch, "/api/v1/webhooks/"+client.Escape(x.E.ID), change, nil); err != nil {
		return v.refused(err, f, again)
	}
	return v.done(x.At, "The webhook is changed.")
}

func (v *visit) testEndpoint() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	d, err := x.As.TestEndpoint(v.ctx(), x.E.ID)
	if err != nil {
		return v.undone(x.At, err)
	}
	return v.done(x.At+"/deliveries/"+d.ID, "A test event is on its way.")
}
