package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// dialed is a bare connection to the server.
func dialed(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// statusOf reads the answer.
func statusOf(t *testing.T, conn net.Conn) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestWhoSendsAllFirstGetsItsAnswer: many clients look for an answer only once the
// whole body is written. Whatever a large one is refused for, they see why.
func TestWhoSendsAllFirstGetsItsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	server := httptest.NewServer(w.api.Handler())
	t.Cleanup(server.Close)
	text := strings.Repeat("a", 17<<20)
	for _, c := range []struct {
		name, method, path, kind string
		size                     int
		key                      string
		want                     int
	}{
		{"too large", "POST", "/api/v1/messages", "application/json", 17 << 20, one.key, 413},
		{"too large for settings", "PATCH", "/api/v1/app", "application/json", 8 << 20, one.key, 413},
		{"a wrong key", "POST", "/api/v1/messages", "application/json", 14 << 20, "cs_test_wrong", 401},
		{"no JSON", "POST", "/api/v1/messages", "text/plain", 14 << 20, one.key, 415},
		{"no such path", "POST", "/api/v1/mesages", "application/json", 14 << 20, one.key, 404},
		{"no such method", "PUT", "/api/v1/messages", "application/json", 14 << 20, one.key, 405},
		{"a parameter", "POST", "/api/v1/messages?dryRun=true", "application/json", 14 << 20, one.key, 400},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", chunked ", chunked), func(t *testing.T) {
				t.Parallel()
				conn := dialed(t, server)
				length, body := fmt.Sprintf("Content-Length: %d", c.size), text[:c.size]
				if chunked {
					length, body = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", c.size, text[:c.size])
				}
				head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Type: %s\r\n%s\r\n\r\n", c.method, c.path, one.app.Slug, c.key, c.kind, length)
				if _, err := io.WriteString(conn, head+body); err != nil {
					t.Fatalf("the server hung up on a client that was sending: %v", err)
				}
				if got := statusOf(t, conn); got != c.want {
					t.Errorf("%d, want %d", got, c.want)
				}
			})
		}
	}
}

// TestAnImportThatIsTooLargeGetsItsAnswer: its length is known before anything is read, and more of it comes than of any other body.
func TestAnImportThatIsTooLargeGetsItsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	server := httptest.NewServer(w.api.Handler())
	t.Cleanup(server.Close)
	conn := dialed(t, server)
	fmt.Fprintf(conn, "POST /api/v1/suppressions/import HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n", one.app.Slug, one.key, 65<<20)
	line := []byte(strings.Repeat("EMAIL,ama@example.com\n", 1<<10))
	for sent := 0; sent < 65<<20; {
		n, err := conn.Write(line[:min(len(line), 65<<20-sent)])
		if sent += n; err != nil {
			t.Fatalf("the server hung up after %d bytes: %v", sent, err)
		}
	}
	if got := statusOf(t, conn); got != http.StatusRequestEntityTooLarge {
		t.Errorf("%d, want 413", got)
	}
}

// TestRefusedAndSilentIsAnsweredSoon: a stranger who promises a body and sends none, or
// next to none, holds a connection for two seconds, and none at all once it is over its rate.
func TestRefusedAndSilentIsAnsweredSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	server := httptest.NewServer(w.api.Handler())
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		method, path, length, key string
		trickle                   bool
		want                      int
	}{
		"a stranger, silent":     {"POST", "/api/v1/messages", "Content-Length: 14680064", "cs_test_wrong", false, 401},
		"a stranger, slow":       {"POST", "/api/v1/messages", "Transfer-Encoding: chunked", "cs_test_wrong", true, 401},
		"an app, over its limit": {"PATCH", "/api/v1/app", "Content-Length: 14680064", one.key, false, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, began := dialed(t, server), time.Now()
			_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n",
				c.method, c.path, one.app.Slug, c.key, c.length)
			if err != nil {
				t.Fatal(err)
			}
			if c.trickle {
				go func() {
					for err == nil {
						_, err = io.WriteString(conn, "5\r\naaaaa\r\n")
						time.Sleep(10 * time.Millisecond)
					}
				}()
			}
			got := statusOf(t, conn)
			if took := time.Since(began); got != c.want || took > 5*time.Second {
				t.Errorf("%d after %v; want %d after about two seconds", got, took, c.want)
			}
		})
	}
}
