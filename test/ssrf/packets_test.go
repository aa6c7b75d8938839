//go:build linux

package ssrf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// tap sees every packet of the network, whether anybody listens where it goes or not.
type tap struct {
	mu     sync.Mutex
	homely map[netip.AddrPort]bool // ends of what belongs to the test itself: the API and the name server
	seen   map[string]int          // packets by "tcp 10.0.0.1:443"
}

func openTap(t *testing.T) *tap {
	t.Helper()
	const everything = syscall.ETH_P_ALL<<8 | syscall.ETH_P_ALL>>8 // in network order
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, everything)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 64<<20); err != nil {
		t.Logf("a larger buffer: %v", err)
	}
	// A read that waits would outlive the socket.
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 20_000}); err != nil {
		t.Fatal(err)
	}
	p := &tap{homely: map[netip.AddrPort]bool{}, seen: map[string]int{}}
	var reading sync.WaitGroup
	var over atomic.Bool
	reading.Go(func() {
		for b := make([]byte, 256); !over.Load(); {
			n, from, err := syscall.Recvfrom(fd, b, 0)
			switch link, _ := from.(*syscall.SockaddrLinklayer); {
			case err == syscall.EINTR, err == syscall.EAGAIN:
			case err != nil:
				t.Errorf("the tap ended: %v", err)
				return
			case link != nil && link.Pkttype == syscall.PACKET_OUTGOING: // it comes in as well
				p.count(b[:n])
			}
		}
	})
	t.Cleanup(func() {
		over.Store(true)
		reading.Wait()
		_ = syscall.Close(fd)
	})
	return p
}

// count notes where a packet goes, unless it goes to or from the test's own ends. Of TCP it notes those that open a
// connection: all others follow one.
func (p *tap) count(b []byte) {
	protocol, from, to, ok := ends(b)
	if protocol == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok && (p.homely[from] || p.homely[to]) {
		return
	}
	p.seen[protocol+" "+to.String()]++
}

// ends reads the two ends of a packet of TCP or UDP; any other packet's addresses have the port 0. The protocol is
// "" for what belongs to a connection of TCP that is open already.
func ends(b []byte) (protocol string, from, to netip.AddrPort, ok bool) {
	var number byte
	var source, target netip.Addr
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		number, rest = b[9], b[min(len(b), int(b[0]&15)*4):]
		source, _ = netip.AddrFromSlice(b[12:16])
		target, _ = netip.AddrFromSlice(b[16:20])
	case len(b) >= 40 && b[0]>>4 == 6:
		number, rest = b[6], b[40:]
		source, _ = netip.AddrFromSlice(b[8:24])
		target, _ = netip.AddrFromSlice(b[24:40])
	}
	protocol = map[byte]string{syscall.IPPROTO_TCP: "tcp", syscall.IPPROTO_UDP: "udp"}[number]
	if protocol == "" || len(rest) < 4 {
		return fmt.Sprint("protocol ", number), netip.AddrPortFrom(source, 0), netip.AddrPortFrom(target, 0), false
	}
	const flags, synAck, syn = 13, 0x12, 0x02
	if number == syscall.IPPROTO_TCP && len(rest) > flags && rest[flags]&synAck != syn {
		return "", from, to, false
	}
	port := func(at int) uint16 { return binary.BigEndian.Uint16(rest[at:]) }
	return protocol, netip.AddrPortFrom(source, port(0)), netip.AddrPortFrom(target, port(2)), true
}

// home says that an end belongs to the test.
func (p *tap) home(end netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.homely[end] = true
}

// saw says that a packet went to an end since the last time.
func (p *tap) saw(end string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[end] > 0
}

// take answers what was seen since the last time.
func (p *tap) take() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := maps.Clone(p.seen)
	clear(p.seen)
	return out
}
