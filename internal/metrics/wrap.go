package metrics

import (
	"context"
	"log/slog"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Accepting is what intake needs of a store.
type Accepting interface {
	Accept(ctx context.Context, subs []store.Submission) ([]store.Accepted, error)
	KnownKey(ctx context.Context, app comm.ID, mode comm.Mode, hash [16]byte) (store.Known, error)
}

// Accepts is the store with its accepts measured.
func (s *Set) Accepts(of Accepting) Accepting { return accepts{of, &s.transactions[0]} }

type accepts struct {
	Accepting
	meter *transaction
}

// Accept implements Accepting.
func (a accepts) Accept(ctx context.Context, subs []store.Submission) ([]store.Accepted, error) {
	began := time.Now()
	out, err := a.Accepting.Accept(ctx, subs)
	a.meter.note(len(subs), began, err)
	return out, err
}

// Turns is the store with its turns measured.
func (s *Set) Turns(of store.Queue) store.Queue { return turns{of, &s.transactions[1]} }

type turns struct {
	store.Queue
	meter *transaction
}

// Turn implements store.Queue.
func (t turns) Turn(ctx context.Context, turn store.Turn) (store.TurnResult, error) {
	began, items := time.Now(), len(turn.Finishes)+len(turn.Starts) // before: the store may keep the slices
	out, err := t.Queue.Turn(ctx, turn)
	t.meter.note(items, began, err)
	return out, err
}

// Log is the logger with its lines counted.
func (s *Set) Log(of *slog.Logger) *slog.Logger { return slog.New(lines{of.Handler(), s}) }

// lines counts what is written.
type lines struct {
	slog.Handler
	set *Set
}

// Handle implements slog.Handler.
func (l lines) Handle(ctx context.Context, r slog.Record) error {
	l.set.lines.WithLabelValues(levelName(r.Level)).Inc()
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lines{l.Handler.WithAttrs(attrs), l.set}
}

// WithGroup implements slog.Handler.
func (l lines) WithGroup(name string) slog.Handler { return lines{l.Handler.WithGroup(name), l.set} }
