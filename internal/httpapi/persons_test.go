package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// upkeeps runs the world's upkeep until the test ends.
func (w *world) upkeeps() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.upkeep.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

// erased waits for an erasure to be done.
func (w *world) erased(who tenant, id string) answer {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := w.do(who, "GET", "/api/v1/erasures/"+id, "", nil)
		if got.str("status") == "DONE" {
			return got
		}
		if got.status != 200 || time.Now().After(end) {
			w.t.Fatalf("%d %s", got.status, got.raw)
		}
	}
}

// found waits until a search finds so many messages.
func (w *world) found(who tenant, to string, want int) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := w.do(who, "GET", "/api/v1/messages?to="+to, "", nil)
		if list, _ := got.body["data"].([]any); len(list) == want {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s", got.raw)
		}
	}
}

func TestAPersonIsExportedAndErased(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{BaseURL: server.URL, App: "one", Key: one.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	mail := func(who tenant, more string) string {
		got := w.do(who, "POST", "/api/v1/messages", `{"channel":"EMAIL","subject":"Hello","body":"<p>secret words</p>",`+more+`}`, nil)
		if got.status != 202 {
			t.Fatalf("%s", got.raw)
		}
		return got.str("id")
	}
	hers := mail(one, `"to":"Ama@Example.com","cc":["kofi@example.com"],"idempotencyKey":"welcome:ama","tags":["x"]`)
	copied := mail(one, `"to":"kofi@example.com","cc":["AMA@example.com","esi@example.com"],"metadata":{"for":"ama@example.com"},"idempotencyKey":"to:kofi for ama@example.com"`)
	others := mail(one, `"to":"yama@example.com"`)
	foreign := mail(two, `"to":"ama@example.com"`)
	if _, _, err := c.Suppress(ctx, client.Email, "ama@example.com", "complaint", "called us"); err != nil {
		t.Fatal(err)
	}
	w.found(one, "ama@example.com", 1)
	w.found(two, "ama@example.com", 1)

	export, err := c.ExportPerson(ctx, "", "ama@example.com")
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for scan := bufio.NewScanner(export); scan.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := export.Close(); err != nil {
		t.Error(err)
	}
	if len(lines) != 3 || lines[0]["kind"] != "suppression" || dig(lines[1], "message")["id"] != hers || dig(lines[1], "message")["body"] != "<p>secret words</p>" ||
		len(dig(lines[1], "message")["events"].([]any)) != 1 || len(dig(lines[1], "message")["cc"].([]any)) != 1 || lines[2]["kind"] != "end" || lines[2]["messages"] != 1.0 {
		t.Fatalf("%v", lines)
	}
	if log := w.root("GET", "/api/admin/audit?action=person_exported", ""); !strings.Contains(string(log.raw), one.app.ID.String()) || strings.Contains(string(log.raw), "ama@") || strings.Contains(string(log.raw), `"actor":"system"`) {
		t.Errorf("%s", log.raw)
	}

	w.upkeeps()
	made, err := c.ErasePerson(ctx, "", "AMA@example.com")
	if err != nil || made.Status != "RUNNING" || made.App != one.app.ID.String() {
		t.Fatalf("%+v %v", made, err)
	}
	if got := w.erased(one, made.ID); got.body["erased"] != 1.0 || got.body["cancelled"] != 1.0 || got.body["masked"] != 1.0 {
		t.Errorf("%s", got.raw)
	}
	got := w.do(one, "GET", "/api/v1/messages/"+hers, "", nil)
	if got.body["body"] != nil || got.body["subject"] != nil || got.body["toAddress"] != "a***@example.com" || got.body["contentRemoved"] != "erased" || got.body["status"] != "CANCELLED" {
		t.Errorf("%s", got.raw)
	}
	if got := w.do(one, "PATCH", "/api/v1/messages/"+hers, `{"action":"RETRY"}`, nil); got.status != 409 || !strings.Contains(string(got.raw), "content_gone") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	m, err := w.store.Message(ctx, one.app.ID, idOf(t, copied))
	if err != nil || strings.Join(m.CC, ",") != "esi@example.com" || string(m.Metadata) != `{"for":"a***@example.com"}` || m.Status != comm.Queued || m.IdempotencyKey != "to:kofi for a***@example.com" {
		t.Errorf("%+v %v", m, err)
	}
	for who, id := range map[*tenant]string{&one: others, &two: foreign} {
		if got := w.do(*who, "GET", "/api/v1/messages/"+id, "", nil); got.body["body"] == nil || got.body["contentRemoved"] != nil || len(got.body["events"].([]any)) != 1 {
			t.Errorf("%s", got.raw)
		}
	}
	w.found(one, "ama@example.com", 0)
	w.optOutStays(c, one, two)
}

// optOutStays holds that the opt-out of an erased person is found by whoever asks.
func (w *world) optOutStays(c *client.Client, one, two tenant) {
	t, ctx := w.t, context.Background()
	if list, err := w.store.SuppressionList(ctx, one.app.ID, store.SuppressionFilter{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if got := w.do(one, "GET", "/api/v1/suppressions?address=ama@example.com", "", nil); !strings.Contains(string(got.raw), `"reason":"complaint"`) {
		t.Errorf("%s", got.raw)
	}
	if got := w.do(two, "GET", "/api/v1/suppressions?address=ama@example.com", "", nil); strings.Contains(string(got.raw), `"complaint"`) {
		t.Errorf("%s", got.raw)
	}
	letter := `{"channel":"EMAIL","to":"ama@example.com","subject":"Again","body":"x"}`
	if got := w.do(one, "POST", "/api/v1/messages/preview", letter, nil); !strings.Contains(string(got.raw), "recipient_suppressed") {
		t.Errorf("%s", got.raw)
	}
	if list, err := w.store.SuppressionList(ctx, one.app.ID, store.SuppressionFilter{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("a preview wrote %+v %v", list, err)
	}
	if got := w.do(one, "POST", "/api/v1/messages", letter, nil); got.status != 202 || !strings.Contains(string(got.raw), "recipient_suppressed") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "GET", "/api/v1/suppressions", "", nil); !strings.Contains(string(got.raw), `"source":"returned"`) {
		t.Errorf("%s", got.raw)
	}
	if err := c.Unsuppress(ctx, client.Email, "ama@example.com"); err != nil {
		t.Error(err)
	}
	if got := w.do(one, "POST", "/api/v1/messages/preview", letter, nil); strings.Contains(string(got.raw), "recipient_suppressed") {
		t.Errorf("%s", got.raw)
	}
	if err := c.Unsuppress(ctx, client.Email, "ama@example.com"); err == nil {
		t.Error("taken off twice")
	}
}

func idOf(t *testing.T, text string) comm.ID {
	t.Helper()
	id, err := comm.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The administrator erases in one app or in all, and reads what upkeep did.
func TestTheAdministratorErases(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	a, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	sent := map[*tenant]string{}
	for _, who := range []*tenant{&one, &two} {
		sent[who] = w.do(*who, "POST", "/api/v1/messages", sms(""), nil).str("id")
		w.found(*who, "233241234567", 1)
	}
	w.upkeeps()
	wait := func(e *client.Erasure, err error) *client.Erasure {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); err == nil && !e.Done() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			e, err = a.Erasure(ctx, e.ID)
		}
		if err != nil || !e.Done() || e.FinishedAt == nil {
			t.Fatalf("%+v %v", e, err)
		}
		return e
	}
	if e := wait(a.ErasePerson(ctx, "two", client.SMS, "+233241234567")); e.Erased != 1 || e.App != two.app.ID.String() {
		t.Errorf("%+v", e)
	}
	if got := w.do(one, "GET", "/api/v1/messages/"+sent[&one], "", nil); got.body["contentRemoved"] != nil {
		t.Errorf("%s", got.raw)
	}
	if e := wait(a.ErasePerson(ctx, "", "", "233241234567")); e.Erased != 1 || e.App != "" {
		t.Errorf("%+v", e)
	}
	if got := w.do(one, "GET", "/api/v1/messages/"+sent[&one], "", nil); got.body["contentRemoved"] != "erased" || got.body["toAddress"] != "23324***4567" {
		t.Errorf("%s", got.raw)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		u, err := a.Upkeep(ctx)
		if err != nil || time.Now().After(end) {
			t.Fatalf("%+v %v", u, err)
		}
		if len(u.Tasks) == 7 && u.Erasures == 0 {
			if u.RetainContentSeconds != 30*24*3600 || u.Tasks[0].FinishedAt == nil || u.Tasks[0].Failed != "" {
				t.Errorf("%+v", u)
			}
			break
		}
	}
	for _, log := range []string{"erasure_requested", "erasure_finished"} {
		if got := w.root("GET", "/api/admin/audit?action="+log, ""); strings.Count(string(got.raw), `"action":"`+log) != 2 || strings.Contains(string(got.raw), "1234567") {
			t.Errorf("%s: %s", log, got.raw)
		}
	}
}

func TestBadPersonsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for body, code := range map[string]string{
		`{}`: "invalid_address", `{"address":""}`: "invalid_address", `{"address":"nobody"}`: "invalid_address", `{"address":"a@b@c"}`: "invalid_address", `{"address":"*"}`: "invalid_address",
		`{"address":"a@example.com","channel":"SMS"}`: "invalid_address", `{"address":"a@example.com","channel":"FAX"}`: "invalid_channel", `{"address":"a@example.com","channel":""}`: "invalid_channel",
		`{"address":7}`: "invalid_address", `{"address":"a@example.com","app":"two"}`: "unknown_field",
	} {
		if got := w.do(one, "POST", "/api/v1/erasures", body, nil); got.status != 400 || got.code() != code {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
	for _, query := range []string{"", "?address=", "?address=*", "?address=a@example.com&channel=FAX", "?address=a@example.com&channel=", "?address=a@example.com&limit=1", "?address=a@example.com&address=b@example.com"} {
		if got := w.do(one, "GET", "/api/v1/persons/export"+query, "", nil); got.status != 400 || got.code() != "invalid_query" {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	if got := w.root("POST", "/api/admin/erasures", `{"address":"a@example.com","app":""}`); got.status != 400 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if open, err := w.store.OpenErasures(context.Background(), comm.ID{}, 10); err != nil || len(open) != 0 {
		t.Errorf("stored: %+v %v", open, err)
	}
	if log := w.root("GET", "/api/admin/audit?action=person_exported", ""); !strings.Contains(string(log.raw), `"data":[]`) {
		t.Errorf("%s", log.raw)
	}
	res := w.do(one, "GET", "/api/v1/persons/export?address=+233241234567", "", nil) // a + that was not escaped
	if b, _ := io.ReadAll(strings.NewReader(string(res.raw))); res.status != 200 || string(b) != "{\"kind\":\"end\",\"messages\":0}\n" {
		t.Errorf("%d %s", res.status, res.raw)
	}
}

// vanishing is a store from which the oldest message is removed between being found and being read.
type vanishing struct {
	store.Messages
	gone comm.ID
}

func (v vanishing) Message(ctx context.Context, app, id comm.ID) (*comm.Message, error) {
	if id == v.gone {
		return nil, comm.E("not_found")
	}
	return v.Messages.Message(ctx, app, id)
}

// The last line of an export counts the lines before it: a client holds what it got against it.
func TestAnExportCountsWhatItWrote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	first := w.do(one, "POST", "/api/v1/messages", sms(""), nil).str("id")
	w.do(one, "POST", "/api/v1/messages", sms(""), nil)
	w.found(one, "233241234567", 2)
	w.api.cfg.Messages = vanishing{w.store, idOf(t, first)}
	got := w.do(one, "GET", exportPath+"?channel=SMS&address=233241234567", "", nil)
	lines := strings.Split(strings.TrimSpace(string(got.raw)), "\n")
	if got.status != 200 || len(lines) != 2 || !strings.Contains(lines[1], `"messages":1`) {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
