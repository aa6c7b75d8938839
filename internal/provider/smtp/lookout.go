package smtp

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// reading is what a read does where nothing is at hand.
type reading uint8

const (
	patiently reading = iota // wait, as every connection does
	atOnce                   // take what the system has received, or answer errNothing
	notAtAll                 // answer errNothing: what is above has its buffers only
)

// errNothing is what a read answers that must not wait. It has to be a net.Error
// that is temporary, or crypto/tls would end the connection.
var errNothing = os.ErrDeadlineExceeded

// lookout is the connection below TLS. Its reads can be told not to wait.
//
// That is how a reply is noticed that came before its command (see wire.inStep).
// With TLS it is tls.Conn that reads so. Octets in the socket are a hint at
// most, for they may be session tickets or a key update, which are no replies:
// only who decrypts them knows. It may be interrupted everywhere, also within a
// record, because the error is a temporary one: crypto/tls keeps what it has of
// the record and goes on with it at the next read.
//
// A look costs one system call. The other ways cost more, or do not work: a
// goroutine that reads all the time needs a stack for each idle session and a
// second wake-up for each reply; a deadline in the past makes Go return without
// reading; one in the near future costs that time at every look.
type lookout struct {
	net.Conn
	reads reading // only who reads may set it
	peek  peek

	mu    sync.Mutex
	until time.Time // the deadline in force, or zero
}

func newLookout(conn net.Conn) *lookout {
	l := &lookout{Conn: conn}
	if c, ok := conn.(*net.TCPConn); ok { // and nothing that may hold back octets of its own
		l.peek.open(c)
	}
	return l
}

// Read implements net.Conn.
func (l *lookout) Read(b []byte) (int, error) {
	switch {
	case l.reads == patiently:
		return l.Conn.Read(b)
	case l.reads == notAtAll:
		return 0, errNothing
	case l.peek.raw != nil:
		return l.peek.read(b)
	}
	return l.readSoon(b)
}

// SetDeadline implements net.Conn.
func (l *lookout) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = t
	return l.Conn.SetDeadline(t)
}

// soon is how long readSoon waits. Where the machine is so busy that it may have passed
// before the read began, which then sees nothing, it tries again, soonTries times at most.
const (
	soon      = time.Millisecond
	soonTries = 5
)

// readSoon is the read for connections that let nobody at the socket, and for
// systems on which we do not read it. Meanwhile the deadline may be set anew,
// when a context ends: that one is in force afterwards.
func (l *lookout) readSoon(b []byte) (n int, err error) {
	for range soonTries {
		began := time.Now()
		n, err = l.readOnce(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 2*soon {
			break
		}
	}
	return n, err
}

func (l *lookout) readOnce(b []byte) (int, error) {
	if err := l.setRead(func(until time.Time) time.Time {
		if t := time.Now().Add(soon); until.IsZero() || t.Before(until) {
			return t
		}
		return until
	}); err != nil {
		return 0, err
	}
	n, err := l.Conn.Read(b)
	if e := l.setRead(func(until time.Time) time.Time { return until }); err == nil {
		err = e
	}
	return n, err
}

func (l *lookout) setRead(to func(until time.Time) time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.SetReadDeadline(to(l.until))
}
