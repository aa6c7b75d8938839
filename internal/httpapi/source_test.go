package httpapi

import (
	"context"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/store"
)

// mailbox has one message that the sandbox took.
type mailbox struct {
	store.Messages
	m comm.Message
}

func (b *mailbox) Message(_ context.Context, app, id comm.ID) (*comm.Message, error) {
	if id != b.m.ID || app != b.m.App {
		return nil, comm.E("not_found")
	}
	m := b.m
	return &m, nil
}

func (b *mailbox) FileHeads(context.Context, comm.ID, comm.ID) ([]store.FileHead, error) {
	return nil, nil
}

func (b *mailbox) Files(_ context.Context, app, id comm.ID) ([]comm.Attachment, error) {
	if id != b.m.ID || app != b.m.App {
		return nil, nil
	}
	return []comm.Attachment{{Filename: "Über.csv", ContentType: "text/csv", Content: []byte("a,b\r\n1,2\r\n")}, {Filename: "dot.gif", ContentType: "image/gif", Content: []byte{0, 1, 2, 255}}}, nil
}

// slowBox has files that take long to read.
type slowBox struct {
	*mailbox
	pause time.Duration
}

func (b slowBox) Files(context.Context, comm.ID, comm.ID) ([]comm.Attachment, error) {
	time.Sleep(b.pause)
	return []comm.Attachment{{Filename: "large.bin", ContentType: "application/octet-stream", Content: make([]byte, 4<<20)}}, nil
}

// The time for an answer counts from the request: what took most of it before the first byte left, or is read slowly, is whole all the same.
func TestALongSourceIsWhole(t *testing.T) {
	t.Parallel()
	const answerTime = 400 * time.Millisecond
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	b := &mailbox{Messages: w.store, m: comm.Message{
		State:   comm.State{ID: comm.NewID(5), App: one.app.ID, Channel: comm.Email, Provider: chain.Sandbox, SentAt: 1_000_000, CreatedAt: 900_000, Bytes: 400},
		Content: comm.Content{To: "ama@example.com", Subject: "Hello", Body: "<p>Hello</p>", Files: 1},
	}}
	w.api.cfg.Messages, w.api.cfg.Files = b, slowBox{b, answerTime * 3 / 2}
	ctx, stop := context.WithCancel(context.Background())
	server, err := httpserver.Listen(ctx, httpserver.Config{Addr: "127.0.0.1:0", Handler: w.handler, AnswerTime: answerTime, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	defer func() { stop(); <-done }()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+server.Addr().String()+"/api/v1/sandbox/messages/"+b.m.ID.String()+"/source", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-App-ID", one.app.Slug)
	r.Header.Set("X-API-Key", one.key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != res.ContentLength || res.StatusCode != http.StatusOK {
		t.Errorf("%d, %d of %d bytes, %v", res.StatusCode, n, res.ContentLength, err)
	}
}

func TestTheSourceOfACapturedMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	b := &mailbox{Messages: w.store, m: comm.Message{
		State:   comm.State{ID: comm.NewID(5), App: one.app.ID, Channel: comm.Email, Provider: chain.Sandbox, SentAt: 1_000_000, CreatedAt: 900_000, Bytes: 400},
		Content: comm.Content{To: "Ama Mensah <ama@example.com>", From: "Shop <shop@example.com>", Subject: "Grüße", Body: "<p>Hello</p>", Text: "Hello", CC: []string{"kofi@example.com"}, BCC: []string{"boss@example.com"}, ReplyTo: "help@example.com", Files: 2},
	}}
	w.api.cfg.Messages, w.api.cfg.Files = b, b
	url := "/api/v1/sandbox/messages/" + b.m.ID.String() + "/source"

	get := func(who tenant) answer {
		r := httptest.NewRequestWithContext(t.Context(), "GET", url, nil)
		r.Header.Set("X-App-ID", who.app.Slug)
		r.Header.Set("X-API-Key", who.key)
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, r)
		return answer{status: out.Code, header: out.Header(), raw: out.Body.Bytes()}
	}
	got := get(one)
	if got.status != 200 || got.header.Get("Content-Type") != "message/rfc822" || !strings.Contains(got.header.Get("Content-Disposition"), ".eml") {
		t.Fatalf("%d %v", got.status, got.header)
	}
	read, err := mail.ReadMessage(strings.NewReader(string(got.raw)))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	if err != nil || subject != "Grüße" || !strings.Contains(read.Header.Get("From"), "shop@example.com") || !strings.Contains(read.Header.Get("Cc"), "kofi@") || strings.Contains(string(got.raw), "boss@") {
		t.Errorf("%q %v %v", subject, read.Header, err)
	}
	_, params, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(read.Body, params["boundary"])
	var names []string
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := part.FileName(); name != "" {
			names = append(names, name)
		}
	}
	if strings.Join(names, " ") != "Über.csv dot.gif" {
		t.Errorf("files %q", names)
	}

	if got := get(two); got.status != 404 {
		t.Errorf("another app reads it: %d", got.status)
	}
	b.m.Content.Files, b.m.Content.From = 0, ""
	if got := get(one); got.status != 200 || !strings.Contains(string(got.raw), "sandbox@sandbox.commserver.test") {
		t.Errorf("without files and sender: %d %s", got.status, got.raw)
	}
	for name, change := range map[string]func(){
		"an SMS": func() { b.m.Channel = comm.SMS }, "without its content": func() { b.m.Channel, b.m.ContentGone = comm.Email, true }, "not captured": func() { b.m.ContentGone, b.m.Provider = false, "smtp" },
	} {
		before := b.m
		change()
		if got := get(one); got.status != 404 || !strings.Contains(string(got.raw), `"not_found"`) {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
		b.m = before
	}
}
