package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestAContentThatCannotBeReadHidesNothingElse: the message is shown with its state, log and attempts, it says what is the matter, and no list breaks because of it.
func TestAContentThatCannotBeReadHidesNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	one := w.tenant("one", comm.AllScopes)
	sent := w.do(one, "POST", "/api/v1/messages", `{"channel":"SMS","to":"+233241234567","body":"Hello","tags":["x"]}`, nil)
	if sent.status != 202 {
		t.Fatalf("%d %s", sent.status, sent.raw)
	}
	damaged := comm.NewID(comm.At(time.Now()))
	_, err := w.store.Accept(t.Context(), []store.Submission{{App: one.app.ID, ID: damaged, Shard: comm.ShardOf(one.app.ID, damaged, 1), Channel: comm.SMS, Lane: comm.Normal, Mode: comm.Sandbox, Node: "feed",
		Recipient: "233241234567", Payload: []byte(`{"body":"secret`), RatePerMinute: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	bad, good := damaged.String(), sent.str("id")
	for _, id := range []string{bad, good} {
		w.sendOne(one, id, "feed", "sandbox", w.owned)
	}
	for _, got := range []answer{w.do(one, "GET", "/api/v1/messages/"+bad, "", nil), w.root("GET", "/api/admin/messages/"+bad, "")} {
		if got.status != 200 || got.body["status"] != "SENT" || got.body["toAddress"] != "233241234567" || got.body["body"] != nil || got.body["contentRemoved"] != "unreadable" ||
			len(got.body["events"].([]any)) != 3 || len(got.body["attemptLog"].([]any)) != 1 {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
	if got := w.do(one, "GET", "/api/v1/messages/"+good, "", nil); got.body["contentRemoved"] != nil || got.body["body"] != "Hello" {
		t.Errorf("%s", got.raw)
	}
	lists := map[string]answer{"captures": w.do(one, "GET", "/api/v1/sandbox/messages", "", nil), "all": w.root("GET", "/api/admin/messages", ""), "by id": w.root("GET", "/api/admin/messages?id="+bad, ""),
		"of an app": w.root("GET", "/api/admin/messages?app="+one.app.ID.String(), "")}
	for _, query := range []string{"", "?status=SENT", "?channel=SMS", "?to=%2B233241234567"} {
		lists[query] = w.do(one, "GET", "/api/v1/messages"+query, "", nil)
	}
	w.found(one, "+233241234567", 2)
	for name, got := range lists {
		want := 2
		if name == "by id" {
			want = 1
		}
		if name == "?to=%2B233241234567" {
			got = w.do(one, "GET", "/api/v1/messages"+name, "", nil) // it is found by now
		}
		if got.status != 200 || len(rowsOf(got)) != want {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
	export := w.do(one, "GET", "/api/v1/persons/export?address=%2B233241234567", "", nil)
	lines := strings.Split(strings.TrimSpace(string(export.raw)), "\n")
	unread := 0
	for _, line := range lines {
		var got struct {
			Message struct{ ContentRemoved string }
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got.Message.ContentRemoved == "unreadable" {
			unread++
		}
	}
	if export.status != 200 || len(lines) != 3 || unread != 1 || !strings.Contains(lines[2], `"end"`) {
		t.Errorf("%d %s", export.status, export.raw)
	}
	w.stamped(6)
	if got := w.do(one, "GET", "/api/v1/events", "", nil); got.status != 200 || len(rowsOf(got)) != 6 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if strings.Contains(w.log.String(), "secret") {
		t.Errorf("%s", w.log.String())
	}
}
