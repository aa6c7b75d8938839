package console

import (
	"net/http"
	"net/url"
	"time"

	"github.com/commserver/commserver/client"
)

// switched makes the act that switches an endpoint on or off.
func switched(on bool) func(*visit, *endpointAt) error {
	return func(v *visit, x *endpointAt) error {
		_, err := x.As.UpdateEndpoint(v.ctx(), x.E.ID, client.EndpointChange{IsActive: &on})
		return err
	}
}

// endpointDeeds is the table of what can be done to an endpoint.
func endpointDeeds() []deed[*endpointAt] {
	return []deed[*endpointAt]{
		{Word: "on", Name: "Switch it on", when: func(x *endpointAt) bool { return !x.E.IsActive || x.E.DisabledReason != "" }, title: "Switch the webhook on?", lead: "Events are posted to it from now on.",
			points: []string{"What waits for it is posted, too.", "What failed for good is not: replay it.", "What happened while it was off is not, and cannot be replayed: it is in the feed."}, button: "Switch it on", done: "The webhook is on.", do: switched(true)},
		{Word: "off", Name: "Switch it off", when: func(x *endpointAt) bool { return x.E.IsActive && x.E.DisabledReason == "" }, title: "Switch the webhook off?", lead: "Nothing is posted to it.",
			points: []string{"What already waits for it stays, and is posted when it is switched on again.", "What happens while it is off is never posted to it, and cannot be replayed: it is in the feed."}, button: "Switch it off", done: "The webhook is off.", do: switched(false)},
		{Word: "delete", Name: "Delete it", Danger: true, ends: true, when: func(*endpointAt) bool { return true }, title: "Delete the webhook?", lead: "It cannot be brought back.",
			points: []string{"What waits for it is not posted any more.", "Its secret ends, and the log of its deliveries goes."}, button: "Delete the webhook", done: "The webhook is deleted.",
			do: func(v *visit, x *endpointAt) error { return x.As.DeleteEndpoint(v.ctx(), x.E.ID) }},
	}
}

// anEndpoint is the endpoint of the path as what is done to it speaks of it.
func (v *visit) anEndpoint() (*subject[*endpointAt], error) {
	x, err := v.theEndpoint()
	if err != nil {
		return nil, err
	}
	return &subject[*endpointAt]{x: x, name: x.E.Name, at: x.At, list: x.List, acts: x.At + "/do/", trail: x.trail(true)}, nil
}

func (v *visit) confirmEndpointAct() error {
	return confirmDeed(v, endpointDeeds(), v.param("act"), v.anEndpoint)
}

func (v *visit) endpointAct() error { return runDeed(v, endpointDeeds(), v.param("act"), v.anEndpoint) }

func secretForm() *form {
	return &form{Fields: []field{{Name: "overlap", Path: "overlapSeconds", Label: "The old secret still signs beside the new one", Kind: choiceField, Must: true, Value: "3600", Choose: overlaps()}}}
}

func (v *visit) showRotateSecret() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	return v.rotateSecretPage(http.StatusOK, x, secretForm())
}

func (v *visit) rotateSecretPage(status int, x *endpointAt, f *form) error {
	return v.showStatus(status, "form", page{Title: "Replace the secret", Trail: x.trail(true), Data: formPage{Form: f, Action: x.At + "/rotate", Button: "Make the new secret", Back: x.At,
		Lead: "The new secret of " + x.E.Name + " is shown once. X-Comms-Signature uses it from the next post on; Webhook-Signature carries both for the time that you choose."}})
}

func (v *visit) rotateSecret() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	f := secretForm()
	f.take(v.r.PostForm)
	var made client.Endpoint
	if err := send(v, x.App.Slug, http.MethodPost, "/api/v1/webhooks/"+client.Escape(x.E.ID)+"/rotate-secret", map[string]any{"overlapSeconds": figure(v.r.PostForm.Get("overlap"))}, &made); err != nil {
		return v.refused(err, f, func(status int) error { return v.rotateSecretPage(status, x, f) })
	}
	return v.showSecret(x.App, &made, "The new secret is made")
}

func (v *visit) replayForm() *form {
	return &form{Fields: []field{
		{Name: "state", Label: "Which", Kind: choiceField, Must: true, Value: "failed", Choose: []choice{{"failed", "Those that failed for good", ""}, {"delivered", "Those that were delivered, once more", ""}}},
		{Name: "createdAfter", Label: "Made after (UTC)", Kind: momentField, Must: true, Value: v.now().UTC().Add(-day).Format("2006-01-02T15:04")},
		{Name: "createdBefore", Label: "Made before (UTC)", Kind: momentField, Must: true, Value: v.now().UTC().Add(time.Minute).Format("2006-01-02T15:04")}, // of this minute, too
	}}
}

func (v *visit) showReplay() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	return v.replayPage(http.StatusOK, x, v.replayForm(), "Replay")
}

func (v *visit) replayPage(status int, x *endpointAt, f *form, button string) error {
	return v.showStatus(status, "form", page{Title: "Replay deliveries", Trail: x.trail(true), Data: formPage{Form: f, Action: x.At + "/replay", Button: button, Back: x.At,
		Lead: "They are posted again in the same bytes and under the same event ids, so that a receiver that remembers ids takes none twice."}})
}

// replaySteps is how many bounded calls of the API one form makes.
const replaySteps = 10

func (v *visit) replay() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	f, in := v.replayForm(), v.r.PostForm
	f.take(in)
	body := map[string]any{"createdAfter": moment(in.Get("createdAfter")), "createdBefore": moment(in.Get("createdBefore")), "state": in.Get("state")}
	total := 0
	for range replaySteps {
		var got struct {
			Replayed   int    `json:"replayed"`
			NextCursor string `json:"nextCursor"`
		}
		if err := send(v, x.App.Slug, http.MethodPost, "/api/v1/webhooks/"+client.Escape(x.E.ID)+"/replay", body, &got); err != nil {
			return v.refused(err, f, func(status int) error { return v.replayPage(status, x, f, "Replay") })
		}
		total += got.Replayed
		if got.NextCursor == "" {
			return v.done(x.At, plural(total, "delivery is", "deliveries are")+" posted again.")
		}
		body["cursor"] = got.NextCursor
	}
	return v.done(x.At, plural(total, "delivery is", "deliveries are")+" posted again. There are more: choose a shorter time for the rest.")
}

// deliveryPage is an event on its way to an endpoint.
type deliveryPage struct {
	*endpointAt
	D    *client.Delivery
	Body string
	Live bool
}

func (v *visit) showDelivery() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	d, err := x.As.Delivery(v.ctx(), x.E.ID, v.param("delivery"))
	if err != nil {
		return err
	}
	title := "Test event"
	if d.Status != "" {
		title = statusWord(d.Status) + " event"
	}
	updates := d.State == "waiting"
	return v.show("delivery", page{Title: title, Trail: x.trail(true), Data: &deliveryPage{x, d, pretty(d.Body), updates && !v.paused()}, Updates: updates})
}

func (v *visit) replayDelivery() error {
	x, err := v.theEndpoint()
	if err != nil {
		return err
	}
	at := x.At + "/deliveries/" + url.PathEscape(v.param("delivery"))
	if _, err := x.As.ReplayDelivery(v.ctx(), x.E.ID, v.param("delivery")); err != nil {
		return v.undone(at, err)
	}
	return v.done(at, "It is posted again.")
}
