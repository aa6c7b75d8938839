package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/client"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Bounds of an act on many messages. One press works through all that is meant, in steps: a request of the browser each, so that
// nothing runs where nobody sees it, and it ends when the page is closed. What is kept between two steps is in the page.
const (
	bulkPage   = 100             // messages that are read at once
	bulkTime   = 2 * time.Second // how long a step goes on, or a count, at least one message or page
	bulkMost   = 500             // messages of a step
	bulkBeside = 8               // that are done at once: the stores write what comes together in one go
	bulkCount  = 10_000          // how many are counted; more are "more than"
	bulkShown  = 8               // rows of the sample
	bulkWhy    = 12              // different reasons of refusals that are told apart
	bulkAsks   = 500             // from more than so many on a word has to be typed
	bulkForm   = 32 << 10        // bytes of a form: steps are remembered
	everyApp   = "all apps"      // the word, where the search names no app
	stopKey    = "stop"          // the field of the button that stops
	countKey   = "count"         // the parameter that asks for all to be counted before anything is shown
	bulkLate   = "It changed after the list was shown."
	bulkOthers = "For other reasons."
)

// bulk is an act on everything that a search finds, and how far it is.
type bulk struct {
	Search search
	Action string // cancel or retry
	Until  string // only what was accepted before, and for retry ended before: what comes later was not meant
	Query  string

	Total    int  // that were meant when it was shown
	More     bool // than were counted
	Counting bool // there are more than the first view has read: nothing can be pressed until they are counted
	Sample   []client.AppMessage
	Error    string // of what was typed

	Press   string // of the next step
	Going   bool   // there is a next step
	Stopped bool   // by who looked on
	Halted  string // why it stopped by itself
	Cursor  string // of the page that the step begins with
	At      string // the id that was done last: they are done in the order of ids, the newest first
	Done    int
	Failed  int
	Why     []because
}

// because is why some could not be done.
type because struct {
	N    int
	What string
}

// bulkTitles name the acts, bulkDone what became of the messages.
var (
	bulkTitles = map[string]string{"cancel": "Cancel messages", "retry": "Queue messages again"}
	bulkDone   = map[string]string{"cancel": "cancelled", "retry": "queued again"}
)

// Did says what became of the messages.
func (b *bulk) Did() string { return bulkDone[b.Action] }

// Handled is how many it has come past.
func (b *bulk) Handled() int { return b.Done + b.Failed }

// Begun says that it was confirmed.
func (b *bulk) Begun() bool { return b.Going || b.Stopped || b.Halted != "" || b.Handled() > 0 }

// Type is the word that has to be typed first, "" for none: all apps at once, or very many messages, are no slip of the hand. It
// is asked for in both acts: what was sent again cannot be taken back either.
func (b *bulk) Type() string {
	switch {
	case b.Search.App == "":
		return everyApp
	case b.More || b.Total > bulkAsks:
		return b.Search.App
	}
	return ""
}

// Fields are what the next step has to know.
func (b *bulk) Fields() []hidden {
	out := []hidden{{"action", b.Action}, {"until", b.Until}, {"total", itoa(b.Total)}, {pressKey, b.Press}}
	for name, values := range b.Search.values() {
		out = append(out, hidden{name, values[0]})
	}
	if b.More {
		out = append(out, hidden{"more", "on"})
	}
	if !b.Begun() {
		return out
	}
	out = append(out, hidden{"confirm", b.Type()}, hidden{"cursor", b.Cursor}, hidden{"at", b.At}, hidden{"done", itoa(b.Done)}, hidden{"failed", itoa(b.Failed)})
	for _, one := range b.Why {
		out = append(out, hidden{"why", itoa(one.N) + " " + one.What})
	}
	return out
}

func (v *visit) bulkFrom(in url.Values) (*bulk, error) {
	b := &bulk{Search: searchOf(in), Action: in.Get("action"), Until: in.Get("until"), Cursor: in.Get("cursor"), At: in.Get("at"),
		Press: in.Get(pressKey), Total: whole(in.Get("total")), More: in.Get("more") != "", Done: whole(in.Get("done")), Failed: whole(in.Get("failed"))}
	if b.Action == "" || bulkOf(b.Search) != b.Action {
		return nil, refusal{http.StatusBadRequest, "Choose which messages first.", "Filter the list by the status Queued to cancel, by Failed or Cancelled to queue again."}
	}
	b.Query = b.Search.values().Encode()
	if _, err := time.Parse(time.RFC3339, b.Until); err != nil {
		b.Until = v.now().UTC().Format(time.RFC3339Nano)
	}
	for _, one := range in["why"] {
		if n, what, ok := strings.Cut(one, " "); ok && len(b.Why) <= bulkWhy {
			b.Why = append(b.Why, because{whole(n), what})
		}
	}
	return b, nil
}

// Shown is when what is meant was shown.
func (b *bulk) Shown() time.Time {
	t, _ := time.Parse(time.RFC3339, b.Until) // bulkFrom made sure of it
	return t
}

// read reads the page that comes next of what is meant.
func (b *bulk) read(v *visit) (*listing[client.AppMessage], error) {
	q := b.Search.query()
	if t, err := time.Parse(time.RFC3339, q.Get("createdBefore")); !q.Has("createdBefore") || err == nil && t.After(b.Shown()) {
		q.Set("createdBefore", b.Until)
	}
	q.Set("limit", itoa(bulkPage))
	if b.Cursor != "" {
		q.Set("cursor", b.Cursor)
	}
	return fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", q)
}

// CountAt is where all that is meant is counted: for the browser by itself, and for a person whose browser runs no scripts.
func (b *bulk) CountAt() string {
	q := b.Search.values()
	q.Set("action", b.Action)
	q.Set(countKey, "on")
	return messagesPath + "/bulk?" + q.Encode()
}

// count counts what is meant, as far as that is cheap, and keeps some of it to show. Unless all is to be counted, one page is read.
func (b *bulk) count(v *visit, all bool) error {
	at := *b
	at.Cursor, b.Total, b.More, b.Counting, b.Sample = "", 0, false, false, nil
	for began := time.Now(); ; {
		found, err := at.read(v)
		if err != nil {
			return err
		}
		b.Total += len(found.Data)
		b.Sample = append(b.Sample, found.Data[:min(len(found.Data), bulkShown-len(b.Sample))]...)
		if at.Cursor = found.Next; at.Cursor == "" {
			return nil
		}
		if b.Counting = !all; b.Counting {
			return nil
		}
		if b.Total >= bulkCount || b.Total > 0 && time.Since(began) > v.c.bulkTime {
			b.More = true
			return nil
		}
	}
}

// confirmBulk is quick, and shows one page of what is meant. Where that is not all, the browser asks here again to have it counted; what
// is meant is what was accepted before that, so that what can be pressed then is about what was counted.
func (v *visit) confirmBulk() error {
	b, err := v.bulkFrom(v.r.URL.Query())
	if err != nil {
		return err
	}
	return v.askBulk(b, "", v.asked(countKey) != "")
}

// askBulk shows what is meant before anything is done.
func (v *visit) askBulk(b *bulk, wrong string, all bool) error {
	asked := &bulk{Search: b.Search, Action: b.Action, Until: b.Until, Query: b.Query, Error: wrong, Press: newPress()}
	if err := asked.count(v, all); err != nil {
		return err
	}
	return v.showBulk(asked)
}

func (v *visit) showBulk(b *bulk) error {
	return v.show("bulk", page{Title: bulkTitles[b.Action], Trail: []crumb{{"Messages", messagesPath + "?" + b.Query}}, Data: b})
}

// runBulk takes a step. Each press of the form takes its own, and the button that stops waits for the one that is under way.
func (v *visit) runBulk() error {
	b, err := v.bulkFrom(v.r.PostForm)
	if err != nil {
		return err
	}
	d, err := theDeed(v, messageDeeds(v.now()), b.Action)
	if err != nil {
		return err
	}
	if b.Press, err = pressOf(v.r.PostForm); err != nil {
		return err
	}
	if len(v.r.PostForm.Encode()) > bulkForm {
		return errLongForm
	}
	if word := b.Type(); word != "" && v.r.PostForm.Get("confirm") != word {
		return v.askBulk(b, "What was typed is not "+word+". Nothing was changed.", true)
	}
	stop := v.r.PostForm.Get(stopKey) != ""
	got, err := v.c.bulks.once(v.ctx(), v.user.ID+"\x00"+b.Press, func() (*bulk, error) {
		next := *b
		next.Press, next.Going = newPress(), true
		if stop {
			return &next, nil
		}
		return &next, next.step(v.lasting(), d)
	})
	if err != nil {
		return err
	}
	if stop && got.Going {
		halted := *got
		halted.Going, halted.Stopped = false, true
		got = &halted
	}
	if got.Going || got.Stopped || got.Halted != "" || got.Failed > 0 {
		return v.showBulk(got)
	}
	return v.done(messagesPath+"?"+got.Query, fmt.Sprintf("%s %s.", plural(got.Done, "message is", "messages are"), got.Did()))
}

// step does as many as fit into its time. An error of who is not signed in any more is answered; any other one halts, with what
// was done until then.
func (b *bulk) step(v *visit, d *deed[*client.AppMessage]) error {
	b.Why = slices.Clone(b.Why)
	began, before := time.Now(), b.Handled()
	over := func() bool { return b.Handled()-before >= bulkMost || time.Since(began) > v.c.bulkTime }
	for {
		found, err := b.read(v)
		if err != nil {
			return b.halt(err)
		}
		left := slices.DeleteFunc(found.Data, func(m client.AppMessage) bool { return b.At != "" && m.ID >= b.At }) // the step before ended on this page
		for some := range slices.Chunk(left, bulkBeside) {
			if err := b.together(v, d, some); err != nil {
				return b.halt(err)
			}
			if over() {
				return nil
			}
		}
		if b.Cursor = found.Next; b.Cursor == "" {
			b.Going = false
			return nil
		}
		if over() {
			return nil
		}
	}
}

// halt ends the run by an error, so that who looks on can go on or leave it.
func (b *bulk) halt(err error) error {
	var e *client.Error
	if !errors.As(err, &e) || e.Status == http.StatusUnauthorized {
		return err
	}
	b.Going, b.Halted = false, e.Message
	return nil
}

// together does it to some messages at once. What the API refuses is counted by why. An error of another kind is answered: the next
// step begins with the message that met it.
func (b *bulk) together(v *visit, d *deed[*client.AppMessage], some []client.AppMessage) (halts error) {
	errs := make([]error, len(some))
	var all sync.WaitGroup
	for i := range some {
		if b.late(&some[i]) {
			errs[i] = &client.Error{Status: http.StatusConflict, Message: bulkLate}
			continue
		}
		all.Go(func() { errs[i] = d.do(v, &some[i]) })
	}
	all.Wait()
	for i, err := range errs {
		var e *client.Error
		switch {
		case err == nil:
			b.Done++
		case errors.As(err, &e) && (e.Status == http.StatusConflict || e.Status == http.StatusNotFound):
			b.refuse(e.Message)
		case halts == nil:
			halts = err
		}
		if halts == nil {
			b.At = some[i].ID
		}
	}
	return halts
}

// late says that a message came to its end after the list was shown.
func (b *bulk) late(m *client.AppMessage) bool {
	return b.Action == "retry" && m.UpdatedAt.After(b.Shown())
}

func (b *bulk) refuse(why string) {
	b.Failed++
	known := func(what string) int {
		return slices.IndexFunc(b.Why, func(one because) bool { return one.What == what })
	}
	at := known(why)
	if at < 0 && len(b.Why) >= bulkWhy {
		why = bulkOthers
		at = known(why)
	}
	if at < 0 {
		b.Why = append(b.Why, because{1, why})
		return
	}
	b.Why[at].N++
}

func whole(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
