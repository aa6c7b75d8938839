//go:build !unix

package smtp

import (
	"net"
	"syscall"
)

// peek cannot read without waiting here: see lookout.readSoon.
type peek struct{ raw syscall.RawConn }

func (*peek) open(*net.TCPConn) {}

func (*peek) read([]byte) (int, error) { return 0, errNothing }
