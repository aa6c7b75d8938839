package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/client"
)

const templatesPath = Root + "/templates"

func (c *Console) templateRoutes() []route {
	one := templatesPath + "/{app}/{id}"
	return []route{
		{"GET", templatesPath, "templates", actSee, false, (*visit).listTemplates},
		{"GET", templatesPath + "/{app}/new", "templates", actOperate, false, (*visit).showNewTemplate},
		{"POST", templatesPath + "/{app}/new", "templates", actOperate, false, (*visit).createTemplate},
		{"POST", templatesPath + "/{app}/draft", "templates", actSee, false, (*visit).showDraft},
		{"GET", one, "templates", actSee, false, (*visit).showTemplate},
		{"POST", one, "templates", actOperate, false, (*visit).saveTemplate},
		{"GET", one + "/versions/{version}", "templates", actSee, false, (*visit).showVersion},
		{"POST", one + "/versions/{version}", "templates", actOperate, false, (*visit).rollBack},
		{"GET", one + "/send", "templates", actOperate, false, (*visit).showSendTemplate},
		{"POST", one + "/send", "templates", actOperate, false, (*visit).sendTemplate},
		{"GET", one + "/delete", "templates", actOperate, false, (*visit).confirmDeleteTemplate},
		{"POST", one + "/delete", "templates", actOperate, false, (*visit).deleteTemplate},
	}
}

// templateList is the page of an app's templates.
type templateList struct {
	App          *client.App
	Apps         []client.App
	Channel, Key string
	Templates    []client.Template
	Pager        pager
}

func (v *visit) listTemplates() error {
	l := &templateList{Channel: v.asked("channel"), Key: v.asked("key")}
	var err error
	if l.Apps, err = v.someApps(); err != nil {
		return err
	}
	if l.App, err = v.chosenApp(l.Apps); err != nil {
		return err
	}
	if l.App == nil {
		return v.show("templates", page{Title: "Templates", Data: l})
	}
	q := url.Values{"limit": {itoa(messagesShown)}}
	for name, value := range map[string]string{"channel": l.Channel, "key": l.Key, "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	found, err := fetch[listing[client.Template]](v, l.App.Slug, "/api/v1/templates", q)
	if err != nil {
		return err
	}
	l.Templates, l.Pager = found.Data, v.pagerOf(found.Next, len(found.Data))
	return v.show("templates", page{Title: "Templates", Data: l})
}

// templateAt is a template with the paths of its pages.
type templateAt struct {
	App  *client.App
	As   *client.Client
	T    *client.Template
	List string
	At   string
}

func (v *visit) theTemplate() (*templateAt, error) {
	app, err := v.theApp()
	if err != nil {
		return nil, err
	}
	x := &templateAt{App: app, List: templatesPath + "?app=" + url.QueryEscape(app.Slug)}
	if x.As, err = v.app(app.Slug); err != nil {
		return nil, err
	}
	if x.T, err = x.As.Template(v.ctx(), v.param("id")); err != nil {
		return nil, err
	}
	x.At = templatesPath + "/" + url.PathEscape(app.Slug) + "/" + x.T.ID
	return x, nil
}

func (x *templateAt) trail(whole bool) []crumb {
	out := []crumb{{"Templates", x.List}}
	if whole {
		out = append(out, crumb{x.T.Name, x.At})
	}
	return out
}

// editor is the page on which a template is written, with what it would look like beside it.
type editor struct {
	App           *client.App
	Form          *form
	Action, Draft string // paths: of saving, and of what the frame shows
	Button, Back  string
	Values        string // a line for each placeholder
	At            *templateAt
	Versions      []client.TemplateVersion
	Reads         bool // who looks may not change it
}

func templateFields(t *client.Template) *form {
	content := []field{{Name: "body", Label: "Text", Kind: longField, Must: true, Mono: true, Rows: 6, Value: t.Body, Help: "Placeholders are written {{name}}."}}
	if t.Channel == client.Email {
		content = []field{
			{Name: "subject", Label: "Subject", Kind: textField, Must: true, Length: 998, Value: t.Subject},
			{Name: "body", Label: "HTML", Kind: longField, Must: true, Mono: true, Rows: 16, Value: t.Body, Help: "Placeholders are written {{name}}. What is filled in is escaped: a value is never markup."},
			{Name: "text", Label: "Plain text", Kind: longField, Mono: true, Rows: 5, Value: t.Text, Help: "Beside the HTML. Empty: it is made from the HTML."},
		}
	}
	return &form{Fields: slices.Concat([]field{{Name: "name", Label: "Name", Kind: textField, Length: 100, Value: t.Name, Help: "For people."}}, content)}
}

func newTemplateForm(channel string) *form {
	f := templateFields(&client.Template{Channel: channel})
	f.Fields = slices.Concat([]field{{Name: "key", Label: "Key", Kind: textField, Must: true, Mono: true, Length: 100, Help: "What messages name it by, such as order-shipped. It cannot be changed later."}}, f.Fields)
	return f
}

// channelOf reads a channel of the query; email is the usual one.
func (v *visit) channelOf() string {
	if v.asked("channel") == client.SMS {
		return client.SMS
	}
	return client.Email
}

func (v *visit) showNewTemplate() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	return v.newTemplatePage(http.StatusOK, app, v.channelOf(), newTemplateForm(v.channelOf()))
}

func (v *visit) newTemplatePage(status int, app *client.App, channel string, f *form) error {
	base := templatesPath + "/" + url.PathEscape(app.Slug)
	list := templatesPath + "?app=" + url.QueryEscape(app.Slug)
	title := map[string]string{client.Email: "New email template", client.SMS: "New SMS template"}[channel]
	return v.showStatus(status, "template", page{Title: title, Trail: []crumb{{"Templates", list}}, Data: &editor{App: app, Form: f, Action: base + "/new?channel=" + channel, Draft: base + "/draft?channel=" + channel, Button: "Create the template", Back: list,
		Values: v.r.PostForm.Get("values")}})
}

func (v *visit) createTemplate() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	as, err := v.app(app.Slug)
	if err != nil {
		return err
	}
	channel, in := v.channelOf(), v.r.PostForm
	f := newTemplateForm(channel)
	f.take(in)
	made, err := as.CreateTemplate(v.ctx(), client.NewTemplate{Key: strings.TrimSpace(in.Get("key")), Channel: channel, Name: strings.TrimSpace(in.Get("name")), Subject: in.Get("subject"), Body: unixLines(in.Get("body")), Text: unixLines(in.Get("text"))})
	if err != nil {
		return v.refused(err, f, func(status int) error { return v.newTemplatePage(status, app, channel, f) })
	}
	return v.done(templatesPath+"/"+url.PathEscape(app.Slug)+"/"+made.ID, "The template is made.")
}

// unixLines ends lines as files do: a browser sends them as RFC 822 does, and an SMS would pay for both characters.
func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// namesOf are lines to fill in, one for each placeholder.
func namesOf(t *client.Template) string {
	var b strings.Builder
	for _, name := range t.Variables {
		b.WriteString(name + " = " + name + "\n")
	}
	return b.String()
}

func (v *visit) showTemplate() error {
	x, err := v.theTemplate()
	if err != nil {
		return err
	}
	return v.templatePage(http.StatusOK, x, templateFields(x.T).remembering(), namesOf(x.T))
}

func (v *visit) templatePage(status int, x *templateAt, f *form, values string) error {
	versions, err := x.As.TemplateVersions(v.ctx(), x.T.ID)
	if err != nil {
		return err
	}
	return v.showStatus(status, "template", page{Title: x.T.Name, Trail: x.trail(false), Data: &editor{App: x.App, At: x, Form: f, Action: x.At, Draft: templatesPath + "/" + url.PathEscape(x.App.Slug) + "/draft?channel=" + x.T.Channel,
		Button: "Save as version " + strconv.Itoa(x.T.Version+1), Back: x.List, Values: values, Versions: versions, Reads: !v.user.can(actOperate)}})
}

func (v *visit) saveTemplate() error {
	x, err := v.theTemplate()
	if err != nil {
		return err
	}
	f, in := templateFields(x.T).remembering(), v.r.PostForm
	again := func(status int) error { return v.templatePage(status, x, f, in.Get("values")) }
	done, ok := f.edited(in)
	if !ok {
		return again(stale)
	}
	given := func(name, value string) *string {
		if !done[name] {
			return nil
		}
		return &value
	}
	change := client.TemplateChange{Name: given("name", strings.TrimSpace(in.Get("name"))), Subject: given("subject", in.Get("subject")), Body: given("body", unixLines(in.Get("body"))), Text: given("text", unixLines(in.Get("text")))}
	if change == (client.TemplateChange{}) {
		return v.done(x.At, "Saved. The content is as it was.")
	}
	changed, err := x.As.UpdateTemplate(v.ctx(), x.T.ID, change)
	if err != nil {
		return v.refused(err, f, again)
	}
	if changed.Version == x.T.Version {
		return v.done(x.At, "Saved. The content is as it was.")
	}
	return v.done(x.At, "Saved as version "+strconv.Itoa(changed.Version)+". Messages that are accepted from now on are made of it.")
}

func (v *visit) confirmDeleteTemplate() error {
	x, err := v.theTemplate()
	if err != nil {
		return err
	}
	return v.confirm(confirmation{Title: "Delete this template?", Lead: x.T.Name + " and all its versions go.", Action: x.At + "/delete", Button: "Delete the template", Back: x.At, Trail: x.trail(true),
		Points: []string{"Requests that name " + x.T.Key + " are refused from then on.", "Messages that were accepted keep their content and are sent."}})
}

func (v *visit) deleteTemplate() error {
	x, err := v.theTemplate()
	if err != nil {
		return err
	}
	if err := x.As.DeleteTemplate(v.ctx(), x.T.ID); err != nil {
		return v.undone(x.At, err)
	}
	return v.done(x.List, "The template is deleted.")
}
