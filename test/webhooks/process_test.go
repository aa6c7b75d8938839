// Package webhooks drives the built program from outside and receives what it posts: through its ends,
// with the guide's own receiver and with one that others wrote.
package webhooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/freeport"
	"github.com/commserver/commserver/test/build"
)

var product build.Program

func TestMain(m *testing.M) {
	code := m.Run()
	product.Remove()
	os.Exit(code)
}

const (
	provisioningKey = "provisioning-key-of-these-tests-0123456789"
	secret          = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// server is a program that is started again and again on one database.
type server struct {
	t     *testing.T
	dir   string
	under []string
	env   []string
	addr  string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	url    string
	web    *http.Client
	starts int
}

func newServer(t *testing.T, env ...string) *server {
	t.Helper()
	return startServer(t, nil, env...)
}

// startServer starts it by another program, which runs the words that follow its own.
func startServer(t *testing.T, under []string, env ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), under: under, env: append(env, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8,::1/128", "COMMS_PROVISIONING_KEY="+provisioningKey, "COMMS_LOG_FORMAT=json", "COMMS_RETRY_SCHEDULE=1s")}
	t.Cleanup(s.kill)
	s.start()
	return s
}

var readyURL = regexp.MustCompile(`"msg":"ready","url":"([^"]+)"`)

func (s *server) start() {
	s.t.Helper()
	path, err := product.Path()
	if err != nil {
		s.t.Fatal(err)
	}
	s.starts++
	name := filepath.Join(s.dir, fmt.Sprintf("log-%d", s.starts))
	log, err := os.Create(name)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	if s.addr == "" { // as any server that is started again, it keeps its port
		ports, err := freeport.On(1)
		if err != nil {
			s.t.Fatal(err)
		}
		s.addr = fmt.Sprintf("localhost:%d", ports[0])
	}
	words := append(slices.Clone(s.under), path, "serve")
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "COMMS_ADDR=" + s.addr}, s.env...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	s.mu.Lock()
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(name)
		if m := readyURL.FindSubmatch(b); m != nil {
			s.mu.Lock()
			s.url = string(m[1])
			s.web = &http.Client{Transport: &http.Transport{}} // not one that may take a connection to the process before for open
			s.t.Cleanup(s.web.CloseIdleConnections)
			s.mu.Unlock()
			return
		}
		select {
		case <-exited:
			s.t.Fatalf("serve ended:\n%s", b)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not ready:\n%s", b)
		}
	}
}

// kill ends the program at once, and stop asks it to end.
func (s *server) kill() { s.end(syscall.SIGKILL) }
func (s *server) stop() { s.end(syscall.SIGTERM) }

func (s *server) end(by syscall.Signal) {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Signal(by)
		<-exited
	}
}

func (s *server) call(method, path string, header map[string]string, body any) (int, []byte) {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Error(err)
			return 0, nil
		}
		in = bytes.NewReader(b)
	}
	s.mu.Lock()
	base, web := s.url, s.web
	s.mu.Unlock()
	req, err := http.NewRequest(method, base+path, in)
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := web.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, out
}

// app is an app with a webhook.
type app struct {
	s    *server
	id   string
	head map[string]string
}

func (s *server) app(slug, webhook string, scopes ...string) *app {
	s.t.Helper()
	body := map[string]any{"name": slug, "slug": slug, "ratePerMinute": 1000000, "scopes": []string{"SEND", "READ", "PROVIDERS"}}
	if webhook != "" {
		body["webhookUrl"], body["webhookSecret"] = webhook, secret
	}
	if len(scopes) > 0 {
		body["scopes"] = scopes
	}
	status, out := s.call("POST", "/api/provision/apps", map[string]string{"X-Provisioning-Key": provisioningKey}, body)
	var made struct {
		APIKey string
		App    struct{ ID string }
	}
	if err := json.Unmarshal(out, &made); err != nil || status != http.StatusCreated {
		s.t.Fatalf("%d %s %v", status, out, err)
	}
	return &app{s: s, id: made.App.ID, head: map[string]string{"X-App-ID": slug, "X-API-Key": made.APIKey}}
}

// send posts a message until it is accepted, whatever ends meanwhile, and answers its id. The number makes it one of its app.
func (a *app) send(n int, tags ...string) string {
	a.s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, out := a.s.call("POST", "/api/v1/messages", a.head, map[string]any{"channel": "SMS", "to": "233241234567", "body": fmt.Sprint("Hello ", n),
			"idempotencyKey": fmt.Sprint("key-", n), "metadata": map[string]any{"requestId": fmt.Sprint("REQ-", n)}, "tags": append([]string{}, tags...)})
		var got struct{ ID string }
		if (status == http.StatusAccepted || status == http.StatusOK) && json.Unmarshal(out, &got) == nil {
			return got.ID
		}
	}
	a.s.t.Error("a message is not accepted within a minute")
	return ""
}

// told is an event as it is posted and as the feed has it.
type told struct {
	Event   string
	EventID string `json:"eventId"`
	Message struct {
		ID, Status string
		Metadata   struct{ RequestID string }
	}
	Sequence int
}

// feed reads an app's whole feed.
func (a *app) feed() (events []told, raw map[string]string) {
	a.s.t.Helper()
	raw = map[string]string{}
	for after := ""; ; {
		path := "/api/v1/events?limit=100"
		if after != "" {
			path += "&after=" + after
		}
		status, out := a.s.call("GET", path, a.head, nil)
		var page struct {
			Data       []json.RawMessage
			NextCursor string
		}
		if err := json.Unmarshal(out, &page); err != nil || status != http.StatusOK {
			a.s.t.Fatalf("%d %s %v", status, out, err)
		}
		for _, b := range page.Data {
			var e told
			if err := json.Unmarshal(b, &e); err != nil {
				a.s.t.Fatal(err)
			}
			events = append(events, e)
			raw[e.EventID] = string(b)
		}
		if len(page.Data) == 0 {
			return events, raw
		}
		after = page.NextCursor
	}
}
