//go:build linux

package ssrf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	provisioningKey = "provisioning-key-of-these-tests-0123456789"
	adminKey        = "admin-key-of-these-tests-0123456789abcdef"
)

// world is the program in its network, with what answers there.
type world struct {
	t    *testing.T
	tap  *tap
	zone *zone
	out  *internet
	base string
	web  *http.Client
	logs string
}

var readyURL = regexp.MustCompile(`"msg":"ready","url":"([^"]+)"`)

// open starts the program as anybody does: nothing is allowed beyond the public internet.
func open(t *testing.T, more ...string) *world {
	t.Helper()
	if outside != "" {
		t.Skip(outside)
	}
	w := &world{t: t, tap: openTap(t), zone: openZone(t), logs: filepath.Join(t.TempDir(), "log"), web: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	w.out = openInternet(t)
	dir := t.TempDir()
	log, err := os.Create(w.logs)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	w.tap.home(netip.MustParseAddrPort(nameServer + ":53"))
	cmd := exec.Command(os.Getenv(programEnv), "serve")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "COMMS_ADDR=127.0.0.1:3008", "COMMS_PROVISIONING_KEY=" + provisioningKey, "COMMS_ADMIN_KEY=" + adminKey, "COMMS_LOG_FORMAT=json", "COMMS_RETRY_SCHEDULE=1s",
		"SSL_CERT_FILE=" + w.out.authority}
	cmd.Env = append(cmd.Env, more...)
	w.tap.home(netip.MustParseAddrPort("127.0.0.1:3008"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		w.web.CloseIdleConnections()
		_ = cmd.Process.Kill()
		<-exited
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(w.logs)
		if m := readyURL.FindSubmatch(b); m != nil {
			w.base = string(m[1])
			return w
		}
		select {
		case <-exited:
			t.Fatalf("serve ended:\n%s", b)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready:\n%s", b)
		}
	}
}

// quiet fails unless nothing was sent to anybody since the last time, but to the public internet's ends that are named.
func (w *world) quiet(but ...string) {
	w.t.Helper()
	seen := w.sent()
	for _, end := range but {
		if seen[end] == 0 {
			w.t.Errorf("nothing was sent to %s", end)
		}
		delete(seen, end)
	}
	if len(seen) > 0 {
		w.t.Errorf("packets were sent to %v", seen)
	}
}

// marker is an end that a packet is sent to when everything that was sent before it is to have been seen.
const marker = "198.51.100.99:9"

// sent is where packets were sent to since the last time, and how many.
func (w *world) sent() map[string]int {
	w.t.Helper()
	conn, err := net.Dial("udp", marker)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !w.tap.saw("udp " + marker); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the tap does not see our own packet")
		}
	}
	seen := w.tap.take()
	for end := range seen {
		if strings.HasPrefix(end, "protocol ") || end == "udp "+marker { // nobody listens there: the system says so
			delete(seen, end)
		}
	}
	return seen
}

// answer is what the API said.
type answer struct {
	status int
	raw    []byte
	body   struct {
		ID, State, Name, APIKey, URL string
		OK                           bool
		Checks                       []struct{ Name, Detail string }
		Details                      struct {
			Code   string
			Fields map[string]string
		}
		AttemptLog []struct {
			Status           int
			Fault            string // of webhooks
			Provider, Detail string // of messages
			Outcome          string
		}
	}
}

// tried is how many attempts are over.
func (a answer) tried() (n int) {
	for _, one := range a.body.AttemptLog {
		if one.Provider == "" || one.Outcome == "failed" {
			n++
		}
	}
	return n
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.raw) }

// id is an answer's id; what has none is a failure.
func (a answer) id(t *testing.T) string {
	t.Helper()
	if a.status/100 != 2 || a.body.ID == "" {
		t.Errorf("no id: %s", a)
	}
	return a.body.ID
}

func (w *world) call(method, path string, head map[string]string, body any) (a answer) {
	w.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			w.t.Error(err)
			return a
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, in)
	if err != nil {
		w.t.Error(err)
		return a
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range head {
		req.Header.Set(k, v)
	}
	res, err := w.web.Do(req)
	if err != nil {
		w.t.Errorf("%s %s: %v", method, path, err)
		return a
	}
	defer res.Body.Close()
	a.status = res.StatusCode
	if a.raw, err = io.ReadAll(res.Body); err == nil && len(a.raw) > 0 {
		err = json.Unmarshal(a.raw, &a.body)
	}
	if err != nil {
		w.t.Errorf("%s %s: %v: %s", method, path, err, a.raw)
	}
	return a
}

// app makes an app and answers the headers that speak for it.
func (w *world) app(slug string) map[string]string {
	w.t.Helper()
	a := w.call("POST", "/api/provision/apps", provisioner(), map[string]any{"name": slug, "slug": slug, "ratePerMinute": 1_000_000, "scopes": []string{"SEND", "READ", "PROVIDERS"}})
	if a.status != http.StatusCreated {
		w.t.Fatal(a)
	}
	return map[string]string{"X-App-ID": slug, "X-API-Key": a.body.APIKey}
}

func provisioner() map[string]string { return map[string]string{"X-Provisioning-Key": provisioningKey} }
func admin() map[string]string       { return map[string]string{"X-Admin-Key": adminKey} }

// each calls f for every number below n, a few at a time.
func each(n int, f func(i int)) {
	next, wg := make(chan int), sync.WaitGroup{}
	for range 8 {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// settled waits until every delivery was tried so often, and answers them as they are then.
func (w *world) settled(paths []string, tries int, heads []map[string]string) []answer {
	w.t.Helper()
	out := make([]answer, len(paths))
	each(len(paths), func(i int) {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if out[i] = w.call("GET", paths[i], heads[i], nil); out[i].status != http.StatusOK || out[i].tried() >= tries {
				return
			}
			if time.Now().After(deadline) {
				w.t.Errorf("%s is not tried: %s", paths[i], out[i])
				return
			}
		}
	})
	return out
}

// sort is a type of provider with settings that are right.
type sort struct {
	name   string
	config map[string]any
}

func webSorts() []sort {
	return []sort{
		{"RESEND", map[string]any{"apiKey": "re_0123456789abcdef", "from": "shop@example.com"}},
		{"ARKESEL", map[string]any{"apiKey": "0123456789abcdef", "senderId": "SHOP"}},
		{"HUBTEL", map[string]any{"clientId": "abcdefgh", "clientSecret": "0123456789", "senderId": "SHOP"}},
		{"NALO", map[string]any{"authKey": "0123456789abcdef", "senderId": "SHOP"}},
		{"MNOTIFY", map[string]any{"apiKey": "0123456789abcdef", "senderId": "SHOP"}},
		{"TWILIO", map[string]any{"accountSid": "AC0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "authToken": "0123456789abcdef", "senderId": "SHOP"}},
	}
}

// with is the settings with more.
func (s sort) with(more map[string]any) map[string]any {
	config := map[string]any{}
	maps.Copy(config, s.config)
	maps.Copy(config, more)
	return map[string]any{"providerType": s.name, "name": s.name, "config": config}
}

func mailSort() sort { return sort{"SMTP", map[string]any{"from": "shop@example.com"}} }

func itoa(n int) string { return strconv.Itoa(n) }
