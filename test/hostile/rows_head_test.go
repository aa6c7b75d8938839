package hostile

import (
	"fmt"
	"strings"
	"testing"
)

const unauthenticated = `{"error":"Missing or invalid credentials: check X-App-ID and X-API-Key, and that app and key are active.","details":{"code":"unauthenticated"}}` + "\n"

// closed calls every endpoint of apps with headers that open nothing: one answer for all of them.
func closed(headers func(t *testing.T, a *tenant) []map[string]string) func(*testing.T, *tenant) []try {
	return func(t *testing.T, a *tenant) (out []try) {
		for _, set := range headers(t, a) {
			for _, e := range a.endpoints(t) {
				if !e.app {
					continue
				}
				q := request{method: e.method, path: e.path, header: with(a.headers(set), jsonType())}
				if e.body != "" {
					q.body = []byte(e.body)
				}
				out = append(out, try{name: fmt.Sprintf("%.60q", set), request: q, status: 401, code: "unauthenticated", holds: same401})
			}
		}
		return out
	}
}

func same401(t *testing.T, got answer) {
	if string(got.raw) != unauthenticated {
		t.Errorf("another 401: %s", got.raw)
	}
}

type sets = []map[string]string

func bearer(value string) map[string]string {
	return map[string]string{"X-API-Key": "", "Authorization": value}
}

func headLines() []line {
	everyApp := "headers, of every endpoint of apps"
	return []line{
		{number: 17, place: everyApp, says: "no key, no app: 401", before: everything, tries: closed(func(*testing.T, *tenant) sets {
			return sets{{"X-App-ID": "", "X-API-Key": ""}, {"X-API-Key": ""}, {"X-App-ID": ""}}
		})},
		{number: 18, place: everyApp, says: "another app's key: 401", before: everything, tries: closed(func(t *testing.T, a *tenant) sets {
			other := a.w.tenant(t, a.slug+"-other", "")
			return sets{{"X-API-Key": other.key}, {"X-App-ID": "other"}, bearer("Bearer " + other.key)}
		})},
		{number: 19, place: everyApp, says: "X-API-Key and another Bearer: 401", before: everything, tries: func(t *testing.T, a *tenant) []try {
			second := a.keyOf(t, "SEND")
			out := closed(func(*testing.T, *tenant) sets {
				return sets{{"Authorization": "Bearer " + second}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer"}, {"X-API-Key": "x", "Authorization": "Bearer " + a.key}}
			})(t, a)
			for _, twice := range []map[string][2]string{{"X-API-Key": {a.key, a.key}}, {"X-API-Key": {a.key, second}}, {"X-App-ID": {a.slug, a.slug}}, {"X-App-ID": {a.slug, "other"}}} {
				header := with(a.headers(nil), jsonType())
				for name := range twice {
					delete(header, name)
				}
				out = append(out, try{name: "sent twice", request: request{method: "POST", path: messagesURL, header: header, twice: twice, body: []byte(sms())}, status: 401, code: "unauthenticated", holds: same401})
			}
			return append(out, try{name: "the same in both", request: request{method: "POST", path: messagesURL, header: with(a.headers(map[string]string{"Authorization": "Bearer " + a.key}), jsonType()), body: []byte(sms())}, status: 202, stores: 1})
		}},
		{number: 20, place: everyApp, says: "Basic, an empty Bearer, a token of 10 kB: 401", before: everything, tries: closed(func(_ *testing.T, a *tenant) sets {
			return sets{bearer("Basic " + a.key), bearer("Bearer "), bearer("Bearer " + strings.Repeat("a", 10_000)), bearer("Token " + a.key), bearer(a.key), bearer("Bearer " + a.key + "," + a.key)}
		})},
		{number: 21, place: everyApp, says: "a key with a space, in another case, one character off: 401", before: everything,
			elsewhere: "a line break inside a header cannot be sent by a client; net/http refuses it before the server's code sees it (TestOddRequests)",
			tries: closed(func(_ *testing.T, a *tenant) sets {
				k := a.key
				return sets{{"X-API-Key": strings.ToUpper(k)}, {"X-API-Key": k[:len(k)-1]}, {"X-API-Key": k + "x"}, {"X-API-Key": k[:20] + " " + k[20:]}, {"X-API-Key": "\"" + k + "\""}, {"X-API-Key": k[:len(k)-2] + k[len(k)-1:] + k[len(k)-2:len(k)-1] + "_"}}
			})},
		{number: 22, place: "the query, of every endpoint of apps", says: "a key in the query (or in the body): 401, and it is not logged", before: everything, tries: func(t *testing.T, a *tenant) (out []try) {
			for _, name := range []string{"api_key", "apiKey", "key", "X-API-Key", "access_token", "token"} {
				for _, x := range closed(func(*testing.T, *tenant) sets { return sets{{"X-API-Key": ""}} })(t, a) {
					x.path += "?" + name + "=" + a.key
					out = append(out, x)
					if x.body != nil {
						x.path, _, _ = strings.Cut(x.path, "?")
						x.name, x.body = "in the body", []byte(object(parse(string(x.body)), quoted(name)+":"+quoted(a.key)))
						out = append(out, x)
					}
				}
			}
			return out
		}, scene: func(t *testing.T, a *tenant) int {
			if strings.Contains(a.w.log.String(), a.key) {
				t.Error("the key is in the log")
			}
			return 0
		}},
		{number: 23, place: everyApp, says: "X-App-ID that is a path, SQL or 5 kB: 401", before: everything, tries: closed(func(_ *testing.T, a *tenant) sets {
			return sets{{"X-App-ID": "../flowbase"}, {"X-App-ID": "'; DROP TABLE apps;--"}, {"X-App-ID": strings.Repeat("a", 5000)}, {"X-App-ID": strings.ToUpper(a.slug)}, {"X-App-ID": a.slug + "%00"}, {"X-App-ID": "*"}, {"X-App-ID": a.slug + ",other"}}
		})},
		{number: 24, place: "the key's scopes, of every endpoint of apps", says: "a key without the scope: 403 insufficient_scope", before: everything, tries: func(t *testing.T, a *tenant) (out []try) {
			for _, scope := range []string{"READ", "SEND", "TEMPLATES", "PROVIDERS", "SUPPRESSIONS"} {
				key := a.keyOf(t, scope)
				for _, e := range a.endpoints(t) {
					if !e.app || e.scope == scope {
						continue
					}
					q := request{method: e.method, path: e.path, header: with(a.headers(map[string]string{"X-API-Key": key}), jsonType())}
					if e.body != "" {
						q.body = []byte(e.body)
					}
					out = append(out, try{name: scope, request: q, status: 403, code: "insufficient_scope"})
				}
			}
			return out
		}},
	}
}

// keyOf makes another key of the app with one scope.
func (a *tenant) keyOf(t *testing.T, scope string) string {
	t.Helper()
	got := a.w.admin(t, "POST", "/api/admin/apps/"+a.slug+"/keys", `{"scopes":["`+scope+`"]}`)
	if got.status != 201 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	return got.str("apiKey")
}
