package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/commserver/commserver/client"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Bounds of an act on many messages: pages of the API's list, so many of them for each request of the browser. What is left is
// offered again, so that nothing runs where nobody sees it.
const (
	bulkPage  = 100
	bulkPages = 5
	bulkShown = 8
)

// bulk is an act on everything that a search finds.
type bulk struct {
	Search  search
	Action  string // cancel or retry
	Until   string // only what was accepted before: what comes later was not meant
	Cursor  string
	Query   string
	Sample  []client.AppMessage
	Count   int
	More    bool // there are more than were counted
	Done    int
	Refused []string // why not, of some
	Failed  int
}

// bulkTitles name the acts.
var bulkTitles = map[string]string{"cancel": "Cancel messages", "retry": "Queue messages again"}

func (v *visit) bulkFrom(in url.Values) (*bulk, error) {
	b := &bulk{Search: searchOf(in), Action: in.Get("action"), Until: in.Get("until"), Cursor: in.Get("cursor")}
	if b.Action == "" || bulkOf(b.Search) != b.Action {
		return nil, refusal{http.StatusBadRequest, "Choose which messages first.", "Filter the list by the status Queued to cancel, by Failed or Cancelled to queue again."}
	}
	b.Query = b.Search.values().Encode()
	if _, err := time.Parse(time.RFC3339, b.Until); err != nil {
		b.Until = v.now().UTC().Format(time.RFC3339)
	}
	return b, nil
}

// read reads a page of what is meant.
func (b *bulk) read(v *visit) (*listing[client.AppMessage], error) {
	q := b.Search.query()
	if !q.Has("createdBefore") || q.Get("createdBefore") > b.Until {
		q.Set("createdBefore", b.Until)
	}
	q.Set("limit", itoa(bulkPage))
	if b.Cursor != "" {
		q.Set("cursor", b.Cursor)
	}
	return fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", q)
}

// preview counts what is meant, up to the first page that has some.
func (b *bulk) preview(v *visit) error {
	for range bulkPages {
		found, err := b.read(v)
		if err != nil {
			return err
		}
		b.Count, b.Sample, b.More = len(found.Data), found.Data[:min(len(found.Data), bulkShown)], found.Next != ""
		if b.Count > 0 || found.Next == "" {
			return nil
		}
		b.Cursor = found.Next
	}
	return nil
}

func (v *visit) confirmBulk() error {
	b, err := v.bulkFrom(v.r.URL.Query())
	if err != nil {
		return err
	}
	if err := b.preview(v); err != nil {
		return err
	}
	return v.showBulk(b)
}

func (v *visit) showBulk(b *bulk) error {
	return v.show("bulk", page{Title: bulkTitles[b.Action], Trail: []crumb{{"Messages", messagesPath + "?" + b.Query}}, Data: b})
}

func (v *visit) runBulk() error {
	b, err := v.bulkFrom(v.r.PostForm)
	if err != nil {
		return err
	}
	b.Done, b.Failed = whole(v.r.PostForm.Get("done")), whole(v.r.PostForm.Get("failed"))
	d, err := theDeed(v, messageDeeds(v.now()), b.Action)
	if err != nil {
		return err
	}
	for range bulkPages {
		found, err := b.read(v)
		if err != nil {
			return err
		}
		for i := range found.Data {
			if err := b.one(v, d, &found.Data[i]); err != nil {
				return err
			}
		}
		if b.Cursor = found.Next; b.Cursor == "" {
			break
		}
	}
	if b.Cursor == "" && b.Failed == 0 {
		word := map[string]string{"cancel": "cancelled", "retry": "queued again"}[b.Action]
		return v.done(messagesPath+"?"+b.Query, fmt.Sprintf("%s %s.", plural(b.Done, "message is", "messages are"), word))
	}
	if b.Cursor != "" {
		if err := b.preview(v); err != nil {
			return err
		}
	}
	return v.showBulk(b)
}

// one does it to one message. What the API refuses is counted, and some of it told.
func (b *bulk) one(v *visit, d *deed[*client.AppMessage], m *client.AppMessage) error {
	err := d.do(v, m)
	var e *client.Error
	switch {
	case err == nil:
		b.Done++
	case errors.As(err, &e) && (e.Status == http.StatusConflict || e.Status == http.StatusNotFound):
		b.Failed++
		if len(b.Refused) < bulkShown {
			b.Refused = append(b.Refused, m.ID+": "+e.Message)
		}
	default:
		return err
	}
	return nil
}

func whole(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
