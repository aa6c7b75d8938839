//go:build unix

package smtp

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// peek reads from a socket without waiting. Its fields spare a look the allocations.
type peek struct {
	raw  syscall.RawConn // nil: not possible
	once func(fd uintptr) bool
	into []byte
	n    int
	err  error
}

func (p *peek) open(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.once = func(fd uintptr) bool {
		// Go's sockets do not block: where nothing is there the answer is EAGAIN.
		for {
			if p.n, p.err = syscall.Read(int(fd), p.into); !errors.Is(p.err, syscall.EINTR) {
				return true // whatever was there: do not wait for more
			}
		}
	}
}

func (p *peek) read(b []byte) (int, error) {
	p.into = b
	err := p.raw.Read(p.once)
	p.into = nil
	switch {
	case err != nil: // closed, or the deadline has passed
		return 0, err
	case errors.Is(p.err, syscall.EAGAIN):
		return 0, errNothing
	case p.err != nil:
		return 0, os.NewSyscallError("read", p.err)
	case p.n == 0:
		return 0, io.EOF
	}
	return p.n, nil
}
