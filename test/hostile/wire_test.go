package hostile

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// TestMethodsAndHeadersOfEveryPath (S20, S28): what a path does not offer is 405 with the
// methods that it does, and every answer, good or bad, has the headers that protect it.
func TestMethodsAndHeadersOfEveryPath(t *testing.T) {
	t.Parallel()
	w := open(t, false)
	a := w.tenant(t, "wire", "")
	a.fixtures(t)
	everything(t, a)
	offered := map[string][]string{"/": {"GET", "HEAD"}, "/healthz": {"GET", "HEAD"}, "/readyz": {"GET", "HEAD"}, "/api/openapi": {"GET", "HEAD"}}
	for _, e := range a.endpoints(t) {
		offered[e.pattern] = append(offered[e.pattern], e.method)
		if e.method == "GET" {
			offered[e.pattern] = append(offered[e.pattern], "HEAD")
		}
	}
	for _, path := range []string{batchURL, previewURL} { // which is also an id's place, where nothing of that name is found
		offered[path] = append(offered[path], offered[messagesURL+"/{id}"]...)
	}
	if len(offered) < 30 {
		t.Fatalf("only %d paths", len(offered))
	}
	n := 0
	for pattern, methods := range offered {
		path := a.fill(pattern)
		if strings.HasSuffix(pattern, "/stream") {
			path += "?timeout=0"
		}
		slices.Sort(methods)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "QUERY", "X-" + strings.Repeat("A", 40)} {
			n++
			got := w.send(t, &request{method: method, path: path, header: with(a.headers(jsonType()), map[string]string{"Origin": "https://evil.example"})})
			what := method + " " + path
			guarded(t, what, got)
			if slices.Contains(methods, method) {
				if got.status == 405 {
					t.Errorf("%s: it is offered: %s", what, got.raw)
				}
				continue
			}
			allow := strings.Split(got.header.Get("Allow"), ", ")
			slices.Sort(allow)
			if got.status != 405 || !slices.Equal(allow, methods) || method != "HEAD" && got.code() != "method_not_allowed" {
				t.Errorf("%s: %d, Allow %q, want 405 and %v: %.200s", what, got.status, got.header.Get("Allow"), methods, got.raw)
			}
		}
	}
	for _, path := range []string{"/nothing", "/api/v1", "/api/v1/messages/", "//api/v1/app", "/api/../etc/passwd", "/%2e%2e/", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/vars", "/metrics/../debug/pprof/", "/.git/config", "/api/v1/messages%00"} {
		got := w.send(t, &request{method: "GET", path: path, header: a.headers(nil)})
		if guarded(t, path, got); got.status != 404 {
			t.Errorf("%s: %d %.200s", path, got.status, got.raw)
		}
	}
	if got := w.send(t, &request{method: "GET", path: "/metrics", header: a.headers(nil)}); got.status != 401 {
		t.Errorf("an app reads /metrics: %d", got.status)
	}
	for _, line := range []string{"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443", "GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: 127.0.0.1:22", "OPTIONS * HTTP/1.1\r\nHost: x"} {
		if got := w.raw(t, line+"\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0] < 200 || got[0] >= 500 || got[0] == 200 && !strings.HasPrefix(line, "OPTIONS") && !strings.HasPrefix(line, "GET") {
			t.Errorf("%s: %v", line, got)
		}
	}
	t.Logf("%d requests", n)
}

// guarded holds the headers of any answer.
func guarded(t *testing.T, what string, got answer) {
	t.Helper()
	h := got.header
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("X-Request-Id") == "" {
		t.Errorf("%s: %d without its headers: %v", what, got.status, h)
	}
	if len(got.raw) > 0 && h.Get("Content-Type") != "application/json; charset=utf-8" && !strings.HasPrefix(h.Get("Content-Type"), "text/csv; charset=utf-8") &&
		h.Get("Content-Type") != "text/event-stream" && h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s: content type %q", what, h.Get("Content-Type"))
	}
	for name := range h {
		if name == "Server" || name == "X-Powered-By" || strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s: %s", what, name, h.Get(name))
		}
	}
}

// raw sends bytes as they are and answers the statuses of all answers until the connection ends.
func (w *world) raw(t *testing.T, text string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		statuses = append(statuses, res.StatusCode)
	}
}

// TestSmuggling (S25): whatever two readers could take for one request or for two is
// refused, or one request; what is hidden behind it is never carried out.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	w := open(t, false)
	a := w.tenant(t, "smuggle", "")
	head := "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nX-App-ID: smuggle\r\nX-API-Key: " + a.key + "\r\nContent-Type: application/json\r\n"
	body := sms()
	hidden := head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(sms("body", `"hidden"`)), sms("body", `"hidden"`))
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	for name, x := range map[string]string{
		"CL and TE":                 fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len(hidden)+5) + hidden,
		"TE and CL":                 "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
		"two CLs":                   fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden,
		"CL in a list":              fmt.Sprintf("Content-Length: 0, %d\r\n\r\n", len(hidden)) + hidden,
		"CL with a sign":            fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(body)) + body + hidden,
		"CL in hexadecimal":         fmt.Sprintf("Content-Length: 0x%x\r\n\r\n", len(body)) + body + hidden,
		"negative CL":               "Content-Length: -1\r\n\r\n" + hidden,
		"xchunked":                  "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE twice":                  "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"TE with a tab":             "Transfer-Encoding:\tchunked, identity\r\n\r\n0\r\n\r\n" + hidden,
		"bare LF in a chunk's size": "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\n%s\r\n0\r\n\r\n", len(body), body) + hidden,
		"chunk size too large":      "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + hidden,
		"chunk extension over 16 K": "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", 20_000) + "\r\n{\r\n0\r\n\r\n" + hidden,
		"bare CR in a chunk's end":  "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\rx0\r\n\r\n", len(body), body) + hidden,
		"space before the colon":    fmt.Sprintf("Content-Length : %d\r\n\r\n", len(hidden)) + hidden,
		"folded TE":                 "Transfer-Encoding:\r\n xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"CR in a header":            fmt.Sprintf("X-A: b\rContent-Length: %d\r\nContent-Length: 0\r\n\r\n", len(hidden)) + hidden,
		"NUL in a header":           "X-A: b\x00c\r\nContent-Length: 0\r\n\r\n" + hidden,
		"two hosts":                 "Host: y\r\nContent-Length: 0\r\n\r\n" + hidden,
		"HTTP/0.9":                  "",
	} {
		request := head + x
		if x == "" {
			request = "GET /api/v1/app\r\n\r\n" + hidden
		}
		got := w.raw(t, request)
		// One answer, and the connection ends: nobody reads what is hidden behind it.
		if len(got) != 1 || got[0] < 400 || got[0] > 501 || got[0] == 500 {
			t.Errorf("%s: answers %v, want one refusal", name, got)
		}
	}
	if n := len(a.messages(t)); n != 0 {
		t.Errorf("%d hidden messages were accepted", n)
	}
	good := head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunk(body[:5]) + chunk(body[5:]) + "0\r\n\r\n"
	if got := w.raw(t, good); !slices.Equal(got, []int{202}) {
		t.Errorf("a good chunked request: %v", got)
	}
}

// TestSlowHeaders (S23): heads that come byte by byte are cut off after five seconds, and
// others are answered as if nobody else was there; idle connections cost nobody anything.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	w := open(t, false)
	a := w.tenant(t, "slow", "")
	const crowd = 300
	var conns []net.Conn
	var opened []time.Time
	for range crowd {
		opened = append(opened, time.Now())
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	began := time.Now()
	var wg sync.WaitGroup
	ended := make([]time.Duration, crowd)
	for i, conn := range conns {
		wg.Go(func() {
			_ = conn.SetReadDeadline(began.Add(10 * time.Second))
			_, _ = io.Copy(io.Discard, conn)
			ended[i] = time.Since(opened[i])
		})
		if i%10 == 0 { // some drip
			wg.Go(func() {
				for time.Since(began) < 8*time.Second {
					if _, err := io.WriteString(conn, "a"); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
		}
	}
	slowest, n := time.Duration(0), 0
	for ; time.Since(began) < 2*time.Second; n++ {
		sent := time.Now()
		if got := a.do(t, "POST", messagesURL, sms()); got.status != 202 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		slowest = max(slowest, time.Since(sent))
		time.Sleep(20 * time.Millisecond)
	}
	if slowest > time.Second || n < 10 {
		t.Errorf("beside %d slow clients %d requests took up to %v", crowd, n, slowest)
	}
	wg.Wait()
	for i, took := range ended {
		if took < 4*time.Second || took > 8*time.Second {
			t.Errorf("connection %d was cut off after %v, want about 5 s", i, took)
			break
		}
	}
	t.Logf("%d requests beside %d slow clients, the slowest %v", n, crowd, slowest)
}

// TestTheDatabaseHoldsNoSecret (S4, S47): nothing that opens anything can be read from the
// database: keys are hashes, credentials and webhook secrets sealed.
func TestTheDatabaseHoldsNoSecret(t *testing.T) {
	t.Parallel()
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"COMMS_ADMIN_KEY=" + adminKey, "COMMS_PROVISIONING_KEY=" + provisioningKey, "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()}
	for _, postgres := range []bool{false, true} {
		dir, url := t.TempDir(), ""
		own := append([]string{"COMMS_DATA_DIR=" + dir}, env...)
		if postgres {
			url = pgtest.Database(t)
			own = append(own, "COMMS_DATABASE_URL="+url)
		}
		w := start(t, own)
		a := w.tenant(t, "vault", `,"webhookUrl":"https://example.com/hook","webhookSecret":"a-secret-of-webhooks-123"`)
		if got := a.do(t, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","config":{"host":"mail.example.com","username":"u","password":"a-password-of-mail-456"}}`); got.status != 201 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		second := a.keyOf(t, "READ")
		a.do(t, "POST", messagesURL, sms())
		stored := ""
		if postgres {
			stored = dump(t, url)
		} else {
			stored = bytesOf(t, dir)
		}
		if !strings.Contains(stored, "vault") || !strings.Contains(stored, "mail.example.com") {
			t.Fatal("the dump is not one")
		}
		for what, secret := range map[string]string{"a key": a.key, "another key": second, "the webhook secret": "a-secret-of-webhooks-123", "a password": "a-password-of-mail-456", "the admin key": adminKey, "the provisioning key": provisioningKey, "the key ring": ring.Reveal()} {
			if strings.Contains(stored, secret) || strings.Contains(stored, secret[8:]) {
				t.Errorf("PostgreSQL %v: %s is in the database", postgres, what)
			}
		}
	}
}

// bytesOf is everything in the files of an SQLite database.
func bytesOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var b strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}

// dump is every row of every table as text, bytes both in hexadecimal and as they are.
func dump(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), `SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Table, Column, Kind string }])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range columns {
		value := pgx.Identifier{c.Column}.Sanitize()
		if c.Kind == "bytea" {
			value = "encode(" + value + ", 'escape')"
		}
		rows, err := conn.Query(t.Context(), "SELECT coalesce("+value+"::text, '') FROM "+pgx.Identifier{c.Table}.Sanitize())
		if err != nil {
			t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(c, err)
		}
		b.WriteString(strings.Join(texts, "\n"))
	}
	return b.String()
}

// TestSQLCharactersComeBack (S21): what would end or change a statement is text like other
// text, in every member and every parameter, on both databases.
func TestSQLCharactersComeBack(t *testing.T) {
	t.Parallel()
	const odd = `'; DROP TABLE apps;-- " \ %_ /* */ $1 ?1 :a`
	for _, postgres := range []bool{false, true} {
		w := open(t, postgres)
		a := w.tenant(t, "sql", "")
		id := a.do(t, "POST", messagesURL, email("subject", quoted(odd), "body", quoted(odd), "text", quoted(odd), "from", quoted(`"`+strings.ReplaceAll(strings.ReplaceAll(odd, `\`, ``), `"`, ``)+`" <o'brien@example.com>`), "to", `"o'brien--@example.com"`,
			"metadata", `{`+quoted(odd)+`:`+quoted(odd)+`}`, "tags", "["+quoted(odd)+"]", "idempotencyKey", quoted(odd))).str("id")
		got := a.do(t, "GET", messagesURL+"/"+id, "")
		metadata, _ := got.body["metadata"].(map[string]any)
		tags, _ := got.body["tags"].([]any)
		if got.str("subject") != odd || got.str("body") != odd || got.str("toAddress") != "o'brien--@example.com" || metadata[odd] != odd || len(tags) != 1 || tags[0] != odd || got.str("idempotencyKey") != odd {
			t.Errorf("PostgreSQL %v: %s", postgres, got.raw)
		}
		if again := a.do(t, "POST", messagesURL, email("idempotencyKey", quoted(odd))); again.code() != "idempotency_key_reused" {
			t.Errorf("%d %s", again.status, again.raw)
		}
		in := a.do(t, "POST", "/api/v1/templates", `{"key":"k","channel":"SMS","name":`+quoted(odd)+`,"body":`+quoted(odd)+`}`)
		if in.str("name") != odd || in.str("body") != odd {
			t.Errorf("%d %s", in.status, in.raw)
		}
		note := a.do(t, "POST", "/api/v1/suppressions", `{"channel":"EMAIL","address":"o'brien--@example.com","note":`+quoted(odd)+`}`)
		if note.str("note") != odd {
			t.Errorf("%d %s", note.status, note.raw)
		}
		for _, e := range a.endpoints(t) {
			if e.method != "GET" || strings.HasPrefix(e.path, "/api/admin/apps/") {
				continue
			}
			for _, name := range []string{"status", "channel", "to", "tag", "templateKey", "createdAfter", "cursor", "limit", "address", "reason", "search", "app", "action", "key", "format"} {
				q := &request{method: "GET", path: e.path + "?" + name + "=%27%3B+DROP+TABLE+apps%3B--%27+OR+%271%27%3D%271", header: e.header}
				if got := w.send(t, q); got.status >= 500 || got.status == 200 && len(got.list()) > 0 {
					t.Errorf("PostgreSQL %v: %s: %d %.200s", postgres, q.path, got.status, got.raw)
				}
			}
		}
		if n := len(a.messages(t)); n != 1 {
			t.Errorf("%d messages", n)
		}
	}
}
