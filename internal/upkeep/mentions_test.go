package upkeep

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// done works on an erasure until it has ended.
func (w *world) done(a *comm.App, asked *store.Erasure) *store.Erasure {
	w.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		w.erasures()
		e, err := w.up.Erasure(w.Context(), a.ID, asked.ID)
		w.must(err)
		if e.FinishedAt != 0 {
			return e
		}
		if time.Now().After(end) {
			w.Fatalf("the erasure has not ended: %+v", e)
		}
	}
}

// TestWebhooksOfOthersAreStillTold: an address in everybody's footer takes no event from the app, and none that waits tells of the person.
func TestWebhooksOfOthersAreStillTold(t *testing.T) {
	t.Parallel()
	const recording = time.Hour
	w := newWorld(t, func(c *Config) { c.Recording = recording })
	a, endpoint, began := w.app(), comm.NewID(1), comm.At(time.Now())
	const to = "ama@example.org"
	told := func(c comm.Content, body string) comm.ID {
		id, now := w.message(a, c, false), comm.At(time.Now())
		w.must(w.s.AddDelivery(t.Context(), &store.Delivery{EventRef: store.EventRef{App: a.ID, Message: id, Sequence: 2}, Endpoint: endpoint, ID: comm.NewID(now), Shard: comm.ShardOf(a.ID, comm.ID{}, 1),
			Status: comm.Cancelled, State: store.DeliveryWaiting, Due: now, CreatedAt: now, EventAt: now, Body: []byte(body)}))
		return id
	}
	const silent = `{"message":{"toAddress":"kofi@example.org","metadata":{"n":1.50}},"eventId":"evt"}`
	footer := told(comm.Content{To: "kofi@example.org", Body: "Write to " + to}, silent)
	agent := told(comm.Content{To: "kofi@example.org", Body: "x", Metadata: `{"agent":"AMA@example.org"}`}, strings.Replace(silent, `1.50`, `1.50,"agent":"AMA@example.org"`, 1))
	own := told(comm.Content{To: to, Body: "x"}, fmt.Sprintf(`{"message":{"toAddress":%q}}`, to))
	for { // searchable a moment later
		found, err := w.s.Search(t.Context(), a.ID, store.Filter{Recipient: to, Limit: 1})
		w.must(err)
		if len(found.Messages) == 1 {
			break
		}
	}
	if e := w.done(a, w.asked(a, to)); e.Masked != 2 || e.Erased != 1 {
		t.Fatalf("%+v", e)
	}
	for id, want := range map[comm.ID]string{footer: silent, agent: strings.Replace(silent, `1.50`, `1.50,"agent":"a***@example.org"`, 1), own: ""} {
		list, err := w.s.DeliveryList(t.Context(), a.ID, endpoint, store.DeliveryFilter{Message: id, Limit: 10})
		w.must(err)
		if want == "" {
			if len(list) > 0 {
				t.Errorf("told of the person: %+v", list)
			}
			continue
		}
		if len(list) != 1 {
			t.Errorf("%d deliveries wait, want %s", len(list), want)
			continue
		}
		got, err := w.s.Delivery(t.Context(), a.ID, endpoint, list[0].ID)
		w.must(err)
		if string(got.Body) != want || got.State != store.DeliveryWaiting {
			t.Errorf("%s, want %s; %+v", got.Body, want, got)
		}
		if put := got.Due >= began.Add(recording); put != (id == agent) {
			t.Errorf("%s is due at %s", got.Body, got.Due)
		}
	}
}

// TestWhatWaitsIsNotSentFromAPersonWhoWasErased: it goes from the configuration's own sender.
func TestWhatWaitsIsNotSentFromAPersonWhoWasErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	const ama = "ama@example.org"
	id := w.message(a, comm.Content{To: "kofi@example.org", Subject: "x", Body: "x", From: "Ama <ama@example.org>", ReplyTo: "Ama <AMA@example.org>"}, true)
	if e := w.done(a, w.asked(a, ama)); e.Masked != 1 {
		t.Fatalf("%+v", e)
	}
	m, err := w.s.Message(t.Context(), a.ID, id)
	w.must(err)
	if m.From != "" || m.ReplyTo != "" || m.Status != comm.Queued {
		t.Errorf("from %q, reply to %q, %s", m.From, m.ReplyTo, m.Status)
	}
}
