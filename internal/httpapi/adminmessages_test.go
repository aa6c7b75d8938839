package httpapi

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// TestTheAdministratorReadsAllThatWasSent: whom a mail went to, its text and what its attachments are, as long as its content is kept.
func TestTheAdministratorReadsAllThatWasSent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.upkeeps()
	one := w.tenant("one", comm.AllScopes)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	sent := w.do(one, "POST", "/api/v1/messages", `{"channel":"EMAIL","to":"ama@example.com","subject":"Hello","body":"<p>Hi</p>","text":"Hi","cc":["kofi@example.com"],"bcc":["books@example.com"],"replyTo":"help@example.com",
		"headers":{"X-Order":"4711"},"attachments":[{"filename":"bill.txt","contentType":"text/plain","content":"MTIzNA=="},{"filename":"b.bin","contentType":"application/octet-stream","content":"AA=="}]}`, nil)
	plain := w.do(one, "POST", "/api/v1/messages", sms(""), nil)
	if sent.status != 202 || plain.status != 202 {
		t.Fatalf("%s %s", sent.raw, plain.raw)
	}
	got, err := admin.Message(ctx, sent.str("id"))
	if err != nil {
		t.Fatal(err)
	}
	files := []client.AttachedFile{{Filename: "bill.txt", ContentType: "text/plain", Bytes: 4}, {Filename: "b.bin", ContentType: "application/octet-stream", Bytes: 1}}
	if strings.Join(got.CC, " ") != "kofi@example.com" || strings.Join(got.BCC, " ") != "books@example.com" || got.ReplyTo != "help@example.com" || got.Headers["X-Order"] != "4711" || got.Text != "Hi" || !reflect.DeepEqual(got.Files, files) {
		t.Errorf("%+v", got)
	}
	c := readContract(t)
	for _, id := range []string{sent.str("id"), plain.str("id")} {
		c.answer(t, "GET", "/api/admin/messages/{id}", w.root("GET", "/api/admin/messages/"+id, ""))
	}

	w.found(one, "ama@example.com", 1) // an erasure looks for what it erases
	made, err := admin.ErasePerson(ctx, one.app.ID.String(), "", "ama@example.com")
	if err != nil {
		t.Fatal(err)
	}
	w.erased(one, made.ID)
	after := w.root("GET", "/api/admin/messages/"+sent.str("id"), "")
	for _, want := range []string{`"contentRemoved":"erased"`, `"text":null`, `"cc":[]`, `"bcc":[]`, `"replyTo":null`, `"headers":{}`, `"files":[]`} {
		if !strings.Contains(string(after.raw), want) {
			t.Errorf("%s is not in %s", want, after.raw)
		}
	}
}
