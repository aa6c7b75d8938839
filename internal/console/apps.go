package console

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

const (
	appsPath   = Root + "/apps"
	newAppPath = Root + "/new-app" // below apps it would be the page of an app with the slug new
)

func (c *Console) appRoutes() []route {
	return []route{
		{"GET", appsPath, "apps", actSee, false, (*visit).listApps},
		{"GET", newAppPath, "apps", actRule, false, (*visit).showNewApp},
		{"POST", newAppPath, "apps", actRule, false, (*visit).createApp},
		{"GET", appsPath + "/{app}", "apps", actSee, false, (*visit).showApp},
		{"GET", appsPath + "/{app}/first", "apps", actSee, false, (*visit).showFirst},
		{"GET", appsPath + "/{app}/settings", "apps", actRule, false, (*visit).showAppSettings},
		{"POST", appsPath + "/{app}/settings", "apps", actRule, false, (*visit).saveAppSettings},
		{"GET", appsPath + "/{app}/do/{act}", "apps", actOperate, false, (*visit).confirmAppAct},
		{"POST", appsPath + "/{app}/do/{act}", "apps", actOperate, false, (*visit).appAct},
		{"GET", appsPath + "/{app}/keys/new", "apps", actRule, false, (*visit).showNewKey},
		{"POST", appsPath + "/{app}/keys/new", "apps", actRule, false, (*visit).createKey},
		{"GET", appsPath + "/{app}/keys/{key}/rotate", "apps", actRule, false, (*visit).showRotateKey},
		{"POST", appsPath + "/{app}/keys/{key}/rotate", "apps", actRule, false, (*visit).rotateKey},
		{"GET", appsPath + "/{app}/keys/{key}/revoke", "apps", actRule, false, (*visit).confirmRevokeKey},
		{"POST", appsPath + "/{app}/keys/{key}/revoke", "apps", actRule, false, (*visit).revokeKey},
	}
}

// appList is the page of all apps.
type appList struct {
	Search, Active string
	Apps           []client.App
	Pager          pager
}

func (v *visit) listApps() error {
	list := appList{Search: v.asked("search"), Active: v.asked("active")}
	q := url.Values{"limit": {itoa(messagesShown)}}
	for name, value := range map[string]string{"search": list.Search, "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if list.Active == "true" || list.Active == "false" {
		q.Set("active", list.Active)
	}
	found, err := fetch[listing[client.App]](v, "", "/api/admin/apps", q)
	if err != nil {
		return err
	}
	list.Apps, list.Pager = found.Data, v.pagerOf(found.Next, len(found.Data))
	return v.show("apps", page{Title: "Apps", Data: &list})
}

// scopeChoices are what a key may open.
func scopeChoices() []choice {
	return []choice{
		{"SEND", "Send", "messages, and cancel or retry them"},
		{"READ", "Read", "messages, events and figures"},
		{"TEMPLATES", "Templates", ""},
		{"PROVIDERS", "Providers", "and webhooks and the app's settings"},
		{"SUPPRESSIONS", "Suppressions", "and erasures"},
	}
}

func newAppForm() *form {
	return &form{Fields: []field{
		{Name: "name", Label: "Name", Kind: textField, Must: true, Length: 100, Help: "For people, such as Billing."},
		{Name: "slug", Label: "Slug", Kind: textField, Mono: true, Length: 40, Help: "What its requests are sent with: lower-case letters, digits and dashes. Left empty, it is made of the name. It cannot be changed later."},
		{Name: "scopes", Label: "What its first key may do", Kind: manyField, Choose: scopeChoices(), Values: []string{"SEND", "READ"}},
	}}
}

func (v *visit) showNewApp() error { return v.newAppPage(http.StatusOK, newAppForm()) }

func (v *visit) newAppPage(status int, f *form) error {
	return v.showStatus(status, "form", page{Title: "New app", Trail: []crumb{{"Apps", appsPath}}, Data: formPage{Form: f, Action: newAppPath, Button: "Create the app", Back: appsPath,
		Lead: "It begins in the sandbox: its messages are captured, and nobody gets them, until you take it live."}})
}

// formPage is a page that holds one form.
type formPage struct {
	Form                       *form
	Action, Button, Back, Lead string
	Keep                       bool // what is written outlasts a session that ends meanwhile (keep.js): for long texts, never for secrets
}

// slugOf makes a slug of a name; the API judges it.
func slugOf(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	const longest = 40
	s := b.String()
	return strings.Trim(s[:min(len(s), longest)], "-")
}

func (v *visit) createApp() error {
	f, in := newAppForm(), v.r.PostForm
	f.take(in)
	if f.lacks(in, "scopes") {
		return v.newAppPage(http.StatusBadRequest, f)
	}
	ask := client.AdminApp{Name: strings.TrimSpace(in.Get("name")), Slug: strings.TrimSpace(in.Get("slug")), Scopes: in["scopes"]}
	if ask.Slug == "" {
		ask.Slug = slugOf(ask.Name)
	}
	admin, err := v.admin()
	if err != nil {
		return err
	}
	made, err := admin.CreateApp(v.ctx(), ask)
	if err != nil {
		return v.refused(err, f, func(status int) error { return v.newAppPage(status, f) })
	}
	return v.showKey(&made.App, made.APIKey, "The app is made", sends(ask.Scopes), made.App.CreatedAt)
}

// keyShown is the page that shows a key, once.
type keyShown struct {
	App     *client.App
	Key     string
	Samples []toPaste // send first messages; none where the key may not, or takes the place of one that did
	Env     string
	First   *firstMessage // with Samples: what waits for them
}

// sends says whether a key of these rights may send.
func sends(scopes []string) bool { return slices.Contains(scopes, "SEND") }

// showKey shows a key in the answer of the form itself: it is kept nowhere, so that there is no page to go to.
// first says that a first message can be sent with it, since when it was made.
func (v *visit) showKey(app *client.App, key, title string, first bool, since time.Time) error {
	base := v.c.cfg.PublicURL
	shown := keyShown{App: app, Key: key, Env: "COMMS_URL=\"" + base + "\"\nCOMMS_APP_ID=\"" + app.Slug + "\"\nCOMMS_API_KEY=\"" + key + "\""}
	if first {
		shown.Samples = samplesOf(base, app.Slug, key, strings.ToLower(rand.Text()[:6]))
		shown.First = v.waitFor(app, since)
	}
	return v.show("key", page{Title: title, Trail: []crumb{{"Apps", appsPath}, {app.Name, appsPath + "/" + app.Slug}}, Data: shown})
}

// appPage is an app with what belongs to it.
type appPage struct {
	App    *client.App
	Keys   []client.Key
	Pager  pager // of keys
	Report *report
	Queue  client.QueueTotals
	Links  []appLink
	At     string
	Acts   []deed[*client.App]

	Lacks                 []string // of a live app; see lacks
	Providers             string   // the page of its chain
	Webhooks, WebhooksOff int      // how many it has, and how many of them get nothing
}

type appLink struct{ Name, Icon, Path string }

// belongs are the sections that show what belongs to an app, by ?app=.
var belongs = []string{"live", "messages", "sandbox", "queue", "providers", "templates", "suppressions", "webhooks", "audit"}

func (v *visit) theApp() (*client.App, error) {
	admin, err := v.admin()
	if err != nil {
		return nil, err
	}
	return admin.App(v.ctx(), v.param("app"))
}

func (v *visit) showApp() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	p := &appPage{App: app, At: appsPath + "/" + app.Slug, Providers: providersPath + chainOf{app}.Query()}
	if p.Lacks, err = v.liveLacks(app); err != nil {
		return err
	}
	if v.user.can(actRule) {
		keys, err := v.keys(app, v.asked("cursor"))
		if err != nil {
			return err
		}
		p.Keys, p.Pager = keys.Data, v.pagerOf(keys.Next, len(keys.Data))
	}
	window := "24h"
	for _, one := range windows {
		if one.Window == v.asked("window") {
			window = one.Window
		}
	}
	if p.Report, err = v.report(app.ID, window); err != nil {
		return err
	}
	if p.Queue, err = v.backlogOf(app, ""); err != nil {
		return err
	}
	if p.Webhooks, p.WebhooksOff, err = v.countEndpoints(app); err != nil {
		return err
	}
	for _, s := range sections() {
		if slices.Contains(belongs, s.id) && v.c.has(s.Path) {
			p.Links = append(p.Links, appLink{s.Name, s.Icon, s.Path + "?app=" + url.QueryEscape(app.Slug)})
		}
	}
	p.Links = append(p.Links, appLink{"Persons", "users", personsPath(app)})
	p.Acts = offered(v, appDeeds(), app)
	return v.show("app", page{Title: app.Name, Trail: []crumb{{"Apps", appsPath}}, Data: p})
}

// keysShown is how many keys the page of an app shows at once.
const keysShown = 100

// keys is a page of an app's keys.
func (v *visit) keys(app *client.App, cursor string) (*listing[client.Key], error) {
	q := url.Values{"limit": {itoa(keysShown)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return fetch[listing[client.Key]](v, "", "/api/admin/apps/"+client.Escape(app.ID)+"/keys", q)
}

// settingsForm is what the administrator may change of an app, as it is now.
func settingsForm(app *client.App) *form {
	perDay := ""
	if app.SMSPerDay > 0 {
		perDay = strconv.Itoa(app.SMSPerDay)
	}
	return &form{Fields: []field{
		{Name: "name", Label: "Name", Kind: textField, Must: true, Length: 100, Value: app.Name},
		{Name: "ratePerMinute", Label: "Rate", Kind: numberField, Must: true, Min: "1", Max: "1000000", Suffix: "messages a minute", Value: strconv.Itoa(app.RatePerMinute), Help: "What is over it is refused with 429, and may be sent a minute later."},
		{Name: "onUnknownOutcome", Label: "When nobody knows whether a provider took a message", Kind: choiceField, Must: true, Value: app.OnUnknownOutcome,
			Choose: []choice{{"RETRY", "Try again: nobody misses it, somebody may get it twice", ""}, {"FAIL", "Do not try again: nobody gets it twice, somebody may miss it", ""}}},
		{Name: "allowedSenders", Label: "Senders on the server's providers", Kind: longField, Mono: true, Value: strings.Join(app.AllowedSenders, "\n"), Help: "One a line: an address, a domain such as example.com, or a sender id of SMS. They count where a live app sends with the server's own providers."},
		{Name: "smsPerDay", Label: "SMS segments a day", Kind: numberField, Min: "1", Max: "100000000", Value: perDay, Suffix: "segments", Help: "Empty: any number. A stolen key then costs no more than this."},
		{Name: "smsPrefixes", Label: "Numbers that SMS may go to", Kind: longField, Mono: true, Value: strings.Join(app.SMSPrefixes, "\n"), Help: "Beginnings with the country code, one a line, such as 233. Empty: any number."},
		{Name: "smsPerDayByPrefix", Label: "SMS segments a day by beginnings of numbers", Kind: longField, Mono: true, Value: capLines(app.SMSPerDayByPrefix), Help: "One a line, such as 233=5000; 1876=0 lets none go there. A number counts against each that it begins with."},
	}}
}

// capLines writes caps by the beginnings of numbers one a line, as capsOf reads them.
func capLines(caps map[string]int) string {
	var lines []string
	for _, prefix := range slices.Sorted(maps.Keys(caps)) {
		lines = append(lines, prefix+"="+strconv.Itoa(caps[prefix]))
	}
	return strings.Join(lines, "\n")
}

// capsOf reads them. A line without a number is handed over without one: the API says what is wrong with it.
func capsOf(s string) map[string]any {
	out := map[string]any{}
	for _, line := range perLine(s) {
		prefix, n, _ := strings.Cut(line, "=")
		out[strings.TrimSpace(prefix)] = figure(n)
	}
	return out
}

func (v *visit) showAppSettings() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	return v.appSettingsPage(http.StatusOK, app, settingsForm(app).remembering())
}

func (v *visit) appSettingsPage(status int, app *client.App, f *form) error {
	at := appsPath + "/" + app.Slug
	return v.showStatus(status, "form", page{Title: "Settings", Trail: []crumb{{"Apps", appsPath}, {app.Name, at}}, Data: formPage{Form: f, Action: at + "/settings", Button: "Save the settings", Back: at}})
}

// perLine reads a list of one thing a line; commas separate too. It is never nil: an empty list is sent as one.
func perLine(s string) []string {
	out := []string{}
	for one := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' }) {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// saveAppSettings hands over what was filled in as it is, so that the API judges what is no number too.
func (v *visit) saveAppSettings() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	f, in := settingsForm(app).remembering(), v.r.PostForm
	again := func(status int) error { return v.appSettingsPage(status, app, f) }
	done, ok := f.edited(in)
	if !ok {
		return again(stale)
	}
	senders, prefixes := perLine(in.Get("allowedSenders")), perLine(in.Get("smsPrefixes"))
	body := done.only(map[string]any{"name": strings.TrimSpace(in.Get("name")), "ratePerMinute": figure(in.Get("ratePerMinute")), "onUnknownOutcome": in.Get("onUnknownOutcome"),
		"allowedSenders": senders, "smsPerDay": figure(in.Get("smsPerDay")), "smsPrefixes": prefixes, "smsPerDayByPrefix": capsOf(in.Get("smsPerDayByPrefix"))}, "")
	if len(body) == 0 {
		return v.unedited(appsPath + "/" + app.Slug)
	}
	if err := send(v, "", http.MethodPatch, "/api/admin/apps/"+client.Escape(app.ID), body, nil); err != nil {
		return v.refused(err, f, again)
	}
	return v.done(appsPath+"/"+app.Slug, "The settings are saved. They hold on every node within five seconds.")
}

// figure is a number of a form for the API: null when it is empty, and the text itself when it is none.
func figure(s string) any {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return s
}

// overlaps are how long a replaced key may still work.
func overlaps() []choice {
	return []choice{{"0", "Not at all", ""}, {"3600", "An hour", ""}, {"86400", "A day", ""}}
}

// lives are how long a new key may work.
func lives() []choice {
	return []choice{{"", "Until it is revoked", ""}, {"1", "A day", ""}, {"30", "30 days", ""}, {"90", "90 days", ""}, {"365", "A year", ""}}
}

func newKeyForm() *form {
	return &form{Fields: []field{
		{Name: "name", Label: "Name", Kind: textField, Length: 100, Help: "Who uses it, such as Production, or CI."},
		{Name: "scopes", Label: "What it may do", Kind: manyField, Choose: scopeChoices(), Values: []string{"SEND", "READ"}},
		{Name: "days", Path: "expiresAt", Label: "It works", Kind: choiceField, Must: true, Choose: lives()},
	}}
}

func (v *visit) showNewKey() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	return v.newKeyPage(http.StatusOK, app, newKeyForm())
}

func (v *visit) newKeyPage(status int, app *client.App, f *form) error {
	at := appsPath + "/" + app.Slug
	return v.showStatus(status, "form", page{Title: "New key", Trail: []crumb{{"Apps", appsPath}, {app.Name, at}},
		Data: formPage{Form: f, Action: at + "/keys/new", Button: "Create the key", Back: at, Lead: "It is shown once. Give each program a key of its own, with no more than it needs."}})
}

func (v *visit) createKey() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	f, in := newKeyForm(), v.r.PostForm
	f.take(in)
	if f.lacks(in, "scopes") {
		return v.newKeyPage(http.StatusBadRequest, app, f)
	}
	admin, err := v.admin()
	if err != nil {
		return err
	}
	ask := client.NewKey{Name: strings.TrimSpace(in.Get("name")), Scopes: in["scopes"]}
	if days := whole(in.Get("days")); days > 0 {
		ask.ExpiresAt = new(v.now().UTC().Add(time.Duration(days) * day).Truncate(time.Second))
	}
	made, err := admin.CreateKey(v.ctx(), app.ID, ask)
	if err != nil {
		return v.refused(err, f, func(status int) error { return v.newKeyPage(status, app, f) })
	}
	return v.showKey(app, made.APIKey, "The key is made", sends(ask.Scopes), made.CreatedAt)
}
