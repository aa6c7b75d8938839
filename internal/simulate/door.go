package simulate

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/commserver/commserver/internal/freeport"
)

// door is one listening address that can be closed, as if nothing were there, and
// opened again.
type door struct {
	kind  string // of provider; "" is the front door, which never closes
	place int    // of a mail relay: which of them, from 0
	addr  string // with its port once it was open
	serve func(net.Listener) error
	work  *sync.WaitGroup

	mu    sync.Mutex
	l     net.Listener
	links map[*link]bool
	ended bool
}

// portKey is under what a request's context holds the port that it came in by.
type portKey struct{}

func portOf(a net.Addr) int {
	_, text, _ := net.SplitHostPort(a.String())
	port, _ := strconv.Atoi(text)
	return port
}

func (d *door) port() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, text, _ := net.SplitHostPort(d.addr)
	port, _ := strconv.Atoi(text)
	return port
}

// openFirst opens the door for the first time. Where it chooses its port itself, and may be closed for a while, that is none that the
// system gives away meanwhile, to any connection of this machine: the door stayed closed for as long as that lasted.
func (d *door) openFirst() error {
	host, port, err := net.SplitHostPort(d.addr)
	if err != nil || port != "0" || d.kind == "" {
		return d.open()
	}
	for range 20 { // what is free on one address, or at one moment, may not be on another
		ports, err := freeport.On(1)
		if err != nil {
			break
		}
		d.addr = net.JoinHostPort(host, strconv.Itoa(ports[0]))
		if d.open() == nil {
			return nil
		}
	}
	d.addr = net.JoinHostPort(host, port) // the system's choice is better than none
	return d.open()
}

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.l != nil || d.ended {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", d.addr)
	if err != nil {
		return err
	}
	d.addr, d.l = l.Addr().String(), l
	d.work.Go(func() { _ = d.serve(&entrance{Listener: l, door: d}) }) // it ends when the door is closed
	return nil
}

// set opens the door, or closes it and resets who is inside.
func (d *door) set(down bool) error {
	if !down {
		return d.open()
	}
	d.mu.Lock()
	l := d.l
	d.l = nil
	d.mu.Unlock()
	if l != nil {
		_ = l.Close()
		d.cut()
	}
	return nil
}

// close ends the door for good; who is inside may stay.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.l != nil {
		_ = d.l.Close()
		d.l = nil
	}
}

// cut resets every connection.
func (d *door) cut() {
	d.mu.Lock()
	all := d.links
	d.links = map[*link]bool{}
	d.mu.Unlock()
	for l := range all {
		l.reset()
	}
}

// entrance wraps what a listener accepts.
type entrance struct {
	net.Listener
	door *door
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l := &link{Conn: c, door: e.door}
		e.door.mu.Lock()
		inside := e.door.l == e.Listener
		if inside {
			e.door.links[l] = true
		}
		e.door.mu.Unlock()
		if inside {
			return l, nil
		}
		l.reset() // the door closed while it was on the threshold
	}
}

// link is one connection that can be reset, and whose next write can be replaced.
type link struct {
	net.Conn
	door *door
	next atomic.Pointer[func([]byte) error]
}

// Close implements net.Conn.
func (l *link) Close() error {
	l.door.mu.Lock()
	delete(l.door.links, l)
	l.door.mu.Unlock()
	return l.Conn.Close()
}

// reset ends the connection with RST: the peer sees it break, not end.
func (l *link) reset() {
	if tcp, ok := l.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = l.Close()
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	instead := l.next.Swap(nil)
	if instead == nil {
		return l.Conn.Write(p)
	}
	if err := (*instead)(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
