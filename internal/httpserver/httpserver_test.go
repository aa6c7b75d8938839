package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs a server and answers its address and a function that stops it.
func start(t *testing.T, cfg Config) (addr string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cfg.Addr, cfg.Log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	s, err := Listen(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String(), stop
}

func TestRunningRequestEndsBeforeTheServerDoes(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	addr, stop := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})})
	got := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + addr) //nolint:noctx // a test
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close() //nolint:errcheck // a test
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("it ended before the request: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if body := <-got; body != "done" {
		t.Errorf("%q", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestDrainDeadlineCutsOff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	entered := make(chan struct{})
	s, err := Listen(ctx, Config{Addr: "127.0.0.1:0", Drain: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// raw sends bytes and answers the status line.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(conn, request)
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

// TestOddRequests holds that net/http reads each of these in one way, or not at all (S24, S25).
func TestOddRequests(t *testing.T) {
	t.Parallel()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	refuse := func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) }
	addr, _ := start(t, Config{Handler: Wrap(echo, Options{Log: slog.New(slog.DiscardHandler), Refuse: refuse})})
	for name, c := range map[string]struct{ request, want string }{
		"headers over 32 KiB":       {"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 33<<10) + "\r\n\r\n", "431"},
		"headers under 32 KiB":      {"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 24<<10) + "\r\n\r\n", "200"},
		"a hundred headers":         {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 99) + "\r\n", "200"},
		"a hundred and one headers": {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n", "431"},
		"two thousand headers":      {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 2000) + "\r\n", "431"},
		"request line of 8 KiB":     {"GET /" + strings.Repeat("a", 8<<10-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
		"request line over 8 KiB":   {"GET /" + strings.Repeat("a", 8<<10-len("GET / HTTP/1.1")+1) + " HTTP/1.1\r\nHost: x\r\n\r\n", "414"},
		"method over 8 KiB":         {strings.Repeat("G", 8<<10) + " / HTTP/1.1\r\nHost: x\r\n\r\n", "414"},
		"two lengths":               {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		"unknown transfer encoding": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
		"space before colon":        {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400"},
		"folded header":             {"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", "400"},
		"no host":                   {"GET / HTTP/1.1\r\n\r\n", "400"},
		"garbage":                   {"\x16\x03\x01\x02\x00\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := raw(t, addr, c.request); !strings.Contains(got, " "+c.want+" ") {
				t.Errorf("%q, want %s", got, c.want)
			}
		})
	}
}

func TestTimeoutsAreSet(t *testing.T) {
	t.Parallel()
	s, err := Listen(context.Background(), Config{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test
	h := s.http
	if h.ReadHeaderTimeout != 5*time.Second || h.ReadTimeout != 30*time.Second || h.IdleTimeout != 60*time.Second || h.MaxHeaderBytes+headerSlop != 32<<10 || h.WriteTimeout <= h.ReadTimeout {
		t.Errorf("%+v", h)
	}
	if _, err := Listen(context.Background(), Config{Addr: s.Addr().String(), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a busy port was opened")
	}
}

// certificate writes a certificate of localhost and its key.
func certificate(t *testing.T) (cert, private string) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, private = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, private: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, private
}

func pemOf(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, private := certificate(t)
	der := pemOf(t, cert)
	addr, _ := start(t, Config{TLSCert: cert, TLSKey: private, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(der)
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil || !strings.Contains(err.Error(), "remote error") { //nolint:gosec // that the server refuses it is the test
		t.Errorf("TLS 1.1: %v, want the server's refusal", err)
	}
	if _, err := Listen(context.Background(), Config{Addr: "127.0.0.1:0", TLSCert: cert, TLSKey: cert, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a wrong key was accepted")
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	ids := map[string]bool{}
	h := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if RequestID(r.Context()) == "" || !ClientAddr(r.Context()).IsValid() {
			t.Error("no id or address in the context")
		}
		switch r.URL.Path {
		case "/panic":
			panic("a secret of a message")
		case "/late":
			w.WriteHeader(202)
			panic(errors.New("too late"))
		}
	}), Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), HSTS: true,
		Panicked: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }})
	for path, status := range map[string]int{"/?to=233241234567": 200, "/panic": 500, "/late": 202} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if rec.Code != status {
			t.Errorf("%s: %d", path, rec.Code)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Server": "", "Access-Control-Allow-Origin": "", "Strict-Transport-Security": "max-age=31536000"} {
			if rec.Header().Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, rec.Header().Get(name))
			}
		}
		ids[rec.Header().Get("X-Request-Id")] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Errorf("ids %v", ids)
	}
	if strings.Contains(log.String(), "secret of a message") || strings.Contains(log.String(), "233241234567") || !strings.Contains(log.String(), "a handler panicked") {
		t.Errorf("%s", log.String())
	}
}

func TestClientAddressBehindProxies(t *testing.T) {
	t.Parallel()
	w := &wrapper{o: Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"203.0.113.9:1", "", "203.0.113.9"}, {"203.0.113.9:1", "1.2.3.4", "203.0.113.9"}, {"10.0.0.1:1", "1.2.3.4", "1.2.3.4"}, {"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"}, {"10.0.0.1:1", "6.6.6.6, nonsense", "10.0.0.1"}, {"[::ffff:10.0.0.1]:1", "::1", "::1"}, {"odd", "1.2.3.4", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := w.client(r); got.String() != c.want {
			t.Errorf("%s %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestReadJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind, encoding, body string
		want                 error
	}{
		"plain": {"application/json", "", "{}", nil}, "charset": {`application/json; charset="utf-8"`, "", "{}", nil}, "identity": {"application/json", "identity", "{}", nil},
		"text": {"text/plain", "", "{}", ErrUnsupported}, "none": {"", "", "{}", ErrUnsupported}, "json-ish": {"application/json-patch+json", "", "{}", ErrUnsupported}, "parameter": {"application/json; x=y", "", "{}", ErrUnsupported},
		"gzip": {"application/json", "gzip", "\x1f\x8b", ErrUnsupported}, "large": {"application/json", "", strings.Repeat("a", 101), ErrTooLarge}, "fits": {"application/json", "", strings.Repeat("a", 100), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, length := range []bool{true, false} {
				r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
				if !length {
					r.ContentLength = -1
				}
				r.Header.Set("Content-Type", c.kind)
				if c.kind == "" {
					r.Header.Del("Content-Type")
				}
				if c.encoding != "" {
					r.Header.Set("Content-Encoding", c.encoding)
				}
				var buf bytes.Buffer
				if err := ReadJSON(httptest.NewRecorder(), r, &buf, 100); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
		})
	}
}

func TestReadJSONOfABodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	for want, cause := range map[error]error{ErrTooSlow: os.ErrDeadlineExceeded, ErrBroken: io.ErrUnexpectedEOF} {
		r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("{"), failing{cause}))
		r.Header.Set("Content-Type", "application/json")
		var buf bytes.Buffer
		if err := ReadJSON(httptest.NewRecorder(), r, &buf, 100); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, fmt.Errorf("read: %w", f.err) }
