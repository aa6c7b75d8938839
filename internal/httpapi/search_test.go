package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

func TestSearch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	send := func(who tenant, m client.Message) *client.Client {
		t.Helper()
		c, err := client.New(client.Options{BaseURL: server.URL, App: who.app.Slug, Key: who.key})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if _, err := c.Send(ctx, m); err != nil {
			t.Fatal(err)
		}
		return c
	}
	send(two, client.Message{Channel: client.SMS, To: "233241234567", Body: "x", Tags: []string{"Otp"}})
	send(one, client.Message{Channel: client.Email, To: "Ama@Example.com", Subject: "s", Body: "x", Tags: []string{"Otp", "a&b +é", "Otp"}})
	c := send(one, client.Message{Channel: client.SMS, To: "+233241234567", Body: "x", Tags: []string{"Otp"}})
	count := func(o client.ListOptions) (n int) {
		t.Helper()
		o.PageSize = 1
		for _, err := range c.List(ctx, o) {
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			n++
		}
		return n
	}
	for end := time.Now().Add(20 * time.Second); count(client.ListOptions{To: "233241234567", Tag: "Otp"}) == 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	for _, x := range []struct {
		o    client.ListOptions
		want int
	}{
		{client.ListOptions{To: "233241234567"}, 1}, {client.ListOptions{To: "+233241234567"}, 1}, {client.ListOptions{To: "ama@EXAMPLE.com"}, 1},
		{client.ListOptions{To: "233241234568"}, 0}, {client.ListOptions{Tag: "Otp"}, 2}, {client.ListOptions{Tag: "otp"}, 0}, {client.ListOptions{Tag: "a&b +é"}, 1},
		{client.ListOptions{Tag: "Otp", Channel: client.SMS}, 1}, {client.ListOptions{Tag: "Otp", Status: "FAILED"}, 0}, {client.ListOptions{To: "ama@example.com", Tag: "Otp", Status: "QUEUED"}, 1},
		{client.ListOptions{Tag: "Otp", CreatedAfter: time.Now().Add(time.Hour)}, 0}, {client.ListOptions{Tag: "Otp", CreatedBefore: time.Now().Add(time.Hour)}, 2},
	} {
		if got := count(x.o); got != x.want {
			t.Errorf("%+v: %d messages, want %d", x.o, got, x.want)
		}
	}
	for query, field := range map[string]string{
		"to=": "to", "to=nonsense": "to", "to=a@b@c": "to", "to=ama%40example.com&channel=SMS": "to", "to=0241234567": "to", "to=%00": "to",
		"tag=": "tag", "tag=%20a": "tag", "tag=a%00": "tag", "tag=%FF": "tag", "templateKey=": "templateKey", "templateKey=a%20b": "templateKey", "tag=a&tag=b": "tag",
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/messages?"+query, nil)
		r.Header.Set("X-App-ID", one.app.Slug)
		r.Header.Set("X-API-Key", one.key)
		answer := httptest.NewRecorder()
		w.handler.ServeHTTP(answer, r)
		if body := answer.Body.String(); answer.Code != http.StatusBadRequest || !strings.Contains(body, `"invalid_query"`) || !strings.Contains(body, `"`+field+`":`) {
			t.Errorf("%s: %d %s", query, answer.Code, body)
		}
	}
}
