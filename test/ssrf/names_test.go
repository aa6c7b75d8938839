//go:build linux

package ssrf

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers for every name.
const nameServer = "127.0.0.53"

// record is what a name stands for. The zero one does not exist.
type record struct {
	addrs []netip.Addr
	alias []string // names on the way to the addresses, each one an alias of the next
	// later are the addresses from the second look-up of a sort on; nil: the same.
	later []netip.Addr
}

// zone is a server of names. Answers may be kept for no time at all.
type zone struct {
	mu      sync.Mutex
	names   map[string]record
	asked   map[dnsmessage.Question]int
	conn    net.PacketConn
	errored func(...any)
}

func openZone(t *testing.T) *zone {
	t.Helper()
	conn, err := net.ListenPacket("udp", net.JoinHostPort(nameServer, "53"))
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{names: map[string]record{}, asked: map[dnsmessage.Question]int{}, conn: conn, errored: t.Error}
	var serving sync.WaitGroup
	serving.Go(z.serve)
	t.Cleanup(func() { _ = conn.Close(); serving.Wait() })
	return z
}

func (z *zone) set(name string, r record) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name] = r
}

func (z *zone) serve() {
	for b := make([]byte, 1500); ; {
		n, from, err := z.conn.ReadFrom(b)
		if err != nil {
			return
		}
		var q dnsmessage.Message
		if err := q.Unpack(b[:n]); err != nil || len(q.Questions) != 1 {
			continue
		}
		out, err := z.answer(q).Pack()
		if err != nil {
			z.errored(err)
			continue
		}
		_, _ = z.conn.WriteTo(out, from)
	}
}

func (z *zone) answer(q dnsmessage.Message) *dnsmessage.Message {
	asked := q.Questions[0]
	a := &dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true, RecursionDesired: true, RecursionAvailable: true}, Questions: q.Questions}
	z.mu.Lock()
	defer z.mu.Unlock()
	name := asked.Name.String()
	r, found := z.names[name[:len(name)-1]]
	if !found {
		a.RCode = dnsmessage.RCodeNameError
		return a
	}
	addrs := r.addrs
	if z.asked[asked]++; z.asked[asked] > 1 && r.later != nil {
		addrs = r.later
	}
	owner := asked.Name
	add := func(kind dnsmessage.Type, body dnsmessage.ResourceBody) {
		a.Answers = append(a.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: owner, Type: kind, Class: dnsmessage.ClassINET}, Body: body})
	}
	for _, alias := range r.alias {
		next := dnsmessage.MustNewName(alias + ".")
		add(dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: next})
		owner = next
	}
	for _, addr := range addrs {
		switch {
		case addr.Is4() && asked.Type == dnsmessage.TypeA:
			add(dnsmessage.TypeA, &dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && asked.Type == dnsmessage.TypeAAAA:
			add(dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
	}
	return a
}
