package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// noEndpoints is what apps without a webhook have.
type noEndpoints struct{}

func (noEndpoints) EndpointsOf(context.Context, []comm.ID) ([]comm.Endpoint, error) { return nil, nil }

// owns makes the world's feed the owner of every shard.
func (w *world) owns() {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := w.store.Beat(ctx, store.NodeInfo{Node: "feed", Role: "all", Lease: 60_000_000}); err != nil {
		w.t.Fatal(err)
	}
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	leases, err := w.store.Take(ctx, "feed", shards)
	if err != nil {
		w.t.Fatal(err)
	}
	w.owned = leases
}

func (w *world) stamped(want int) {
	w.t.Helper()
	if n, err := w.feed.Step(w.t.Context()); err != nil || n != want {
		w.t.Fatalf("%d events were stamped, want %d; %v", n, want, err)
	}
}

func TestEventsAreReadInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.ScopeRead)
	c := w.client(one)
	page, err := c.Events(t.Context(), "", 0)
	if err != nil || len(page.Data) != 0 || page.NextCursor == "" {
		t.Fatalf("%+v %v", page, err)
	}
	start := page.NextCursor
	var ids []string
	for n := range 3 {
		a := w.do(one, "POST", "/api/v1/messages", sms(`"metadata":{"n":`+string('1'+rune(n))+`.0}`), nil)
		if ids = append(ids, a.str("id")); a.status != http.StatusAccepted {
			t.Fatalf("%d %s", a.status, a.raw)
		}
	}
	w.stamped(3)
	w.do(one, "PATCH", "/api/v1/messages/"+ids[1], `{"action":"CANCEL"}`, nil)
	w.do(one, "PATCH", "/api/v1/messages/"+ids[1], `{"action":"RETRY"}`, nil)
	w.stamped(2)
	var got, named []string
	after := start
	for range 3 {
		if page, err = c.Events(t.Context(), after, 2); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Data {
			got, named = append(got, e.Message.ID+" "+e.Message.Status+" "+e.Type), append(named, e.EventID)
			if !strings.HasPrefix(e.EventID, "evt_"+e.Message.ID+"_"+string('0'+rune(e.Sequence))+"_") || e.Event != "message.status" || e.CreatedAt.IsZero() || e.Message.ToAddress != "233241234567" {
				t.Errorf("%+v", e)
			}
		}
		after = page.NextCursor
	}
	want := []string{ids[0] + " QUEUED accepted", ids[1] + " QUEUED accepted", ids[2] + " QUEUED accepted", ids[1] + " CANCELLED cancelled", ids[1] + " QUEUED retry_requested"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	raw := w.do(one, "GET", "/api/v1/events?limit=1", "", nil)
	readContract(t).answer(t, "GET", "/api/v1/events", raw)
	prefix := `{"data":[{"event":"message.status","message":{"id":"` + ids[0] + `","channel":"SMS","status":"QUEUED","toAddress":"233241234567","providerName":null,"providerMessageId":null,` +
		`"errorMessage":null,"attempts":0,"sentAt":null,"metadata":{"n":1.0}},"eventId":"` + named[0] + `","sequence":1,"type":"accepted","createdAt":"`
	if raw.status != http.StatusOK || !strings.HasPrefix(string(raw.raw), prefix) {
		t.Errorf("%d %s\nwant %s", raw.status, string(raw.raw), prefix)
	}
	// The end stays the end until there is more, and a cursor belongs to its app.
	if again, err := c.Events(t.Context(), after, 2); err != nil || len(again.Data) != 0 || again.NextCursor != after {
		t.Errorf("%+v %v", again, err)
	}
	// One that lies behind everything, as after a restore from a backup without a gap: it leads to the end.
	if lost, err := c.Events(t.Context(), position(one.app.ID, 1<<50), 2); err != nil || len(lost.Data) != 0 || lost.NextCursor != after {
		t.Errorf("%+v %v", lost, err)
	}
	if a := w.do(two, "GET", "/api/v1/events?after="+after, "", nil); a.status != http.StatusBadRequest || a.code() != "invalid_cursor" {
		t.Errorf("another app's cursor: %d %s", a.status, a.raw)
	}
	for _, bad := range []string{"after=x", "after=", "after=" + after[:len(after)-1], "limit=0", "limit=101", "cursor=" + after} {
		if a := w.do(one, "GET", "/api/v1/events?"+bad, "", nil); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, a.status, a.raw)
		}
	}
	if a := w.do(two, "GET", "/api/v1/events", "", nil); a.status != http.StatusOK || strings.Contains(string(a.raw), ids[0]) {
		t.Errorf("the other app: %d %s", a.status, a.raw)
	}
}
