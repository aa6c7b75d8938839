package webhook

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/store"
)

// outside is a service behind real dialers that may reach these ranges.
func outside(allow ...netip.Prefix) *Service {
	web, plain := &guard.Dialer{Allow: allow, Ports: guard.WebPorts()}, &guard.Dialer{Allow: allow, OnlyAllowed: true}
	return New(Config{Dial: web.DialContext, DialPlain: plain.DialContext, Timeout: 5 * time.Second})
}

func event() *store.Delivery {
	return &store.Delivery{EventRef: store.EventRef{Message: comm.NewID(1), Sequence: 1}, Body: []byte(`{}`)}
}

// F34: what is not public is refused where it is dialled, and gets no packet.
func TestPrivateReceiversAreRefused(t *testing.T) {
	t.Parallel()
	var l net.ListenConfig
	trap, err := l.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int32
	go func() {
		for {
			c, err := trap.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			_ = c.Close()
		}
	}()
	defer func() { _ = trap.Close() }()
	_, port, _ := net.SplitHostPort(trap.Addr().String())
	s := outside()
	for _, url := range []string{"http://127.0.0.1:", "https://127.0.0.1:", "https://localhost:", "http://[::ffff:127.0.0.1]:", "https://[::1]:", "https://169.254.169.254:", "https://[64:ff9b::7f00:1]:"} {
		if a := s.call(t.Context(), url+port+"/", secrets{secret}, event()); a.fault != faultBlocked || a.status != 0 {
			t.Errorf("%s: %+v", url, a)
		}
	}
	if n := taken.Load(); n != 0 {
		t.Errorf("%d connections reached the trap", n)
	}
}

// F53: a connection that is kept and closed by the other side is a failed attempt at most; nothing is sent twice for one attempt.
func TestOneRequestForEachAttempt(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if posts.Add(1)%2 == 0 { // after the whole request
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = c.Close()
			}
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer hook.Close()
	s := outside(netip.MustParsePrefix("127.0.0.0/8"))
	for n := range int32(20) {
		a := s.call(t.Context(), hook.URL, secrets{secret}, event())
		if want := n%2 == 0; a.good() != want || !want && a.fault != faultCut || posts.Load() != n+1 {
			t.Fatalf("attempt %d made %d requests: %+v", n+1, posts.Load(), a)
		}
	}
	bad := httptest.NewTLSServer(http.NotFoundHandler())
	defer bad.Close()
	if a := s.call(t.Context(), bad.URL, secrets{secret}, event()); a.fault != faultTLS {
		t.Errorf("a certificate that nobody knows: %+v", a)
	}
	if a := s.call(t.Context(), strings.Replace(hook.URL, "127.0.0.1", "no-such-host.invalid", 1), secrets{secret}, event()); a.status != 0 || a.good() {
		t.Errorf("%+v", a)
	}
}
