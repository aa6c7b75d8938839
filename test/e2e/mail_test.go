package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailServer takes mail for everybody but those whom it was told to refuse.
type mailServer struct {
	host   string
	port   int
	refuse map[string]string // recipient: the whole reply to RCPT

	mu    sync.Mutex
	rcpts map[string]int // how often each recipient was named
	taken int
}

func newMailServer(t *testing.T, refuse map[string]string) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := l.Addr().(*net.TCPAddr)
	s := &mailServer{host: a.IP.String(), port: a.Port, refuse: refuse, rcpts: map[string]int{}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.session(c)
		}
	}()
	return s
}

func (s *mailServer) session(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewScanner(c)
	answer := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	answer("220 mail.example.com ESMTP")
	for body := false; in.Scan(); {
		line := in.Text()
		verb, rest, _ := strings.Cut(line, ":")
		switch {
		case body && line != ".":
		case body:
			body = false
			s.mu.Lock()
			s.taken++
			s.mu.Unlock()
			answer("250 2.0.0 taken")
		case strings.HasPrefix(line, "EHLO"):
			answer("250-mail.example.com\r\n250 ENHANCEDSTATUSCODES")
		case verb == "RCPT TO":
			to := strings.Trim(strings.Fields(rest)[0], "<>")
			s.mu.Lock()
			s.rcpts[to]++
			s.mu.Unlock()
			if reply := s.refuse[to]; reply != "" {
				answer(reply)
			} else {
				answer("250 2.1.5 OK")
			}
		case line == "DATA":
			body = true
			answer("354 go ahead")
		case line == "QUIT":
			answer("221 2.0.0 bye")
			return
		default:
			answer("250 2.0.0 OK")
		}
	}
}

func (s *mailServer) counts(to string) (taken, named int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, s.rcpts[to]
}

// tenant is an app of a running server.
type tenant struct{ id, key string }

func (p *process) call(a tenant, header http.Header, method, path string, in any) (out map[string]any) {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/json")
	if a.id != "" {
		req.Header.Set("X-App-ID", a.id)
		req.Header.Set("X-API-Key", a.key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		p.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	return out
}

const provisioningKey = "a-key-for-these-tests"

// serveMail starts a server that may reach the mail server.
func serveMail(t *testing.T, dir string, more ...string) *process {
	t.Helper()
	return serve(t, dir, append(more, "COMMS_PROVISIONING_KEY="+provisioningKey, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8")...)
}

// live makes a live app that sends through the mail server.
func (p *process) live(slug string, s *mailServer, limits map[string]any) tenant {
	p.t.Helper()
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": "Test", "slug": slug, "scopes": []string{"SEND", "READ", "PROVIDERS", "SUPPRESSIONS"}})
	a := tenant{id: slug, key: fmt.Sprint(made["apiKey"])}
	config := map[string]any{"providerType": "SMTP", "name": "Mail", "config": map[string]any{"host": s.host, "port": s.port, "from": "shop@example.com"}}
	maps.Copy(config, limits)
	p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", config)
	p.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
	return a
}

func (p *process) mail(a tenant, to string) (id string) {
	p.t.Helper()
	return fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "EMAIL", "to": to, "subject": "Hello", "body": "<p>Hello</p>"})["id"])
}

// ended waits until a message is final and answers it.
func (p *process) ended(a tenant, id string) map[string]any {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		m := p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
		switch m["status"] {
		case "SENT", "FAILED", "SUPPRESSED", "CANCELLED":
			return m
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("not final: %v", m)
		}
	}
}

// A day's allowance is the provider's: neither a restart nor a kill renews it.
func TestADaysLimitOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	if left := time.Until(time.Now().Truncate(day).Add(day)); left < time.Minute {
		time.Sleep(left + time.Second) // the test is about one day
	}
	dir, s := t.TempDir(), newMailServer(t, nil)
	p := serveMail(t, dir)
	a := p.live("daily", s, map[string]any{"ratePerDay": 3})
	for i := range 2 {
		if m := p.ended(a, p.mail(a, fmt.Sprintf("ama%d@example.org", i))); m["status"] != "SENT" {
			t.Fatal(m)
		}
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	p = serveMail(t, dir)
	if m := p.ended(a, p.mail(a, "kofi@example.org")); m["status"] != "SENT" {
		t.Fatal(m)
	}
	var waiting []string
	for i := range 3 {
		waiting = append(waiting, p.mail(a, fmt.Sprintf("yaw%d@example.org", i)))
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.errors())
	}
	p = serveMail(t, dir)
	waiting = append(waiting, p.mail(a, "esi@example.org"))
	for _, id := range waiting {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			m := p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
			if m["status"] == "QUEUED" && m["waitingFor"] == "provider_rate" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("not held by its day: %v", m)
			}
		}
	}
	if taken, _ := s.counts(""); taken != 3 {
		t.Errorf("%d mails on a day of 3", taken)
	}
}

// An address that the recipient's server does not know is written to once; one
// that is refused for another reason is not held against it.
func TestAHardBounceSuppressesTheAddress(t *testing.T) {
	t.Parallel()
	const gone, policy, full = "gone@example.org", "policy@example.org", "full@example.org"
	s := newMailServer(t, map[string]string{gone: "550 5.1.1 no such user here", policy: "550 5.7.1 refused by policy", full: "552 5.2.2 mailbox full"})
	p := serveMail(t, t.TempDir())
	a, b := p.live("bounces", s, nil), p.live("another", s, nil)
	m := p.ended(a, p.mail(a, gone))
	if m["status"] != "FAILED" || m["errorCode"] != "provider_rejected" {
		t.Fatal(m)
	}
	events, _ := m["events"].([]any)
	last, _ := events[len(events)-1].(map[string]any)
	if detail := fmt.Sprint(last["detail"]); !strings.Contains(detail, "5.1.1") || !strings.Contains(detail, "suppressed from now on") {
		t.Errorf("the event says %q", detail)
	}
	if m := p.ended(a, p.mail(a, "gone@Example.ORG")); m["status"] != "SUPPRESSED" {
		t.Error(m)
	}
	if _, named := s.counts(gone); named != 1 {
		t.Errorf("the server was asked %d times", named)
	}
	if m := p.ended(b, p.mail(b, gone)); m["status"] != "FAILED" {
		t.Errorf("another app's message: %v", m)
	}
	for range 2 {
		if m := p.ended(a, p.mail(a, policy)); m["status"] != "FAILED" {
			t.Error(m)
		}
	}
	for range 2 {
		id := p.mail(a, full)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if m := p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil); m["status"] == "QUEUED" && m["attempts"] == 1.0 {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("a full mailbox is not tried again: %v", m)
			}
		}
	}
	for to, want := range map[string]int{policy: 2, full: 2} {
		if _, named := s.counts(to); named != want {
			t.Errorf("%s was tried %d times instead of %d", to, named, want)
		}
	}
	if m := p.ended(a, p.mail(a, "ama@example.org")); m["status"] != "SENT" {
		t.Error(m)
	}
}

// Who is on the list gets no mail as a copy either; the others do, and the message's log says so.
func TestACopyToAnAddressOnTheListIsLeftOut(t *testing.T) {
	s := newMailServer(t, nil)
	p := serveMail(t, t.TempDir())
	a := p.live("shop", s, nil)
	for _, listed := range []string{"gone@example.com", "Away@Example.com"} {
		p.call(a, nil, http.MethodPost, "/api/v1/suppressions", map[string]any{"channel": "EMAIL", "address": listed})
	}
	message := map[string]any{"channel": "EMAIL", "to": "ama@example.com", "cc": []string{"GONE@example.com", "kofi@example.com"}, "bcc": []string{"away@example.com"},
		"subject": "Hello", "body": "<p>Hello</p>"}
	m := p.ended(a, fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", message)["id"]))
	if m["status"] != "SENT" || !strings.Contains(fmt.Sprint(m["events"]), "2 of the copies left out") {
		t.Errorf("%v", m)
	}
	for to, want := range map[string]int{"ama@example.com": 1, "kofi@example.com": 1, "gone@example.com": 0, "GONE@example.com": 0, "away@example.com": 0} {
		if _, named := s.counts(to); named != want {
			t.Errorf("%s was named %d times, want %d", to, named, want)
		}
	}
}
