package hostile

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func memberLines() []line {
	rep := strings.Repeat
	depth := func(n int) string { return rep(`{"a":`, n) + "1" + rep("}", n) }
	far := func(d time.Duration) string { return quoted(time.Now().Add(d).UTC().Format(time.RFC3339)) }
	key := func(values ...string) []message {
		return times(sms, "idempotencyKey", 400, "invalid_idempotency_key", values...)
	}
	at := func(code string, values ...string) []message { return times(sms, "scheduledAt", 400, code, values...) }
	const day = 24 * time.Hour
	return []line{
		{number: 70, place: "idempotencyKey and Idempotency-Key", says: "empty, 256 characters, other than printable ASCII, no text: 400", tries: both(
			messages(key(quotes("", rep("k", 256), "ü", "a\n", "a\u0000", "a\u007f", "👋", "a\tb")...), key("42", "true", "[]", "{}", "null")),
			func(_ *testing.T, a *tenant) (out []try) {
				for _, value := range []string{rep("k", 256), "\xc3\xbc", "a\tb"} {
					out = append(out, try{name: "header", request: request{method: "POST", path: messagesURL, header: with(a.headers(jsonType()), map[string]string{"Idempotency-Key": value}), body: []byte(sms())}, status: 400, code: "invalid_idempotency_key"})
				}
				out = append(out, try{name: "differs", request: request{method: "POST", path: messagesURL, header: with(a.headers(jsonType()), map[string]string{"Idempotency-Key": "a"}), body: []byte(sms("idempotencyKey", `"b"`))}, status: 400, code: "invalid_idempotency_key"},
					try{name: "twice", request: request{method: "POST", path: messagesURL, header: a.headers(jsonType()), twice: map[string][2]string{"Idempotency-Key": {"a", "a"}}, body: []byte(sms())}, status: 400, code: "invalid_idempotency_key"},
					try{name: "of a batch", request: request{method: "POST", path: batchURL, header: with(a.headers(jsonType()), map[string]string{"Idempotency-Key": "a"}), body: []byte(`{"messages":[` + sms() + `]}`)}, status: 400, code: "invalid_idempotency_key"})
				return out
			})},
		{number: 71, place: "idempotencyKey", says: "200 clients with one request: one 202, 199 times 200, one id", scene: manyClients},
		{number: 72, place: "idempotencyKey", says: "used with another request: 409 idempotency_key_reused", before: func(t *testing.T, a *tenant) { a.do(t, "POST", messagesURL, sms("idempotencyKey", `"k"`)) }, tries: func(_ *testing.T, a *tenant) (out []try) {
			for _, body := range []string{sms("to", `"233241234568"`), sms("body", `"y"`), sms("lane", `"BULK"`), sms("metadata", `{"a":1}`), sms("scheduledAt", far(time.Hour)), sms("from", `"Acme"`), sms("tags", `["a"]`), sms("ttlSeconds", "60"), email()} {
				keyed := body[:len(body)-1] + `,"idempotencyKey":"k"}`
				for _, x := range a.ways(bad(keyed, 409, "idempotency_key_reused")) {
					if x.path != previewURL { // which stores nothing and so looks at no key
						out = append(out, x)
					}
				}
			}
			return out
		}},
		{number: 73, place: "idempotencyKey", says: "the same request in another form: 200, the same id", scene: sameMeaning},
		{number: 74, place: "idempotencyKey", says: "used in another app: 202", scene: func(t *testing.T, a *tenant) int {
			other := a.w.tenant(t, a.slug+"-other", "")
			one, two := a.do(t, "POST", messagesURL, sms("idempotencyKey", `"k"`)), other.do(t, "POST", messagesURL, sms("idempotencyKey", `"k"`))
			if one.status != 202 || two.status != 202 || one.str("id") == two.str("id") {
				t.Errorf("%d %s, %d %s", one.status, one.raw, two.status, two.raw)
			}
			return 1
		}},
		{number: 75, place: "idempotencyKey", says: "after the template is gone, the time has passed, over the rate: 200, the original", scene: lateReplays},
		{number: 76, place: "scheduledAt", says: "no time, or one that does not exist: 400", tries: messages(at("invalid_scheduled_at", append(quotes("tomorrow", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "", " ", "2026-07-03", "2026-07-03 10:00:00Z", "2026-07-03T10:00Z", "2026-07-03T25:00:00Z", "2026-07-03T10:60:00Z",
			"2026-07-03t10:00:00z", "03/07/2026", "2026-7-3T10:00:00Z", "20260703T100000Z", "2026-W27-5T10:00:00Z", "+002026-07-03T10:00:00Z", "2026-07-03T10:00:00,5Z", "2026-07-03T10:00:00+2:00", "2026-07-03T10:00:00+25:00", "1782000000"),
			"1782000000", "1.5", "true", "[]", "{}")...))},
		{number: 77, place: "scheduledAt", says: "without a zone: 400 timezone_required", tries: messages(at("timezone_required", quotes("2026-07-03T10:00:00", "2026-07-03T10:00:00.123", "2030-01-01T00:00:00")...))},
		{number: 78, place: "scheduledAt", says: "an offset: taken; a leap second: 400", tries: messages([]message{good(sms("scheduledAt", `"2026-07-03T10:00:00+02:00"`), nil), good(sms("scheduledAt", `"2026-07-03T10:00:00.123456-03:30"`), nil)}, at("invalid_scheduled_at", quotes("2026-06-30T23:59:60Z", "2016-12-31T23:59:60Z")...))},
		{number: 79, place: "scheduledAt", says: "in the past: taken, due now", tries: func(_ *testing.T, a *tenant) []try {
			sent := func(t *testing.T, got answer) { a.waitFor(t, got.str("id"), "SENT") }
			return a.carried([]message{good(sms("scheduledAt", `"2020-01-01T00:00:00.5Z"`), sent), good(sms("scheduledAt", `"1960-01-01T00:00:00Z"`), sent), good(sms("scheduledAt", `"0001-01-01T00:00:00Z"`), sent)})
		}},
		{number: 80, place: "scheduledAt", says: "over 366 days ahead: 400 too_far", tries: messages(at("too_far", `"9999-01-01T00:00:00Z"`, `"9999-12-31T23:59:59Z"`, far(367*day), far(1000*day)), []message{good(sms("scheduledAt", far(365*day)), nil)})},
		{number: 81, place: "from", says: "no sender: 400; one that is not the app's: 403 from_not_allowed", members: `,"sandboxMode":false,"allowedSenders":["example.com","Acme"]`, tries: senders,
			elsewhere: "403 needs a live app on the server's chain: TestSendersOnTheServersChain in internal/httpapi; here the server has such a chain, and none of it is called"},
		{number: 82, place: "metadata", says: "17 KiB, 9 deep, no object: 400", tries: messages(times(sms, "metadata", 400, "invalid_metadata", `{"a":"`+rep("x", 17<<10)+`"}`, depth(9), "[]", `"x"`, "1", "true", `[{"a":1}]`, `{"a":`+depth(8)+`}`, `{"a":[[[[[[[[1]]]]]]]]}`), []message{good(sms("metadata", depth(8)), nil)})},
		{number: 83, place: "metadata", says: "large numbers digit for digit; 1e400: 400", elsewhere: "in the webhook: TestABodyShowsTheMessageAsItWas in internal/feed; here in the message's answer", tries: func(_ *testing.T, a *tenant) []try {
			exact := func(t *testing.T, got answer) {
				if raw := string(a.do(t, "GET", messagesURL+"/"+got.str("id"), "").raw); !strings.Contains(raw, "9007199254740993") || !strings.Contains(raw, "1.50") {
					t.Errorf("not digit for digit: %s", raw)
				}
			}
			return append(a.carried(times(sms, "metadata", 400, "invalid_metadata", `{"a":1e400}`, `{"a":[-1e999]}`, `{"a":{"b":1e309}}`)), a.carried([]message{good(sms("metadata", `{"a":9007199254740993,"b":[1.50]}`), exact), good(sms("metadata", `{"a":"1e400 \" 1e999"}`), nil)})...)
		}},
	}
}

func manyClients(t *testing.T, a *tenant) int {
	const clients = 200
	statuses := make([]answer, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { statuses[i] = a.do(t, "POST", messagesURL, sms("idempotencyKey", `"one"`)) })
	}
	wg.Wait()
	counts, ids := map[int]int{}, map[string]bool{}
	for _, got := range statuses {
		counts[got.status]++
		ids[got.str("id")] = true
	}
	if counts[202] != 1 || counts[200] != clients-1 || len(ids) != 1 {
		t.Errorf("statuses %v, %d ids", counts, len(ids))
	}
	return 1
}

func sameMeaning(t *testing.T, a *tenant) int {
	bodies := []string{
		sms("idempotencyKey", `"k"`, "metadata", `{"a":1,"b":[true,null]}`, "tags", `["x"]`), email("idempotencyKey", `"m"`, "cc", `["b@example.com"]`), ofMail(`{"a":"x","b":2}`)[:0] + strings.Replace(ofMail(`{"a":"x","b":2}`), `{`, `{"idempotencyKey":"t",`, 1),
	}
	for _, body := range bodies {
		first := a.do(t, "POST", messagesURL, body)
		if first.status != 202 {
			t.Fatalf("%d %s", first.status, first.raw)
		}
		tree := parse(body)
		for name, s := range map[string]style{"plain": plain(), "spaced": spaced(), "escaped": escaped(), "reversed": reversed()} {
			got := a.do(t, "POST", messagesURL, s.write(tree))
			if got.status != 200 || got.str("id") != first.str("id") || got.body["deduplicated"] != true {
				t.Errorf("%s: %d %s, first %s", name, got.status, got.raw, first.raw)
			}
			batch := a.do(t, "POST", batchURL, `{"messages":[`+s.write(tree)+`]}`)
			if list := batch.list(); batch.status != 202 || len(list) != 1 || list[0]["id"] != first.str("id") || list[0]["deduplicated"] != true {
				t.Errorf("%s in a batch: %d %s", name, batch.status, batch.raw)
			}
		}
	}
	return len(bodies)
}

func lateReplays(t *testing.T, a *tenant) int {
	bodies := []string{
		strings.Replace(ofSMS(`{"__proto__":"x"}`), `{`, `{"idempotencyKey":"template",`, 1),
		sms("idempotencyKey", `"time"`, "scheduledAt", quoted(time.Now().Add(300*time.Millisecond).UTC().Format(time.RFC3339Nano))),
		sms("idempotencyKey", `"rate"`),
	}
	var ids []string
	for _, body := range bodies {
		got := a.do(t, "POST", messagesURL, body)
		if got.status != 202 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		ids = append(ids, got.str("id"))
	}
	for _, template := range a.all(t, "/api/v1/templates?limit=100") {
		if got := a.do(t, "DELETE", "/api/v1/templates/"+template["id"].(string), ""); got.status != 204 {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
	a.waitFor(t, ids[1], "SENT")
	if got := a.w.admin(t, "PATCH", "/api/admin/apps/"+a.slug, `{"ratePerMinute":1}`); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	stored := len(bodies)
	for n := 0; ; n++ { // the minute may turn once
		got := a.do(t, "POST", messagesURL, sms())
		if got.status == 429 {
			break
		}
		if stored++; n > 3 {
			t.Fatalf("never over the rate: %d %s", got.status, got.raw)
		}
	}
	for i, body := range bodies {
		if got := a.do(t, "POST", messagesURL, body); got.status != 200 || got.str("id") != ids[i] {
			t.Errorf("%.60s: %d %s", body, got.status, got.raw)
		}
	}
	return stored
}

// senders are of a live app, which has no configuration of its own: the server's are used.
func senders(_ *testing.T, a *tenant) []try {
	mail := times(email, "from", 400, "invalid_from", quotes("a@x.com\r\nBcc: b@y.com", "a@x.com, b@y.com", "a@x.com;b@y.com", "", "x", "@", "a@", "Name <a@x.com", "Name <a@x.com> <b@y.com>", "A\u0000 <a@x.com>", `"a"b <a@x.com>`, "a@localhost", strings.Repeat("n", 300)+" <a@x.com>")...)
	for i := range mail {
		mail[i].code = "" // a control character has a code of its own
	}
	return a.carried(append(append(mail,
		times(sms, "from", 400, "invalid_from", quotes("abcdefghijkl", "Hi👋", "", " ", "a\nb", "é", "a\u0000", strings.Repeat("1", 20))...)...),
		append(times(email, "from", 403, "from_not_allowed", quotes("a@evil.example", "MyApp <a@evil.example>", "a@sub.example.com", "a@example.com.evil.example", "a@xn--xample-2of.com", "a@еxample.com")...),
			append(times(sms, "from", 403, "from_not_allowed", quotes("Other", "AcmeBank")...), times(sms, "from", 400, "", "1", "null", "[]", "{}", "true")...)...)...))
}

func resourceLines() []line {
	var queries []string
	for _, limit := range []string{"0", "-1", "101", "abc", "1e9", "", "1.5", "+5", "0x10", "١", "99999999999999999999", "1;2", "%00", "1%20"} {
		queries = append(queries, "limit="+limit)
	}
	queries = append(queries, "limit=1&limit=2", "limit=1&limit=1", "limit=5&LIMIT=6")
	lists := []string{messagesURL, "/api/v1/templates", "/api/v1/suppressions", "/api/v1/sandbox/messages"}
	return []line{
		{number: 84, place: "GET /messages/{id}, and every other path with an id", says: "unknown, of another app, no id at all: 404", before: everything, tries: strangersIDs},
		{number: 85, place: "limit of every list", says: "0, -1, 101, no number, twice: 400", tries: func(_ *testing.T, a *tenant) (out []try) {
			for _, list := range lists {
				for _, q := range queries {
					status, code := 400, "invalid_query"
					if q == "limit=+5" {
						continue // a + is a space in a query: as limit=%20
					}
					out = append(out, a.call("GET", list+"?"+q, "", status, code))
				}
				out = append(out, a.call("GET", list+"?limit=1", "", 200, ""), a.call("GET", list+"?limit=100", "", 200, ""))
			}
			return out
		}},
		{number: 86, place: "the other parameters of every list", says: "unknown names and values, another list's cursor: 400", before: func(t *testing.T, a *tenant) {
			for range 3 {
				a.do(t, "POST", messagesURL, sms())
			}
			a.things["cursor"] = a.do(t, "GET", messagesURL+"?limit=1", "").str("nextCursor")
		}, tries: func(t *testing.T, a *tenant) (out []try) {
			other := a.w.tenant(t, a.slug+"-other", "")
			for range 2 {
				other.do(t, "POST", messagesURL, sms())
			}
			theirs, ours := other.do(t, "GET", messagesURL+"?limit=1", "").str("nextCursor"), a.things["cursor"]
			if theirs == "" || ours == "" {
				t.Fatal("no cursors")
			}
			for _, list := range lists {
				for _, q := range []string{"status=FOO", "status=", "channel=sms", "channel=", "channel=SMS&channel=SMS", "nope=1", "appId=other", "app=other", "%zz", "a;b", "offset=1", "page=2", "sort=id", "order=asc", "limit=1&x", "=1", "__proto__=1", "createdAfter=yesterday", "createdBefore=2026-07-03", "createdAfter=2026-07-03T10:00:00+00:00"} {
					out = append(out, a.call("GET", list+"?"+q, "", 400, ""))
				}
				for _, cursor := range []string{"garbage", "", "AAAA", theirs, ours[:len(ours)-1], ours + "A", flip(ours), "%00", strings.Repeat("A", 5000)} {
					out = append(out, a.call("GET", list+"?cursor="+cursor, "", 400, ""))
				}
				if list != messagesURL {
					out = append(out, a.call("GET", list+"?cursor="+ours, "", 400, "invalid_cursor"))
				}
			}
			return append(out, a.call("GET", messagesURL+"?status=QUEUED&cursor="+ours, "", 400, "invalid_cursor"), a.call("GET", messagesURL+"?cursor="+ours, "", 200, ""))
		}},
		{number: 87, place: "PATCH /messages/{id}", says: "no action, another one, more than an action: 400", before: everything, tries: func(_ *testing.T, a *tenant) (out []try) {
			for _, body := range []string{`{}`, `{"action":"cancel"}`, `{"action":"DELETE"}`, `{"action":"CANCEL","status":"SENT"}`, `{"action":1}`, `{"action":null}`, `{"action":["CANCEL"]}`, `{"action":""}`, `{"action":"CANCEL "}`, `{"action":"RETRY","to":"233241234568"}`, `{"status":"CANCELLED"}`, `{"action":{"a":1}}`, `{"action":"SEND"}`} {
				out = append(out, a.call("PATCH", messagesURL+"/"+a.things["messages"], body, 400, ""), a.call("PATCH", messagesURL+"/"+a.things["messages"], spaced().write(parse(body)), 400, ""))
			}
			return out
		}},
		{number: 88, place: "PATCH /messages/{id}", says: "an action that the state does not allow: 409 invalid_state with the state", before: everything, tries: func(t *testing.T, a *tenant) (out []try) {
			sent := a.do(t, "POST", messagesURL, sms()).str("id")
			a.waitFor(t, sent, "SENT")
			for _, x := range []struct{ id, action, state string }{{sent, "CANCEL", "SENT"}, {sent, "RETRY", "SENT"}, {a.things["messages"], "RETRY", "QUEUED"}} {
				one := a.call("PATCH", messagesURL+"/"+x.id, `{"action":"`+x.action+`"}`, 409, "invalid_state")
				one.holds = func(t *testing.T, got answer) {
					if details, _ := got.body["details"].(map[string]any); details["status"] != x.state {
						t.Errorf("%s of %s: %s", x.action, x.state, got.raw)
					}
				}
				out = append(out, one)
			}
			return out
		}},
	}
}

// flip changes one character in the middle.
func flip(s string) string {
	b := []byte(s)
	if b[len(b)/2]++; b[len(b)/2] == 'z'+1 || b[len(b)/2] == 'Z'+1 {
		b[len(b)/2] = 'b'
	}
	return string(b)
}

// strangersIDs calls every path with an id by ids that are not the app's.
func strangersIDs(t *testing.T, a *tenant) (out []try) {
	other := a.w.tenant(t, a.slug+"-other", "")
	other.fixtures(t)
	everything(t, other)
	for _, e := range a.endpoints(t) {
		if !e.app || !strings.Contains(e.path, unknownOr(a, e.path)) {
			continue
		}
		own := unknownOr(a, e.path)
		for _, id := range []string{unknownID(), other.idLike(a, own), "nothing", "%00", "..%2f", "%2e%2e", "a%27%20OR%201=1--", strings.Repeat("c", 25), strings.Repeat("a", 5000), strings.ToUpper(own), own + "x", "1"} {
			out = append(out, a.call(e.method, strings.Replace(e.path, own, id, 1), e.body, 404, "not_found"))
		}
	}
	if len(out) < 12*8 {
		t.Errorf("only %d paths with an id", len(out)/12)
	}
	return out
}

// unknownOr is the id in the path of an endpoint.
func unknownOr(a *tenant, path string) string {
	for _, id := range a.things {
		if strings.Contains(path, id) {
			return id
		}
	}
	return fmt.Sprint("no id in ", path)
}

// idLike is this app's thing of the sort that an id of another app names.
func (a *tenant) idLike(owner *tenant, id string) string {
	for word, one := range owner.things {
		if one == id {
			return a.things[word]
		}
	}
	return "none"
}
