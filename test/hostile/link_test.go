package hostile

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// link is a way to a database that can be cut.
type link struct {
	to    string
	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]bool
}

// throughLink answers the URL of a database as it is reached through a link.
func throughLink(t *testing.T, database string) (string, *link) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{to: u.Host, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut(true)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	u.Host = listener.Addr().String()
	return u.String(), l
}

// keep remembers a connection, or ends it when the link is cut.
func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		_ = conn.Close()
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *link) carry(conn net.Conn) {
	if !l.keep(conn) {
		return
	}
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = conn.Close()
		return
	}
	if !l.keep(far) {
		_ = conn.Close()
		return
	}
	go func() {
		_, _ = io.Copy(far, conn)
		_ = far.Close()
	}()
	_, _ = io.Copy(conn, far)
	_ = conn.Close()
}

// cut ends every connection and takes no more, or takes them again.
func (l *link) cut(off bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = off
	for conn := range l.conns {
		_ = conn.Close()
		delete(l.conns, conn)
	}
}
