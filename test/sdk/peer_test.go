package sdk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// act is what the scripted peer does with one connection, which carries one request.
type act struct {
	// Answer is sent whole.
	Answer *struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
		Text    *string           `json:"text"` // instead of Body
	} `json:"answer"`
	// Accepts answers a batch as the server does that queues each of its messages.
	Accepts bool `json:"accepts"`
	// Cut ends the connection: "before" reading the request, "after" it, or in the "middle" of an answer of 200.
	Cut string `json:"cut"`
	// Hang reads the request and answers nothing for as long as the client waits.
	Hang bool `json:"hang"`
}

// seen is a request as the peer read it.
type seen struct {
	Method, Path   string
	Query, Headers map[string]any // names of headers in lower case
	Body           any
	AtMs           int64
	Cut            bool // the connection was ended before the request was read
}

// value is the request as vectors speak of it.
func (s *seen) value() map[string]any {
	return map[string]any{"method": s.Method, "path": s.Path, "query": s.Query, "headers": s.Headers, "body": s.Body}
}

// peer plays a server that fails as it is told to, one act for each request. Past the last act it is done again.
type peer struct {
	t        *testing.T
	listener net.Listener
	acts     []act
	mu       sync.Mutex
	got      []seen
	served   sync.WaitGroup
	closed   chan struct{}
}

func newPeer(t *testing.T, acts []act) *peer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, listener: l, acts: acts, closed: make(chan struct{})}
	p.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.served.Go(func() { p.serve(conn) })
		}
	})
	return p
}

func (p *peer) url() string { return "http://" + p.listener.Addr().String() }

func (p *peer) close() {
	_ = p.listener.Close()
	close(p.closed)
	p.served.Wait()
}

func (p *peer) requests() []seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

// next notes a request and answers what to do with it.
func (p *peer) next(s seen) act {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.AtMs = time.Now().UnixMilli()
	p.got = append(p.got, s)
	return p.acts[min(len(p.got), len(p.acts))-1]
}

// peek is the act of the next request.
func (p *peer) peek() act {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acts[min(len(p.got), len(p.acts)-1)]
}

func (p *peer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	go func() { <-p.closed; _ = conn.Close() }()
	r := bufio.NewReader(conn)
	if p.peek().Cut == "before" {
		if _, err := r.Peek(1); err == nil { // a connection that is opened ahead is no request
			p.next(seen{Cut: true})
		}
		return
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		return // opened and not used
	}
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	s := seen{Method: req.Method, Path: req.URL.EscapedPath(), Query: map[string]any{}, Headers: map[string]any{}}
	for name, values := range req.URL.Query() {
		s.Query[name] = strings.Join(values, ",")
	}
	for name, values := range req.Header {
		s.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	_ = json.Unmarshal(body, &s.Body) // else it is text
	a := p.next(s)
	if a.Accepts {
		a = accepting(s.Body)
	}
	p.play(conn, r, a)
}

// accepting is the answer to a batch of which each message is queued.
func accepting(body any) act {
	messages, _ := dig(body, []string{"messages"})
	items, _ := messages.([]any)
	data := make([]any, len(items))
	for i := range items {
		data[i] = map[string]any{"index": i, "id": fmt.Sprintf("cm%023d", i), "status": "QUEUED"}
	}
	return actOf(map[string]any{"status": http.StatusAccepted, "body": map[string]any{"data": data}})
}

func (p *peer) play(conn net.Conn, r io.Reader, a act) {
	switch {
	case a.Hang:
		_, _ = io.Copy(io.Discard, r) // until the client goes
	case a.Cut == "after":
	case a.Cut == "middle":
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":")
	case a.Answer != nil:
		text := string(a.Answer.Body)
		if a.Answer.Text != nil {
			text = *a.Answer.Text
		}
		var b strings.Builder
		fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nConnection: close\r\n", a.Answer.Status, http.StatusText(a.Answer.Status))
		if a.Answer.Status != http.StatusNoContent {
			b.WriteString("Content-Length: " + strconv.Itoa(len(text)) + "\r\n")
			if a.Answer.Headers["Content-Type"] == "" {
				b.WriteString("Content-Type: application/json\r\n")
			}
		}
		for name, value := range a.Answer.Headers {
			b.WriteString(name + ": " + value + "\r\n")
		}
		_, _ = io.WriteString(conn, b.String()+"\r\n"+text)
	default:
		p.t.Errorf("the peer does not know what to do: %+v", a)
	}
}
