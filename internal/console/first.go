package console

import (
	"net/http"
	"net/url"
	"time"

	"github.com/commserver/commserver/client"
)

// firstWaits is for how long the page of a new key looks for the first message by itself.
const firstWaits = 15 * time.Minute

// firstMessage is the first message of an app since it was given a key, or that it is waited for. It knows nothing of the key.
type firstMessage struct {
	App     *client.App
	Message *client.AppMessage // nil: there is none yet
	Title   string             // of the message
	At      string             // where it is looked for again
	Live    bool               // by itself
	Since   time.Time
}

// waitFor begins to wait for a message that is accepted from an instant on; the zero one is now.
func (v *visit) waitFor(app *client.App, since time.Time) *firstMessage {
	if since.IsZero() {
		since = v.now()
	}
	waited := v.now().Sub(since)
	return &firstMessage{App: app, Since: since, Live: !v.paused() && waited > -time.Minute && waited < firstWaits, // clocks differ a little
		At: appsPath + "/" + url.PathEscape(app.Slug) + "/first?" + url.Values{"since": {since.UTC().Format(time.RFC3339Nano)}}.Encode()}
}

// showFirst says whether an app has sent since an instant, that of the query or when the app was made. The page of a new key asks it again and again.
func (v *visit) showFirst() error {
	since, err := time.Parse(time.RFC3339Nano, v.asked("since"))
	if err != nil && v.asked("since") != "" {
		return refusal{http.StatusBadRequest, "The address does not say since when.", "Go to the app's page; its messages are there."}
	}
	app, err := v.theApp()
	if err != nil {
		return err
	}
	if since.IsZero() {
		since = app.CreatedAt
	}
	f := v.waitFor(app, since)
	found, err := fetch[listing[client.AppMessage]](v, "", "/api/admin/messages", url.Values{"app": {app.ID}, "createdAfter": {since.UTC().Format(time.RFC3339Nano)}, "limit": {"1"}})
	if err != nil {
		return err
	}
	if len(found.Data) > 0 {
		f.Message, f.Live = &found.Data[0], false
		f.Title = titleOf(f.Message)
	}
	if f.Live && v.r.Header.Get("HX-Target") == "first-message" {
		v.w.WriteHeader(http.StatusNoContent) // what stands there stays: nobody's place is lost, and nothing is read out again
		return nil
	}
	return v.show("first", page{Title: "The first message", Trail: []crumb{{"Apps", appsPath}, {app.Name, appsPath + "/" + app.Slug}}, Data: f})
}
