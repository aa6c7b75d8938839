package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/commserver/commserver/client"
)

// change is an act that changes the app's settings.
func change(c client.AdminApp) func(*visit, *client.App) error {
	return byAdmin(func(v *visit, a *client.Admin, app *client.App) error {
		_, err := a.UpdateApp(v.ctx(), app.ID, c)
		return err
	})
}

// byAdmin gives an act what calls the API.
func byAdmin(do func(v *visit, a *client.Admin, app *client.App) error) func(*visit, *client.App) error {
	return func(v *visit, app *client.App) error {
		a, err := v.admin()
		if err != nil {
			return err
		}
		return do(v, a, app)
	}
}

// appDeeds is the table of what can be done to an app as a whole.
func appDeeds() []deed[*client.App] {
	return []deed[*client.App]{
		{Word: "live", Name: "Take it live", may: actRule, when: func(a *client.App) bool { return a.SandboxMode }, title: "Take the app live?", lead: "From now on its messages go to real people.",
			ahead:  (*visit).goingLive,
			points: []string{"Its keys stay as they are."},
			button: "Take it live", shows: (*visit).takeLive},
		{Word: "sandbox", Name: "Back to the sandbox", may: actRule, when: func(a *client.App) bool { return !a.SandboxMode }, title: "Put the app into the sandbox?", lead: "Nothing of it reaches anybody any more.",
			points: []string{"New messages are captured, and can be read in the sandbox inbox.", "Live messages that wait are captured too, instead of being sent: they turn to sent by the sandbox."},
			button: "Put it into the sandbox", done: "The app is in the sandbox.", do: change(client.AdminApp{SandboxMode: new(true)})},
		{Word: "pause", Name: "Pause the queue", may: actOperate, when: func(a *client.App) bool { return a.QueueState != "PAUSED" }, title: "Pause the app's queue?", lead: "Nothing of it is started until the queue is resumed.",
			points: []string{"New messages are accepted and wait.", "Calls that are under way end as they do.", "Messages with a time to live may expire meanwhile."},
			button: "Pause the queue", done: "The queue is paused.", do: byAdmin(func(v *visit, a *client.Admin, app *client.App) error {
				_, err := a.PauseQueue(v.ctx(), app.ID)
				return err
			})},
		{Word: "drain", Name: "Drain the queue", may: actOperate, when: func(a *client.App) bool { return a.QueueState == "RUNNING" }, title: "Drain the app's queue?", lead: "What waits goes out, and new messages are refused until the queue is resumed.",
			points: []string{"New messages are answered 503 with Retry-After.", "Requests with a known idempotency key are answered as before."},
			button: "Drain the queue", done: "The queue is drained: new messages are refused.", do: byAdmin(func(v *visit, a *client.Admin, app *client.App) error {
				_, err := a.DrainQueue(v.ctx(), app.ID)
				return err
			})},
		{Word: "resume", Name: "Resume the queue", may: actOperate, when: func(a *client.App) bool { return a.QueueState != "RUNNING" }, title: "Resume the app's queue?", lead: "What waits is sent from now on, and new messages are accepted.",
			points: []string{"What has waited goes out at the pace that its providers allow."},
			button: "Resume the queue", done: "The queue runs again.", do: byAdmin(func(v *visit, a *client.Admin, app *client.App) error {
				_, err := a.ResumeQueue(v.ctx(), app.ID)
				return err
			})},
		{Word: "off", Name: "Switch the app off", may: actRule, Danger: true, when: func(a *client.App) bool { return a.IsActive }, title: "Switch the app off?", lead: "Its keys are refused, and its messages wait.",
			points: []string{"Its programs are answered 401, on every node within five seconds.", "Nothing is lost; it can be switched on again."},
			button: "Switch it off", done: "The app is off.", do: change(client.AdminApp{IsActive: new(false)})},
		{Word: "on", Name: "Switch the app on", may: actRule, when: func(a *client.App) bool { return !a.IsActive }, title: "Switch the app on?", lead: "Its keys open again, and what waits is sent.",
			button: "Switch it on", done: "The app is on.", do: change(client.AdminApp{IsActive: new(true)})},
		{Word: "delete", Name: "Delete the app", may: actRule, Danger: true, when: func(*client.App) bool { return true }, title: "Delete the app for good?", lead: "It cannot be brought back.", typed: true, ends: true,
			points: []string{"Its keys end at once, on every node within five seconds.", "Its messages, templates, suppressions, providers and webhooks can no longer be read by anybody.", "Its slug is free for another app."},
			button: "Delete the app", done: "The app is deleted.", do: byAdmin(func(v *visit, a *client.Admin, app *client.App) error { return a.DeleteApp(v.ctx(), app.ID, app.Slug) })},
	}
}

// anApp is the app of the path as what is done to it speaks of it.
func (v *visit) anApp() (*subject[*client.App], error) {
	app, err := v.theApp()
	if err != nil {
		return nil, err
	}
	at := appsPath + "/" + app.Slug
	return &subject[*client.App]{x: app, name: app.Name, at: at, from: v.cameFrom(at), list: appsPath, acts: at + "/do/", typed: app.Slug, trail: []crumb{{"Apps", appsPath}, {app.Name, at}}, counts: v.waitsOf}, nil
}

func (v *visit) confirmAppAct() error { return confirmDeed(v, appDeeds(), v.param("act"), v.anApp) }

func (v *visit) appAct() error { return runDeed(v, appDeeds(), v.param("act"), v.anApp) }

// backlogOf counts what waits of an app, in one channel or for "" in both. The totals that come with a page of the queue are of all apps.
func (v *visit) backlogOf(app *client.App, channel string) (client.QueueTotals, error) {
	var t client.QueueTotals
	q := url.Values{"app": {app.ID}}
	if channel != "" {
		q.Set("channel", channel)
	}
	queue, err := fetch[client.Queue](v, "", "/api/admin/queue", q)
	if err != nil {
		return t, err
	}
	for _, u := range queue.Units {
		t.Waiting += u.Due + u.Later
		t.Sending += u.Sending
		t.AtLeast = t.AtLeast || u.AtLeast
	}
	return t, nil
}

// waitsOf says how many messages an act touches.
func (v *visit) waitsOf(app *client.App) ([]string, error) {
	t, err := v.backlogOf(app, "")
	if err != nil {
		return nil, err
	}
	if t.Waiting == 0 && t.Sending == 0 {
		return []string{"Nothing of it waits to be sent at this moment."}, nil
	}
	words := plural(t.Waiting, "message waits", "messages wait") + " to be sent at this moment"
	if t.AtLeast {
		words = "More than " + words
	}
	if t.Sending > 0 {
		words += fmt.Sprintf(", and %s under way", plural(t.Sending, "call is", "calls are"))
	}
	return []string{words + "."}, nil
}

// theKey finds a key of the app.
func (v *visit) theKey() (*client.App, *client.Key, error) {
	app, err := v.theApp()
	if err != nil {
		return nil, nil, err
	}
	for cursor := ""; ; {
		keys, err := v.keys(app, cursor)
		if err != nil {
			return nil, nil, err
		}
		for i := range keys.Data {
			if keys.Data[i].ID == v.param("key") {
				return app, &keys.Data[i], nil
			}
		}
		if keys.Next == "" || keys.Next == cursor { // the second never comes; a page must not wait for ever if it did
			return nil, nil, missing("key")
		}
		cursor = keys.Next
	}
}

// nameOf names a key for people.
func nameOf(k *client.Key) string {
	if k.Name != "" {
		return k.Name + " (" + k.Prefix + "…" + k.LastFour + ")"
	}
	return k.Prefix + "…" + k.LastFour
}

// lastUse says when a key was used, for who is about to end it.
func (v *visit) lastUse(k *client.Key) string {
	if k.LastUsedAt == nil {
		return "It was never used."
	}
	return "It was last used " + v.when(*k.LastUsedAt) + "."
}

func rotateForm() *form {
	return &form{Fields: []field{{Name: "overlap", Path: "overlapSeconds", Label: "The old key still works", Kind: choiceField, Must: true, Value: "3600", Choose: overlaps()}}}
}

func (v *visit) showRotateKey() error {
	app, key, err := v.theKey()
	if err != nil {
		return err
	}
	return v.rotatePage(http.StatusOK, app, key, rotateForm())
}

func (v *visit) rotatePage(status int, app *client.App, key *client.Key, f *form) error {
	at := appsPath + "/" + app.Slug
	return v.showStatus(status, "form", page{Title: "Replace a key", Trail: []crumb{{"Apps", appsPath}, {app.Name, at}}, Data: formPage{Form: f, Action: at + "/keys/" + key.ID + "/rotate", Button: "Make the new key", Back: at,
		Lead: "A new key with the same rights takes the place of " + nameOf(key) + ". " + v.lastUse(key)}})
}

func (v *visit) rotateKey() error {
	app, key, err := v.theKey()
	if err != nil {
		return err
	}
	f := rotateForm()
	f.take(v.r.PostForm)
	var made client.Key
	err = send(v, "", http.MethodPost, "/api/admin/apps/"+client.Escape(app.ID)+"/keys/"+client.Escape(key.ID)+"/rotate", map[string]any{"overlapSeconds": figure(v.r.PostForm.Get("overlap"))}, &made)
	var e *client.Error
	if errors.As(err, &e) && e.Status == http.StatusConflict {
		return v.undone(appsPath+"/"+app.Slug, err)
	}
	if err != nil {
		return v.refused(err, f, func(status int) error { return v.rotatePage(status, app, key, f) })
	}
	return v.showKey(app, made.APIKey, "The new key is made", false, time.Time{})
}

func (v *visit) confirmRevokeKey() error {
	app, key, err := v.theKey()
	if err != nil {
		return err
	}
	at := appsPath + "/" + app.Slug
	return v.confirm(confirmation{Title: "Revoke this key?", Lead: nameOf(key) + " opens nothing any more.", Points: []string{v.lastUse(key), "Programs that still use it are answered 401, on every node within five seconds.", "It cannot be brought back; a new key can be made."},
		Action: at + "/keys/" + key.ID + "/revoke", Button: "Revoke the key", Back: at, Trail: []crumb{{"Apps", appsPath}, {app.Name, at}}})
}

func (v *visit) revokeKey() error {
	app, key, err := v.theKey()
	if err != nil {
		return err
	}
	admin, err := v.admin()
	if err != nil {
		return err
	}
	at := appsPath + "/" + app.Slug
	if err := admin.RevokeKey(v.ctx(), app.ID, key.ID); err != nil {
		return v.undone(at, err)
	}
	return v.done(at, "The key is revoked.")
}
