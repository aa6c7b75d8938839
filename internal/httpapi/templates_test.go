package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// TestTemplatesThroughTheClient drives every call of the Go client for templates.
func TestTemplatesThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	one := w.tenant("one", comm.AllScopes)
	c, err := client.New(client.Options{BaseURL: server.URL, App: one.app.Slug, Key: one.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	made, err := c.CreateTemplate(ctx, client.NewTemplate{Key: "welcome", Channel: client.Email, Subject: "Welcome, {{ name }}", Body: `<a href="{{url}}">Hi {{name}}</a>`, Text: "{{name}}: {{url}}"})
	if err != nil || made.Version != 1 || made.Name != "welcome" || !slices.Equal(made.Variables, []string{"name", "url"}) || made.CreatedAt.IsZero() {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := c.CreateTemplate(ctx, client.NewTemplate{Key: "welcome", Channel: client.SMS, Body: "x"}); client.Code(err) != "template_key_taken" {
		t.Errorf("%v", err)
	}
	p, err := c.PreviewTemplate(ctx, made.ID, map[string]any{"name": "<Ama>", "url": "javascript:alert(1)"})
	if err != nil || p.Subject != "Welcome, <Ama>" || p.Body != `<a href="#">Hi &lt;Ama&gt;</a>` || p.Text != "<Ama>: javascript:alert(1)" || p.Segments != 0 {
		t.Errorf("%+v %v", p, err)
	}
	_, err = c.PreviewTemplate(ctx, made.ID, nil)
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != 422 || !reflect.DeepEqual(refused.Details["missing"], []any{"name", "url"}) {
		t.Errorf("%v", err)
	}
	send := func(key string) *client.Stored {
		t.Helper()
		sent, err := c.Send(ctx, client.Message{Channel: client.Email, To: "a@example.com", TemplateKey: "welcome", Variables: map[string]any{"name": "Ama", "url": "https://x.example"}, IdempotencyKey: key})
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Get(ctx, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := send("1")
	if first.Subject != "Welcome, Ama" || first.Body != `<a href="https://x.example">Hi Ama</a>` || first.TemplateKey != "welcome" || first.TemplateVersion != 1 {
		t.Errorf("%+v", first)
	}
	for i, change := range []client.TemplateChange{{Body: new("<p>{{name}}</p>"), Text: new("")}, {Name: new("A name")}, {Body: new("<p>{{name}}</p>")}} {
		got, err := c.UpdateTemplate(ctx, made.ID, change)
		if err != nil || got.Version != 2 || got.Body != "<p>{{name}}</p>" || got.Text != "" || i > 0 && got.Name != "A name" || !got.UpdatedAt.After(made.UpdatedAt) && !got.UpdatedAt.Equal(made.UpdatedAt) {
			t.Errorf("change %d: %+v %v", i, got, err)
		}
	}
	if m := send("2"); m.TemplateVersion != 2 || m.Body != "<p>Ama</p>" {
		t.Errorf("%+v", m)
	}
	if again := send("1"); again.ID != first.ID || again.TemplateVersion != 1 || again.Body != first.Body {
		t.Errorf("a replay is another message: %+v", again)
	}
	back, err := c.RollbackTemplate(ctx, made.ID, 1)
	if err != nil || back.Version != 3 || back.Body != made.Body || back.Text != made.Text || back.Name != "A name" {
		t.Errorf("%+v %v", back, err)
	}
	for _, version := range []int{0, -1, 4, 99} {
		if _, err := c.RollbackTemplate(ctx, made.ID, version); client.Code(err) != "not_found" {
			t.Errorf("%d: %v", version, err)
		}
	}
	versions, err := c.TemplateVersions(ctx, made.ID)
	if err != nil || len(versions) != 3 || versions[0].Version != 3 || versions[2].Subject != "Welcome, {{ name }}" {
		t.Errorf("%+v %v", versions, err)
	}
	second, err := c.TemplateVersion(ctx, made.ID, 2)
	if err != nil || second.Body != "<p>{{name}}</p>" || !slices.Equal(second.Variables, []string{"name"}) {
		t.Errorf("%+v %v", second, err)
	}
	for i := range 4 {
		time.Sleep(2 * time.Millisecond) // ids are in order by milliseconds
		if _, err := c.CreateTemplate(ctx, client.NewTemplate{Key: fmt.Sprint("sms", i), Channel: client.SMS, Body: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		o    client.TemplateListOptions
		want string
	}{
		{client.TemplateListOptions{PageSize: 2}, "sms3 sms2 sms1 sms0 welcome"}, {client.TemplateListOptions{Channel: client.Email}, "welcome"}, {client.TemplateListOptions{PageSize: 3, Channel: client.SMS}, "sms3 sms2 sms1 sms0"},
		{client.TemplateListOptions{Key: "sms1"}, "sms1"}, {client.TemplateListOptions{Key: "none"}, ""}, {client.TemplateListOptions{Key: "sms1", Channel: client.Email}, ""},
	} {
		var keys []string
		for item, err := range c.Templates(ctx, x.o) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, item.Key)
		}
		if got := strings.Join(keys, " "); got != x.want {
			t.Errorf("%+v: %q, want %q", x.o, got, x.want)
		}
	}
	if err := c.DeleteTemplate(ctx, made.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.Template(ctx, made.ID); client.Code(err) != "not_found" {
		t.Errorf("%v", err)
	}
	if again := send("1"); again.ID != first.ID || again.Body != first.Body {
		t.Errorf("a replay after the deletion: %+v", again)
	}
	_, err = c.Send(ctx, client.Message{Channel: client.Email, To: "a@example.com", TemplateKey: "welcome", IdempotencyKey: "3"})
	if client.Code(err) != "template_not_found" {
		t.Errorf("%v", err)
	}
	search(ctx, t, c, first)
}

// search finds what was rendered from a template that is gone.
func search(ctx context.Context, t *testing.T, c *client.Client, first *client.Stored) {
	t.Helper()
	find := func(o client.ListOptions) (ids []string) {
		for m, err := range c.List(ctx, o) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, m.ID)
		}
		return ids
	}
	for end := time.Now().Add(20 * time.Second); len(find(client.ListOptions{TemplateKey: "welcome"})) < 2 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	for _, x := range []struct {
		o    client.ListOptions
		want int
	}{
		{client.ListOptions{TemplateKey: "welcome"}, 2}, {client.ListOptions{TemplateKey: "Welcome"}, 0}, {client.ListOptions{Tag: "welcome"}, 0}, {client.ListOptions{TemplateKey: "welcome", To: first.ToAddress}, 2},
		{client.ListOptions{TemplateKey: "welcome", Status: "QUEUED", Channel: client.Email, PageSize: 1}, 2}, {client.ListOptions{TemplateKey: "welcome", Status: "FAILED"}, 0},
	} {
		if got := find(x.o); len(got) != x.want {
			t.Errorf("%+v: %v, want %d", x.o, got, x.want)
		}
	}
}

// TestTemplateInRawJSON keeps the client from hiding a change of the answers.
func TestTemplateInRawJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	// The guide's example, byte for byte.
	got := w.do(one, "POST", "/api/v1/templates", `{
"key": "request-approved",
"channel": "SMS",
"name": "Request approved",
"body": "Hi {{firstName}}, request {{reference}} was approved."
}`, nil)
	id := got.str("id")
	delete(got.body, "id")
	delete(got.body, "createdAt")
	delete(got.body, "updatedAt")
	want := map[string]any{"key": "request-approved", "channel": "SMS", "name": "Request approved", "subject": nil, "body": "Hi {{firstName}}, request {{reference}} was approved.",
		"text": nil, "version": 1.0, "variables": []any{"firstName", "reference"}}
	if got.status != 201 || !reflect.DeepEqual(got.body, want) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	sent := w.do(one, "POST", "/api/v1/messages", `{
"channel": "SMS",
"to": "233241234567",
"templateKey": "request-approved",
"variables": {
"firstName": "Ama",
"reference": "REQ-0042"
}
}`, nil)
	if sent.status != 202 || sent.body["segments"] != 1.0 || sent.body["encoding"] != "GSM7" {
		t.Errorf("%d %s", sent.status, sent.raw)
	}
	if m := w.do(one, "GET", "/api/v1/messages/"+sent.str("id"), "", nil); m.str("body") != "Hi Ama, request REQ-0042 was approved." || m.str("templateKey") != "request-approved" || m.body["templateVersion"] != 1.0 {
		t.Errorf("%s", m.raw)
	}
	if p := w.do(one, "POST", "/api/v1/templates/"+id+"/preview", `{"variables":{"firstName":"Ж","reference":7}}`, nil); p.status != 200 || p.str("body") != "Hi Ж, request 7 was approved." || p.str("encoding") != "UCS2" || p.body["segments"] != 1.0 || p.body["subject"] != nil {
		t.Errorf("%d %s", p.status, p.raw)
	}
	missing := w.do(one, "POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","templateKey":"request-approved","variables":{"reference":"x","other":1}}`, nil)
	if missing.status != 422 || !strings.Contains(string(missing.raw), `"missing":["firstName"]`) {
		t.Errorf("%d %s", missing.status, missing.raw)
	}
	if n := w.count(one.app); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestBadTemplates is B89 and its like: nothing is stored.
func TestBadTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.template(one, "mine")
	body := func(s string) string { return `{"key":"k","channel":"SMS","body":` + quoted(s) + `}` }
	for _, c := range []bad{
		{"B89 duplicate", `{"key":"mine","channel":"SMS","body":"x"}`, 409, "template_key_taken"}, {"B89 open", body("a {{"), 400, "invalid_template"}, {"B89 dot", body("{{a.b}}"), 400, "invalid_template"},
		{"B89 if", body("{{#if}}"), 400, "invalid_template"}, {"B89 partial", body("{{> x}}"), 400, "invalid_template"}, {"B89 201", body(strings.Repeat("{{a}}", 201)), 400, "invalid_template"},
		{"no key", `{"channel":"SMS","body":"x"}`, 400, "invalid_template_key"}, {"B60 path", `{"key":"../x","channel":"SMS","body":"x"}`, 400, "invalid_template_key"}, {"B60 long", `{"key":"` + strings.Repeat("k", 300) + `","channel":"SMS","body":"x"}`, 400, "invalid_template_key"},
		{"key number", `{"key":1,"channel":"SMS","body":"x"}`, 400, "invalid_template_key"}, {"no channel", `{"key":"k","body":"x"}`, 400, "invalid_channel"}, {"channel", `{"key":"k","channel":"sms","body":"x"}`, 400, "invalid_channel"},
		{"no body", `{"key":"k","channel":"SMS"}`, 400, "body_required"}, {"null body", `{"key":"k","channel":"SMS","body":null}`, 400, "invalid_field"}, {"no subject", `{"key":"k","channel":"EMAIL","body":"x"}`, 400, "subject_required"},
		{"subject of sms", `{"key":"k","channel":"SMS","body":"x","subject":"s"}`, 400, "field_not_allowed"}, {"empty subject of sms", `{"key":"k","channel":"SMS","body":"x","subject":""}`, 400, "field_not_allowed"}, {"text of sms", `{"key":"k","channel":"SMS","body":"x","text":"s"}`, 400, "field_not_allowed"},
		{"name", `{"key":"k","channel":"SMS","body":"x","name":" "}`, 400, "invalid_field"}, {"long name", `{"key":"k","channel":"SMS","body":"x","name":"` + strings.Repeat("n", 101) + `"}`, 400, "invalid_field"}, {"unknown", `{"key":"k","channel":"SMS","body":"x","version":2}`, 400, "unknown_field"},
		{"large", `{"key":"k","channel":"EMAIL","subject":"s","body":"` + strings.Repeat("x", 257<<10) + `"}`, 400, "too_long"}, {"larger", `{"key":"k","channel":"EMAIL","subject":"s","body":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "body_too_large"}, {"nul", `{"key":"k","channel":"SMS","body":"a\u0000"}`, 400, "control_character"},
		{"script", `{"key":"k","channel":"EMAIL","subject":"s","body":"<script>{{a}}</script>"}`, 400, "invalid_template"}, {"segments", body(strings.Repeat("a", 1531)), 400, "too_long"}, {"array", `[]`, 400, "invalid_body"},
	} {
		if got := w.do(one, "POST", "/api/v1/templates", c.body, nil); got.status != c.status || got.code() != c.code || len(got.raw) > 2000 {
			t.Errorf("%s: %d %.300s", c.name, got.status, got.raw)
		}
	}
	before := w.do(one, "GET", "/api/v1/templates/"+id, "", nil)
	for _, c := range []bad{
		{"key", `{"key":"other"}`, 400, "invalid_template_key"}, {"channel", `{"channel":"EMAIL"}`, 400, "invalid_channel"}, {"braces", `{"body":"{{"}`, 400, "invalid_template"}, {"blank", `{"body":" "}`, 400, "body_required"},
		{"subject", `{"subject":"s"}`, 400, "field_not_allowed"}, {"name", `{"name":""}`, 400, "invalid_field"}, {"null", `{"name":null}`, 400, "invalid_field"}, {"version", `{"version":7}`, 400, "unknown_field"}, {"good beside bad", `{"name":"x","body":"{{a b}}"}`, 400, "invalid_template"},
		{"the same key", `{"key":"mine","channel":"SMS"}`, 200, ""}, {"nothing", `{}`, 200, ""}, {"no text", `{"text":null}`, 200, ""},
	} {
		if got := w.do(one, "PATCH", "/api/v1/templates/"+id, c.body, nil); got.status != c.status || got.code() != c.code {
			t.Errorf("PATCH %s: %d %s", c.name, got.status, got.raw)
		}
	}
	for path, c := range map[string]bad{
		"/rollback": {"no version", `{}`, 400, "invalid_field"}, "/rollback?x=1": {"query", `{"version":1}`, 400, "invalid_query"}, "/preview": {"list", `{"variables":[]}`, 400, "invalid_variable"}, "/preview?": {"null value", `{"variables":{"firstName":null}}`, 400, "invalid_variable"},
	} {
		if got := w.do(one, "POST", "/api/v1/templates/"+id+path, c.body, nil); got.status != c.status || got.code() != c.code {
			t.Errorf("%s %s: %d %s", path, c.name, got.status, got.raw)
		}
	}
	for _, path := range []string{"/versions/0", "/versions/-1", "/versions/2", "/versions/x", "/versions/99999999999999999999"} {
		if got := w.do(one, "GET", "/api/v1/templates/"+id+path, "", nil); got.status != 404 {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "channel=sms", "key=", "key=a%20b", "status=SENT", "cursor=x", "to=a"} {
		if got := w.do(one, "GET", "/api/v1/templates?"+query, "", nil); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	if after := w.do(one, "GET", "/api/v1/templates/"+id, "", nil); string(after.raw) != string(before.raw) {
		t.Errorf("a refused change changed it: %s", after.raw)
	}
	if list := w.do(one, "GET", "/api/v1/templates", "", nil); len(list.body["data"].([]any)) != 1 {
		t.Errorf("a refused template is stored: %s", list.raw)
	}
}

// B75: whatever becomes of the template, a repeated request is the original message.
func TestReplaysOutliveTheirTemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.template(one, "approved")
	ask := `{"channel":"SMS","to":"233241234567","templateKey":"approved","variables":{"firstName":"Ama","reference":"R"},"idempotencyKey":"k"}`
	first := w.do(one, "POST", "/api/v1/messages", ask, nil)
	replay := func(when string) {
		t.Helper()
		got := w.do(one, "POST", "/api/v1/messages", ask, nil)
		if got.status != 200 || got.str("id") != first.str("id") || got.body["deduplicated"] != true || got.body["segments"] != nil {
			t.Errorf("%s: %d %s", when, got.status, got.raw)
		}
	}
	for _, body := range []string{`{"body":"Other words for {{firstName}}"}`, `{"body":"It needs {{more}} now"}`} {
		if got := w.do(one, "PATCH", "/api/v1/templates/"+id, body, nil); got.status != 200 {
			t.Fatalf("%s", got.raw)
		}
		replay(body)
	}
	w.do(one, "DELETE", "/api/v1/templates/"+id, "", nil)
	replay("deleted")
	if got := w.do(one, "POST", "/api/v1/templates", `{"key":"approved","channel":"EMAIL","subject":"s","body":"x"}`, nil); got.status != 201 || got.body["version"] != 1.0 {
		t.Fatalf("%s", got.raw)
	}
	replay("made again for the other channel")
	if got := w.do(one, "POST", "/api/v1/messages", strings.Replace(ask, `"R"`, `"S"`, 1), nil); got.status != 409 || got.code() != "idempotency_key_reused" {
		t.Errorf("other variables: %d %s", got.status, got.raw)
	}
	if m := w.do(one, "GET", "/api/v1/messages/"+first.str("id"), "", nil); m.str("body") != "Hi Ama, request R was approved." {
		t.Errorf("%s", m.raw)
	}
}

// Of changes at once none is lost without a word: each is a version of its own, made on the one before.
func TestConcurrentChangesOfATemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "POST", "/api/v1/templates", `{"key":"k","channel":"EMAIL","subject":"s","body":"b"}`, nil).str("id")
	changes := []string{`{"subject":"new"}`, `{"body":"new"}`, `{"text":"new"}`, `{"name":"new"}`, `{"body":"newer"}`}
	var wg sync.WaitGroup
	for _, change := range changes {
		wg.Go(func() {
			if got := w.do(one, "PATCH", "/api/v1/templates/"+id, change, nil); got.status != 200 {
				t.Errorf("%s: %d %s", change, got.status, got.raw)
			}
		})
	}
	wg.Wait()
	got := w.do(one, "GET", "/api/v1/templates/"+id, "", nil)
	if got.str("subject") != "new" || got.str("text") != "new" || got.str("name") != "new" || !strings.HasPrefix(got.str("body"), "new") || got.body["version"] != 5.0 {
		t.Errorf("%s", got.raw)
	}
	var bodies []string
	for n := range 5 {
		bodies = append(bodies, w.do(one, "GET", fmt.Sprintf("/api/v1/templates/%s/versions/%d", id, n+1), "", nil).str("body"))
	}
	if !slices.Contains(bodies, "new") || !slices.Contains(bodies, "newer") {
		t.Errorf("a change is in no version: %v", bodies)
	}
}

// What a template makes of a small request takes room as a large request does, until it is stored.
func TestRenderedContentTakesRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	if got := w.do(one, "POST", "/api/v1/templates", `{"key":"large","channel":"EMAIL","subject":"s","body":"`+strings.Repeat("x", 200<<10)+`{{a}}"}`, nil); got.status != 201 {
		t.Fatalf("%d %.200s", got.status, got.raw)
	}
	ask := `{"channel":"EMAIL","to":"a@example.com","templateKey":"large","variables":{"a":"y"}}`
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody but the request waits
	var held []*guest
	for i := range 200 { // others hold all that they may
		g := &guest{app: comm.NewID(comm.Micros(i + 1))}
		if !w.api.bodies.grow(g, maxFiles) {
			_ = w.api.bodies.wait(ctx, g)
		}
		held = append(held, g)
	}
	for i := range 400 {
		g := &guest{app: comm.NewID(comm.Micros(1_000_000_000 + i*1000))}
		if !w.api.bodies.grow(g, 100<<10) {
			_ = w.api.bodies.wait(ctx, g)
		}
		held = append(held, g)
	}
	answered := make(chan int)
	go func() { answered <- w.do(one, "POST", "/api/v1/messages", ask, nil).status }()
	select {
	case status := <-answered:
		t.Fatalf("%d although there is no room", status)
	case <-time.After(200 * time.Millisecond):
	}
	if got := w.do(one, "POST", "/api/v1/messages", sms(""), nil); got.status != 202 {
		t.Errorf("a small one waits too: %d", got.status)
	}
	for _, g := range held {
		w.api.bodies.leave(g)
	}
	if status := <-answered; status != 202 {
		t.Errorf("%d once there is room", status)
	}
	w.api.bodies.mu.Lock()
	defer w.api.bodies.mu.Unlock()
	if w.api.bodies.used != 0 || len(w.api.bodies.byApp) != 0 {
		t.Errorf("%d bytes are still held", w.api.bodies.used)
	}
}

// TestNumbersStayAsTheyAreWritten: no digit of a value is lost to a floating point number, in a
// preview as in what is sent; and a preview names values that the template does not use.
func TestNumbersStayAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/templates", `{"key":"n","channel":"SMS","name":"n","body":"{{ a }} {{b}} {{	c
}} {{d}} {{e}} {{f}}"}`, nil)
	if made.status == 201 {
		t.Fatal("a raw line break in JSON")
	}
	made = w.do(one, "POST", "/api/v1/templates", `{"key":"n","channel":"SMS","name":"n","body":"{{ a }} {{b}} {{\tc\n}} {{d}} {{e}} {{f}}"}`, nil)
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	values := `"a":1e21,"b":12345678901234567890,"c":0.10,"d":-0,"e":true,"f":1E+2`
	const want = "1e21 12345678901234567890 0.10 -0 true 1E+2"
	unused := `,"B":1,"amount":"x"`
	preview := w.do(one, "POST", "/api/v1/templates/"+made.str("id")+"/preview", `{"variables":{`+values+unused+`}}`, nil)
	if preview.str("body") != want {
		t.Errorf("%d %s", preview.status, preview.raw)
	}
	message := `{"channel":"SMS","to":"233241234567","templateKey":"n","variables":{` + values + unused + `}}`
	whole := w.do(one, "POST", previewURL, message, nil)
	sent := w.do(one, "POST", "/api/v1/messages", message, nil)
	if got := w.do(one, "GET", "/api/v1/messages/"+sent.str("id"), "", nil); whole.str("body") != want || got.str("body") != want || sent.body["warnings"] != nil {
		t.Errorf("%s\n%s\n%s", whole.raw, sent.raw, got.raw)
	}
	for _, p := range []answer{preview, whole} {
		if list, _ := p.body["warnings"].([]any); len(list) != 1 || !strings.Contains(fmt.Sprint(list), comm.WarnUnused) || !strings.Contains(fmt.Sprint(list), "no placeholder for B, amount:") {
			t.Errorf("warnings: %s", p.raw)
		}
	}
	many := []string{values}
	for i := range 900 {
		many = append(many, fmt.Sprintf(`"%s%d":1`, strings.Repeat("<", 90), i))
	}
	if p := w.do(one, "POST", previewURL, `{"channel":"SMS","to":"233241234567","templateKey":"n","variables":{`+strings.Join(many, ",")+`}}`, nil); p.status != 200 || len(p.raw) > 4000 || !strings.Contains(string(p.raw), "and 890 more") {
		t.Errorf("%d, %d bytes", p.status, len(p.raw))
	}
	if p := w.do(one, "POST", previewURL, `{"channel":"SMS","to":"233241234567","templateKey":"n","variables":{`+values+`}}`, nil); len(p.body["warnings"].([]any)) != 0 {
		t.Errorf("%s", p.raw)
	}
}

// TestAPreviewTakesItsRoom: what a template makes of a small request is booked by previews as by what is sent.
func TestAPreviewTakesItsRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/templates", `{"key":"large","channel":"EMAIL","name":"Large","subject":"s","body":"<p>{{x}}`+strings.Repeat("a", 200<<10)+`</p>"}`, nil)
	leave := w.api.bodies.fill(t)
	for path, body := range map[string]string{
		previewURL: `{"channel":"EMAIL","to":"ama@example.com","templateKey":"large","variables":{"x":"y"}}`,
		"/api/v1/templates/" + made.str("id") + "/preview": `{"variables":{"x":"y"}}`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(body))
		r.Header = http.Header{"X-App-Id": {"one"}, "X-Api-Key": {one.key}, "Content-Type": {"application/json"}}
		if got := w.send(r); got.status != 503 || got.code() != "unavailable" {
			t.Errorf("%s without room: %d %.200s", path, got.status, got.raw)
		}
		cancel()
	}
	leave()
	for path, body := range map[string]string{previewURL: `{"channel":"EMAIL","to":"ama@example.com","templateKey":"large","variables":{"x":"y"}}`} {
		if got := w.do(one, "POST", path, body, nil); got.status != 200 {
			t.Errorf("%s with room: %d %.200s", path, got.status, got.raw)
		}
	}
	w.api.bodies.empty(t)
}
