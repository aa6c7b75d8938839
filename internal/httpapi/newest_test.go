package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestWhatHappensNow: each look shows what came since the one before, of all apps or of one, and says what it has passed over.
func TestWhatHappensNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	c := readContract(t)
	look := func(query string) newestPageOf {
		t.Helper()
		a := w.root("GET", "/api/admin/events"+query, "")
		c.answer(t, "GET", "/api/admin/events", a)
		var out newestPageOf
		if err := json.Unmarshal(a.raw, &out); err != nil || a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", query, a.status, a.raw)
		}
		return out
	}
	begin := look("")
	if len(begin.Data) != 0 || begin.NextCursor == "" {
		t.Fatalf("%+v", begin)
	}
	sent := w.do(one, "POST", "/api/v1/messages", sms(""), nil).str("id")
	mailed := w.do(two, "POST", "/api/v1/messages", emailBody, nil).str("id")
	w.stamped(2)
	all := look("?after=" + begin.NextCursor)
	if got := all.names(); len(got) != 2 || !slices.Contains(got, "one "+sent+" accepted SMS") || !slices.Contains(got, "two "+mailed+" accepted EMAIL") || all.Passed != 0 || all.AtLeast {
		t.Errorf("%v %+v", got, all)
	}
	for i := range all.Data {
		if all.Data[i].ToAddress == "" || !all.Data[i].Sandbox {
			t.Errorf("%+v", all.Data[i])
		}
	}
	if again := look("?after=" + all.NextCursor); len(again.Data) != 0 || again.Looked != 0 {
		t.Errorf("nothing new: %+v", again)
	}
	for query, want := range map[string]string{"?app=one": "one " + sent + " accepted SMS", "?app=" + two.app.ID.String(): "two " + mailed + " accepted EMAIL", "?channel=SMS": "one " + sent + " accepted SMS", "?troubles=true": ""} {
		if got := strings.Join(look(query).names(), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	ofOne := look("?app=one")
	w.do(one, "PATCH", "/api/v1/messages/"+sent, `{"action":"CANCEL"}`, nil)
	w.do(two, "PATCH", "/api/v1/messages/"+mailed, `{"action":"CANCEL"}`, nil)
	w.stamped(2)
	if got := look("?app=one&after=" + ofOne.NextCursor).names(); !slices.Equal(got, []string{"one " + sent + " cancelled SMS"}) {
		t.Errorf("%v", got)
	}
	if few := look("?limit=1&after=" + all.NextCursor); len(few.Data) != 1 || few.Passed != 1 {
		t.Errorf("%+v", few)
	}
	for _, bad := range []string{"after=x", "after=", "app=one&after=" + all.NextCursor, "after=" + ofOne.NextCursor, "channel=FAX", "troubles=some", "limit=0", "limit=101", "cursor=x", "after=" + all.NextCursor[1:]} {
		if a := w.root("GET", "/api/admin/events?"+bad, ""); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, a.status, a.raw)
		}
	}
	if a := w.root("GET", "/api/admin/events?app=nobody", ""); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// newestPageOf is an answer as a client reads it.
type newestPageOf struct {
	Data []struct {
		App                      struct{ Slug string }
		MessageID, Type, Channel string
		ToAddress                string
		Sandbox                  bool
	}
	Looked, Passed int
	AtLeast        bool
	NextCursor     string
}

func (p newestPageOf) names() (out []string) {
	for _, e := range p.Data {
		out = append(out, e.App.Slug+" "+e.MessageID+" "+e.Type+" "+e.Channel)
	}
	return out
}

// TestACursorNamesSoManyTransactions: however many are under way, a cursor stays short enough for the contract, and is read as it was written.
func TestACursorNamesSoManyTransactions(t *testing.T) {
	t.Parallel()
	seen := store.Seen{From: 1 << 60}
	for i := range int64(500) {
		seen.Open = append(seen.Open, seen.From-1-i*1_000_000_000)
	}
	app := comm.NewID(1)
	text := glance(app, seen)
	got, ok := readGlance(app, text)
	if !ok || got.From != seen.From || !slices.Equal(got.Open, seen.Open[:openAtMost]) || len(text) > 1400 {
		t.Errorf("%v, %d characters", ok, len(text))
	}
	if _, ok := readGlance(comm.NewID(2), text); ok {
		t.Error("another app's cursor is taken")
	}
}
