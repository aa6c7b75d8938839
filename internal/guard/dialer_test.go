package guard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names is a Resolver that answers from a table and counts.
type names struct {
	answers map[string][]string
	asked   atomic.Int32
}

func (n *names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	n.asked.Add(1)
	var out []netip.Addr
	for _, text := range n.answers[host] {
		addr := netip.MustParseAddr(text)
		if network == "ip" || (network == "ip4") == addr.Unmap().Is4() {
			out = append(out, addr)
		}
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

// listener returns a server on loopback and the number of connections it saw.
func listener(t *testing.T) (port string, seen *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen = &atomic.Int32{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, seen
}

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	port, seen := listener(t)
	resolver := &names{answers: map[string][]string{
		"private.example": {"127.0.0.1"},
		"mixed.example":   {"8.8.8.8", "127.0.0.1"},
		"mapped.example":  {"::ffff:127.0.0.1"},
		"nat64.example":   {"64:ff9b::7f00:1"},
		"v6.example":      {"::1"},
		"public.example":  {"8.8.8.8"},
	}}
	tests := []struct{ name, network, address string }{
		{"loopback literal", "tcp", "127.0.0.1:" + port},
		{"bracketed loopback", "tcp", "[::1]:" + port},
		{"mapped literal", "tcp", "[::ffff:127.0.0.1]:" + port},
		{"short literal", "tcp", "127.1:" + port},
		{"decimal literal", "tcp", "2130706433:" + port},
		{"unspecified", "tcp", "0.0.0.0:" + port},
		{"empty host", "tcp", ":" + port},
		{"localhost", "tcp", "localhost:" + port},
		{"metadata", "tcp", "metadata.google.internal:80"},
		{"name of a private address", "tcp", "private.example:" + port},
		{"name with a mixed answer", "tcp", "mixed.example:" + port},
		{"name of a mapped address", "tcp", "mapped.example:" + port},
		{"name of an embedded address", "tcp", "nat64.example:" + port},
		{"name over tcp4", "tcp4", "private.example:" + port},
		{"name over tcp6", "tcp6", "v6.example:" + port},
		{"port not listed", "tcp", "public.example:22"},
		{"port zero", "tcp", "public.example:0"},
		{"port by name", "tcp", "public.example:https"},
		{"port too large", "tcp", "public.example:65979"},
		{"no port", "tcp", "public.example"},
		{"unix socket", "unix", "/run/docker.sock"},
		{"udp", "udp", "8.8.8.8:443"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &Dialer{Ports: []uint16{443}, Resolver: resolver}
			conn, err := d.DialContext(t.Context(), test.network, test.address)
			if err == nil {
				conn.Close()
			}
			refused(t, test.address, err)
		})
	}
	t.Cleanup(func() {
		if n := seen.Load(); n != 0 {
			t.Errorf("%d connections reached the listener", n)
		}
	})
}

// turning is a Resolver whose answer is another one each time.
type turning struct {
	answers []string
	asked   atomic.Int32
}

func (r *turning) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(r.answers[int(r.asked.Add(1)-1)%len(r.answers)])}, nil
}

// TestRebinding (S34): a name that leads to an address which may be called when it is saved, and
// to the machine itself afterwards. Each call looks it up once, judges that answer, and connects
// to it and to nothing else: no second look-up is made that could answer otherwise.
func TestRebinding(t *testing.T) {
	t.Parallel()
	l, trap, port := twoListeners(t) // the first one stands for the public address
	defer l.Close()
	defer trap.Close()
	caught := make(chan struct{})
	go func() {
		defer close(caught)
		if conn, err := trap.Accept(); err == nil {
			conn.Close()
			t.Error("a connection reached the machine itself")
		}
	}()
	r := &turning{answers: []string{"127.0.0.2", "127.0.0.1"}}
	d := &Dialer{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Resolver: r}
	const name = "rebinding.example"
	if err := d.CheckHost(name); err != nil || r.asked.Load() != 0 {
		t.Fatalf("saving the name: %v, %d look-ups", err, r.asked.Load())
	}
	for round := range 4 {
		conn, err := d.DialContext(t.Context(), "tcp", name+":"+port)
		if n := int(r.asked.Load()); n != round+1 {
			t.Errorf("call %d: %d look-ups in all", round+1, n)
		}
		if round%2 == 1 {
			refused(t, "the second answer", err)
			continue
		}
		if err != nil {
			t.Fatalf("the first answer: %v", err)
		}
		if got := conn.RemoteAddr().String(); got != "127.0.0.2:"+port {
			t.Errorf("connected to %s", got)
		}
		conn.Close()
	}
	trap.Close()
	<-caught
}

// twoListeners are on one port of two addresses of this machine.
func twoListeners(t *testing.T) (allowed, trap net.Listener, port string) {
	t.Helper()
	for range 20 { // the port may be taken on the other address
		var err error
		if allowed, err = net.Listen("tcp4", "127.0.0.2:0"); err != nil {
			t.Fatal(err)
		}
		if _, port, err = net.SplitHostPort(allowed.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if trap, err = net.Listen("tcp4", "127.0.0.1:"+port); err == nil {
			return allowed, trap, port
		}
		allowed.Close()
	}
	t.Fatal("no port is free on both addresses")
	return nil, nil, ""
}

// TestSocketCheck proves that the check of the socket's own address stands by
// itself, whatever the checks before it let through.
func TestSocketCheck(t *testing.T) {
	t.Parallel()
	port, seen := listener(t)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	d := &Dialer{}
	conn, err := d.dialAny(t.Context(), "tcp", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, uint16(number))
	if err == nil {
		conn.Close()
	}
	refused(t, "loopback", err)
	refused(t, "mapped", d.control("tcp6", "[::ffff:127.0.0.1]:80", nil))
	refused(t, "zone", d.control("tcp6", "[fe80::1%eth0]:80", nil))
	refused(t, "path", d.control("unix", "/run/x.sock", nil))
	if seen.Load() != 0 {
		t.Error("a connection reached the listener")
	}
}

func TestDialAllowed(t *testing.T) {
	t.Parallel()
	port, seen := listener(t)
	resolver := &names{answers: map[string][]string{
		"hooks.intranet": {"127.0.0.1"},
		"mapped.example": {"::ffff:127.0.0.1"},
		// Nothing listens at the first address; the second must be tried.
		"two.example": {"127.0.0.2", "127.0.0.1"},
	}}
	d := &Dialer{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: WebPorts(), OnlyAllowed: true,
		Resolver: resolver,
	}
	for i, host := range []string{"127.0.0.1", "hooks.intranet", "mapped.example", "two.example"} {
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if got := conn.RemoteAddr().String(); got != "127.0.0.1:"+port {
			t.Errorf("%s: connected to %s", host, got)
		}
		conn.Close()
		if i == 1 && resolver.asked.Load() != 1 {
			t.Errorf("the name was looked up %d times, want once", resolver.asked.Load())
		}
	}
	_, err := d.DialContext(t.Context(), "tcp", "10.0.0.1:443")
	refused(t, "private range that is not allowed", err)
	_, err = d.DialContext(t.Context(), "tcp", "8.8.8.8:443")
	refused(t, "public address of a dialer for allowed ones", err)
	if n := seen.Load(); n > 4 {
		t.Errorf("the listener saw %d connections, want at most 4", n)
	}
}

func TestDialOtherErrors(t *testing.T) {
	t.Parallel()
	port, _ := listener(t)
	d := &Dialer{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Resolver: &names{}, Timeout: time.Second}
	var blocked *Blocked
	_, err := d.DialContext(t.Context(), "tcp", "unknown.example:443")
	var notFound *net.DNSError
	if !errors.As(err, &notFound) || errors.As(err, &blocked) {
		t.Errorf("unknown name: %v", err)
	}
	if _, err = d.DialContext(t.Context(), "tcp", "127.0.0.3:1"); err == nil || errors.As(err, &blocked) {
		t.Errorf("nothing listens: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = d.DialContext(ended, "tcp", "127.0.0.1:"+port); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	d.Resolver = emptyAnswer{}
	if _, err = d.DialContext(t.Context(), "tcp", "empty.example:443"); err == nil {
		t.Error("an empty answer connects")
	}
}

type emptyAnswer struct{}

func (emptyAnswer) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, nil
}

func TestAllowLifts(t *testing.T) {
	t.Parallel()
	d := &Dialer{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("127.0.0.1/32")}, Ports: SMTPPorts()}
	tests := []struct {
		target string
		ok     bool
	}{
		{"10.1.2.3:8080", true},
		{"10.2.2.3:25", false},
		{"[fd00:1::5]:9", true},
		{"[fd00:2::5]:25", false},
		{"[::ffff:10.1.2.3]:8080", true},
		{"[64:ff9b::a01:203]:25", false},
		{"[2002:a01:203::]:25", false},
		{"8.8.8.8:25", true},
		{"8.8.8.8:465", true},
		{"8.8.8.8:587", true},
		{"8.8.8.8:2525", true},
		{"8.8.8.8:22", false},
		{"8.8.8.8:443", false},
		{"[fd00:1::5%eth0]:25", false},
	}
	for _, test := range tests {
		t.Run(test.target, func(t *testing.T) {
			t.Parallel()
			err := d.CheckAddrPort(netip.MustParseAddrPort(test.target))
			if test.ok && err != nil {
				t.Errorf("refused: %v", err)
			} else if !test.ok {
				refused(t, test.target, err)
			}
		})
	}
	for host, ok := range map[string]bool{"localhost": true, "a.localhost": true, "10.1.0.1": true, "10.2.0.1": false, "metadata.google.internal": false, "127.1": false} {
		if err := d.CheckHost(host); (err == nil) != ok {
			t.Errorf("CheckHost(%q) = %v, want ok = %v", host, err, ok)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	closed := &Dialer{Ports: WebPorts()}
	open := &Dialer{Ports: WebPorts(), Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	good := []struct {
		name string
		d    *Dialer
		in   string
		want string
	}{
		{"plain", closed, "https://hooks.example.com/path?q=1", "https://hooks.example.com/path?q=1"},
		{"capitals and dot", closed, "HTTPS://Hooks.Example.COM./Path", "https://hooks.example.com/Path"},
		{"default port", closed, "https://hooks.example.com:443/", "https://hooks.example.com:443/"},
		{"no path", closed, "https://hooks.example.com", "https://hooks.example.com"},
		{"ipv6", closed, "https://[2A00:1450::1]:443/", "https://[2a00:1450::1]:443/"},
		{"allowed literal, http and port", open, "http://10.0.0.5:8080/h", "http://10.0.0.5:8080/h"},
		{"name that may be allowed", open, "http://hooks.intranet:8080/h", "http://hooks.intranet:8080/h"},
	}
	for _, test := range good {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u, err := test.d.CheckURL(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if u.String() != test.want {
				t.Errorf("got %s, want %s", u, test.want)
			}
		})
	}
	bad := []struct {
		name string
		d    *Dialer
		in   string
	}{
		{"empty", closed, ""},
		{"http", closed, "http://hooks.example.com/"},
		{"file", closed, "file:///etc/passwd"},
		{"gopher", closed, "gopher://hooks.example.com:443/"},
		{"dict", closed, "dict://hooks.example.com:443/"},
		{"ftp", closed, "ftp://hooks.example.com/"},
		{"data", closed, "data:text/plain,x"},
		{"javascript", closed, "javascript:alert(1)"},
		{"unix", closed, "unix:/run/docker.sock"},
		{"no scheme", closed, "hooks.example.com/path"},
		{"scheme relative", closed, "//hooks.example.com/"},
		{"opaque", closed, "https:hooks.example.com"},
		{"no host", closed, "https:///path"},
		{"user", closed, "https://user@hooks.example.com/"},
		{"user and password", closed, "https://good.com:x@10.0.0.1/"},
		{"user trick", closed, "https://good.com@10.0.0.1/"},
		{"fragment trick", closed, "https://10.0.0.1#@good.com/"},
		{"fragment", closed, "https://hooks.example.com/#a"},
		{"empty fragment", closed, "https://hooks.example.com/#"},
		{"backslash trick", closed, `https://good.com\@10.0.0.1/`},
		{"backslashes", closed, `https:\\hooks.example.com`},
		{"newline", closed, "https://hooks.example.com/\r\nHost: x"},
		{"tab in the host", closed, "https://hooks.\texample.com/"},
		{"space", closed, "https://hooks.example.com/a b"},
		{"letters outside ASCII", closed, "https://münchen.example/"},
		{"percent in the host", closed, "https://%31%32%37.0.0.1/"},
		{"zone", closed, "https://[fe80::1%25eth0]/"},
		{"decimal", closed, "https://2130706433/"},
		{"port 22", closed, "https://hooks.example.com:22/"},
		{"port 6379", closed, "https://hooks.example.com:6379/"},
		{"port 0", closed, "https://hooks.example.com:0/"},
		{"port too large", closed, "https://hooks.example.com:65979/"},
		{"empty port", closed, "https://hooks.example.com:/"},
		{"two ports", closed, "https://hooks.example.com:443:22/"},
		{"too long", closed, "https://hooks.example.com/" + strings.Repeat("a", 2048)},
		{"http to a public literal", open, "http://8.8.8.8/"},
		{"port of a public literal", open, "https://8.8.8.8:8443/"},
		{"private literal outside", open, "https://192.168.0.1/"},
		{"metadata", open, "http://169.254.169.254/latest"},
	}
	for _, test := range bad {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u, err := test.d.CheckURL(test.in)
			refused(t, test.in, err)
			if u != nil {
				t.Errorf("returns %v besides the error", u)
			}
		})
	}
}

func TestBlockedInLogs(t *testing.T) {
	t.Parallel()
	err := (&Dialer{}).CheckAddr(netip.MustParseAddr("10.9.8.7"))
	if strings.Contains(err.Error(), "10.9") {
		t.Errorf("the tenant's text tells the address: %v", err)
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("dial", "err", err)
	if !strings.Contains(out.String(), "10.9.8.7: private network") {
		t.Errorf("the operator's log lacks the detail: %s", out.String())
	}
}

func BenchmarkCheckAddr(b *testing.B) {
	d := &Dialer{Ports: WebPorts()}
	target := netip.MustParseAddrPort("[2a00:1450:4009::200e]:443")
	b.ReportAllocs()
	for b.Loop() {
		_ = d.CheckAddrPort(target)
	}
}

func TestAllocations(t *testing.T) {
	d := &Dialer{Ports: WebPorts(), Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	target := netip.MustParseAddrPort("8.8.8.8:443")
	if got := testing.AllocsPerRun(100, func() { _ = d.CheckAddrPort(target) }); got != 0 {
		t.Errorf("CheckAddrPort: %v allocations, want 0", got)
	}
	// One is the error by which the standard library says "not an address".
	if got := testing.AllocsPerRun(100, func() { _ = d.CheckHost("hooks.example.com") }); got > 1 {
		t.Errorf("CheckHost: %v allocations, want 1", got)
	}
}

// TestAHostWithMoreThanItsName: the refusal says what is too much, not how to write addresses.
func TestAHostWithMoreThanItsName(t *testing.T) {
	t.Parallel()
	d := &Dialer{Ports: SMTPPorts()}
	for _, host := range []string{"mail.example.com:587", "https://mail.example.com", "smtp://mail.example.com:25/x"} {
		if err := d.CheckHost(host); err == nil || !strings.Contains(err.Error(), "without scheme, port or path") {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"fe80::1%eth0", "1.2.3.4:25", "[::1"} {
		if err := d.CheckHost(host); err == nil {
			t.Errorf("%s is taken", host)
		}
	}
}
