package hostile

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/openapi"
)

// TestLimitsOnSQLite and its sibling walk through every field and every parameter of the
// contract: a value at a limit is not refused, and one beyond it is, with a 4xx that names
// the place and changes nothing.
func TestLimitsOnSQLite(t *testing.T) {
	t.Parallel()
	runLimits(t, false)
}

func TestLimitsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	runLimits(t, true)
}

func runLimits(t *testing.T, postgres bool) {
	w := open(t, postgres, toNowhere)
	c := w.contract
	for _, slug := range []string{"crowd", "zz", strings.Repeat("z", 40)} {
		w.limited(t, slug)
	}
	codes, sent := documented(), 0
	for i, o := range c.Operations() {
		all := places(c, o)
		if len(all) == 0 || strings.HasPrefix(o.Path, callbacks) {
			continue
		}
		t.Run(o.Name(), func(t *testing.T) {
			x := &limitsOf{t: t, c: c, o: o, a: w.limited(t, fmt.Sprint("limits-", i)), codes: codes}
			sent += x.run(all)
		})
	}
	t.Logf("%d requests", sent)
}

// callbacks are where providers report. What stands in their path is a credential: nothing but the right one is taken, and
// whatever is wrong is one 404; bodies are the providers' own. TestStrangersLearnNothingOfCallbacks and its neighbours in
// internal/httpapi go through all of it.
const callbacks = "/api/callbacks/"

// limitsOf is the walk through one operation.
type limitsOf struct {
	t     *testing.T
	c     *openapi.Contract
	o     openapi.Operation
	a     *tenant
	codes map[string]bool
}

// furnished makes an app with one of everything that a path names; template is the one whose id goes there.
func (w *world) furnished(t *testing.T, slug, template string) *tenant {
	t.Helper()
	a := w.tenant(t, slug, "")
	a.fixtures(t)
	everything(t, a)
	a.things["templates"] = a.do(t, "POST", "/api/v1/templates", template).made(t)
	a.things["erasures"] = a.do(t, "POST", "/api/v1/erasures", `{"address":"gone@example.com"}`).made(t)
	a.things["provider-configs"] = a.do(t, "POST", "/api/v1/provider-configs", nowhere).made(t)
	a.things["users"] = w.somebodies(t).thing.id
	a.things["security-keys"] = unknownID()
	a.things["server"] = w.admin(t, "POST", "/api/admin/provider-configs", nowhere).made(t)
	return a
}

// made is the id of what was asked for.
func (a answer) made(t *testing.T) string {
	t.Helper()
	if a.status >= 300 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	return a.str("id")
}

// limited makes an app with two of everything that a list shows, and one of everything that a path names.
func (w *world) limited(t *testing.T, slug string) *tenant {
	t.Helper()
	a := w.furnished(t, slug, `{"key":"plain","channel":"EMAIL","subject":"s","body":"x"}`)
	a.keyOf(t, "READ")
	for n := range 2 {
		a.do(t, "POST", "/api/v1/suppressions", fmt.Sprintf(`{"channel":"EMAIL","address":"out%d@example.com"}`, n)).made(t)
		a.do(t, "POST", "/api/v1/webhooks/"+a.things["webhooks"]+"/test", "").made(t)
		a.things["capture"] = a.do(t, "POST", messagesURL, sms()).made(t)
		a.waitFor(t, a.things["capture"], "SENT")
	}
	a.things["mail"] = a.captured(t)
	return a
}

// run sends all probes of the operation: first those that must be refused.
func (x *limitsOf) run(all []place) (sent int) {
	t := x.t
	type one struct {
		p *place
		probe
	}
	var refused, taken []one
	for i := range all {
		p := &all[i]
		list, err := x.probes(p)
		if err != nil {
			t.Errorf("%s %s: %v", p.in, p.name, err)
		}
		if len(list) == 0 {
			t.Errorf("%s %s: nothing is known to send there", p.in, p.name)
		}
		for _, v := range list {
			if v.taken {
				taken = append(taken, one{p, v})
			} else {
				refused = append(refused, one{p, v})
			}
		}
	}
	before, had, log := x.a.state(t), x.a.messages(t), x.a.w.audited(t)
	each(refused, func(v *one) { x.refused(v.p, v.probe) })
	if after := x.a.state(t); after != before {
		t.Errorf("refused requests changed something:\n%s\nwas\n%s", after, before)
	}
	if have, now := x.a.messages(t), x.a.w.audited(t); !slices.Equal(have, had) || now != log {
		t.Errorf("refused requests stored %d messages, and the audit log is %s, was %s", len(have)-len(had), now, log)
	}
	for _, v := range taken {
		if x.o.Path == "/api/v1/events/stream" && v.p.name == "timeout" && literal(v.value) != "0" {
			continue // it is taken, and lasts so long
		}
		x.taken(v.p, v.probe)
	}
	return len(refused) + len(taken)
}

// audited is the newest entry of the audit log that tells of a change.
func (w *world) audited(t *testing.T) string {
	t.Helper()
	for _, entry := range w.admin(t, "GET", "/api/admin/audit?limit=20", "").list() {
		if action := entry["action"]; action != "key_first_used" && action != "erasure_finished" { // written a while after the call
			return fmt.Sprint(entry["sequence"], " ", entry["action"])
		}
	}
	return "nothing"
}

// refused sends a value beyond a limit.
func (x *limitsOf) refused(p *place, v probe) {
	t := x.t
	t.Helper()
	q := x.compose(p, v)
	got := x.a.w.send(t, q)
	what := fmt.Sprintf("%s %s, %s (%.60q)", p.in, p.name, v.what, fmt.Sprint(v.value))
	if item, found := x.item(p, got); found {
		got = item
	} else if got.status < 400 || got.status > 499 || got.status == 401 || got.status == 403 {
		t.Errorf("%s is not refused: %d %.300s", what, got.status, got.raw)
		return
	}
	got.isError(t, what, x.codes)
	if p.in != "path" && p.name != "messages[]" && !x.names(got, p) {
		t.Errorf("%s: the refusal does not name the place: %d %.300s", what, got.status, got.raw)
	}
}

// item is the answer to the one message of a batch, where the place is in it.
func (x *limitsOf) item(p *place, got answer) (answer, bool) {
	if !strings.HasPrefix(p.name, "messages[]") || got.status != 202 || len(got.list()) != 1 {
		return got, false
	}
	got.body = got.list()[0]
	return got, true
}

// names says whether an error tells of the place, or of what the place is in.
func (x *limitsOf) names(got answer, p *place) bool {
	details, _ := got.body["details"].(map[string]any)
	fields, _ := details["fields"].(map[string]any)
	want := strings.NewReplacer("messages[].", "", "[]", "[0]", ".*", "."+p.member, "Idempotency-Key", "idempotencyKey").Replace(p.name)
	if rest, found := strings.CutPrefix(want, "config."); found {
		want = "config." + rest[strings.LastIndexByte(rest, '.')+1:]
	}
	plain := strings.NewReplacer("[", ".", "]", "") // a member whose name is a number is written as an item is
	want = plain.Replace(want) + "."
	for name := range fields {
		name = plain.Replace(name) + "."
		// an item of a list is named by its number, and a member whose name is wrong by that name
		if strings.HasPrefix(name, want) || strings.HasPrefix(want, name) {
			return true
		}
	}
	return false
}

// taken sends a value at a limit.
func (x *limitsOf) taken(p *place, v probe) {
	t := x.t
	t.Helper()
	q := x.compose(p, v)
	got := x.a.w.send(t, q)
	what := fmt.Sprintf("%s %s, %s (%.60q)", p.in, p.name, v.what, fmt.Sprint(v.value))
	code := got.code()
	if item, found := x.item(p, got); found {
		code = item.code()
	}
	if got.status < 300 && code == "" || code != "" && strings.Contains(x.otherwise(p), code) {
		x.tidy(got)
		return
	}
	t.Errorf("%s: %d %.300s", what, got.status, got.raw)
}

// otherwise are codes that answer a value at its limit for another reason than the value.
func (x *limitsOf) otherwise(p *place) string {
	switch last := p.last(); {
	case x.o.Name() == "POST /api/admin/hold":
		return "invalid_state" // nothing is held
	case last == "templateKey" && p.in == "body":
		return "template_not_found"
	case x.o.Path == "/api/v1/sandbox/messages/wait":
		return "nothing_captured"
	case last == "action" && strings.Contains(x.o.Path, "/messages/"):
		return "invalid_state" // RETRY of what waits
	case x.o.Name() == "DELETE /api/v1/suppressions":
		return "not_found" // it is not on the list
	case last == "version":
		return "not_found" // the template has one version
	case strings.HasPrefix(p.name, "messages[].attachments"):
		return "field_not_allowed" // a batch takes none
	}
	return ""
}

// tidy takes away what there may be a hundred of, or twenty.
func (x *limitsOf) tidy(got answer) {
	t := x.t
	t.Helper()
	if x.o.Method != "POST" || !strings.HasSuffix(x.o.Path, "/provider-configs") && x.o.Path != "/api/v1/webhooks" {
		return
	}
	if strings.HasPrefix(x.o.Path, "/api/admin/") {
		x.a.w.admin(t, "DELETE", x.o.Path+"/"+got.str("id"), "")
		return
	}
	x.a.do(t, "DELETE", x.o.Path+"/"+got.str("id"), "")
}

// made numbers what tries make.
var made atomic.Int64

// unique is a short word that no try had before.
func unique() string { return fmt.Sprint("u", made.Add(1)) }

// named makes texts that must name something: an app, what confirms, the next page.
func (x *limitsOf) named(p *place) func(n int) string {
	switch p.last() {
	case "app":
		letter := "z" // there are two such apps
		if x.o.Method == "DELETE" {
			letter = "y" // and two that are made to go
		}
		return func(n int) string { return strings.Repeat(letter, n) }
	case "confirm":
		return func(int) string { return "{app}" }
	case "password", "new":
		return strong
	case "name":
		if !strings.HasPrefix(x.o.Path, "/api/admin/users") {
			return nil
		}
		fallthrough
	case "slug":
		return func(n int) string { // the shortest has two characters
			text := fmt.Sprintf("%02x", made.Add(1)%256)
			return text + strings.Repeat("s", n-len(text))
		}
	case "delivery":
		return func(int) string { return x.a.things["deliveries"] }
	case "id", "messageId":
		if p.in == "path" {
			return func(int) string { return "{id}" }
		}
		return func(int) string { return x.a.things["messages"] }
	case "cursor":
		if p.in == "query" {
			next := x.nextCursor()
			return func(int) string { return next }
		}
	}
	return nil
}

// nextCursor is of the first page of the operation's list.
func (x *limitsOf) nextCursor() string {
	q := x.compose(&place{in: "query", name: "limit"}, probe{value: "1"})
	got := x.a.w.send(x.t, q)
	next := got.str("nextCursor")
	if next == "" {
		x.t.Errorf("%s has no next page: %d %.300s", q.path, got.status, got.raw)
	}
	return next
}

// compose writes a request that is right but, perhaps, for the value at the place.
func (x *limitsOf) compose(p *place, v probe) *request {
	slug, text := x.app(p, &v), literal(v.value)
	if text == "{app}" {
		text, v.value = slug, slug
	}
	query := url.Values{}
	for name, value := range x.beside(p, text) {
		query.Set(name, strings.ReplaceAll(value, "{app}", slug))
	}
	q := &request{method: x.o.Method, header: x.a.doorOf(x.o)}
	var who *somebody
	if isOfSession(x.o.Path) {
		who = x.signedFor(v.taken, p)
		if q.header["Cookie"] != "" {
			q.header["Cookie"] = who.cookie
		}
	}
	switch p.in {
	case "query":
		query.Set(p.name, text)
	case "header":
		q.header[p.name] = text
	}
	id, version := "", "1"
	if strings.Contains(x.o.Path, "{id}") {
		id = x.id(slug, v.taken)
	}
	if who != nil && who.keyID != "" {
		id = who.keyID
	}
	if p.in == "path" && p.name == "id" && text != "{id}" {
		id = text
	}
	delivery := x.a.things["deliveries"]
	switch p.name {
	case "version":
		version = text
	case "delivery":
		delivery = text
	}
	q.path = strings.NewReplacer("{app}", url.PathEscape(slug), "{id}", url.PathEscape(id), "{version}", url.PathEscape(version), "{delivery}", url.PathEscape(delivery),
		"{type}", "twilio", "{configId}", unknownID(), "{token}", "x").Replace(x.o.Path)
	if len(query) > 0 {
		q.path += "?" + query.Encode()
	}
	if x.o.Body() != nil {
		body, err := json.Marshal(x.body(p, v.value))
		if err != nil {
			x.t.Error(err)
		}
		text := strings.ReplaceAll(string(body), "{app}", slug)
		if who != nil {
			text = who.inPlace(text)
		}
		q.body, q.header["Content-Type"] = []byte(text), "application/json"
	}
	return q
}

// app is the slug that the path names; where the call deletes it, it is made for that.
func (x *limitsOf) app(p *place, v *probe) string {
	slug := x.a.slug
	if p.in == "path" && p.name == "app" {
		slug = literal(v.value)
	}
	if v.taken && x.o.Name() == "DELETE /api/admin/apps/{app}" {
		if slug == x.a.slug {
			slug = unique()
		}
	}
	if v.taken && strings.HasPrefix(slug, "y") || slug != x.a.slug && strings.HasPrefix(slug, "u") {
		x.a.w.admin(x.t, "POST", "/api/admin/apps", `{"name":"x","slug":`+quoted(slug)+`}`)
	}
	return slug
}

// literal is a value as a query writes it.
func literal(v any) string {
	if n, ok := v.(float64); ok {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprint(v)
}

// id is of something that the path names; what a call ends is made for it.
func (x *limitsOf) id(slug string, taken bool) string {
	a, path := x.a, x.o.Path
	ends := taken && (x.o.Method == "DELETE" || x.o.Method == "PATCH" && strings.Contains(path, "/messages/"))
	const config = `{"providerType":"SMTP","config":{"host":"mail.example.com"}}`
	word := path[:strings.Index(path, "/{id}")]
	switch word = word[strings.LastIndexByte(word, '/')+1:]; {
	case word == "keys" && taken:
		return a.w.admin(x.t, "POST", "/api/admin/apps/"+slug+"/keys", "{}").str("id")
	case strings.HasSuffix(path, "/rotate-callback") && taken:
		return a.reporting(x.t, path)
	case strings.HasPrefix(path, "/api/admin/provider-configs") && ends:
		return a.w.admin(x.t, "POST", "/api/admin/provider-configs", config).str("id")
	case strings.HasPrefix(path, "/api/admin/provider-configs"):
		return a.things["server"]
	case word == "provider-configs" && ends:
		return a.do(x.t, "POST", "/api/v1/provider-configs", config).str("id")
	case word == "webhooks" && (ends || taken && strings.HasSuffix(path, "/rotate-secret")):
		return a.do(x.t, "POST", "/api/v1/webhooks", `{"name":"`+unique()+`","url":"https://hooks.example.com/"}`).str("id")
	case word == "templates" && ends:
		return a.do(x.t, "POST", "/api/v1/templates", `{"key":"`+unique()+`","channel":"SMS","body":"x"}`).str("id")
	case word == "users" && x.o.Method == "DELETE" && taken:
		return a.w.newUser(x.t).id
	case strings.HasSuffix(path, "/source"):
		return a.things["mail"]
	case word == "messages" && ends:
		return a.do(x.t, "POST", messagesURL, sms("scheduledAt", quoted(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))).str("id")
	case strings.Contains(path, "/sandbox/"):
		return a.things["capture"]
	}
	return a.things[word]
}

// reporting makes a provider configuration to which something is reported, for a path of the app or of the administrator.
func (a *tenant) reporting(t *testing.T, path string) string {
	t.Helper()
	const config = `{"providerType":"NALO","isActive":false,"config":{"authKey":"k","senderId":"Bank"}}`
	if strings.HasPrefix(path, "/api/admin/") {
		return a.w.admin(t, "POST", "/api/admin/provider-configs", config).made(t)
	}
	return a.do(t, "POST", "/api/v1/provider-configs", config).made(t)
}

// beside are the parameters that a request needs next to the place.
func (x *limitsOf) beside(p *place, value string) map[string]string {
	person := map[string]string{"channel": "EMAIL", "address": "a@example.com"}
	if value == "SMS" {
		person["address"] = "233241234567"
	}
	switch x.o.Name() {
	case "GET /api/v1/sandbox/messages/wait":
		to := "233241234567"
		if value == "EMAIL" {
			to = "a@example.com"
		}
		return map[string]string{"to": to, "timeout": "0"}
	case "GET /api/v1/events/stream":
		return map[string]string{"timeout": "0"}
	case "DELETE /api/v1/suppressions":
		return person
	case "GET /api/v1/persons/export":
		delete(person, "channel")
		return person
	case "GET /api/admin/suppressions":
		return map[string]string{"app": "{app}"}
	case "DELETE /api/admin/apps/{app}":
		return map[string]string{"confirm": "{app}"}
	case "GET /api/admin/messages":
		if p.name == "tag" || p.name == "templateKey" {
			return map[string]string{"app": "{app}"}
		}
	}
	return nil
}
