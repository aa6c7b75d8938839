package hostile

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/openapi"
	"github.com/commserver/commserver/test/pgtest"
)

// unreached are documented statuses that no test can bring about, with the reason.
func unreached() map[string]string {
	const often = "after fifty tries, each of which lost to another change: a test would have to win that race fifty times; internal/registry shows that changes at once are all made"
	const report = "only a provider that knows its configuration's token gets it: internal/httpapi brings it about, with providers of the tests' own"
	const get, post = "GET /api/callbacks/{type}/{configId}/{token} ", "POST /api/callbacks/{type}/{configId}/{token} "
	return map[string]string{
		get + "200": report, get + "401": report, post + "200": report, post + "400": report, post + "401": report, post + "413": report,
		"PATCH /api/v1/provider-configs/{id} 409": often, "PATCH /api/admin/provider-configs/{id} 409": often, "PATCH /api/v1/templates/{id} 409": often,
		"POST /api/v1/templates/{id}/rollback 409": often, "PATCH /api/admin/apps/{app} 409": often, "POST /api/admin/queue 409": often,
		"POST /api/admin/hold 200":                       "only a server on a database that was restored from a backup answers it: test/e2e releases one",
		"POST /api/admin/provider-configs/{id}/test 409": "for a type that this version knows and cannot send with: there is none at present; internal/httpapi has two",
	}
}

// reached collects which statuses each operation has answered with.
type reached struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (r *reached) note(o openapi.Operation, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[fmt.Sprint(o.Name(), " ", status)] = true
}

// TestEveryDocumentedStatusIsReached brings about every status of every operation that the
// contract documents; each answer on the way is held against its schema. On PostgreSQL,
// which can be away.
func TestEveryDocumentedStatusIsReached(t *testing.T) {
	t.Parallel()
	r := &reached{seen: map[string]bool{}}
	var wg sync.WaitGroup
	for _, part := range []func(*testing.T, *reached){ordinary, overTheLimit, withoutProvisioning, whileTheDatabaseIsAway} {
		wg.Go(func() { part(t, r) })
	}
	wg.Wait()
	unused := unreached()
	operations := readContract(t).Operations()
	n := 0
	for _, o := range operations {
		for _, status := range o.Statuses() {
			n++
			name := o.Name() + " " + status
			if r.seen[name] {
				continue
			}
			if unused[name] == "" {
				t.Errorf("%s is documented, and never answered", name)
			}
			delete(unused, name)
		}
	}
	for name := range unused {
		t.Errorf("%s was answered, or is not in the contract: it needs no reason", name)
	}
	t.Logf("%d statuses of %d operations", n, len(operations))
}

// operations calls f for every operation, with a request for it that is right, as a rule.
func (w *world) operations(t *testing.T, a *tenant, f func(x *limitsOf, good *request)) {
	t.Helper()
	for _, o := range w.contract.Operations() {
		x := &limitsOf{t: t, c: w.contract, o: o, a: a}
		f(x, x.compose(&place{}, probe{taken: true}))
	}
}

// ordinary is what a healthy server answers.
func ordinary(t *testing.T, r *reached) {
	w := open(t, true, toNowhere)
	a := w.limited(t, "statuses")
	mean := a.keyOf(t, "TEMPLATES")
	other := a.keyOf(t, "READ")
	var wg sync.WaitGroup
	w.operations(t, a, func(x *limitsOf, good *request) {
		say := func(q *request) answer {
			got := w.send(t, q)
			r.note(x.o, got.status)
			return got
		}
		app := strings.HasPrefix(x.o.Path, "/api/v1/")
		changed := func(change func(q *request)) *request {
			q := *good
			q.header = with(good.header, nil)
			change(&q)
			return &q
		}
		said := func(n int) bool { return slices.Contains(x.o.Statuses(), strconv.Itoa(n)) }
		if strings.HasPrefix(x.o.Path, callbacks) {
			say(good) // of nobody
			return
		}
		if said(401) {
			say(changed(func(q *request) { q.header = map[string]string{} }))
		}
		if said(400) {
			say(changed(func(q *request) {
				q.path += map[bool]string{true: "&", false: "?"}[strings.Contains(q.path, "?")] + "nope=1"
			}))
		}
		switch session := isOfSession(x.o.Path); {
		case said(403) && session:
			say(changed(foreign))
		case said(403) && !app:
			say(changed(func(q *request) { // whose password an administrator set
				delete(q.header, "X-Admin-Key")
				delete(q.header, "X-Provisioning-Key")
				q.header["Cookie"] = w.users.start.cookie
			}))
		case said(403):
			key := mean
			if x.o.Doc["x-scope"] == "TEMPLATES" {
				key = other
			}
			say(changed(func(q *request) { q.header["X-API-Key"] = key }))
		}
		switch {
		case !said(404):
		case app:
			say(changed(func(q *request) {
				q.header["X-Admin-Key"], q.header["X-App-ID"] = adminKey, "nobody"
				delete(q.header, "X-API-Key")
			}))
		default:
			say(nobodys(x, good))
		}
		kind := "application/json"
		if strings.HasSuffix(x.o.Path, "/import") {
			kind = "text/csv"
		}
		if said(415) {
			say(changed(func(q *request) { q.body, q.header["Content-Type"] = []byte("x"), "text/plain" }))
		}
		if said(413) {
			r.note(x.o, w.promised(t, x, good, kind, 65<<20))
		}
		got := say(good)
		if x.o.Name() == "PATCH /api/v1/messages/{id}" || x.o.Name() == "PATCH /api/admin/messages/{id}" {
			say(changed(func(q *request) { q.body = []byte(`{"action":"CANCEL"}`) }))
		}
		for _, q := range slices.Concat(more(x, good, got), moreOfUsers(x, good)) {
			say(q)
		}
		if said(408) { // last, since an app has one import at a time
			wg.Go(func() { r.note(x.o, w.promised(t, x, good, kind, 500_000)) })
		}
	})
	wg.Wait()
}

// nobodys is the request about an app that is not there.
func nobodys(x *limitsOf, good *request) *request {
	q := *good
	switch {
	case strings.Contains(x.o.Path, "{app}"):
		q.path = strings.Replace(q.path, "/apps/"+x.a.slug, "/apps/nobody", 1)
		if i := strings.Index(q.path, "/apps/u"); i >= 0 { // of one that was made to be deleted
			q.path = "/api/admin/apps/nobody"
		}
	case strings.Contains(x.o.Path, "{id}"):
		q.path = strings.Replace(x.o.Path, "{id}", unknownID(), 1)
	case x.o.Body() != nil:
		q.body = []byte(`{"action":"RESUME","app":"nobody"}`)
	default:
		q.path, _, _ = strings.Cut(q.path, "?")
		q.path += "?app=nobody"
	}
	return &q
}

// more are requests for the statuses that are an operation's own.
func more(x *limitsOf, good *request, got answer) []*request {
	with := func(body string) *request {
		q := *good
		q.body = []byte(body)
		return &q
	}
	at := func(path string) *request {
		q := *good
		q.path = path
		return &q
	}
	missing := `{"channel":"SMS","to":"233241234567","templateKey":"proto"}`
	switch x.o.Name() {
	case "POST /api/v1/messages":
		return []*request{with(sms("idempotencyKey", `"k"`)), with(sms("idempotencyKey", `"k"`)), with(sms("idempotencyKey", `"k"`, "body", `"y"`)), with(missing)}
	case "POST /api/v1/messages/preview":
		return []*request{with(missing)}
	case "PATCH /api/v1/messages/{id}", "PATCH /api/admin/messages/{id}":
		queued := x.a.do(x.t, "POST", messagesURL, sms("scheduledAt", quoted(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))).str("id")
		q := with(`{"action":"RETRY"}`)
		q.path = strings.Replace(x.o.Path, "{id}", queued, 1)
		return []*request{q}
	case "GET /api/v1/sandbox/messages/wait":
		return []*request{at("/api/v1/sandbox/messages/wait?timeout=0&to=233241234599")}
	case "POST /api/v1/suppressions", "POST /api/provision/apps":
		return []*request{good} // once more
	case "POST /api/v1/templates", "POST /api/admin/apps", "POST /api/v1/webhooks":
		return []*request{good}
	case "POST /api/v1/webhooks/{id}/test", "POST /api/v1/webhooks/{id}/replay", "POST /api/v1/webhooks/{id}/deliveries/{delivery}/replay":
		off := x.a.do(x.t, "POST", "/api/v1/webhooks", `{"name":"`+unique()+`","url":"https://hooks.example.com/","isActive":false}`).made(x.t)
		return []*request{at(strings.Replace(good.path, x.a.things["webhooks"], off, 1))}
	case "POST /api/v1/webhooks/{id}/rotate-secret":
		next := with(`{"overlapSeconds":60}`)
		return []*request{next, next, next}
	case "PATCH /api/v1/webhooks/{id}":
		x.a.do(x.t, "POST", "/api/v1/webhooks", `{"name":"taken","url":"https://hooks.example.com/"}`)
		return []*request{with(`{"name":"taken"}`)}
	case "DELETE /api/v1/suppressions":
		x.a.do(x.t, "POST", "/api/v1/suppressions", `{"channel":"EMAIL","address":"a@example.com"}`)
		return []*request{good}
	case "POST /api/v1/suppressions/import":
		q := with("channel,address\nEMAIL,b@example.com\n")
		q.header["Content-Type"] = "text/csv"
		return []*request{q}
	case "POST /api/v1/templates/{id}/preview":
		for _, one := range x.a.all(x.t, "/api/v1/templates?key=proto") {
			return []*request{at(strings.Replace(x.o.Path, "{id}", one["id"].(string), 1))}
		}
	case "POST /api/v1/provider-configs/{id}/rotate-callback":
		return []*request{at(strings.Replace(x.o.Path, "{id}", x.a.things["provider-configs"], 1))}
	case "POST /api/admin/provider-configs/{id}/rotate-callback":
		return []*request{at(strings.Replace(x.o.Path, "{id}", x.a.things["server"], 1))}
	case "POST /api/admin/apps/{app}/keys/{id}/rotate":
		return []*request{good} // the key has ended
	case "POST /api/v1/provider-configs/{id}/test":
		x.a.do(x.t, "POST", "/api/v1/suppressions", `{"channel":"EMAIL","address":"out@example.com"}`)
		return []*request{with(`{"to":"out@example.com"}`)}
	}
	return nil
}

// promised announces a body of a length, sends a little of it, and answers the status of what comes back.
func (w *world) promised(t *testing.T, x *limitsOf, good *request, kind string, length int) int {
	t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = conn.Close() }()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n", good.method, good.path, kind, length)
	for name, value := range good.header {
		if name != "Content-Type" {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	b.WriteString("\r\n{\"")
	if _, err := io.WriteString(conn, b.String()); err != nil {
		t.Error(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(40 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%s, %d bytes promised: %v", x.o.Name(), length, err)
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	raw, _ := io.ReadAll(res.Body)
	path, _, _ := strings.Cut(good.path, "?")
	for _, wrong := range w.contract.Answer(good.method, path, res.StatusCode, res.Header.Get("Content-Type"), raw) {
		t.Errorf("%s, %d bytes promised: %s", x.o.Name(), length, wrong)
	}
	return res.StatusCode
}

// overTheLimit fails to authenticate too often.
func overTheLimit(t *testing.T, r *reached) {
	w := open(t, true, toNowhere, "COMMS_AUTH_FAILURES_PER_MINUTE=1")
	a := w.limited(t, "failing")
	w.operations(t, a, func(x *limitsOf, good *request) {
		if !slices.Contains(x.o.Statuses(), "429") {
			return
		}
		if isOfSession(x.o.Path) {
			w.tooOften(t, r, x.o, good)
			return
		}
		for name := range good.header {
			if strings.HasSuffix(name, "-Key") {
				good.header[name] = "wrong-wrong-wrong-wrong"
			}
		}
		for range 2 {
			r.note(x.o, w.send(t, good).status)
		}
	})
}

// withoutProvisioning asks a server that has no provisioning key.
func withoutProvisioning(t *testing.T, r *reached) {
	w := open(t, true, "COMMS_PROVISIONING_KEY=")
	o, _ := w.contract.Find("POST", "/api/provision/apps")
	got := w.send(t, &request{method: "POST", path: o.Path, body: []byte(`{"name":"X","slug":"xy"}`), header: with(map[string]string{"X-Provisioning-Key": provisioningKey}, jsonType())})
	r.note(o, got.status)
}

// whileTheDatabaseIsAway makes right requests that nobody can answer now.
func whileTheDatabaseIsAway(t *testing.T, r *reached) {
	url, link := throughLink(t, pgtest.Database(t))
	w := open(t, false, toNowhere, "COMMS_DATABASE_URL="+url)
	a := w.limited(t, "away")
	type call struct {
		x    *limitsOf
		good *request
	}
	var calls []call
	w.operations(t, a, func(x *limitsOf, good *request) {
		if slices.Contains(x.o.Statuses(), "503") {
			calls = append(calls, call{x, good})
		}
	})
	link.cut(true)
	defer link.cut(false)              // the server ends in order
	const remembered = 5 * time.Second // keys and apps
	time.Sleep(remembered + time.Second)
	each(calls, func(c *call) { r.note(c.x.o, w.send(t, c.good).status) })
}
