package store

import (
	"errors"
	"io"
	"net"
	"strings"
)

// Away says whether an error comes from a database that is away for a while,
// so that the same call may work later and fails now whatever it asks for: a
// connection lost, refused, too slow, or closed before anything was sent, a
// commit whose answer was lost (ErrUncertain), or a server that says so itself
// (the classes of SQLSTATE for connections, resources and shutdowns). It knows
// no driver: errors say what they are by the methods that drivers give them.
func Away(err error) bool {
	if _, network := errors.AsType[net.Error](err); network || errors.Is(err, ErrUncertain) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var unsent interface {
		error
		SafeToRetry() bool
	}
	if errors.As(err, &unsent) && unsent.SafeToRetry() {
		return true
	}
	var said interface {
		error
		SQLState() string
	}
	if !errors.As(err, &said) {
		return false
	}
	state := said.SQLState()
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "57P")
}
