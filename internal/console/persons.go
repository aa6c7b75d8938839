package console

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

func (c *Console) personRoutes() []route {
	const at = appsPath + "/{app}/persons"
	return []route{
		{"GET", at, "apps", actSee, false, (*visit).showPersons},
		{"GET", at + "/export", "apps", actOperate, false, (*visit).exportPerson},
		{"GET", at + "/erase", "apps", actRule, false, (*visit).confirmErase},
		{"POST", at + "/erase", "apps", actRule, false, (*visit).erase},
	}
}

func personsPath(app *client.App) string {
	return appsPath + "/" + url.PathEscape(app.Slug) + "/persons"
}

// personsPage is what an app can do for persons who ask about their data, and the erasures that it was asked for.
type personsPage struct {
	App              *client.App
	At               string
	Address, Channel string // as they were given
	Erasures         []erasure
	Pager            pager
	Live             bool
	Query            string
}

// erasure is one with who asked for it.
type erasure struct {
	*client.Erasure
	By string
}

// erasuresShown is how many erasures a page of the list has: each is read by itself.
const erasuresShown = 10

// erasing say what an erasure does now, by its stage.
var erasing = map[string]string{"queued": "waits for its turn", "messages": "erases messages to the person", "mentions": "looks for the address in other messages",
	"settling": "waits until no call can bring anything back", "done": "nothing is left to do"}

// Does says what the erasure does now.
func (e *erasure) Does() string { return wordsOr(erasing, e.Stage) }

func (v *visit) showPersons() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	p := &personsPage{App: app, At: personsPath(app), Address: v.asked("address"), Channel: v.asked("channel"), Query: v.r.URL.RawQuery}
	q := url.Values{"app": {app.ID}, "action": {comm.AuditErasureStarted}, "limit": {itoa(erasuresShown)}}
	if cursor := v.asked("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	found, err := fetch[listing[client.AuditEntry]](v, "", "/api/admin/audit", q)
	if err != nil {
		return err
	}
	p.Pager = v.pagerOf(found.Next, len(found.Data))
	admin, err := v.admin()
	if err != nil {
		return err
	}
	runs := false
	for _, asked := range found.Data {
		e, err := admin.Erasure(v.ctx(), asked.Target)
		var gone *client.Error
		if errors.As(err, &gone) && gone.Status == http.StatusNotFound {
			continue
		}
		if err != nil {
			return err
		}
		runs = runs || !e.Done()
		by := asked.ActorName
		if by == "" {
			by = statusWord(asked.Actor)
		}
		p.Erasures = append(p.Erasures, erasure{e, by})
	}
	runs = runs && p.Pager.First == ""
	p.Live = runs && !v.paused()
	return v.show("persons", page{Title: "Persons", Trail: []crumb{{"Apps", appsPath}, {app.Name, appsPath + "/" + app.Slug}}, Data: p, Updates: runs})
}

// person is whom the query or the form is about; the API says whether that is an address at all.
func (v *visit) person(in url.Values) (channel, address string, err error) {
	if channel, address = in.Get("channel"), in.Get("address"); address == "" {
		return "", "", refusal{http.StatusBadRequest, "Say first whom it is about.", "Go back and type the person's address or number."}
	}
	return channel, address, nil
}

// exportPerson hands out what the app keeps about somebody, as it streams.
func (v *visit) exportPerson() error {
	channel, address, err := v.person(v.r.URL.Query())
	if err != nil {
		return err
	}
	as, err := v.app(v.param("app"))
	if err != nil {
		return err
	}
	stream, err := as.ExportPerson(v.ctx(), channel, address)
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/octet-stream") // to be stored, never to be shown
	h.Set("Content-Disposition", `attachment; filename="person.jsonl"`)
	_, copyErr := io.Copy(v.long(), stream)
	if err := errors.Join(copyErr, stream.Close()); err != nil {
		panic(http.ErrAbortHandler) // what breaks off must not look whole
	}
	return nil
}

func (v *visit) confirmErase() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	channel, address, err := v.person(v.r.URL.Query())
	if err != nil {
		return err
	}
	return v.askErase(app, channel, address, "")
}

func (v *visit) askErase(app *client.App, channel, address, wrong string) error {
	at := personsPath(app)
	return v.confirm(confirmation{Title: "Erase this person?", Lead: "What " + app.Name + " keeps about " + address + " is removed. Nobody can bring it back.",
		Points: []string{
			"Gone: the address and the content of every message to it, and what webhooks still had to tell of them.",
			"Gone: the address among the copies of other messages; where it stands in their texts it is masked.",
			"Messages to it that wait are cancelled. A call of a provider that has begun is waited for, not stopped.",
			"Kept: that there was a message, when, and what became of it, with a mask such as a***@example.com in place of the address. Figures stay as they are.",
			"Kept: an opt-out, as a hash that nobody can read back. The app still does not write to who asked to be left alone.",
			"Not touched: what is accepted from now on, other apps, the providers' own records, and backups that were made before.",
		},
		Action: at + "/erase", Fields: []hidden{{"channel", channel}, {"address", address}}, Type: address, Button: "Erase the person's data", Back: at, Error: wrong,
		Trail: []crumb{{"Apps", appsPath}, {app.Name, appsPath + "/" + app.Slug}, {"Persons", at}}})
}

func (v *visit) erase() error {
	app, err := v.theApp()
	if err != nil {
		return err
	}
	channel, address, err := v.person(v.r.PostForm)
	if err != nil {
		return err
	}
	if v.r.PostForm.Get("confirm") != address {
		return v.askErase(app, channel, address, "What was typed is not "+address+". Nothing was erased.")
	}
	admin, err := v.admin()
	if err != nil {
		return err
	}
	if _, err := admin.ErasePerson(v.ctx(), app.ID, channel, address); err != nil {
		return v.undone(personsPath(app), err)
	}
	return v.done(personsPath(app), "The erasure has begun. It goes on by itself, mostly for less than a minute.")
}
