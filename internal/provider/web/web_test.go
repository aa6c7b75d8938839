package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "S3CRET-4711/+x"

func fields() []provider.Field {
	return []provider.Field{{Name: "apiKey", Kind: provider.Token, Secret: true}, provider.BaseURLField("https://api.test")}
}

// client calls base over a dialer that leads to a test's peer.
func client(t testing.TB, base string, dial providertest.Dialer) *Client {
	t.Helper()
	c, err := Open(fields(), provider.Settings{"apiKey": secret, "baseUrl": base}, provider.Env{DialHTTPS: dial, DialHTTP: dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// post is a call as adapters make it: with a body, a key and a secret.
func post(size int) Call {
	return Call{Path: "/send", Header: http.Header{"Authorization": {"Bearer " + secret}, "Idempotency-Key": {"one"}, "Content-Type": {"application/json"}},
		Body: []byte(strings.Repeat("x", size)), Hide: []string{"ama@example.com"}}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func wantFault(t testing.TB, fault *provider.Error, class provider.Class, code string) {
	t.Helper()
	if fault == nil || fault.Class != class || fault.Code != code {
		t.Fatalf("got %v, want %s (%s)", fault, class, code)
	}
	if fault.Text == "" || strings.Contains(fmt.Sprint(fault, fault.Cause), "S3CRET") {
		t.Errorf("%v, cause %v", fault, fault.Cause)
	}
}

// ledger serves raw connections: serve is called once for each request with its number on all connections.
func ledger(t testing.TB, serve func(n int, c net.Conn, in *bufio.Reader) (keep bool)) (providertest.Dialer, *atomic.Int64) {
	var requests atomic.Int64
	return providertest.Peer(t, func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			if _, err := in.Peek(1); err != nil {
				return
			}
			if !serve(int(requests.Add(1)), c, in) {
				return
			}
		}
	}), &requests
}

// take reads a whole request.
func take(in *bufio.Reader) {
	if req, err := http.ReadRequest(in); err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// TestOneRequestForEachCall: a server drops the connection at the moment it is used again. The transport would
// repeat a request that carries an Idempotency-Key by itself (F53); the ledger must show one request for each call.
func TestOneRequestForEachCall(t *testing.T) {
	t.Parallel()
	for name, drop := range map[string]func(net.Conn){"closes": func(c net.Conn) { _ = c.Close() }, "resets": reset} {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s whole=%t", name, whole), func(t *testing.T) {
				t.Parallel()
				dial, requests := ledger(t, func(n int, c net.Conn, in *bufio.Reader) bool {
					if n%2 == 1 {
						take(in)
						_, _ = io.WriteString(c, ok)
						return true
					}
					if whole {
						take(in)
					}
					drop(c)
					return false
				})
				c := client(t, "http://api.test", dial)
				const calls = 20
				for n := 1; n <= calls; n++ {
					a, fault := c.Do(within(t, 5*time.Second), post(300))
					if n%2 == 1 {
						if fault != nil || a.Status != 200 {
							t.Fatalf("call %d: %v", n, fault)
						}
						continue
					}
					wantFault(t, fault, provider.Ambiguous, "outcome_unknown")
				}
				if got := requests.Load(); got != calls {
					t.Errorf("%d calls were %d requests", calls, got)
				}
			})
		}
	}
}

// TestDeadConnectionIsReplaced: a kept connection that cannot take a byte any more costs nothing.
func TestDeadConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	dial, requests := ledger(t, func(_ int, c net.Conn, in *bufio.Reader) bool {
		take(in)
		_, _ = io.WriteString(c, ok)
		return true
	})
	var conns []*flaky
	var mu sync.Mutex
	c := client(t, "http://api.test", func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, &flaky{Conn: conn})
		return conns[len(conns)-1], nil
	})
	for n := range 3 {
		if n == 2 {
			conns[0].broken.Store(true)
		}
		if _, fault := c.Do(within(t, 5*time.Second), post(300)); fault != nil {
			t.Fatalf("call %d: %v", n, fault)
		}
	}
	if len(conns) != 2 || requests.Load() != 3 {
		t.Errorf("%d connections, %d requests", len(conns), requests.Load())
	}
}

// flaky is a connection that takes nothing any more once it is broken.
type flaky struct {
	net.Conn
	broken atomic.Bool
}

func (f *flaky) Write(p []byte) (int, error) {
	if f.broken.Load() {
		return 0, errors.New("broken pipe")
	}
	return f.Conn.Write(p)
}

// TestCertainlyNothingSent: what fails before the whole request has left.
func TestCertainlyNothingSent(t *testing.T) {
	t.Parallel()
	fails := func(err error) providertest.Dialer {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	forbidden := (&guard.Dialer{}).CheckHost("10.0.0.1")
	for name, tt := range map[string]struct {
		dial  providertest.Dialer
		class provider.Class
		code  string
	}{
		"refused":      {fails(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused " + secret)}), provider.Transient, "connect_failed"},
		"no such name": {fails(fmt.Errorf("look up: %w", &net.DNSError{Err: "no such host", Name: "api.test", IsNotFound: true})), provider.Transient, "dns_error"},
		"DNS is slow":  {fails(&net.DNSError{Err: "i/o timeout", Name: "api.test", IsTimeout: true}), provider.Transient, "connect_timeout"},
		"blocked":      {fails(forbidden), provider.Account, "blocked_address"},
		"no answer":    {hang, provider.Transient, "connect_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, base := range []string{"http://api.test", "https://api.test"} {
				_, fault := client(t, base, tt.dial).Do(within(t, 100*time.Millisecond), post(300))
				wantFault(t, fault, tt.class, tt.code)
				if strings.Contains(fault.Text, "10.0.0.1") || strings.Contains(fault.Text, "api.test") {
					t.Errorf("the text tells an address: %s", fault.Text)
				}
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, fault := client(t, "http://api.test", fails(errors.New("dialed"))).Do(ctx, post(1))
		wantFault(t, fault, provider.Transient, "cancelled")
	})
}

// TestHalfABodyIsCleanFailure: a body that did not leave whole cannot be acted on (W3).
func TestHalfABodyIsCleanFailure(t *testing.T) {
	t.Parallel()
	const large = 32 << 20 // more than the buffers of two sockets hold
	part := func(then func(net.Conn)) providertest.Dialer {
		return providertest.Peer(t, func(c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 4<<10)
			then(c)
		})
	}
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		call := post(large) // takes its time on a busy machine
		_, fault := client(t, "http://api.test", part(reset)).Do(within(t, time.Minute), call)
		wantFault(t, fault, provider.Transient, "connection_lost")
	})
	t.Run("stalled", func(t *testing.T) {
		t.Parallel()
		done := make(chan struct{})
		defer close(done)
		call := post(large)
		_, fault := client(t, "http://api.test", part(func(c net.Conn) { <-done; _ = c.Close() })).Do(within(t, 3*time.Second), call)
		wantFault(t, fault, provider.Transient, "timeout")
	})
	t.Run("reset on a kept connection", func(t *testing.T) {
		t.Parallel()
		dial, requests := ledger(t, func(n int, c net.Conn, in *bufio.Reader) bool {
			if n == 1 {
				take(in)
				_, _ = io.WriteString(c, ok)
				return true
			}
			_, _ = io.CopyN(io.Discard, in, 4<<10)
			reset(c)
			return false
		})
		c := client(t, "http://api.test", dial)
		if _, fault := c.Do(within(t, 10*time.Second), post(300)); fault != nil {
			t.Fatal(fault)
		}
		call := post(large)
		_, fault := c.Do(within(t, time.Minute), call)
		wantFault(t, fault, provider.Transient, "connection_lost")
		if requests.Load() != 2 {
			t.Errorf("%d requests", requests.Load())
		}
	})
	t.Run("answered early", func(t *testing.T) {
		t.Parallel()
		dial := part(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
		call := post(large)
		a, fault := client(t, "http://api.test", dial).Do(within(t, time.Minute), call)
		if fault != nil || a.Status != 413 {
			t.Errorf("%v %+v", fault, a)
		}
	})
}

// TestMayHaveBeenSent: the whole request left, and no answer came.
func TestMayHaveBeenSent(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Conn){
		"closes":        func(net.Conn) {},
		"resets":        reset,
		"is silent":     func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"talks rubbish": func(c net.Conn) { _, _ = io.WriteString(c, "rubbish "+secret+"\r\n\r\n") },
		"half a status": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 20") },
		"headers without end": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-Fill: 0123456789\r\n", 10_000))
		},
		"headers drop by drop": func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nX-Slow: "+strings.Repeat("x", 1000)) },
		"a header of one megabyte": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Fill: "+strings.Repeat("x", 1<<20)+"\r\nContent-Length: 0\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(within(t, 30*time.Second))
			defer cancel()
			dial, requests := ledger(t, func(_ int, c net.Conn, in *bufio.Reader) bool {
				take(in)
				if name == "is silent" || name == "headers drop by drop" { // they end with the context alone
					time.AfterFunc(100*time.Millisecond, cancel)
				}
				serve(c)
				return false
			})
			_, fault := client(t, "http://api.test", dial).Do(ctx, post(300))
			wantFault(t, fault, provider.Ambiguous, "outcome_unknown")
			if requests.Load() != 1 {
				t.Errorf("%d requests", requests.Load())
			}
		})
	}
}

func drip(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestAnswers: what is read of an answer, and what is not.
func TestAnswers(t *testing.T) {
	t.Parallel()
	full := strings.Repeat("x", MaxBody)
	for name, tt := range map[string]struct {
		raw    string
		status int
		size   int
		flaw   string
	}{
		"whole":           {ok, 200, 2, ""},
		"empty":           {"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, ""},
		"as large as may": {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", MaxBody, full), 200, MaxBody, ""},
		"one too many":    {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sx", MaxBody+1, full), 200, 0, "is larger than 64 KiB"},
		"a gigabyte":      {"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n" + full + full, 200, 0, "is larger than 64 KiB"},
		"broken off":      {"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{}", 201, 0, "broke off"},
		"chunks cut":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 200, 0, "broke off"},
		"switches":        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 101, 0, "is no answer"},
		"packed":          {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 200, 3, ""},
		"moved":           {"HTTP/1.1 307 Moved\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n", 307, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial, requests := ledger(t, func(_ int, c net.Conn, in *bufio.Reader) bool {
				req, err := http.ReadRequest(in)
				if err != nil || req.Header.Get("Accept-Encoding") != "" || req.UserAgent() == "" || req.Host != "api.test" {
					t.Errorf("%v %v", err, req)
					return false
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(c, tt.raw)
				return false
			})
			a, fault := client(t, "http://api.test", dial).Do(within(t, 5*time.Second), post(300))
			if fault != nil {
				t.Fatal(fault)
			}
			if a.Status != tt.status || len(a.Body) != tt.size || a.Flaw != tt.flaw || requests.Load() != 1 {
				t.Errorf("status %d, %d bytes, flaw %q, %d requests", a.Status, len(a.Body), a.Flaw, requests.Load())
			}
		})
	}
	t.Run("drop by drop", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(within(t, 30*time.Second))
		defer cancel()
		dial, _ := ledger(t, func(_ int, c net.Conn, in *bufio.Reader) bool {
			take(in)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
			time.AfterFunc(time.Second, cancel)
			drip(c, strings.Repeat("x", 9999))
			return false
		})
		a, fault := client(t, "http://api.test", dial).Do(ctx, post(300))
		if fault != nil || a.Status != 200 || a.Flaw != "did not end in time" {
			t.Errorf("%v %+v", fault, a)
		}
	})
}

// TestConnectionsAreKept: calls one after the other share a connection, and Close ends it.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	dial, requests := ledger(t, func(_ int, c net.Conn, in *bufio.Reader) bool {
		take(in)
		_, _ = io.WriteString(c, ok)
		return true
	})
	var log providertest.Log
	c, err := Open(fields(), provider.Settings{"apiKey": secret, "baseUrl": "http://api.test/v2/?region=gh"}, provider.Env{
		DialHTTP: func(ctx context.Context, network, address string) (net.Conn, error) {
			conns.Add(1)
			if address != "api.test:80" {
				t.Errorf("dialed %s", address)
			}
			return dial(ctx, network, address)
		}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, fault := c.Do(within(t, 5*time.Second), post(300)); fault != nil {
			t.Fatal(fault)
		}
	}
	if conns.Load() != 1 || requests.Load() != 20 {
		t.Errorf("%d connections, %d requests", conns.Load(), requests.Load())
	}
	_ = c.Close()
	if _, fault := c.Do(within(t, 5*time.Second), post(300)); fault != nil || conns.Load() != 2 {
		t.Errorf("after Close: %v, %d connections", fault, conns.Load())
	}
	_ = c.Close()
	if strings.Contains(log.String(), "S3CRET") || !strings.Contains(log.String(), "provider connection opened") {
		t.Errorf("log: %s", log.String())
	}
}

// TestTarget: paths and queries are added to those of the base.
func TestTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ base, path, query, want string }{
		{"https://api.test", "/emails", "", "https://api.test/emails"},
		{"https://api.test/", "/emails", "", "https://api.test/emails"},
		{"https://api.test/v2/", "/a/b", "x=1", "https://api.test/v2/a/b?x=1"},
		{"https://api.test/v2?key=a", "", "x=1+2", "https://api.test/v2?key=a&x=1+2"},
		{"https://api.test/a%2Fb", "/c", "", "https://api.test/a%2Fb/c"},
	} {
		query, _ := url.ParseQuery(tt.query)
		if got := client(t, tt.base, noDial).target(&Call{Path: tt.path, Query: query}).String(); got != tt.want {
			t.Errorf("%s + %s: %s, want %s", tt.base, tt.path, got, tt.want)
		}
	}
	for _, bad := range []string{"api.test", "ftp://api.test", "https://", "https://%zz"} {
		if _, err := Open(fields(), provider.Settings{"baseUrl": bad}, provider.Env{DialHTTP: noDial, DialHTTPS: noDial}); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := Open(fields(), provider.Settings{}, provider.Env{}); err == nil {
		t.Error("opened without a dialer")
	}
}

func noDial(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }

// TestEncryption: HTTPS alone over DialHTTPS, certificates verified, HTTP/2 where the server has it.
func TestEncryption(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	day := time.Now().Add(24 * time.Hour)
	serve := func(conf *tls.Config, h2 bool, handle http.HandlerFunc) providertest.Dialer {
		s := httptest.NewUnstartedServer(handle)
		s.TLS, s.EnableHTTP2 = conf, h2
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		t.Cleanup(s.Close)
		return providertest.DialTo(s.Listener.Addr().String())
	}
	fine := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Proto)
	}
	hangs := providertest.Peer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
	talks := providertest.Peer(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 this is no TLS\r\n\r\n")
		_ = c.Close()
	})
	for name, tt := range map[string]struct {
		dial  providertest.Dialer
		trust bool
		proto string
		class provider.Class
		code  string
	}{
		"HTTP/1.1":          {serve(certs.Server(t, "api.test", day), false, fine), true, "HTTP/1.1", 0, ""},
		"HTTP/2":            {serve(certs.Server(t, "api.test", day), true, fine), true, "HTTP/2.0", 0, ""},
		"unknown authority": {serve(certs.Server(t, "api.test", day), true, fine), false, "", provider.Account, "tls_certificate"},
		"another name":      {serve(certs.Server(t, "other.test", day), true, fine), true, "", provider.Account, "tls_certificate"},
		"expired":           {serve(certs.Server(t, "api.test", time.Now().Add(-time.Hour)), true, fine), true, "", provider.Account, "tls_certificate"},
		"no TLS":            {talks, true, "", provider.Account, "tls_error"},
		"silent":            {hangs, true, "", provider.Transient, "connect_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.code != "" { // the others keep the machine busy enough
				t.Parallel()
			}
			c := client(t, "https://api.test", tt.dial)
			if tt.trust {
				c.transport.TLSClientConfig.RootCAs = certs.Pool
			}
			if tt.code != "" {
				patience := time.Minute
				if tt.code == "connect_timeout" {
					patience = 200 * time.Millisecond
				}
				_, fault := c.Do(within(t, patience), post(300))
				wantFault(t, fault, tt.class, tt.code)
				return
			}
			var all sync.WaitGroup
			for range 120 { // more than the streams that a connection of HTTP/2 carries at first
				all.Go(func() {
					a, fault := c.Do(within(t, time.Minute), post(300))
					if fault != nil || string(a.Body) != tt.proto {
						t.Errorf("%v %+v", fault, a)
					}
				})
			}
			all.Wait()
		})
	}
	t.Run("HTTP/2 without an answer", func(t *testing.T) {
		t.Parallel()
		arrived := make(chan struct{})
		var requests atomic.Int64
		c := client(t, "https://api.test", serve(certs.Server(t, "api.test", day), true, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if requests.Add(1)%2 == 0 {
				panic(http.ErrAbortHandler)
			}
			arrived <- struct{}{}
			<-r.Context().Done()
		}))
		c.transport.TLSClientConfig.RootCAs = certs.Pool
		for n := 1; n <= 4; n++ {
			ctx, cancel := context.WithCancel(within(t, 20*time.Second))
			if n%2 == 1 {
				go func() { <-arrived; cancel() }()
			}
			_, fault := c.Do(ctx, post(300))
			cancel()
			wantFault(t, fault, provider.Ambiguous, "outcome_unknown")
			if got := requests.Load(); got != int64(n) {
				t.Fatalf("call %d was %d requests: %v", n, got, fault.Cause)
			}
		}
	})
}
