package httpserver

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/outage"
)

// clientBits6 is the length of the network that an IPv6 client commonly has to itself.
const clientBits6 = 64

// Client is whom an address counts for where clients are limited: itself, or its
// network of 64 bits with IPv6, where single addresses are free to make up.
func Client(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if network, err := a.Prefix(clientBits6); err == nil {
			return network.Addr()
		}
	}
	return a
}

// crowd is a listener on which no client has more than most connections at a
// time; one more is closed unread. Exempt addresses are proxies, which speak for many.
type crowd struct {
	net.Listener
	most   int
	exempt []netip.Prefix
	log    *slog.Logger

	mu   sync.Mutex
	open map[netip.Addr]int
	said outage.Spaced
}

func newCrowd(l net.Listener, most int, exempt []netip.Prefix, log *slog.Logger) *crowd {
	return &crowd{Listener: l, most: most, exempt: exempt, log: log, open: map[netip.Addr]int{}, said: outage.Spaced{Every: time.Minute}}
}

// Accept waits for the next connection that may stay.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, counted := c.client(conn.RemoteAddr())
		switch {
		case !counted:
			return conn, nil
		case c.enter(from):
			return &visitor{Conn: conn, leave: sync.OnceFunc(func() { c.leave(from) })}, nil
		}
		if unsaid, ok := c.said.Speak(time.Now()); ok {
			c.log.Warn("connections refused: one address has too many open (COMMS_CONNECTIONS_PER_ADDRESS; is it a proxy for COMMS_TRUSTED_PROXIES?)",
				"from", from.String(), "most", c.most, "unsaid", unsaid)
		}
		_ = conn.Close() // refused: there is nothing to lose
	}
}

// client is whom a connection counts for; counted is false for those without a limit.
func (c *crowd) client(addr net.Addr) (from netip.Addr, counted bool) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return from, false
	}
	from = tcp.AddrPort().Addr().Unmap().WithZone("")
	if within(c.exempt, from) {
		return from, false
	}
	return Client(from), true
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[from] >= c.most {
		return false
	}
	c.open[from]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[from]--; c.open[from] == 0 {
		delete(c.open, from)
	}
}

// visitor is a connection that is counted until it is closed.
type visitor struct {
	net.Conn
	leave func()
}

// Close closes the connection and lets the next one in.
func (v *visitor) Close() error {
	v.leave()
	return v.Conn.Close()
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
