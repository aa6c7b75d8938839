package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRaw(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		switch r.URL.Path {
		case "/busy":
			if calls == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, `{"calls":2}`) // the client is the test
		case "/upload":
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != "a,b" || r.Header.Get("Content-Type") != "text/csv" {
				t.Errorf("%q %v %v", body, r.Header, err)
			}
			_, _ = io.WriteString(w, `{}`) // likewise
		case "/empty":
		case "/blank":
			_, _ = io.WriteString(w, "\n") // likewise
		case "/gone":
			w.WriteHeader(http.StatusNoContent)
		case "/who":
			_, _ = io.WriteString(w, `"`+r.Header.Get("X-App-ID")+"|"+r.Header.Get("X-API-Key")+"|"+r.Header.Get("X-Admin-Key")+`"`) // likewise
		case "/page":
			_, _ = io.WriteString(w, "<html>") // likewise
		default:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"No.","details":{"code":"invalid_field"}}`) // likewise
		}
	}))
	t.Cleanup(server.Close)
	raw := func(o Options, admin string) *Raw {
		o.BaseURL, o.Wait = server.URL, func(context.Context, time.Duration) error { return nil }
		r, err := NewRaw(o, admin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	r := raw(Options{App: "a", Key: "k"}, "adm")
	if got, err := r.Do(ctx, Request{Method: "GET", Path: "/busy", Safe: true}); err != nil || string(got) != `{"calls":2}` || calls != 2 {
		t.Errorf("%s %v after %d calls", got, err, calls)
	}
	calls = 0
	if _, err := r.Do(ctx, Request{Method: "POST", Path: "/busy", Body: 1}); err == nil || calls != 1 {
		t.Errorf("what is not safe was repeated: %v after %d calls", err, calls)
	}
	if _, err := r.Do(ctx, Request{Method: "POST", Path: "/upload", Upload: strings.NewReader("a,b"), ContentType: "text/csv", Safe: true}); err != nil {
		t.Error(err)
	}
	for want, c := range map[string]struct {
		r     *Raw
		admin bool
	}{`"a|k|"`: {r, false}, `"||adm"`: {r, true}, `"a||adm"`: {raw(Options{App: "a"}, "adm"), false}} {
		if got, err := c.r.Do(ctx, Request{Method: "GET", Path: "/who", Admin: c.admin}); err != nil || string(got) != want {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
	var into bytes.Buffer
	if got, err := r.Do(ctx, Request{Method: "GET", Path: "/page", Into: &into}); err != nil || got != nil || into.String() != "<html>" {
		t.Errorf("%s %v, streamed %q", got, err, into.String())
	}
	if _, err := r.Do(ctx, Request{Method: "GET", Path: "/page"}); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Errorf("%v", err)
	}
	for path, empty := range map[string]bool{"/empty": true, "/blank": true, "/gone": false, "/page": true} {
		if got, err := r.Do(ctx, Request{Method: "POST", Path: path}); errors.Is(err, ErrAnswer) != empty || len(got) > 0 {
			t.Errorf("POST %s answers %q, %v", path, got, err)
		}
	}
	into.Reset()
	_, err := r.Do(ctx, Request{Method: "GET", Path: "/other", Into: &into})
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Code != "invalid_field" || into.Len() > 0 {
		t.Errorf("%v", err)
	}
	if _, err := NewRaw(Options{BaseURL: "localhost"}, ""); err == nil {
		t.Error("an address without a scheme is taken")
	}
}

// TestAStreamBeginsInTime: an answer that is streamed may take as long as it likes once it has begun.
func TestAStreamBeginsInTime(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			_, _ = io.WriteString(w, "begun,")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(300 * time.Millisecond)
			_, _ = io.WriteString(w, "done")
			return
		}
		<-over
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	r, err := NewRaw(Options{BaseURL: server.URL, Timeout: 100 * time.Millisecond}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	var into bytes.Buffer
	if _, err := r.Do(t.Context(), Request{Method: "GET", Path: "/slow", Into: &into}); err != nil || into.String() != "begun,done" {
		t.Errorf("%q %v", into.String(), err)
	}
	if _, err := r.Do(t.Context(), Request{Method: "GET", Path: "/never", Into: &into}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestVerifyingTheAuditLog: parts are summed up, and the first that does not hold is the last that is asked for.
func TestVerifyingTheAuditLog(t *testing.T) {
	t.Parallel()
	c, bodies, _ := scripted(t, Options{},
		status(200, `{"ok":true,"checked":3,"nextAfter":3,"last":{"sequence":3,"hash":"ab"},"broken":null}`),
		status(200, `{"ok":false,"checked":1,"nextAfter":9,"last":null,"broken":{"sequence":5,"reason":"the hash does not fit"}}`),
		status(200, `{"ok":true,"checked":1,"nextAfter":null,"last":null,"broken":null}`))
	var seen []int64
	got, err := (&Raw{c: c}).Admin().VerifyAudit(t.Context(), func(n int64) { seen = append(seen, n) })
	want := AuditVerdict{Checked: 4, Last: 3, LastHash: "ab", BrokenAt: 5, Reason: "the hash does not fit"}
	if err != nil || *got != want || !slices.Equal(seen, []int64{3, 4}) || len(bodies()) != 2 {
		t.Errorf("%+v %v, seen %v in %d calls", got, err, seen, len(bodies()))
	}
}

// TestNoIdentifier: of what is no identifier no path is made, since it would lead to something else.
func TestNoIdentifier(t *testing.T) {
	called := 0
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	defer s.Close()
	o, ctx := Options{BaseURL: s.URL, App: "shop", Key: "k"}, context.Background()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRaw(o, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", " ", "\n", ".", "..", " .. "} {
		for name, call := range map[string]func() error{
			"a call":   func() error { _, err := c.Template(ctx, id); return err },
			"a stream": func() error { _, err := c.CaptureSource(ctx, id); return err },
			"a path's end": func() error {
				_, err := r.Do(ctx, Request{Method: "GET", Path: "/api/v1/messages/" + Escape(id)})
				return err
			},
			"a path's inside": func() error {
				_, err := r.Do(ctx, Request{Method: "GET", Path: "/api/admin/apps/" + Escape(id) + "/keys"})
				return err
			},
			"what is repeated": func() error {
				_, err := r.Do(ctx, Request{Method: "GET", Path: "/api/v1/x/" + Escape(id), Safe: true})
				return err
			},
		} {
			if err := call(); !errors.Is(err, ErrNoID) {
				t.Errorf("%s of %q: %v", name, id, err)
			}
		}
	}
	if called > 0 {
		t.Errorf("%d calls were made", called)
	}
}
