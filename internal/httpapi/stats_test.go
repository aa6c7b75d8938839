package httpapi

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// sendOne starts and finishes a message of an app as a worker would.
func (w *world) sendOne(who tenant, id, node, by string, leases []store.Lease) {
	w.t.Helper()
	w.sendBy(who, id, node, by, comm.ID{}, leases)
}

// sendBy is sendOne with a provider configuration.
func (w *world) sendBy(who tenant, id, node, by string, config comm.ID, leases []store.Lease) {
	w.t.Helper()
	u, st := w.start(who, id, node, leases, store.Start{Provider: by, ProviderID: config})
	done, err := w.store.Turn(w.t.Context(), store.Turn{Node: node, Leases: leases, Finishes: []store.Finish{{App: st.App, ID: st.ID, Unit: u, From: comm.Sending,
		Attempt: st.Attempts, Epoch: st.Epoch, Want: store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: by, ProviderID: config, Ref: "r"}}}})
	if err != nil || !done.Finished[0] {
		w.t.Fatalf("%+v, %v", done, err)
	}
}

// start begins an attempt of an app's message through what by names, as a worker would, and answers the message's unit and what it is then.
func (w *world) start(who tenant, id, node string, leases []store.Lease, by store.Start) (comm.Unit, comm.State) {
	w.t.Helper()
	mid, err := comm.ParseID(id)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.store.Message(w.t.Context(), who.app.ID, mid)
	if err != nil {
		w.t.Fatal(err)
	}
	by.Unit, by.Head = comm.Unit{Shard: m.Shard, App: m.App, Channel: m.Channel, Lane: m.Lane}, store.HeadOf(&m.State)
	started, err := w.store.Turn(w.t.Context(), store.Turn{Node: node, Leases: leases, Starts: []store.Start{by}})
	if err != nil || started.Started[0].Verdict != store.Go {
		w.t.Fatalf("%+v, %v", started, err)
	}
	return by.Unit, started.Started[0].State
}

func TestStatsThroughTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	ctx := t.Context()
	if _, err := w.store.Beat(ctx, store.NodeInfo{Node: "worker", Role: "all", Lease: time.Hour.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	leases, err := w.store.Take(ctx, "worker", comm.ShardsOf(one.app.ID, 1))
	if err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, w, one)
	var ids []string
	for i := range 5 {
		sent, err := c.Send(ctx, client.Message{Channel: client.SMS, To: "+233241234567", Body: "Hello", IdempotencyKey: fmt.Sprint(i % 4)}) // the last one is a replay
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sent.ID)
	}
	w.sendOne(one, ids[0], "worker", "smtp", leases)
	if _, err := c.Cancel(ctx, ids[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, w, two).Send(ctx, client.Message{Channel: client.Email, To: "ama@example.com", Subject: "Hi", Body: "Hello"}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	ones := client.StatsCounts{Accepted: 4, Sent: 1, Cancelled: 1}
	twos := client.StatsCounts{Accepted: 1}
	for _, state := range []string{"before folding", "folded"} {
		for window, buckets := range map[string]int{"": 24, "1h": 60, "24h": 24, "7d": 168, "30d": 30} {
			got, err := c.Stats(ctx, window)
			if err != nil {
				t.Fatal(err)
			}
			if got.Counts != ones || len(got.Buckets) != buckets || got.Channels[1].Channel != client.SMS || got.Channels[1].Counts != ones || got.Channels[0].Counts != (client.StatsCounts{}) {
				t.Errorf("%s, %q: %+v", state, window, got)
			}
			if want := []client.StatsCalls{{Provider: "smtp", Channel: client.SMS, Attempts: 1, Sent: 1}}; !slices.Equal(got.Providers, want) {
				t.Errorf("%s, %q: providers %+v", state, window, got.Providers)
			}
			if l := got.Latency; l.Due.Count != 1 || l.Accepted.P50 < 1 || l.Accepted.P99 > 60_000 || got.Channels[0].Latency.Due != (client.StatsWait{}) {
				t.Errorf("%s, %q: %+v", state, window, l)
			}
			sum := client.StatsCounts{}
			for i, b := range got.Buckets {
				sum.Accepted, sum.Sent, sum.Cancelled = sum.Accepted+b.Counts.Accepted, sum.Sent+b.Counts.Sent, sum.Cancelled+b.Counts.Cancelled
				if at := got.From.Add(time.Duration(i) * time.Duration(got.BucketSeconds) * time.Second); !b.At.Equal(at) || at.After(got.To) {
					t.Errorf("%q: bucket %d begins at %v", window, i, b.At)
				}
			}
			if sum != ones {
				t.Errorf("%s, %q: the buckets have %+v", state, window, sum)
			}
		}
		all, err := admin.Stats(ctx, "1h", "")
		if err != nil {
			t.Fatal(err)
		}
		want := []client.StatsApp{{ID: one.app.ID.String(), Slug: "one", Name: "one", Counts: ones}, {ID: two.app.ID.String(), Slug: "two", Name: "two", Counts: twos}}
		if all.Counts.Accepted != 5 || all.Counts.Sent != 1 || !slices.Equal(all.Apps, want) {
			t.Errorf("%s: of all apps %+v", state, all)
		}
		if of, err := admin.Stats(ctx, "", "two"); err != nil || of.Counts != twos || len(of.Apps) != 0 {
			t.Errorf("%s: of one app %+v, %v", state, of, err)
		}
		for more := true; more; {
			f, err := w.store.Fold(ctx)
			if err != nil {
				t.Fatal(err)
			}
			more = f.More
		}
	}
}

func TestStatsOfARawRequest(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	w.do(one, "POST", "/api/v1/messages", sms(""), nil)
	for _, window := range []string{"", "?window=1h", "?window=30d"} {
		got := w.do(one, "GET", "/api/v1/stats"+window, "", nil)
		c.answer(t, "GET", "/api/v1/stats", got)
		counts, _ := got.body["counts"].(map[string]any)
		if latency := dig(got.body, "latency", "due"); got.status != 200 || counts["accepted"] != 1.0 || counts["sent"] != 0.0 || latency["p50Ms"] != nil || latency["count"] != 0.0 {
			t.Errorf("%s: %d %s", window, got.status, got.raw)
		}
		got = w.root("GET", "/api/admin/stats"+window, "")
		c.answer(t, "GET", "/api/admin/stats", got)
		if apps, _ := got.body["apps"].([]any); len(apps) != 1 {
			t.Errorf("%s: %d %s", window, got.status, got.raw)
		}
	}
	// A deleted app's figures stay, under its id.
	if err := w.store.DeleteApp(t.Context(), one.app.ID, comm.At(time.Now())); err != nil {
		t.Fatal(err)
	}
	got := w.root("GET", "/api/admin/stats", "")
	c.answer(t, "GET", "/api/admin/stats", got)
	if apps, _ := got.body["apps"].([]any); len(apps) != 1 || apps[0].(map[string]any)["slug"] != nil {
		t.Errorf("after the app's end: %s", got.raw)
	}
	if got := w.root("GET", "/api/admin/stats?app="+one.app.ID.String(), ""); got.status != 200 || dig(got.body, "counts")["accepted"] != 1.0 {
		t.Errorf("of a deleted app: %s", got.raw)
	}
	for _, query := range []string{"window=", "window=2h", "window=1H", "window=1h&window=1h", "app=nobody", "app=", "app=" + comm.ID{}.String(), "nope=1"} {
		if got := w.root("GET", "/api/admin/stats?"+query, ""); got.status != 400 || got.code() != "invalid_query" {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	two := w.tenant("two", comm.AllScopes)
	for _, query := range []string{"window=365d", "app=two"} {
		if got := w.do(two, "GET", "/api/v1/stats?"+query, "", nil); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
}

// An app of which nothing is kept any more takes no place among those that accepted most; the totals keep its messages.
func TestARemovedAppLeavesItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var apps []tenant
	for i := range 12 {
		one := w.tenant(fmt.Sprint("app", i), comm.AllScopes)
		for range 12 - i {
			if got := w.do(one, "POST", "/api/v1/messages", sms(""), nil); got.status != 202 {
				t.Fatal(got.status)
			}
		}
		apps = append(apps, one)
	}
	fold := func() {
		for more := true; more; {
			f, err := w.store.Fold(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			more = f.More
		}
	}
	fold()
	gone := apps[0].app.ID
	list := w.do(apps[0], "GET", "/api/v1/messages?limit=100", "", nil).body["data"].([]any)
	for _, m := range list {
		if got := w.do(apps[0], "PATCH", "/api/v1/messages/"+m.(map[string]any)["id"].(string), `{"action":"CANCEL"}`, nil); got.status != 200 {
			t.Fatal(got.status)
		}
	}
	if err := w.store.DeleteApp(t.Context(), gone, 1); err != nil {
		t.Fatal(err)
	}
	for removed := false; !removed; {
		got, err := w.store.RemoveApp(t.Context(), gone, comm.At(time.Now()), 100)
		if err != nil || got.Rows == 0 {
			t.Fatalf("%+v %v", got, err)
		}
		removed = got.Gone
	}
	fold() // what it cancelled at its end
	got := w.root("GET", "/api/admin/stats", "")
	shown, _ := got.body["apps"].([]any)
	if counts := dig(got.body, "counts"); len(shown) != 10 || shown[0].(map[string]any)["slug"] != "app1" || shown[9].(map[string]any)["slug"] != "app10" || counts["accepted"] != 78.0 || counts["cancelled"] != 12.0 {
		t.Errorf("%s", got.raw)
	}
}
