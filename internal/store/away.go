package store

import (
	"errors"
	"io"
	"net"
	"strings"

	"github.com/commserver/commserver/internal/comm"
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

// RolledBack is an error of a transaction that had begun, of a database that was there
// and undid it: what looks like an outage may then be about a row of it.
type RolledBack struct{ Cause error }

func (e *RolledBack) Error() string { return e.Cause.Error() }

func (e *RolledBack) Unwrap() error { return e.Cause }

// SessionEnded says that the server itself ended the session: whatever was not committed then
// never will be, so that looking tells what became of an uncertain transaction.
func SessionEnded(err error) bool {
	var said interface {
		error
		SQLState() string
	}
	return errors.As(err, &said) && strings.HasPrefix(said.SQLState(), "57P")
}

// Doubtful says that an error looks like an outage and may be one row's own all the
// same: a memory too small for it, a disk too full for it, a trigger that says so, or a
// row that ends its session. After ErrUncertain nobody knows what was stored; after any
// other, nothing was. Whoever has other rows finds out by them.
func Doubtful(err error) bool {
	if errors.Is(err, ErrUncertain) {
		return true
	}
	undone, ok := errors.AsType[*RolledBack](err)
	return ok && (Away(undone) || comm.IsKind(err, comm.Unavailable))
}
