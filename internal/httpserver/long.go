package httpserver

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// How long a client may take.
const (
	TakeTime = WriteTimeout     // for a piece of a long answer
	HeldTime = 10 * time.Minute // for all of one that is in memory until it is taken
)

// heldLong is how many answers of one kind may have HeldTime at a time.
const heldLong = 2

// Held lets few of the answers that are in memory until they are taken have HeldTime, so that who reads slowly does not keep the memory from all others:
// the rest have WriteTimeout. Its zero value is ready, and safe for concurrent use.
type Held struct{ long atomic.Int32 }

// Begin sets until when all of an answer must have been taken; brief says that it is none of the few. done follows when it was written.
func (h *Held) Begin(l *LongAnswer, brief bool) (done func()) {
	l.End = time.Now().Add(WriteTimeout)
	if brief {
		return func() {}
	}
	leave := func() { h.long.Add(-1) }
	if h.long.Add(1) > heldLong {
		leave() // it takes none of the places
		return func() {}
	}
	l.End = time.Now().Add(HeldTime)
	return leave
}

// longPiece is how much of a long answer is a piece.
const longPiece = 64 << 10

// LongAnswer writes an answer that may take longer than WriteTimeout, which counts from the request: each piece of it has TakeTime
// of its own. Who takes nothing for so long is given up. It is for one goroutine.
type LongAnswer struct {
	// End is until when all of it must have been taken; zero is no such time.
	End time.Time

	to    http.ResponseWriter
	ctx   context.Context
	conn  *http.ResponseController
	pause time.Duration
}

// NewLongAnswer writes to w until ctx ends.
func NewLongAnswer(ctx context.Context, w http.ResponseWriter) *LongAnswer {
	return &LongAnswer{to: w, ctx: ctx, conn: http.NewResponseController(w), pause: TakeTime}
}

// Write implements io.Writer.
func (l *LongAnswer) Write(b []byte) (n int, err error) {
	for {
		part := b[n:min(n+longPiece, len(b))]
		due := time.Now().Add(l.pause)
		if !l.End.IsZero() && l.End.Before(due) {
			due = l.End
		}
		_ = l.conn.SetWriteDeadline(due) // where it cannot be set there is none
		if err := l.ctx.Err(); err != nil {
			return n, err
		}
		wrote, err := l.to.Write(part)
		if n += wrote; err != nil || n == len(b) {
			return n, err
		}
		if wrote < len(part) {
			return n, io.ErrShortWrite
		}
	}
}
