package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/commserver/commserver/client"
)

const suppressionsPath = Root + "/suppressions"

func (c *Console) suppressionRoutes() []route {
	return []route{
		{"GET", suppressionsPath, "suppressions", actSee, false, (*visit).listSuppressions},
		{"GET", suppressionsPath + "/{app}/add", "suppressions", actOperate, false, (*visit).showAddSuppressions},
		{"POST", suppressionsPath + "/{app}/add", "suppressions", actOperate, false, (*visit).addSuppressions},
		{"GET", suppressionsPath + "/{app}/remove", "suppressions", actOperate, false, (*visit).confirmUnsuppress},
		{"POST", suppressionsPath + "/{app}/remove", "suppressions", actOperate, false, (*visit).unsuppress},
		{"GET", suppressionsPath + "/{app}/export", "suppressions", actOperate, false, (*visit).exportSuppressions},
	}
}

// suppressionList is a page of addresses that are not written to.
type suppressionList struct {
	App, Channel, Address, Reason string
	Named                         *client.App // the app whose list is shown; nil: an address in all lists
	Apps                          []client.App
	Lines                         []client.AppSuppression
	Pager                         pager
	Wrong                         *client.Error
}

// Any says whether the list is narrowed, other than to an app.
func (l *suppressionList) Any() bool { return l.Channel+l.Address+l.Reason != "" }

// reasonWords are the reasons for people.
var reasonWords = map[string]string{"manual": "Put on the list by hand", "hard_bounce": "The address does not exist", "complaint": "Reported as spam", "unsubscribed": "Unsubscribed"}

// sourceWords say where an entry came from.
var sourceWords = map[string]string{"api": "a call", "import": "an import", "provider": "a provider's report"}

func (v *visit) listSuppressions() error {
	l := &suppressionList{App: v.asked("app"), Channel: v.asked("channel"), Address: v.asked("address"), Reason: v.asked("reason")}
	var err error
	if l.Apps, err = v.someApps(); err != nil {
		return err
	}
	q := url.Values{"limit": {itoa(messagesShown)}}
	for name, value := range map[string]string{"channel": l.Channel, "address": l.Address, "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	switch {
	case l.App != "":
		err = v.listOfApp(l, q)
	case l.Address != "":
		err = v.listOfAddress(l, q)
	case len(l.Apps) == 1:
		l.App = l.Apps[0].Slug
		err = v.listOfApp(l, q)
	}
	if err != nil && (!errors.As(err, &l.Wrong) || l.Wrong.Status != http.StatusBadRequest && l.Wrong.Status != http.StatusNotFound) {
		return err
	}
	return v.show("suppressions", page{Title: "Suppressions", Data: l})
}

func (v *visit) listOfApp(l *suppressionList, q url.Values) error {
	admin, err := v.admin()
	if err != nil {
		return err
	}
	if l.Named, err = admin.App(v.ctx(), l.App); err != nil {
		return err
	}
	if l.Reason != "" {
		q.Set("reason", l.Reason)
	}
	found, err := fetch[listing[client.Suppression]](v, l.Named.Slug, "/api/v1/suppressions", q)
	if err != nil {
		return err
	}
	for _, s := range found.Data {
		l.Lines = append(l.Lines, client.AppSuppression{App: client.AppRef{ID: l.Named.ID, Slug: l.Named.Slug, Name: l.Named.Name}, Suppression: s})
	}
	l.Pager = v.pagerOf(found.Next, len(found.Data))
	return nil
}

// listOfAddress finds an address in the lists of all apps.
func (v *visit) listOfAddress(l *suppressionList, q url.Values) error {
	found, err := fetch[listing[client.AppSuppression]](v, "", "/api/admin/suppressions", q)
	if err != nil {
		return err
	}
	l.Lines, l.Pager = found.Data, v.pagerOf(found.Next, len(found.Data))
	return nil
}

func addForm() *form {
	return &form{Fields: []field{
		{Name: "channel", Label: "Channel", Kind: choiceField, Must: true, Choose: []choice{{client.Email, "Email", ""}, {client.SMS, "SMS", ""}}},
		{Name: "addresses", Path: "address", Label: "Addresses", Kind: longField, Must: true, Mono: true, Rows: 8, Help: "One a line: email addresses, or numbers with their country code. Large lists go in by commserver suppression import."},
		{Name: "reason", Label: "Reason", Kind: choiceField, Must: true, Value: "manual", Choose: []choice{{"manual", "Put on the list by hand", ""}, {"unsubscribed", "Unsubscribed", ""}, {"complaint", "Reported as spam", ""}, {"hard_bounce", "The address does not exist", ""}}},
		{Name: "note", Label: "Note", Kind: textField, Length: 500, Help: "For whoever asks later why."},
	}}
}

func (v *visit) showAddSuppressions() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	return v.addPage(http.StatusOK, app, addForm())
}

func (v *visit) addPage(status int, app *client.App, f *form) error {
	at := listPath(app)
	return v.showStatus(status, "form", page{Title: "Add to the list of " + app.Name, Trail: []crumb{{"Suppressions", at}}, Data: formPage{Form: f, Action: suppressionsPath + "/" + url.PathEscape(app.Slug) + "/add", Button: "Add them", Back: at,
		Lead: "The app no longer writes to them. What waits for them ends suppressed."}})
}

func listPath(app *client.App) string { return suppressionsPath + "?app=" + url.QueryEscape(app.Slug) }

// addSuppressions hands the lines over as an import, which tells of each line that it refuses.
func (v *visit) addSuppressions() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	f, in := addForm(), v.r.PostForm
	f.take(in)
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for _, address := range strings.FieldsFunc(in.Get("addresses"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ';' }) {
		one := map[string]string{"channel": in.Get("channel"), "address": strings.TrimSpace(address), "reason": in.Get("reason")}
		if note := strings.TrimSpace(in.Get("note")); note != "" {
			one["note"] = note
		}
		if one["address"] == "" {
			continue
		}
		if err := out.Encode(one); err != nil {
			return err
		}
	}
	if lines.Len() == 0 {
		f.Error, f.Fields[1].Error = "Name at least one address.", "Is empty."
		return v.addPage(http.StatusBadRequest, app, f)
	}
	as, err := v.app(app.Slug)
	if err != nil {
		return err
	}
	got, err := as.ImportSuppressions(v.ctx(), client.JSONLines, &lines)
	if err != nil {
		return v.refused(err, f, func(status int) error { return v.addPage(status, app, f) })
	}
	if got.Refused > 0 {
		f.Error = fmt.Sprintf("%s added, %s refused.", plural(got.Added, "address is", "addresses are"), plural(got.Refused, "line is", "lines are"))
		for _, e := range got.Errors {
			f.Lost = append(f.Lost, fmt.Sprintf("Line %d: %s", e.Line, e.Message))
		}
		return v.addPage(http.StatusBadRequest, app, f)
	}
	return v.done(listPath(app), addedWords(got))
}

func (v *visit) confirmUnsuppress() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	address, channel := v.asked("address"), v.asked("channel")
	return v.confirm(confirmation{Title: "Take it off the list?", Lead: app.Name + " may write to " + address + " again.", Calm: true,
		Points: []string{"Somebody who unsubscribed or complained expects to be left alone: take them off only if they asked for it.", "An address that does not exist comes back to the list with its next bounce."},
		Action: suppressionsPath + "/" + url.PathEscape(app.Slug) + "/remove", Fields: []hidden{{"address", address}, {"channel", channel}}, Button: "Take it off", Back: listPath(app), Trail: []crumb{{"Suppressions", listPath(app)}}})
}

func (v *visit) unsuppress() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	as, err := v.app(app.Slug)
	if err != nil {
		return err
	}
	if err := as.Unsuppress(v.ctx(), v.r.PostForm.Get("channel"), v.r.PostForm.Get("address")); err != nil {
		return v.undone(listPath(app), err)
	}
	return v.done(listPath(app), "The address is off the list.")
}

// exportSuppressions hands the whole list out as a file, as it streams.
func (v *visit) exportSuppressions() error {
	as, err := v.app(v.param("app"))
	if err != nil {
		return err
	}
	stream, err := as.ExportSuppressions(v.ctx(), client.CSV)
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="suppressions.csv"`)
	_, copyErr := io.Copy(v.long(), stream)
	if err := errors.Join(copyErr, stream.Close()); err != nil {
		panic(http.ErrAbortHandler) // a list that breaks off must not look whole
	}
	return nil
}

// addedWords says what an import that refused nothing came to.
func addedWords(got *client.Imported) string {
	out := plural(got.Added, "address was", "addresses were") + " added"
	if got.Present > 0 {
		out += ", " + plural(got.Present, "was", "were") + " on the list already"
	}
	return out + "."
}
