package hostile

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/api"
)

// endpoint is an operation of the contract, as a row calls it.
type endpoint struct {
	method, path string
	pattern      string // the contract's path
	body         string // a good one, "" when it takes none
	app          bool   // it wants an app's key
	scope        string
	header       map[string]string // what it wants
}

// endpoints reads the operations from the contract; ids stand for what the app has.
func (a *tenant) endpoints(t *testing.T) (out []endpoint) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string]any
			Scope    string `json:"x-scope"`
			Body     struct {
				Content map[string]struct {
					Examples map[string]struct {
						Value  json.RawMessage
						Status string `json:"x-status"`
					}
				}
			} `json:"requestBody"`
		}
	}
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			e := endpoint{method: strings.ToUpper(method), path: a.fill(path), pattern: path, scope: o.Scope}
			session := isOfSession(path) // of which no example is taken: passwords and codes are somebody's
			for _, example := range o.Body.Content["application/json"].Examples {
				if text := string(example.Value); (example.Status[0] == '2' || session) && (e.body == "" || text < e.body) {
					e.body = text
				}
			}
			for _, s := range o.Security {
				_, e.app = s["appId"]
			}
			switch {
			case session:
				e.header = map[string]string{"Cookie": a.w.somebodies(t).signed.cookie}
			case len(o.Security) == 0:
				continue
			case e.app:
				e.header = a.headers(nil)
			case strings.HasPrefix(path, "/api/admin/"), path == "/metrics":
				e.header = map[string]string{"X-Admin-Key": adminKey}
			default:
				e.header = map[string]string{"X-Provisioning-Key": provisioningKey}
			}
			if e.path == messagesURL && e.body != "" {
				e.body = sms() // without attachments, whose content has a limit of its own
			}
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b endpoint) int { return strings.Compare(a.method+a.path, b.method+b.path) })
	return out
}

// fill puts ids of the app's own things into a path of the contract.
func (a *tenant) fill(path string) string {
	path = strings.NewReplacer("{app}", a.slug, "{version}", "1", "{delivery}", a.things["deliveries"]).Replace(path)
	before, _, found := strings.Cut(path, "/{id}")
	if !found {
		return path
	}
	word := before[strings.LastIndexByte(before, '/')+1:]
	id := a.things[word]
	if word == "provider-configs" && strings.HasPrefix(path, "/api/admin/") {
		id = unknownID()
	}
	return strings.ReplaceAll(path, "{id}", cmp.Or(id, unknownID()))
}

// everything makes one of each thing that paths name.
func everything(t *testing.T, a *tenant) {
	t.Helper()
	for _, x := range []struct{ word, path, body string }{
		{"messages", messagesURL, sms("scheduledAt", quoted(time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))},
		{"provider-configs", "/api/v1/provider-configs", `{"providerType":"SMTP","config":{"host":"mail.example.com"}}`},
		{"webhooks", "/api/v1/webhooks", `{"name":"orders","url":"https://hooks.example.com/orders"}`},
	} {
		if a.things[x.word] = a.do(t, "POST", x.path, x.body).str("id"); a.things[x.word] == "" {
			t.Fatalf("%s cannot be made", x.word)
		}
	}
	a.things["deliveries"] = a.do(t, "POST", "/api/v1/webhooks/"+a.things["webhooks"]+"/test", "").made(t)
	keys := a.w.admin(t, "GET", "/api/admin/apps/"+a.slug+"/keys", "").list()
	a.things["keys"] = keys[0]["id"].(string)
}

// everywhere sends a spoilt body to every endpoint that takes JSON.
func everywhere(status int, code string, spoil func(good node) []string) func(*testing.T, *tenant) []try {
	return spoilt(status, code, func(good node) (out [][]byte) {
		for _, text := range spoil(good) {
			out = append(out, []byte(text))
		}
		return out
	}, jsonType())
}

func spoilt(status int, code string, spoil func(good node) [][]byte, header map[string]string) func(*testing.T, *tenant) []try {
	return func(t *testing.T, a *tenant) (out []try) {
		for _, e := range a.endpoints(t) {
			if e.body == "" {
				continue
			}
			for n, body := range spoil(parse(e.body)) {
				out = append(out, try{name: strconv.Itoa(n), request: request{method: e.method, path: e.path, header: with(e.header, header), body: body}, status: status, code: code})
			}
		}
		return out
	}
}

// object writes members after those of a good body.
func object(good node, more ...string) string {
	text := plain().write(good)
	if len(good.members) > 0 {
		more = slices.Insert(more, 0, text[1:len(text)-1])
	}
	return "{" + strings.Join(more, ",") + "}"
}

// instead writes a good body with another value for its first member.
func instead(good node, value string) string {
	rest := node{kind: '{', members: good.members[1:]}
	return object(rest, quoted(good.members[0].name)+":"+value)
}

const maxBody = 1 << 20

func bodyLines() []line {
	everyJSON := "the whole body, of every endpoint that takes JSON"
	return []line{
		{number: 1, place: everyJSON, says: "nothing, or nothing but space: 400 invalid_json", before: everything,
			tries: everywhere(400, "invalid_json", func(node) []string { return []string{"", " ", "\r\n\t \n", strings.Repeat(" ", 5000)} })},
		{number: 2, place: everyJSON, says: "JSON that is no object: 400 invalid_body", before: everything,
			tries: everywhere(400, "invalid_body", func(node) []string { return []string{"null", "[]", `"x"`, "42", "true", "-1.5e3", " [{}] "} })},
		{number: 3, place: everyJSON, says: "JSON that is cut off, or none: 400 invalid_json", before: everything,
			tries: everywhere(400, "invalid_json", func(good node) []string {
				text := plain().write(good)
				return []string{text[:len(text)-1], text[:len(text)/2], "{", `{"`, "{]", "<xml/>", "channel=SMS&to=1", `{'a':1}`, text[:len(text)-1] + ",}"}
			})},
		{number: 4, place: everyJSON, says: "something behind the object: 400 trailing_data", before: everything,
			tries: everywhere(400, "trailing_data", func(good node) []string {
				text := plain().write(good)
				return []string{text + "{}", text + " x", text + text, text + "\n[]", text + "}", text + "\x00"}
			})},
		{number: 5, place: everyJSON, says: "the same member twice, at any depth and however it is written: 400 duplicate_field", before: everything,
			tries: everywhere(400, "duplicate_field", func(good node) []string {
				first := good.members[0]
				value := plain().write(first.value)
				return []string{object(good, quoted(first.name)+":"+value), object(good, quoted(first.name)+":null"), object(good, escaped().quote(first.name)+":"+value)}
			})},
		{number: 6, place: everyJSON, says: "a name in another case: 400 unknown_field", before: everything,
			tries: everywhere(400, "unknown_field", func(good node) (out []string) {
				for _, m := range good.members {
					for _, name := range []string{strings.ToUpper(m.name), strings.ToUpper(m.name[:1]) + m.name[1:], m.name + " ", " " + m.name} {
						out = append(out, "{"+quoted(name)+":"+plain().write(m.value)+rest(good, m.name))
					}
				}
				return out
			})},
		{number: 7, place: everyJSON, says: "a misspelt or made-up name (S11): 400 unknown_field", before: everything,
			tries: everywhere(400, "unknown_field", func(good node) (out []string) {
				for _, name := range []string{"schedualedAt", "appId", "status", "attempts", "providerName", "isAdmin", "__proto__", "constructor", "$where", "", "a.b"} {
					out = append(out, object(good, quoted(name)+":1"))
				}
				return out
			})},
		{number: 8, place: everyJSON, says: "40 levels: 400 too_deep", before: everything,
			tries: everywhere(400, "too_deep", func(good node) []string {
				lists := strings.Repeat("[", 40) + strings.Repeat("]", 40)
				objects := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
				out := []string{object(good, `"metadata":`+objects), object(good, `"x":`+lists), strings.Repeat("[", 5000)}
				if first := good.members[0].name; first != "config" { // of which no member is an object: that is said of it
					out = append(out, instead(good, objects))
				}
				return out
			})},
		{number: 9, place: everyJSON, says: "bytes that are no UTF-8: 400 invalid_utf8", before: everything,
			tries: everywhere(400, "invalid_utf8", func(good node) []string {
				return []string{instead(good, "\"\xff\xfe\""), instead(good, "\"\xc0\xaf\""), instead(good, "\"\xed\xa0\x80\""), instead(good, "\"a\xe2\x82\""), instead(good, "\"\xf4\x90\x80\x80\"")}
			})},
		{number: 10, place: everyJSON, says: "half of a surrogate pair: 400 invalid_utf8", before: everything,
			tries: everywhere(400, "invalid_utf8", func(good node) []string {
				return []string{instead(good, `"\ud800"`), instead(good, `"\udc00"`), instead(good, `"a\ud83dx"`), instead(good, `"\ud800\ud800"`)}
			})},
		{number: 11, place: everyJSON, says: "a byte order mark or UTF-16: 400 invalid_json", before: everything,
			tries: everywhere(400, "invalid_json", func(good node) []string {
				text := plain().write(good)
				var wide strings.Builder
				for _, c := range []byte(text) {
					wide.WriteByte(c)
					wide.WriteByte(0)
				}
				return []string{"\xef\xbb\xbf" + text, "\xff\xfe" + wide.String(), wide.String(), "\xfe\xff\x00{\x00}"}
			})},
		{number: 12, place: everyJSON, says: "1 MiB and a byte: 413", before: everything,
			differs: "a batch takes 16 MiB (DECISIONS B9): for it the limit is a message of its own, which is refused beside the others",
			tries:   tooLarge},
		{number: 13, place: "the body of a message", says: "5 of 10 bytes and silence: 408 or closed within 30 s", slow: true, before: everything, scene: silent},
		{number: 14, place: "Content-Type", says: "415 unsupported_media_type", before: everything, tries: contentTypes},
		{number: 15, place: "Content-Encoding", says: "415, and nothing is unpacked", before: everything, tries: contentEncodings},
		{number: 16, place: "variables, metadata, headers, config", says: "100,000 members: 400 too_many_fields", tries: manyMembers,
			differs: "the list is about variables; elsewhere the limit is one of size (metadata), or the names are not known at all"},
	}
}

// without is the members of an object but for one.
func without(good node, name string) []member {
	return slices.DeleteFunc(slices.Clone(good.members), func(m member) bool { return m.name == name })
}

// rest writes the members of an object but for one, behind a comma, and its end.
func rest(good node, name string) string {
	text := plain().write(node{kind: '{', members: without(good, name)})
	if text == "{}" {
		return "}"
	}
	return "," + text[1:]
}

func tooLarge(t *testing.T, a *tenant) (out []try) {
	for _, e := range a.endpoints(t) {
		if e.body == "" {
			continue
		}
		good := parse(e.body)
		size := maxBody + 1
		if e.path == batchURL {
			size = 16*maxBody + 1
		}
		text := plain().write(good)
		padded := []byte(text + strings.Repeat(" ", size-len(text)))
		for n, body := range [][]byte{padded, []byte(strings.Repeat("a", size)), []byte(instead(good, quoted(strings.Repeat("x", size))))} {
			out = append(out, try{name: fmt.Sprint("large ", n), request: request{method: e.method, path: e.path, header: with(e.header, jsonType()), body: body}, status: 413, code: "body_too_large"})
		}
		out = append(out, try{name: "without a length", request: request{method: e.method, path: e.path, header: with(e.header, jsonType()), body: padded, chunked: true}, status: 413, code: "body_too_large"})
	}
	one := sms("body", quoted(strings.Repeat("x", maxBody)))
	return append(out, try{name: "a message of a batch", request: request{method: "POST", path: batchURL, header: a.headers(jsonType()), body: []byte(`{"messages":[` + one + `]}`)}, status: 202, code: "body_too_large", item: true, refused: true})
}

// silent sends parts of bodies and waits: small ones have the time of a request, large
// ones must keep arriving.
func silent(t *testing.T, a *tenant) int {
	const most = 33 * time.Second
	var wg sync.WaitGroup
	for _, x := range []struct {
		path          string
		length, bytes int
		within        time.Duration
	}{{messagesURL, 10, 5, most}, {batchURL, 10, 0, most}, {messagesURL, 200_000, 5, 8 * time.Second}, {messagesURL, 900_000, 70_000, 8 * time.Second}} {
		wg.Go(func() {
			what := fmt.Sprint(x.path, ", ", x.bytes, " of ", x.length)
			conn, err := net.Dial("tcp", a.w.addr)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			defer func() { _ = conn.Close() }()
			head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", x.path, a.slug, a.key, x.length)
			began := time.Now()
			if _, err := io.WriteString(conn, head+strings.Repeat("{", min(1, x.bytes))+strings.Repeat(" ", max(0, x.bytes-1))); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			_ = conn.SetReadDeadline(began.Add(most))
			raw, err := io.ReadAll(conn)
			took := time.Since(began)
			if err != nil || took > x.within {
				t.Errorf("%s: after %v: %v, want the end within %v", what, took, err, x.within)
			}
			if len(raw) > 0 && !bytes.HasPrefix(raw, []byte("HTTP/1.1 408 ")) {
				t.Errorf("%s: %.200s", what, raw)
			}
		})
	}
	wg.Wait()
	return 0
}

func contentTypes(t *testing.T, a *tenant) (out []try) {
	for _, e := range a.endpoints(t) {
		if e.body == "" {
			continue
		}
		for _, kind := range []string{"", "text/plain", "application/json; charset=utf-16", "application/json; charset=iso-8859-1", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
			"application/xml", "application/jsonp", "application/json, text/plain", "application", "application/json;", "text/json", "application/json; charset=utf-8; x=y", "\"application/json\""} {
			if kind == "application/json;" { // a trap: an empty parameter is no other type
				continue
			}
			header := with(e.header, map[string]string{"Content-Type": kind})
			if kind == "" {
				delete(header, "Content-Type")
			}
			out = append(out, try{name: kind, request: request{method: e.method, path: e.path, header: header, body: []byte(e.body)}, status: 415, code: "unsupported_media_type"})
		}
		out = append(out, try{name: "sent twice", request: request{method: e.method, path: e.path, header: e.header, twice: map[string][2]string{"Content-Type": {"application/json", "application/json"}}, body: []byte(e.body)},
			status: 415, code: "unsupported_media_type"})
	}
	for _, kind := range []string{"application/json", "application/json;charset=UTF-8", "Application/JSON; charset=\"utf-8\"", "application/json;"} {
		out = append(out, try{name: kind, request: request{method: "POST", path: messagesURL, header: a.headers(map[string]string{"Content-Type": kind}), body: []byte(sms())}, status: 202, stores: 1})
	}
	return out
}

func contentEncodings(t *testing.T, a *tenant) (out []try) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 64 { // of zeros, which take a thousandth of it; what is not unpacked may be of any size
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, e := range a.endpoints(t) {
		if e.body == "" {
			continue
		}
		for _, encoding := range []string{"gzip", "GZIP", "br", "deflate", "zstd", "compress", "identity, gzip", "gzip, gzip", "x"} {
			body := []byte(e.body)
			if encoding == "gzip" {
				body = bomb.Bytes()
			}
			out = append(out, try{name: encoding, request: request{method: e.method, path: e.path, header: with(e.header, with(jsonType(), map[string]string{"Content-Encoding": encoding})), body: body}, status: 415, code: "unsupported_media_type"})
		}
	}
	return append(out, try{name: "identity", request: request{method: "POST", path: messagesURL, header: a.headers(with(jsonType(), map[string]string{"Content-Encoding": "identity"})), body: []byte(sms())}, status: 202, stores: 1})
}

func manyMembers(_ *testing.T, a *tenant) (out []try) {
	var b strings.Builder
	b.WriteString(`{"a":1`)
	for i := range 100_000 {
		b.WriteString(`,"` + strconv.FormatInt(int64(i)+36, 36) + `":1`)
	}
	many := b.String() + "}"
	for _, path := range []string{messagesURL, previewURL} {
		out = append(out, a.post(path, sms("body", "-", "templateKey", `"proto"`, "variables", many), 400, "too_many_fields"), a.post(path, sms("metadata", many), 400, "invalid_metadata"),
			a.post(path, email("headers", many), 400, "invalid_field"), a.post(path, many, 400, "unknown_field"))
	}
	out = append(out, a.post("/api/v1/templates/"+a.things["templates"]+"/preview", `{"variables":`+many+`}`, 400, "too_many_fields"),
		a.post("/api/v1/provider-configs", `{"providerType":"SMTP","config":`+many+`}`, 400, "invalid_config"))
	return out
}
