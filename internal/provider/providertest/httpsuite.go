package providertest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider"
)

// RunHTTP holds an adapter against its vectors and against what every HTTP adapter must do.
func RunHTTP(t *testing.T, h HTTP) {
	t.Run("fields", func(t *testing.T) { Fields(t, h.Adapter) })
	t.Run("send", h.sends)
	t.Run("ask", h.asks)
	t.Run("verify", h.verifies)
	t.Run("reports", h.reports)
	t.Run("calls the usual address over HTTPS", h.usual)
	t.Run("sends once each, on kept connections", h.once)
	t.Run("obeys its context", h.obeys)
	t.Run("hides its login", h.login)
	for _, b := range h.behaviours(t) {
		t.Run("the provider "+b.name, func(t *testing.T) {
			t.Parallel()
			h.meets(t, &b)
		})
	}
	for name, dial := range h.unreachable() {
		t.Run("the provider "+name, func(t *testing.T) {
			t.Parallel()
			h.meets(t, &behaviour{dial: dial.dial, classes: []provider.Class{dial.class}, code: dial.code})
		})
	}
}

// behaviour is what a provider may do to a call, and what the sender must make of it.
type behaviour struct {
	name    string
	serve   func(c net.Conn) // after the whole request was read
	unread  bool             // serve begins before the request is read
	dial    Dialer           // instead of serve
	classes []provider.Class // one of them
	code    string           // if not ""
	after   time.Duration    // RetryAfter, if the class has one
	exact   bool             // the RetryAfter must be after
	slow    bool             // it ends with the context alone
}

// patience is how long a provider that is slow is waited for once it has the request: long
// enough for a busy machine to let its answer's beginning arrive.
const patience = time.Second

// meets sends one message to a provider that behaves so.
func (h *HTTP) meets(t *testing.T, b *behaviour) {
	const limit = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var mu sync.Mutex
	requests := 0
	dial := b.dial
	if dial == nil {
		dial = Peer(t, func(c net.Conn) {
			defer c.Close()
			in := bufio.NewReader(c)
			for {
				if !b.unread {
					if _, err := readRequest(in); err != nil {
						return
					}
				} else if _, err := in.Peek(1); err != nil {
					return
				}
				mu.Lock()
				requests++
				mu.Unlock()
				if b.slow {
					time.AfterFunc(patience, cancel)
				}
				b.serve(c)
				if b.unread || b.slow {
					return
				}
			}
		})
	}
	var log Log
	v := h.base(t)
	targets := map[string]bool{}
	sender, settings := h.open(t, v, provider.Env{
		DialHTTP: func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			targets[address] = true
			mu.Unlock()
			return dial(ctx, network, address)
		},
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	m := h.message(t, v)
	hidden := h.hidden(settings, m)
	begin := time.Now()
	receipt, err := sender.Send(ctx, m)
	if took := time.Since(begin); took > limit+10*time.Second {
		t.Errorf("took %v", took)
	}
	e := b.judge(t, receipt, err)
	shown := fmt.Sprintf("%+v | %v | %s", receipt, err, log.String())
	if e != nil {
		shown += fmt.Sprintf(" | %s | %s | %v", e.Code, e.Text, e.Cause)
	}
	for _, secret := range hidden {
		if strings.Contains(strings.ToLower(shown), strings.ToLower(secret)) {
			t.Errorf("%q comes out in %s", secret, shown)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if requests > 1 || len(targets) > 1 {
		t.Errorf("%d requests, to %v", requests, targets)
	}
}

// judge compares what a call came to with what was to be.
func (b *behaviour) judge(t *testing.T, receipt provider.Receipt, err error) *provider.Error {
	t.Helper()
	class := provider.Accepted
	var e *provider.Error
	if err != nil {
		if !errors.As(err, &e) {
			t.Fatalf("an error without a class: %v", err)
		}
		if class = e.Class; class == provider.Accepted || e.Text == "" || len(e.Text) > 256 {
			t.Errorf("class %s, text of %d bytes", class, len(e.Text))
		}
		if b.code != "" && e.Code != b.code {
			t.Errorf("code %s, want %s", e.Code, b.code)
		}
		if waits := class == provider.RateLimited || class == provider.Transient; waits && b.exact && e.RetryAfter != b.after {
			t.Errorf("waits %v, want %v", e.RetryAfter, b.after)
		}
	} else if len(receipt.Detail) > 256 {
		t.Errorf("a detail of %d bytes", len(receipt.Detail))
	}
	if !slices.Contains(b.classes, class) {
		t.Errorf("class %s (%v), want one of %v", class, err, b.classes)
	}
	return e
}

// hidden are what must not come out: the configuration's secrets in the forms in which a provider may
// repeat them, and the message's addresses and texts.
func (h *HTTP) hidden(s provider.Settings, m *provider.Message) []string {
	out := append([]string{m.Content.To, m.Content.Body}, m.Content.CC...)
	out = append(out, m.Content.BCC...)
	for _, f := range h.Adapter.Fields {
		if secret := s[f.Name]; f.Secret && secret != "" {
			out = append(out, secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)))
			for shift := range 3 {
				if core := base64Core(secret, shift); len(core) > 8 {
					out = append(out, core)
				}
			}
		}
	}
	return append(out, callbackToken)
}

// says answers with a text and keeps the connection.
func says(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, wireAnswer(text)) }
}

// raw answers with exactly this, and closes.
func raw(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	}
}

func resets(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// silent waits until the client goes away.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// drips sends a text at once and then one octet at a time without end.
func drips(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, text)
		for err == nil {
			time.Sleep(10 * time.Millisecond)
			_, err = io.WriteString(c, "x")
		}
	}
}

const page = "<!doctype html><html><head><title>Welcome</title></head><body>It works!</body></html>"

// behaviours are those that every adapter meets.
func (h *HTTP) behaviours(t *testing.T) []behaviour {
	unknown := []provider.Class{provider.Ambiguous}
	unread := unknown
	if h.StatusDecides {
		unread = []provider.Class{provider.Accepted}
	}
	account := []provider.Class{provider.Account}
	refused := []provider.Class{provider.Account, provider.PermanentHere}
	limited := []provider.Class{provider.RateLimited}
	const html = "Content-Type: text/html\n\n" + page
	const json = "Content-Type: application/json\n\n"
	moved := "Location: http://169.254.169.254/latest\nContent-Length: 0\n"
	all := []behaviour{
		{name: "answers 200 with an empty body", serve: says("HTTP/1.1 200 OK\n"), classes: unread},
		{name: "answers 200 with a page", serve: says("HTTP/1.1 200 OK\n" + html), classes: unread},
		{name: "answers 200 with half a document", serve: says("HTTP/1.1 200 OK\n" + json + `{"id":"49a3`), classes: unread},
		{name: "answers 200 with null", serve: says("HTTP/1.1 200 OK\n" + json + "null"), classes: unread},
		{name: "answers 200 with a list", serve: says("HTTP/1.1 200 OK\n" + json + `[[],{},"x",1]`), classes: unread},
		{name: "answers 200 with an empty object", serve: says("HTTP/1.1 200 OK\n" + json + "{}"), classes: unread},
		{name: "answers 200 with rubbish", serve: says("HTTP/1.1 200 OK\n" + json + strings.Repeat("\x00\xff\xfe{[", 1000)), classes: unread},
		{name: "answers 200 with 10,000 brackets", serve: says("HTTP/1.1 200 OK\n" + json + strings.Repeat("[", 10_000)), classes: unread},
		{name: "answers 200 with a gigabyte", serve: raw("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n" + strings.Repeat("x", 1<<20)), classes: unread},
		{name: "answers 200 and breaks off", serve: raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\":"), classes: unread},
		{name: "answers 200 drop by drop", serve: drips("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{"), slow: true, classes: unread},
		{name: "answers 202 with an empty object", serve: says("HTTP/1.1 202 Accepted\n" + json + "{}"), classes: unread},
		{name: "answers 204", serve: says("HTTP/1.1 204 No Content\n"), classes: unread},
		{name: "answers 226 with a page", serve: says("HTTP/1.1 226 IM Used\n" + html), classes: unread},

		{name: "answers 500 without a body", serve: says("HTTP/1.1 500 Internal Server Error\n"), classes: unknown},
		{name: "answers 500 with a page", serve: says("HTTP/1.1 500 Internal Server Error\n" + html), classes: unknown},
		{name: "answers 502 with a page", serve: says("HTTP/1.1 502 Bad Gateway\n" + html), classes: unknown},
		{name: "answers 503 without a body", serve: says("HTTP/1.1 503 Service Unavailable\n"), classes: unknown},
		{name: "answers 503 and says for how long", serve: says("HTTP/1.1 503 Service Unavailable\nRetry-After: 7\n"), classes: unknown},
		{name: "answers 504 with a page", serve: says("HTTP/1.1 504 Gateway Timeout\n" + html), classes: unknown},
		{name: "answers 999", serve: says("HTTP/1.1 999 What\n" + html), classes: unknown},

		{name: "answers 429 without a word", serve: says("HTTP/1.1 429 Too Many Requests\n"), classes: limited, exact: true},
		{name: "answers 429 with seconds", serve: says("HTTP/1.1 429 Too Many Requests\nRetry-After: 7\n"), classes: limited, after: 7 * time.Second, exact: true},
		{name: "answers 429 with a date", serve: says("HTTP/1.1 429 Too Many Requests\nDate: Fri, 03 Jul 2026 10:00:00 GMT\nRetry-After: Fri, 03 Jul 2026 10:00:30 GMT\n"),
			classes: limited, after: 30 * time.Second, exact: true},
		{name: "answers 429 with an absurd time", serve: says("HTTP/1.1 429 Too Many Requests\nRetry-After: 99999999999999999999\n"), classes: limited, after: 24 * time.Hour, exact: true},
		{name: "answers 429 with a negative time", serve: says("HTTP/1.1 429 Too Many Requests\nRetry-After: -5\n"), classes: limited, exact: true},
		{name: "answers 429 with words", serve: says("HTTP/1.1 429 Too Many Requests\nRetry-After: soon\n"), classes: limited, exact: true},

		{name: "answers 401 without a body", serve: says("HTTP/1.1 401 Unauthorized\n"), classes: account},
		{name: "answers 403 with a page", serve: says("HTTP/1.1 403 Forbidden\n" + html), classes: account},
		{name: "answers 404 with a page", serve: says("HTTP/1.1 404 Not Found\n" + html), classes: account},
		{name: "answers 413 without a body", serve: says("HTTP/1.1 413 Content Too Large\n"), classes: []provider.Class{provider.PermanentHere}},
		{name: "answers 400 with a page", serve: says("HTTP/1.1 400 Bad Request\n" + html), classes: []provider.Class{provider.PermanentHere}},

		{name: "is silent", serve: silent, slow: true, classes: unknown, code: "outcome_unknown"},
		{name: "answers headers drop by drop", serve: drips("HTTP/1.1 200 OK\r\nX-Slow: "), slow: true, classes: unknown, code: "outcome_unknown"},
		{name: "closes after the request", serve: raw(""), classes: unknown, code: "outcome_unknown"},
		{name: "resets after the request", serve: resets, classes: unknown, code: "outcome_unknown"},
		{name: "resets before the request was read", serve: resets, unread: true, classes: []provider.Class{provider.Ambiguous, provider.Transient}},
		{name: "talks rubbish", serve: raw(strings.Repeat("rubbish\r\n", 100)), classes: unknown, code: "outcome_unknown"},
		{name: "sends a megabyte of headers", serve: raw("HTTP/1.1 200 OK\r\nX-Fill: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), classes: unknown, code: "outcome_unknown"},
	}
	for _, status := range []string{"301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"} {
		all = append(all, behaviour{name: "answers " + status, serve: says("HTTP/1.1 " + status + "\n" + moved), classes: refused})
	}
	return append(all, h.echoes(t)...)
}

// echoes are answers that repeat what was sent, each with another part of it.
func (h *HTTP) echoes(t *testing.T) []behaviour {
	v := h.base(t)
	form := v.Section("echo")
	if !strings.Contains(form, "{echo}") {
		t.Fatal("defaults.txtar has no section echo, an answer in which {echo} stands where the provider repeats what it was sent")
	}
	settings := provider.Settings{}
	v.decode(t, "settings", &settings)
	var out []behaviour
	for _, text := range h.hidden(h.lifted(settings), h.message(t, v)) {
		quoted, _ := json.Marshal("bad: " + text + " is <" + text + ">")
		out = append(out, behaviour{name: fmt.Sprintf("repeats part %d of what it was sent", len(out)+1),
			serve:   says(strings.ReplaceAll(form, "{echo}", string(quoted[1:len(quoted)-1]))),
			classes: []provider.Class{provider.PermanentMessage, provider.PermanentHere, provider.Account}})
	}
	return out
}

type failing struct {
	dial  Dialer
	class provider.Class
	code  string
}

// unreachable are the ways in which there is no connection.
func (h *HTTP) unreachable() map[string]failing {
	fails := func(err error) Dialer {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	return map[string]failing{
		"refuses connections": {fails(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), provider.Transient, "connect_failed"},
		"has no address":      {fails(&net.DNSError{Err: "no such host", Name: "x.test", IsNotFound: true}), provider.Transient, "dns_error"},
		"is not allowed":      {fails((&guard.Dialer{}).CheckHost("10.0.0.1")), provider.Account, "blocked_address"},
	}
}

// accepting is an answer that accepts, out of the vectors.
func (h *HTTP) accepting(t testing.TB) string {
	t.Helper()
	for _, v := range h.vectors(t, "send-") {
		for _, name := range v.cases("answer") {
			if lines(v.Section("expect" + name))["class"] == provider.Accepted.String() {
				return wireAnswer(v.Section("answer" + name))
			}
		}
	}
	t.Fatal("no vector has an answer that accepts")
	return ""
}

// usual checks where the sender goes while nothing else is configured.
func (h *HTTP) usual(t *testing.T) {
	v := h.base(t)
	settings := provider.Settings{}
	v.decode(t, "settings", &settings)
	settings = maps.Clone(settings)
	delete(settings, "baseUrl")
	host := ""
	for _, f := range h.Adapter.Fields {
		if f.Name == "baseUrl" {
			u, err := url.Parse(f.Default)
			if err != nil || u.Scheme != "https" {
				t.Fatalf("the usual address is %q (%v)", f.Default, err)
			}
			host = u.Host
		}
	}
	if host == "" {
		t.Skip("the provider has no usual address")
	}
	var dialed string
	sender, err := h.Adapter.Open(settings, provider.Env{
		DialHTTP: func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialed without encryption")
			return nil, errors.New("no")
		},
		DialHTTPS: func(_ context.Context, _, address string) (net.Conn, error) {
			dialed = address
			return nil, errors.New("no")
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	if dialed != "" {
		t.Error("Open dialed")
	}
	if _, err := sender.Send(context.Background(), h.message(t, v)); err == nil || dialed != host+":443" {
		t.Errorf("dialed %q, %v", dialed, err)
	}
}

// once counts: every Send is one request, also where many run at once and the provider drops connections.
func (h *HTTP) once(t *testing.T) {
	accept := h.accepting(t)
	var mu sync.Mutex
	conns, requests := 0, 0
	dial := Peer(t, func(c net.Conn) {
		defer c.Close()
		mu.Lock()
		conns++
		mu.Unlock()
		in := bufio.NewReader(c)
		for n := 1; ; n++ {
			if _, err := readRequest(in); err != nil {
				return
			}
			mu.Lock()
			requests++
			mu.Unlock()
			if n == 5 { // the fifth request on a connection is lost
				return
			}
			if _, err := io.WriteString(c, accept); err != nil {
				return
			}
		}
	})
	v := h.base(t)
	sender, _ := h.open(t, v, provider.Env{DialHTTP: dial})
	const workers, each = 16, 20
	var all sync.WaitGroup
	accepted, lost := 0, 0
	for range workers {
		all.Go(func() {
			for range each {
				_, err := sender.Send(context.Background(), h.message(t, v))
				mu.Lock()
				switch {
				case err == nil:
					accepted++
				case provider.Classify(err).Class == provider.Ambiguous:
					lost++
				default:
					t.Errorf("Send: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if requests != workers*each || accepted+lost != requests || lost > conns || conns > requests/2 {
		t.Errorf("%d sends: %d requests on %d connections, %d accepted, %d lost", workers*each, requests, conns, accepted, lost)
	}
}

func (h *HTTP) obeys(t *testing.T) {
	v := h.base(t)
	t.Run("ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		sender, _ := h.open(t, v, provider.Env{DialHTTP: func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialed although the context had ended")
			return nil, errors.New("no")
		}})
		_, err := sender.Send(ctx, h.message(t, v))
		if e := provider.Classify(err); err == nil || e.Class != provider.Transient {
			t.Errorf("got %v", err)
		}
	})
	t.Run("hurries while nothing is sent", func(t *testing.T) {
		hurry, rush := context.WithCancel(context.Background())
		defer rush()
		sender, _ := h.open(t, v, provider.Env{DialHTTP: func(ctx context.Context, _, _ string) (net.Conn, error) {
			rush()
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		m := h.message(t, v)
		m.Hurry = hurry
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := sender.Send(ctx, m)
		if e := provider.Classify(err); err == nil || e.Class != provider.Transient || e.Code != "no_answer" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ends while the provider is silent", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		dial := Peer(t, func(c net.Conn) {
			defer c.Close()
			if _, err := readRequest(bufio.NewReader(c)); err == nil {
				cancel()
				silent(c)
			}
		})
		sender, _ := h.open(t, v, provider.Env{DialHTTP: dial})
		begin := time.Now()
		_, err := sender.Send(ctx, h.message(t, v))
		if e := provider.Classify(err); err == nil || e.Class != provider.Ambiguous || time.Since(begin) > 10*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}
