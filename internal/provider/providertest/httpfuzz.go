package providertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/commserver/commserver/internal/provider"
)

// FuzzAnswer gives the adapter every answer a provider may give. The seeds are the vectors'.
func FuzzAnswer(f *testing.F, h HTTP) {
	for _, v := range h.vectors(f, "send-") {
		for _, name := range v.cases("answer") {
			head, body, _ := strings.Cut(strings.TrimRight(v.Section("answer"+name), "\n"), "\n\n")
			status := 0
			_, _ = fmt.Sscanf(head, "HTTP/1.1 %d", &status)
			f.Add(status, "", body)
		}
	}
	f.Add(429, "7", "")
	v := h.base(f)
	var peer canned
	sender, settings := h.open(f, v, provider.Env{DialHTTP: peer.Dial})
	f.Fuzz(func(t *testing.T, status int, after, body string) {
		if status < 200 || status > 999 || strings.ContainsFunc(after, unicode.IsControl) { // a broken header is no answer
			t.Skip()
		}
		answer := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\nRetry-After: %s\r\n\r\n%s", status, len(body), after, body)
		if status == http.StatusNoContent || status == http.StatusNotModified {
			answer = fmt.Sprintf("HTTP/1.1 %d X\r\n\r\n", status)
		}
		peer.give(answer)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		m := h.message(t, v)
		hidden := h.hidden(settings, m)
		receipt, err := sender.Send(ctx, m)
		if err == nil {
			if status > 299 {
				e := fmt.Sprintf("status %d is taken for an acceptance", status)
				if status != http.StatusConflict { // where a repeat under the same key is answered so, the first was taken
					t.Error(e)
				}
			}
			if len(receipt.Ref) > 256 || len(receipt.Detail) > 256 {
				t.Errorf("ref of %d bytes, detail of %d", len(receipt.Ref), len(receipt.Detail))
			}
			return
		}
		e := provider.Classify(err)
		if e.Code == "unclassified" || e.Text == "" || len(e.Text) > 256 || len(e.Code) > 64 || e.RetryAfter < 0 || e.RetryAfter > 24*time.Hour {
			t.Errorf("%+v", e)
		}
		if (e.HardBounce || e.OptedOut) && (e.Class != provider.PermanentMessage || status >= 500) {
			t.Errorf("status %d suppresses: %+v", status, e)
		}
		if h.StatusDecides && status < 300 {
			t.Errorf("status %d is no acceptance: %v", status, err)
		}
		for _, secret := range hidden {
			if len(secret) > 8 && strings.Contains(strings.ToLower(e.Text+e.Code), strings.ToLower(secret)) {
				t.Errorf("%q comes out in %s", secret, e)
			}
		}
	})
}

// canned is a peer in memory that answers every request with what it is given at the time. One
// sender and its connection serve a whole run, since making them costs more than what is looked at.
type canned struct {
	mu     sync.Mutex
	answer string
}

func (c *canned) give(answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func (c *canned) Dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		for {
			if _, err := readRequest(in); err != nil {
				return
			}
			c.mu.Lock()
			answer := c.answer
			c.mu.Unlock()
			if _, err := io.WriteString(theirs, answer); err != nil {
				return
			}
		}
	}()
	return ours, nil
}

// FuzzReport gives the adapter every request that may come to its callback URL. The seeds are the vectors'.
func FuzzReport(f *testing.F, h HTTP) {
	at := time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)
	for _, prefix := range []string{"report-", "signed-"} {
		for _, v := range h.vectors(f, prefix) {
			for _, name := range v.cases("report") {
				cb := h.callbackOf(f, v.Section("report"+name), at)
				f.Add(cb.Method, cb.URL.RawQuery, cb.Header.Get("Content-Type"), cb.Body)
			}
		}
	}
	settings := provider.Settings{}
	h.base(f).decode(f, "settings", &settings)
	settings = h.lifted(settings)
	f.Fuzz(func(t *testing.T, method, query, kind string, body []byte) {
		u, err := url.Parse(h.callback())
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = query
		cb := &provider.Callback{Method: method, URL: u, Header: http.Header{"Content-Type": {kind}}, Body: body, At: at}
		if verify := h.Adapter.Reporting.Verify; verify != nil {
			_ = verify(settings, cb)
		}
		reports, err := h.Adapter.Reporting.Read(cb)
		if err != nil && len(reports) > 0 {
			t.Error("reports beside an error")
		}
		for i := range reports {
			for _, fault := range reportFaults(&reports[i]) {
				t.Errorf("%+v %s", reports[i], fault)
			}
		}
	})
}

// FuzzQuestion gives the adapter every answer to a question that sends nothing: what became
// of a message (provider.Asker), and whether the settings work (provider.Verifier). The seeds are the vectors'.
func FuzzQuestion(f *testing.F, h HTTP) {
	for _, prefix := range []string{"ask-", "verify-"} {
		for _, v := range h.vectors(f, prefix) {
			for _, name := range v.cases("answer") {
				head, body, _ := strings.Cut(strings.TrimRight(v.Section("answer"+name), "\n"), "\n\n")
				status := 0
				_, _ = fmt.Sscanf(head, "HTTP/1.1 %d", &status)
				f.Add(status, body)
			}
		}
	}
	v := h.base(f)
	var peer canned
	sender, _ := h.open(f, v, provider.Env{DialHTTP: peer.Dial})
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 999 || status == http.StatusNoContent || status == http.StatusNotModified {
			t.Skip()
		}
		answer := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
		peer.give(answer)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if asker, ok := sender.(provider.Asker); ok {
			switch report, err := asker.Ask(ctx, "ref-4711"); {
			case err == nil:
				for _, fault := range reportFaults(&report) {
					t.Errorf("%+v %s", report, fault)
				}
				if status > 299 {
					t.Errorf("status %d tells %+v", status, report)
				}
			default:
				e := provider.Classify(err)
				if e.Class == provider.Ambiguous || e.Class == provider.Accepted || e.Text == "" || len(e.Text) > 256 || len(e.Code) > 64 {
					t.Errorf("%+v", e)
				}
			}
		}
		if verifier, ok := sender.(provider.Verifier); ok {
			checks := verifier.Verify(ctx)
			for i, c := range checks {
				if c.Name == "" || c.Detail == "" || len(c.Detail) > 256 || !c.OK && i < len(checks)-1 {
					t.Errorf("%+v", checks)
				}
			}
			if last := checks[len(checks)-1]; last.OK && status > 499 {
				t.Errorf("status %d is taken for good", status)
			}
		}
	})
}
