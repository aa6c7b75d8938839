package console

import (
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// sentMail is an answer of the API: a live mail with all that a mail can have.
const sentMail = `200 {"id":"` + hookID + `","channel":"EMAIL","status":"DELIVERED","toAddress":"ama@example.com","subject":"Your order","body":"<p>It <b>left</b>.</p>","text":"It left.","cc":["kofi@example.com","esi@example.com"],
	"bcc":["books@example.com"],"replyTo":"Shop <help@example.com>","headers":{"X-Order":"4711"},"files":[{"filename":"bill <1>.pdf","contentType":"application/pdf","bytes":20480}],"app":{"id":"a","slug":"shop","name":"Shop"}}`

// TestAMessageShowsAllThatWasSent: whom a live mail went to, its text beside its HTML, and what was attached, each escaped; and none of it where its
// content was removed.
func TestAMessageShowsAllThatWasSent(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	const at = messagesPath + "/" + hookID
	c := open(t, api)
	shown := func(query string) string {
		t.Helper()
		w := ask(c, "GET", at+query, nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %.300s", query, w.Code, w.Body)
		}
		checkPage(t, c, query, w.Body.String())
		return w.Body.String()
	}
	inContent := func(page string) string {
		_, rest, _ := strings.Cut(page, `id="h-content"`)
		part, _, _ := strings.Cut(rest, `</section>`)
		return part
	}
	api.answers["GET /api/admin/messages/"+hookID] = sentMail
	all := []string{"ama@example.com", "kofi@example.com, esi@example.com", "books@example.com", html.EscapeString("Shop <help@example.com>"), "X-Order", "4711", html.EscapeString("bill <1>.pdf"), "application/pdf, 20 kB"}
	for query, own := range map[string]string{"": at + "/content?as=light", "?view=dark": at + "/content?as=dark", "?view=text": "It left.</pre>", "?view=source": html.EscapeString("<p>It <b>left</b>.</p>"), "?view=other": at + "/content?as=light"} {
		part := inContent(shown(query))
		for _, want := range append(all, own) {
			if !strings.Contains(part, want) {
				t.Errorf("%q does not show %q: %s", query, want, part)
			}
		}
	}
	if page := shown("?live=off"); !strings.Contains(page, `href="`+at+`?live=off&amp;view=text#h-content"`) {
		t.Error("another view begins to update by itself again")
	}
	if page := shown(""); len(page) > 40<<10 {
		t.Errorf("the page takes %d bytes", len(page))
	}

	api.answers["GET /api/admin/messages/"+hookID] = strings.Replace(sentMail, `"text":"It left."`, `"text":null`, 1)
	if part := inContent(shown("?view=text")); !strings.Contains(part, "It left.") || !strings.Contains(part, "Made from the HTML") {
		t.Errorf("the text that is made: %s", part)
	}
	api.answers["GET /api/admin/messages/"+hookID] = strings.Replace(sentMail, `"body":"<p>It <b>left</b>.</p>"`, `"body":null`, 1)
	if part := inContent(shown("")); !strings.Contains(part, "It left.</pre>") || strings.Contains(part, "<iframe") || strings.Contains(part, "view=source") {
		t.Errorf("a mail without HTML: %s", part)
	}
	api.answers["GET /api/admin/messages/"+hookID] = `200 {"id":"` + hookID + `","channel":"EMAIL","status":"DELIVERED","toAddress":"a***@example.com","contentRemoved":"content_purged","app":{"id":"a","slug":"shop"}}`
	if part := inContent(shown("")); !strings.Contains(part, gone["content_purged"]) || strings.Contains(part, "<dl") || strings.Contains(part, "view=") || strings.Contains(part, "Attachments") {
		t.Errorf("what was removed: %s", part)
	}
}

// checkFrameSays: what a frame is answered stands in it, whatever it is. The sign-in page and error pages are in no frame: the browser would
// show that it refuses them.
func checkFrameSays(t *testing.T, path string, w *httptest.ResponseRecorder, status int, words string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), words) {
		t.Errorf("%s: %d %s", path, w.Code, w.Body)
	}
	checkHead(t, path, w.Header(), true)
}
