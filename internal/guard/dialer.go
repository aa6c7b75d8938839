package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// defaultTimeout bounds a dial when Dialer.Timeout is zero.
const defaultTimeout = 10 * time.Second

// Resolver turns a name into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects to hosts on the public internet and to the ranges of Allow.
// The zero value allows every port and no private range. Its fields must not
// change once it is used; it is safe for concurrent use.
type Dialer struct {
	// Allow lists the ranges that may be reached although they are special. For
	// them Ports and OnlyAllowed do not apply either. An IPv4 range does not cover
	// IPv6 addresses that embed it.
	Allow []netip.Prefix
	// Ports lists the ports that may be reached outside of Allow; empty means any.
	Ports []uint16
	// OnlyAllowed refuses everything outside of Allow: for connections that will
	// not be encrypted.
	OnlyAllowed bool
	// Timeout bounds the look-up and the connecting together [10 s].
	Timeout time.Duration
	// Resolver looks names up [net.DefaultResolver].
	Resolver Resolver
}

// SMTPPorts returns the ports of mail submission: 25, 465, 587, 2525.
func SMTPPorts() []uint16 { return []uint16{25, 465, 587, 2525} }

// WebPorts returns the port of https: 443.
func WebPorts() []uint16 { return []uint16{443} }

// CheckAddr judges one address. The error is a *Blocked.
func (d *Dialer) CheckAddr(addr netip.Addr) error {
	addr = addr.Unmap()
	if d.allowed(addr) {
		return nil
	}
	if why := special(addr); why != "" {
		return &Blocked{reason: reasonAddress, detail: addr.String() + ": " + why}
	}
	if d.OnlyAllowed {
		return &Blocked{reason: reasonPlain, detail: addr.String() + ": unencrypted and outside of the allowed ranges"}
	}
	return nil
}

// CheckAddrPort judges one address and port. The error is a *Blocked.
func (d *Dialer) CheckAddrPort(target netip.AddrPort) error {
	if err := d.CheckAddr(target.Addr()); err != nil {
		return err
	}
	if d.portListed(target.Port()) || d.allowed(target.Addr().Unmap()) {
		return nil
	}
	return &Blocked{reason: reasonPort, detail: target.String() + ": port not listed"}
}

func (d *Dialer) allowed(addr netip.Addr) bool {
	if addr.Zone() != "" {
		return false
	}
	for _, prefix := range d.Allow {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

func (d *Dialer) portListed(port uint16) bool {
	return len(d.Ports) == 0 || slices.Contains(d.Ports, port)
}

// DialContext connects to address, "host:port", over network "tcp", "tcp4" or
// "tcp6"; it fits http.Transport.DialContext. A name is looked up once, and if
// any of its addresses is refused, so is the name: a mixed answer is an attack or
// a mistake. The addresses are tried in the resolver's order.
//
// The error is a *Blocked (errors.As) if the target is refused. Any other error
// may contain addresses and belongs in the operator's log only.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, &Blocked{reason: reasonAddress, detail: "network " + strconv.Quote(network)}
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &Blocked{reason: "give the target as host:port", detail: "cannot split host and port"}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, &Blocked{reason: reasonPort, detail: "port is no number from 1 to 65535"}
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addrs, err := d.resolve(ctx, network, host)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if err := d.CheckAddrPort(netip.AddrPortFrom(addr, uint16(port))); err != nil {
			return nil, err
		}
	}
	return d.dialAny(ctx, network, addrs, uint16(port))
}

// resolve returns the addresses of a literal or a name, unmapped.
func (d *Dialer) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := d.CheckHost(host); err != nil {
		return nil, err
	}
	if addr, ok := literal(host); ok {
		return []netip.Addr{addr}, nil
	}
	var resolver Resolver = net.DefaultResolver
	if d.Resolver != nil {
		resolver = d.Resolver
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
	if err != nil {
		return nil, fmt.Errorf("look up the target's name: %w", err)
	}
	if len(addrs) == 0 {
		return nil, errors.New("look up the target's name: no address")
	}
	addrs = slices.Clone(addrs)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// dialAny tries the addresses one after the other, each with its share of the
// time that is left.
func (d *Dialer) dialAny(ctx context.Context, network string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	var first error
	for i, addr := range addrs {
		attempt, cancel := withShare(ctx, len(addrs)-i)
		dialer := net.Dialer{Control: d.control}
		conn, err := dialer.DialContext(attempt, network, netip.AddrPortFrom(addr, port).String())
		cancel()
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect: %w", first)
}

func withShare(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || parts <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(parts))
}

// control runs between the making of the socket and its connect, with the
// address that the kernel will be given. It is the check that nothing gets past.
func (d *Dialer) control(network, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Blocked{reason: reasonAddress, detail: "cannot read the socket address on " + network}
	}
	return d.CheckAddrPort(target)
}
