package httpapi

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const suppressionsURL = "/api/v1/suppressions"

// clientOf is the Go client of a tenant, against the real handler.
func clientOf(t *testing.T, w *world, who tenant) *client.Client {
	t.Helper()
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{BaseURL: server.URL, App: who.app.Slug, Key: who.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// total is how many addresses are on the app's list.
func (w *world) total(app *comm.App) int {
	w.t.Helper()
	list, err := w.store.SuppressionList(context.Background(), app.ID, store.SuppressionFilter{Limit: 100_000})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func TestSuppressionsThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	c := clientOf(t, w, one)
	for i := range 250 {
		if s, added, err := c.Suppress(ctx, client.SMS, fmt.Sprintf("+23324%07d", i), "", ""); err != nil || !added || s.Reason != "manual" || s.Source != "api" || s.Address != fmt.Sprintf("23324%07d", i) {
			t.Fatalf("%+v %v %v", s, added, err)
		}
	}
	first, added, err := c.Suppress(ctx, client.Email, "Ama@Example.COM", "unsubscribed", "asked by phone")
	if err != nil || !added || first.Address != "ama@example.com" || first.Note != "asked by phone" {
		t.Fatalf("%+v %v %v", first, added, err)
	}
	if again, added, err := c.Suppress(ctx, client.Email, "ama@EXAMPLE.com", "complaint", ""); err != nil || added || *again != *first {
		t.Errorf("%+v %v %v", again, added, err)
	}
	for want, q := range map[int]client.SuppressionQuery{
		251: {}, 250: {Channel: client.SMS}, 1: {Reason: "unsubscribed"}, 0: {Reason: "complaint"},
	} {
		n := 0
		for _, err := range c.Suppressions(ctx, q) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("%+v: %d, want %d", q, n, want)
		}
	}
	for _, written := range []string{"+233240000007", "233240000007"} {
		for s, err := range c.Suppressions(ctx, client.SuppressionQuery{Address: written}) {
			if err != nil || s.Address != "233240000007" {
				t.Errorf("%s: %+v %v", written, s, err)
			}
		}
	}
	if n := w.total(two.app); n != 0 {
		t.Errorf("another app has %d", n)
	}
	if err := c.Unsuppress(ctx, client.SMS, "+233240000007"); err != nil {
		t.Error(err)
	}
	if err := c.Unsuppress(ctx, client.SMS, "+233240000007"); client.Code(err) != "not_found" {
		t.Error(err)
	}
	if n := w.total(one.app); n != 250 {
		t.Errorf("%d left", n)
	}
}

// TestBadSuppressions is line B91: whatever is wrong is refused and changes nothing.
func TestBadSuppressions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	putOnList(t, w, one.app, comm.SMS, "233241234567")
	putOnList(t, w, one.app, comm.Email, "ama@example.com")
	for body, code := range map[string]string{
		`{"channel":"SMS","address":"ama@example.com"}`:                                        "invalid_address",
		`{"channel":"EMAIL","address":"233241234567"}`:                                         "invalid_address",
		`{"channel":"EMAIL","address":"*"}`:                                                    "invalid_address",
		`{"channel":"EMAIL","address":"*@"}`:                                                   "invalid_address",
		`{"channel":"SMS","address":"23324%"}`:                                                 "invalid_address",
		`{"channel":"SMS","address":""}`:                                                       "invalid_address",
		`{"channel":"SMS"}`:                                                                    "invalid_address",
		`{"channel":"SMS","address":233241234568}`:                                             "invalid_address",
		`{"address":"233241234568"}`:                                                           "invalid_channel",
		`{"channel":"PUSH","address":"233241234568"}`:                                          "invalid_channel",
		`{"channel":"EMAIL","address":"` + strings.Repeat("a", 900_000) + `@b.c"}`:             "invalid_address",
		`{"channel":"EMAIL","address":"` + strings.Repeat("a", 1<<20) + `@b.c"}`:               "body_too_large",
		`{"channel":"SMS","address":"233241234568","reason":"because"}`:                        "invalid_field",
		`{"channel":"SMS","address":"233241234568","note":"a\u0007"}`:                          "invalid_field",
		`{"channel":"SMS","address":"233241234568","note":"` + strings.Repeat("x", 201) + `"}`: "invalid_field",
		`{"channel":"SMS","address":"233241234568","source":"provider"}`:                       "unknown_field",
	} {
		if got := w.do(one, "POST", suppressionsURL, body, nil); got.code() != code || got.status != 400 && got.status != 413 {
			t.Errorf("%.80s: %d %.200s", body, got.status, got.raw)
		}
	}
	for _, query := range []string{"", "?channel=SMS", "?address=233241234567", "?channel=&address=", "?channel=SMS&address=", "?channel=SMS&address=*", "?channel=SMS&address=%25",
		"?channel=EMAIL&address=233241234567", "?channel=SMS&address=ama@example.com", "?channel=SMS&address=233241234567&address=233241234568", "?channel=SMS&address=233241234567&all=true"} {
		if got := w.do(one, "DELETE", suppressionsURL+query, "", nil); got.status != 400 || got.code() != "invalid_query" {
			t.Errorf("DELETE %s: %d %s", query, got.status, got.raw)
		}
	}
	for _, query := range []string{"?reason=because", "?channel=sms", "?address=", "?address=*", "?limit=101", "?createdAfter=yesterday", "?to=1", "?status=SENT"} {
		if got := w.do(one, "GET", suppressionsURL+query, "", nil); got.status != 400 || got.code() != "invalid_query" {
			t.Errorf("GET %s: %d %s", query, got.status, got.raw)
		}
	}
	if n := w.total(one.app); n != 2 {
		t.Errorf("%d on the list", n)
	}
	for _, query := range []string{"?channel=SMS&address=+233241234567", "?channel=EMAIL&address=AMA@Example.com"} { // case and + are normalised
		if got := w.do(one, "DELETE", suppressionsURL+query, "", nil); got.status != 204 || len(got.raw) != 0 {
			t.Errorf("DELETE %s: %d %s", query, got.status, got.raw)
		}
	}
}

func TestSuppressionCursorsBelongToTheirList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	for i := range 3 {
		putOnList(t, w, one.app, comm.SMS, fmt.Sprintf("23324123456%d", i))
	}
	page := w.do(one, "GET", suppressionsURL+"?limit=2", "", nil)
	cursor := page.str("nextCursor")
	if page.status != 200 || cursor == "" {
		t.Fatalf("%d %s", page.status, page.raw)
	}
	if got := w.do(one, "GET", suppressionsURL+"?limit=2&cursor="+cursor, "", nil); got.status != 200 || got.body["nextCursor"] != nil || len(got.body["data"].([]any)) != 1 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	for name, got := range map[string]answer{
		"another app's": w.do(two, "GET", suppressionsURL+"?cursor="+cursor, "", nil),
		"other filters": w.do(one, "GET", suppressionsURL+"?channel=SMS&cursor="+cursor, "", nil),
		"another list":  w.do(one, "GET", "/api/v1/messages?cursor="+cursor, "", nil),
		"no text":       w.do(one, "GET", suppressionsURL+"?cursor="+query{}.suppressionCursor(one.app.ID, &store.Suppression{Channel: comm.SMS, Address: "a\xff"}), "", nil),
		"a NUL":         w.do(one, "GET", suppressionsURL+"?cursor="+query{}.suppressionCursor(one.app.ID, &store.Suppression{Channel: comm.SMS, Address: "a\x00"}), "", nil),
		"cut off":       w.do(one, "GET", suppressionsURL+"?cursor=AAAA", "", nil),
	} {
		if got.status != 400 || got.code() != "invalid_cursor" {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
}

func TestASuppressionWarnsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	if got := w.do(one, "POST", suppressionsURL, `{"channel":"SMS","address":"+233241234567"}`, nil); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", "/api/v1/messages", sms(""), nil); got.status != 202 || !strings.Contains(string(got.raw), comm.WarnSuppressed) {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
