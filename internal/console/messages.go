package console

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

const (
	messagesPath = Root + "/messages"
	// messagesShown is how many messages a page of a list has.
	messagesShown = 50
)

func (c *Console) messageRoutes() []route {
	return []route{
		{"GET", messagesPath, "messages", actSee, false, (*visit).listMessages},
		{"GET", messagesPath + "/bulk", "messages", actOperate, false, (*visit).confirmBulk},
		{"POST", messagesPath + "/bulk", "messages", actOperate, false, (*visit).runBulk},
		{"GET", messagesPath + "/{id}", "messages", actSee, false, (*visit).showMessage},
		{"GET", messagesPath + "/{id}/content", "messages", actSee, false, (*visit).frameMessage},
		{"GET", messagesPath + "/{id}/{action}", "messages", actOperate, false, (*visit).confirmMessage},
		{"POST", messagesPath + "/{id}/{action}", "messages", actOperate, false, (*visit).changeMessage},
	}
}

// search is what a list of messages is narrowed by. Empty members do not.
type search struct {
	Find                                               string // an id, an address or a number
	App, Status, Channel, Tag, Template, After, Before string
}

// searchOf reads the search of a query or form.
func searchOf(in url.Values) search {
	get := func(name string) string { return strings.TrimSpace(in.Get(name)) }
	return search{get("find"), get("app"), get("status"), get("channel"), get("tag"), get("template"), get("after"), get("before")}
}

// Any says whether anything is narrowed.
func (s search) Any() bool { return s != search{} }

// values is the search as the console's own query.
func (s search) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"find": s.Find, "app": s.App, "status": s.Status, "channel": s.Channel, "tag": s.Tag, "template": s.Template, "after": s.After, "before": s.Before} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// idForm is what ids of messages look like; see DECISIONS of the contract: c and 24 digits of base 36.
var idForm = regexp.MustCompile(`^c[0-9a-z]{24}$`)

// query is the search as the API takes it. A moment without its zone is UTC.
func (s search) query() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("app", s.App)
	if idForm.MatchString(s.Find) {
		q.Set("id", s.Find)
		return q
	}
	set("to", s.Find)
	set("status", s.Status)
	set("channel", s.Channel)
	set("tag", s.Tag)
	set("templateKey", s.Template)
	set("createdAfter", moment(s.After))
	set("createdBefore", moment(s.Before))
	return q
}

// moment makes the API's form of an instant of what <input type="datetime-local"> sends. Anything else stays as it is.
func moment(s string) string {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Format(time.RFC3339)
		}
	}
	return s
}

// messageList is the page of a list of messages.
type messageList struct {
	Search   search
	Messages []client.AppMessage
	Pager    pager
	Apps     []client.App
	Wrong    *client.Error // of the search
	Bulk     string        // CANCEL or RETRY: what can be done to all that is found; ""
	Query    string        // of the search, for links
}

// Fields are the API's words about the search.
func (l *messageList) Fields() []string { return fieldsOf(l.Wrong) }

// fieldsOf is what the API says of each parameter that is wrong.
func fieldsOf(wrong *client.Error) []string {
	var out []string
	for _, name := range sorted(wrong.Fields) {
		out = append(out, sentence(wrong.Fields[name]))
	}
	return out
}

func (v *visit) listMessages() error {
	list := messageList{Search: searchOf(v.r.URL.Query())}
	list.Query = list.Search.values().Encode()
	q := list.Search.query()
	q.Set("limit", itoa(messagesShown))
	if cursor := v.asked("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	found, err := fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", q)
	switch {
	case err == nil:
		list.Messages, list.Pager = found.Data, v.pagerOf(found.Next, len(found.Data))
	case errors.As(err, &list.Wrong) && (list.Wrong.Status == http.StatusBadRequest || list.Wrong.Status == http.StatusNotFound):
	default:
		return err
	}
	if list.Apps, err = v.someApps(); err != nil {
		return err
	}
	list.Bulk = bulkOf(list.Search)
	if len(list.Messages) == 0 {
		list.Bulk = ""
	}
	return v.show("messages", page{Title: "Messages", Data: &list})
}

// bulkOf is what can be done to everything that a search finds.
func bulkOf(s search) string {
	switch {
	case idForm.MatchString(s.Find):
	case s.Status == "QUEUED":
		return "cancel"
	case s.Status == "FAILED" || s.Status == "CANCELLED":
		return "retry"
	}
	return ""
}

// appsOffered is how many apps a form offers by name; others are typed.
const appsOffered = 100

// someApps are the first apps, to choose from.
func (v *visit) someApps() ([]client.App, error) {
	found, err := fetch[listing[client.App]](v, "", "/api/admin/apps", url.Values{"limit": {itoa(appsOffered)}})
	if err != nil {
		return nil, err
	}
	return found.Data, nil
}
