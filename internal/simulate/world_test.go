package simulate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come, on however busy a machine.
const patience = time.Minute

// begin starts a simulator that ends with its test.
func begin(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.ReportDelay == 0 {
		cfg.ReportDelay = 20 * time.Millisecond
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("start: %s", Explain(err))
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// caller has connections of its own, so that none is left behind.
func caller(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const account = "AC0123456789abcdef0123456789abcdef"

// request makes a send to a provider as its adapter would.
func request(t *testing.T, s *Server, kind, to string, change ...func(map[string]any, *http.Request)) *http.Request {
	t.Helper()
	base := s.BaseURL(kind)
	var target string
	body := map[string]any{}
	head := http.Header{"Content-Type": {"application/json"}}
	switch kind {
	case "RESEND":
		target = base + "/emails"
		body = map[string]any{"from": "Shop <no-reply@shop.example>", "to": []string{to}, "subject": "Hi", "html": "<p>Hi</p>", "tags": []map[string]string{{"name": "mid", "value": "m1"}}}
		head.Set("Authorization", "Bearer re_x")
	case "ARKESEL":
		target = base + "/api/v2/sms/send"
		body = map[string]any{"sender": "SHOP", "message": "Hi", "recipients": []string{to}}
		head.Set("Api-Key", "key")
	case "HUBTEL":
		target = base + "/v1/messages/send"
		body = map[string]any{"From": "SHOP", "To": to, "Content": "Hi"}
		head.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("id:secret")))
	case "NALO":
		target = base + "/send-message/"
		body = map[string]any{"key": "key", "msisdn": to, "message": "Hi", "sender_id": "SHOP"}
	case "MNOTIFY":
		target = base + "/sms/quick?key=key"
		body = map[string]any{"recipient": []string{to}, "sender": "SHOP", "message": "Hi", "is_schedule": false, "schedule_date": ""}
	case "TWILIO":
		target = base + "/2010-04-01/Accounts/" + account + "/Messages.json"
		body = map[string]any{"To": "+" + to, "From": "SHOP", "Body": "Hi"}
		head = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(account+":token"))}}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = head
	for _, c := range change {
		c(body, req)
	}
	raw, err := json.Marshal(body)
	if kind == "TWILIO" {
		form := url.Values{}
		for name, v := range body {
			form.Set(name, v.(string))
		}
		raw = []byte(form.Encode())
	}
	if err != nil {
		t.Fatal(err)
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return req
}

// recipientOf is an ordinary recipient for a type.
func recipientOf(kind string) string {
	if kind == "RESEND" || kind == SMTP {
		return "ama@example.com"
	}
	return "233244000000"
}

// do makes a request and reads what comes.
func do(c *http.Client, req *http.Request) (status int, header http.Header, body string, err error) {
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(raw), err
}

// answered makes a request that is answered.
func answered(t *testing.T, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	status, _, body, err := do(c, req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return status, body
}

// idIn finds the provider's id in its answer to a send.
func idIn(t *testing.T, kind, body string) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%s: %v in %s", kind, err, body)
	}
	at := map[string]string{"RESEND": "id", "HUBTEL": "messageId", "NALO": "job_id", "TWILIO": "sid"}[kind]
	var id any
	switch kind {
	case "ARKESEL":
		id = v["data"].([]any)[0].(map[string]any)["id"]
	case "MNOTIFY":
		id = v["summary"].(map[string]any)["_id"]
	default:
		id = v[at]
	}
	text, _ := id.(string)
	if text == "" {
		t.Fatalf("%s: no id in %s", kind, body)
	}
	return text
}

// orderOf gives an order over HTTP and answers status and body.
func orderOf(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return answered(t, caller(t), req)
}

// gateway is a place that reports go to.
type gateway struct {
	url string
	mu  sync.Mutex
	got []seen
	// answer is the status for the n-th report, from 1; nil: 200.
	answer func(n int) int
}

type seen struct {
	method, uri string
	header      http.Header
	body        string
}

func receive(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		g.got = append(g.got, seen{r.Method, r.URL.String(), r.Header.Clone(), string(raw)})
		n, answer := len(g.got), g.answer
		g.mu.Unlock()
		if answer != nil {
			w.WriteHeader(answer(n))
		}
	}))
	t.Cleanup(s.Close)
	g.url = s.URL
	return g
}

func (g *gateway) all() []seen {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]seen(nil), g.got...)
}

// until waits for what must come to be.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !is() {
		if !sleep(ctx, 2*time.Millisecond) {
			t.Fatalf("never came to be: %s", what)
		}
	}
}

// only is the one line of sends.
func only(t *testing.T, s *Server) Entry {
	t.Helper()
	all := s.Entries(Filter{Kind: KindSend})
	if len(all) != 1 {
		t.Fatalf("the ledger has %d lines, want 1: %+v", len(all), all)
	}
	return all[0]
}
