package httpapi

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

const previewURL = "/api/v1/messages/preview"

// TestPreviewRefusesWhatPostRefuses sends every bad body to both doors.
func TestPreviewRefusesWhatPostRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	w.badTemplates(one)
	for _, b := range bodies() {
		headers := map[string]string{"Content-Type": "application/json"}
		post, preview := w.do(one, "POST", "/api/v1/messages", b.body, headers), w.do(one, "POST", previewURL, b.body, headers)
		if post.status < 300 {
			if preview.status != 200 {
				t.Errorf("%s: %d %.200s", b.name, preview.status, preview.raw)
			}
			continue
		}
		if preview.status != post.status || preview.code() != post.code() {
			t.Errorf("%s: %d %.200s, POST says %d %.200s", b.name, preview.status, preview.raw, post.status, post.raw)
		}
	}
}

func TestPreviewThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes, func(a *comm.App) { a.RatePerMinute = 1 })
	c := clientOf(t, w, one)
	mail := client.Message{Channel: client.Email, To: "Ama@Example.com", Subject: "s", Body: "<p>Hello <b>you</b></p>"}
	for range 3 { // nothing is counted
		got, err := c.Preview(ctx, mail)
		if err != nil || got.Text != "Hello you" || !got.Sandbox || !got.Chain.Sandbox || len(got.Chain.Tried) != 1 || got.Chain.Tried[0].ProviderType != "sandbox" || got.Suppression != nil {
			t.Fatalf("%+v %v", got, err)
		}
	}
	if n := w.count(one.app); n != 0 {
		t.Errorf("%d stored", n)
	}
	if _, _, err := c.Suppress(ctx, client.SMS, "233241234567", "unsubscribed", ""); err != nil {
		t.Fatal(err)
	}
	sms, err := c.Preview(ctx, client.Message{Channel: client.SMS, To: "+233241234567", Body: strings.Repeat("x", 161)})
	if err != nil || sms.Segments != 2 || sms.Encoding != "GSM7" || sms.Suppression == nil || sms.Suppression.Reason != "unsubscribed" || len(sms.Warnings) != 1 || sms.Warnings[0].Code != comm.WarnSuppressed {
		t.Errorf("%+v %v", sms, err)
	}
	mail.IdempotencyKey = "k"
	sent, err := c.Send(ctx, mail)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Preview(ctx, mail); err != nil || got.ReplayOf != sent.ID {
		t.Errorf("%+v %v", got, err)
	}
	mail.Subject = "other"
	if _, err := c.Preview(ctx, mail); client.Code(err) != "idempotency_key_reused" {
		t.Error(err)
	}
}

func TestPreviewExplainsTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) { a.Sandbox = false })
	c := clientOf(t, w, live)
	mail := client.Message{Channel: client.Email, To: "ama@example.com", Subject: "s", Body: "<p>x</p>"}
	nothing, err := c.Preview(context.Background(), mail)
	if err != nil || !nothing.Chain.Sandbox || nothing.Sandbox || len(nothing.Warnings) != 1 || nothing.Warnings[0].Code != comm.WarnNoProvider {
		t.Fatalf("%+v %v", nothing, err)
	}
	ids := map[string]comm.ID{}
	for _, x := range []string{`"name":"second","priority":2`, `"name":"first","priority":1`, `"name":"off","isActive":false`} {
		body := `{"providerType":"SMTP",` + x + `,"config":{"host":"mail.example.com","from":"MyApp <no-reply@example.com>"}}`
		got := w.do(live, "POST", "/api/v1/provider-configs", body, nil)
		if got.status != 201 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		ids[got.str("name")], _ = comm.ParseID(got.str("id"))
	}
	preview := func() (got *client.Preview, words []string) {
		got, err := c.Preview(context.Background(), mail)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range append(got.Chain.Tried, got.Chain.LeftOut...) {
			words = append(words, l.Name+": "+l.Why)
		}
		return got, words
	}
	got, words := preview()
	if !slices.Equal(words, []string{"first: first by priority", "second: next by priority", "off: switched off"}) || got.Chain.Level != "APP" || got.Chain.Sandbox || !strings.Contains(got.FromAddress, "no-reply@example.com") {
		t.Errorf("%v %+v", words, got)
	}
	// The first one does not work, as the node says that sends with it.
	if _, err := w.store.Beat(t.Context(), store.NodeInfo{Node: "sender", Role: "worker", Version: "test", Lease: time.Minute.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	for breaker, want := range map[pace.State][]string{
		pace.Open:   {"second: next by priority", "first: " + chain.WaitText(chain.WaitDown), "off: switched off"},
		pace.Closed: {"first: first by priority", "second: next by priority", "off: switched off"}, // calls fail, and it is called all the same
	} {
		if err := w.store.SetProviderTroubles(t.Context(), "sender", []store.ProviderTrouble{{App: live.app.ID, ID: ids["first"], Reason: chain.WaitDown, Code: "connect_failed", Since: 1, Breaker: breaker.String()}}, nil); err != nil {
			t.Fatal(err)
		}
		if got, words = preview(); !slices.Equal(words, want) {
			t.Errorf("%s: %v %+v", breaker, words, got)
		}
	}
	// Its provider asked for a pause, whatever becomes of its calls else: no call of it is made before the end.
	soon := comm.At(time.Now().Add(time.Minute))
	asked := []string{"second: next by priority", "first: " + chain.WaitText(chain.WaitThrottled), "off: switched off"}
	for name, c := range map[string]struct {
		state  string // of the breaker; "" where it works
		pinned bool
		until  comm.Micros
		want   []string
	}{
		"works":                      {"", false, soon, asked},
		"fails":                      {pace.Closed.String(), false, soon, asked},
		"down, too":                  {pace.Open.String(), false, soon, asked},
		"pinned":                     {pace.Open.String(), true, soon, asked},
		"pinned, and the pause over": {pace.Open.String(), true, 0, []string{"first: pinned by the operator", "second: next by priority", "off: switched off"}},
	} {
		var troubles []store.ProviderTrouble
		if c.state != "" {
			troubles = append(troubles, store.ProviderTrouble{App: live.app.ID, ID: ids["first"], Reason: chain.WaitDown, Since: 1, Breaker: c.state})
		}
		if err := w.store.SetProviderTroubles(t.Context(), "sender", troubles, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.store.SetProviderStrains(t.Context(), "sender", []store.ProviderStrain{{App: live.app.ID, ID: ids["first"], ThrottledUntil: c.until, Calls: 2, Failed: 1}}); err != nil {
			t.Fatal(err)
		}
		if got := w.do(live, "PATCH", "/api/v1/provider-configs/"+ids["first"].String(), `{"pinned":`+strconv.FormatBool(c.pinned)+`}`, nil); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		if got, words = preview(); !slices.Equal(words, c.want) {
			t.Errorf("%s: %v %+v", name, words, got)
		}
	}
}

// TestPreviewPassesByWhoseDayIsSpent: until midnight, and what is kept for CRITICAL is theirs.
func TestPreviewPassesByWhoseDayIsSpent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) { a.Sandbox = false })
	var ids []comm.ID
	for i, rate := range []string{`,"ratePerDay":2`, ``} {
		got := w.do(live, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","name":"n`+strconv.Itoa(i)+`","priority":`+strconv.Itoa(i+1)+rate+`,"config":{"host":"mail.example.com","from":"no-reply@example.com"}}`, nil)
		id, err := comm.ParseID(got.str("id"))
		if err != nil {
			t.Fatalf("%s %v", got.raw, err)
		}
		ids = append(ids, id)
	}
	if _, err := w.store.Beat(t.Context(), store.NodeInfo{Node: "worker", Role: "all", Version: "test", Lease: time.Minute.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	leases, err := w.store.Take(t.Context(), "worker", comm.ShardsOf(live.app.ID, 1))
	if err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, w, live)
	if now := comm.At(time.Now()); now.NextDay()-now < comm.Micros(10*time.Second.Microseconds()) { // the day must not end meanwhile
		time.Sleep(time.Until(now.NextDay().Time()))
	}
	first := func(lane string) string {
		got, err := c.Preview(context.Background(), client.Message{Channel: client.Email, To: "ama@example.com", Subject: "s", Body: "<p>x</p>", Lane: lane})
		if err != nil || len(got.Chain.Tried) == 0 {
			t.Fatalf("%+v %v", got, err)
		}
		return got.Chain.Tried[0].Name
	}
	for used, want := range []string{"n0 n0", "n1 n0", "n1 n1"} {
		if got := first("NORMAL") + " " + first("CRITICAL"); got != want {
			t.Errorf("%d of 2 used, one kept for CRITICAL: NORMAL and CRITICAL are tried by %s, want %s", used, got, want)
		}
		if used < 2 {
			w.start(live, w.do(live, "POST", "/api/v1/messages", email(""), nil).str("id"), "worker", leases, store.Start{Provider: "smtp", ProviderID: ids[0], Daily: true, Owner: live.app.ID})
		}
	}
}
