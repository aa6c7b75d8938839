package console

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/httpserver"
)

// nastyMail has a file whose name is markup.
const nastyMail = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n" +
	"--b\r\nContent-Type: image/svg+xml\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename*=utf-8''%3Cscript%3Ealert%281%29%3E.svg\r\n\r\nPHN2Zz4=\r\n--b--\r\n"

// checkStored: what others wrote is stored as a file and never shown.
func checkStored(t *testing.T, name, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Header()
	switch {
	case name == "empty" && w.Code == http.StatusNotFound:
	case w.Code != http.StatusOK || h.Get("Content-Type") != "application/octet-stream" && h.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment;"):
		t.Errorf("%s %s: %d %v", name, path, w.Code, h)
	default:
		checkHead(t, path, h, false)
	}
}

func TestPhoneOf(t *testing.T) {
	t.Parallel()
	plain := phoneOf(strings.Repeat("a", 161))
	if len(plain.Parts) != 2 || plain.UCS2 || len(plain.Forced) != 0 || len(plain.Parts[0].Runs) != 1 || len(plain.Parts[0].Runs[0].Text) != 153 {
		t.Errorf("%+v", plain)
	}
	wide := phoneOf("Hi “Ama” 😀")
	if !wide.UCS2 || len(wide.Parts) != 1 || len(wide.Forced) != 3 || wide.Forced[0].Code != "U+201C" || wide.Forced[0].Instead != `"` || wide.Forced[2].Code != "U+1F600" || wide.Forced[2].Instead != "" {
		t.Errorf("%+v", wide)
	}
	var shown []string
	for _, r := range wide.Parts[0].Runs {
		if r.Forced {
			shown = append(shown, r.Text)
		}
	}
	if strings.Join(shown, "|") != "“|”|😀" {
		t.Errorf("marked: %q", shown)
	}
	if hidden := phoneOf("a\u200bb").Forced; len(hidden) != 1 || hidden[0].Shown != "invisible" || hidden[0].Code != "U+200B" {
		t.Errorf("%+v", hidden)
	}
	if got := phoneOf(""); len(got.Parts) != 1 || got.Units != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAttachmentsOf(t *testing.T) {
	t.Parallel()
	got := attachmentsOf([]byte(strings.ReplaceAll(nastyMail, `\r\n`, "\r\n")))
	if len(got) != 1 || got[0].kind != "image/svg+xml" || string(got[0].content) != "<svg>" {
		t.Errorf("%+v", got)
	}
	for name, source := range map[string]string{"nothing": "", "one part": "Subject: x\r\n\r\nHi", "no boundary": "Content-Type: multipart/mixed\r\n\r\nHi",
		"cut": "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=a\r\nContent-Transfer-Encoding: base64\r\n\r\n*"} {
		if got := attachmentsOf([]byte(source)); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// However many open mails at once, few are in memory; whoever waits too long is told so, and every place is given back.
func TestFewCapturedMailsAreInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &fakeAPI{answers: full()})
		path := sandboxPath + "/shop/" + hookID + "/source"
		for range largeMails {
			c.large <- struct{}{} // somebody reads slowly
		}
		began := time.Now()
		if w := ask(c, "GET", path, nil); w.Code != http.StatusServiceUnavailable || time.Since(began) != largeWait {
			t.Errorf("%d after %v", w.Code, time.Since(began))
		}
		<-c.large
		if w := ask(c, "GET", path, nil); w.Code != http.StatusOK {
			t.Errorf("%d %.300s", w.Code, w.Body)
		}
		if len(c.large) != largeMails-1 {
			t.Errorf("%d places are taken", len(c.large))
		}
	})
}

// sipper is a browser that takes what it is answered slowly, as its deadline is.
type sipper struct {
	*httptest.ResponseRecorder
	due time.Time
}

func (s *sipper) SetWriteDeadline(at time.Time) error { s.due = at; return nil }

func (s *sipper) Write(b []byte) (int, error) {
	const takes = 30 * time.Second
	if left := time.Until(s.due); left < takes {
		time.Sleep(left)
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(takes)
	return s.ResponseRecorder.Write(b)
}

// Whoever reads captured mails slowly leaves places to others, and has no place for ever.
func TestSlowReadersLeavePlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{answers: full()}
		path := sandboxPath + "/shop/" + hookID + "/source"
		api.answers["GET /api/v1/sandbox/messages/"+hookID+"/source"] = "200 " + strings.Repeat("x", 4<<20)
		c := open(t, api)
		for range largeMails {
			go func() {
				r := httptest.NewRequest("GET", path, nil)
				r.Header.Set("Cookie", cookie)
				c.Handler().ServeHTTP(&sipper{ResponseRecorder: httptest.NewRecorder()}, r)
			}()
			synctest.Wait()
		}
		began := time.Now()
		for _, want := range []struct {
			after time.Duration
			taken int
		}{{30 * time.Second, largeMails}, {httpserver.WriteTimeout + time.Second, 2}, {9 * time.Minute, 2}, {httpserver.HeldTime + time.Second, 0}} {
			time.Sleep(want.after - time.Since(began))
			if n := len(c.large); n != want.taken {
				t.Errorf("%v after it %d places are taken, want %d", want.after, n, want.taken)
			}
		}
	})
}

// Who asks for no app sees what was captured last, and goes on seeing that app.
func TestTheInboxOfWhoSentLast(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps"] = `200 {"data":[{"id":"d","slug":"demo","name":"Demo","sandboxMode":true},{"id":"n","slug":"newcomer","name":"Newcomer","sandboxMode":true}],"nextCursor":null}`
	api.answers["GET /api/admin/apps/n"] = `200 {"id":"n","slug":"newcomer","name":"Newcomer","sandboxMode":true}`
	api.answers["GET /api/admin/messages"] = `200 {"data":[{"id":"m1","app":{"id":"d","slug":"demo"}},{"id":"m2","sandbox":true,"app":{"id":"n","slug":"newcomer"}}],"nextCursor":null}`
	c := open(t, api)
	if body := ask(c, "GET", sandboxPath, nil).Body.String(); !strings.Contains(body, `value="newcomer"`) || !strings.Contains(body, `hx-get="/console/sandbox?app=newcomer"`) {
		t.Errorf("%s", body)
	}
	if body := ask(c, "GET", sandboxPath, nil).Body.String(); !strings.Contains(body, "app=newcomer&amp;cursor=abc") {
		t.Errorf("the next page is of another app: %s", body)
	}
	api.answers["GET /api/admin/messages"] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
	if body := ask(c, "GET", sandboxPath, nil).Body.String(); !strings.Contains(body, `value="demo"`) {
		t.Errorf("%s", body)
	}
}

// TestTheInboxOfARecipient: the recipient goes to the API and stays while the page is fetched again and paged through.
func TestTheInboxOfARecipient(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/*"] = `200 {"id":"a","slug":"shop","name":"Shop","sandboxMode":true}`
	c := open(t, api)
	at := sandboxPath + "?app=shop&channel=EMAIL&to=+ama%2B1%40example.com+"
	body := ask(c, "GET", at, nil).Body.String()
	if call := "GET /api/v1/sandbox/messages?channel=EMAIL&limit=25&to=ama%2B1%40example.com shop"; !slices.Contains(api.calls, call) {
		t.Errorf("the API was asked %q, not %q", api.calls, call)
	}
	for _, want := range []string{`name="to" type="search" value="ama&#43;1@example.com"`, `hx-get="/console/sandbox?app=shop&amp;channel=EMAIL&amp;to=`, `href="?app=shop&amp;channel=EMAIL&amp;cursor=abc&amp;to=`, `href="/console/sandbox?app=shop">Clear`} {
		if !strings.Contains(body, want) {
			t.Errorf("not in the page: %s\n%s", want, body)
		}
	}
	for answer, want := range map[string]string{
		`200 {"data":[],"nextCursor":null}`:  "Nothing like this was captured",
		`200 {"data":[],"nextCursor":"abc"}`: "There are older ones to look at",
		`400 {"error":"The query is wrong.","details":{"code":"invalid_query","fields":{"to":"is no address"}}}`: "Is no address.",
	} {
		api.answers["GET /api/v1/sandbox/messages"] = answer
		w := ask(c, "GET", at, nil)
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(body, want) || !strings.Contains(body, `value="ama&#43;1@example.com"`) || strings.Contains(body, "Nothing was captured yet") {
			t.Errorf("%s: %d %s", answer, w.Code, body)
		}
	}
	if body := ask(c, "GET", sandboxPath+"?app=shop", nil).Body.String(); strings.Contains(body, ">Clear") {
		t.Errorf("there is nothing to clear: %s", body)
	}
}
