package httpserver

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// visit opens a connection and says whether the server keeps it: whether it answers on it.
func visit(t *testing.T, addr string) (net.Conn, bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, err = conn.Read(make([]byte, 1))
	return conn, err == nil
}

func TestConnectionsPerAddressAreLimited(t *testing.T) {
	t.Parallel()
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	addr, _ := start(t, Config{Handler: hello, PerAddress: 3})
	var kept []net.Conn
	for range 3 {
		conn, ok := visit(t, addr)
		if !ok {
			t.Fatal("a connection within the limit was closed")
		}
		kept = append(kept, conn)
	}
	for range 5 {
		if _, ok := visit(t, addr); ok {
			t.Fatal("a connection over the limit was served")
		}
	}
	_ = kept[0].Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, ok := visit(t, addr); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a closed connection was not given to another")
		}
	}

	addr, _ = start(t, Config{Handler: hello, PerAddress: 3, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for range 20 {
		if _, ok := visit(t, addr); !ok {
			t.Fatal("a proxy was limited")
		}
	}
}

func TestWhomAConnectionCountsFor(t *testing.T) {
	t.Parallel()
	c := newCrowd(nil, 1, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, slog.New(slog.DiscardHandler))
	for _, one := range []struct{ addr, want string }{
		{"192.0.2.7:1", "192.0.2.7"},
		{"[::ffff:192.0.2.7]:1", "192.0.2.7"},
		{"[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::"},
		{"10.1.2.3:1", ""},
		{"[::ffff:10.1.2.3]:1", ""},
	} {
		got, counted := c.client(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(one.addr)))
		if counted != (one.want != "") || counted && got.String() != one.want {
			t.Errorf("%s counts for %v, %v; want %q", one.addr, got, counted, one.want)
		}
	}
}
