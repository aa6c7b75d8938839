package httpapi

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestTheInboxOfARecipient: the list of captures narrowed to an address has whole messages, of that app and that address alone, on however many pages.
func TestTheInboxOfARecipient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	send := func(who tenant, body string) string {
		t.Helper()
		got := w.do(who, "POST", "/api/v1/messages", body, nil)
		if got.status != 202 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		return got.str("id")
	}
	const sms, mail = `{"channel":"SMS","to":"+233241234567","body":"Your code is 482913"}`, `{"channel":"EMAIL","to":"Ama@Example.com","subject":"Welcome","body":"<p>Hello</p>","text":"Hello","cc":["kofi@example.com"]}`
	var want []string // of the number, newest first
	for range 3 {
		want = append(want, send(one, sms))
	}
	slices.Sort(want) // the order of ids is that of their text
	slices.Reverse(want)
	welcome := send(one, mail)
	foreign := send(two, sms)
	for _, id := range append([]string{welcome}, want...) {
		w.sendOne(one, id, "feed", "sandbox", w.owned)
	}
	w.sendOne(two, foreign, "feed", "sandbox", w.owned)
	send(one, sms) // nobody has taken it yet
	w.found(one, "+233241234567", 4)
	w.found(one, "ama@example.com", 1)

	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{BaseURL: server.URL, App: one.app.Slug, Key: one.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, x := range []struct {
		o    client.ListOptions
		want []string
	}{
		{client.ListOptions{To: "233241234567"}, want}, {client.ListOptions{To: "+233241234567", Channel: client.SMS}, want}, {client.ListOptions{To: "233241234567", PageSize: 1}, want},
		{client.ListOptions{To: "233241234567", PageSize: 2}, want}, {client.ListOptions{To: "233241234568"}, nil}, {client.ListOptions{To: "ama@EXAMPLE.com"}, []string{welcome}},
		{client.ListOptions{To: "kofi@example.com"}, nil}, {client.ListOptions{To: "ama@example.com", Tag: "not used", Status: "not used"}, []string{welcome}},
	} {
		var got []string
		for m, err := range c.Captures(context.Background(), x.o) {
			if err != nil {
				t.Fatalf("%+v: %v", x.o, err)
			}
			if got = append(got, m.ID); m.Body != "Your code is 482913" && (m.Body != "<p>Hello</p>" || m.Text != "Hello") {
				t.Errorf("%+v: without its content: %+v", x.o, m)
			}
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%+v: %v, want %v", x.o, got, x.want)
		}
	}
	first := w.do(one, "GET", "/api/v1/sandbox/messages?to=233241234567&limit=1", "", nil)
	next, _ := first.body["nextCursor"].(string)
	for query, says := range map[string]string{"?to=nobody": `"to"`, "?to=": `"to"`, "?to=ama@example.com&channel=SMS": `"to"`, "?to=233241234568&cursor=" + next: "invalid_cursor", "?cursor=" + next: "invalid_cursor"} {
		if got := w.do(one, "GET", "/api/v1/sandbox/messages"+query, "", nil); got.status != 400 || !strings.Contains(string(got.raw), says) {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
}

// crowd is a store in which the newest messages to a recipient are not of the sandbox: looks find nothing, and lead on.
type crowd struct {
	store.Messages
	looks, most int
}

func (s *crowd) Search(_ context.Context, _ comm.ID, f store.Filter) (store.Found, error) {
	s.looks, s.most = s.looks+1, max(s.most, f.Limit)
	return store.Found{Before: comm.ID{0xff, byte(0xff - s.looks)}}, nil
}

// TestAPageOfARecipientLooksAtABoundedNumber: it is given up after so many looks, and leads on.
func TestAPageOfARecipientLooksAtABoundedNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	s := &crowd{Messages: w.store}
	w.api.cfg.Messages = s
	got := w.do(one, "GET", "/api/v1/sandbox/messages?to=233241234567&limit=100", "", nil)
	if next, _ := got.body["nextCursor"].(string); got.status != 200 || next == "" || len(rowsOf(got)) != 0 || s.looks != waitPages || s.most > captureRows {
		t.Errorf("%d looks for up to %d at once: %s", s.looks, s.most, got.raw)
	}
}
