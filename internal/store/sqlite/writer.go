package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	// groupOps and groupRows bound what shares a transaction, so that no group becomes long.
	groupOps  = 8
	groupRows = 1200
	// waiting is how many operations may wait for the writer before callers block.
	waiting = 64
)

// writer is the only goroutine that writes. Whatever waits together (accept
// groups, turns, cold writes) shares one transaction and one flush.
type writer struct {
	conn *sql.Conn
	raw  *raw
	ops  chan *op
	done chan struct{}

	stopping sync.RWMutex // held for reading while an operation is handed over
	stopped  bool
	broken   atomic.Pointer[error]

	begin, rollback *query
	commit          func() error // durable when it answers nil
}

// op is one caller's operation. Exactly one of hot, cold and alone is set.
type op struct {
	hot   func(*raw) error             // below database/sql
	cold  func(sqlstore.Querier) error // shared SQL
	alone func(conn *sql.Conn) error   // outside any transaction (migrations)
	undo  func()                       // called when a transaction in which hot has run is rolled back
	rows  int                          // about how many it writes
	ctx   context.Context              // of the caller, for cold
	state atomic.Int32                 // opWaiting, opTaken, opLeft
	err   error
	ready chan struct{}
}

// conn is the writer's connection.
type conn = *sql.Conn

const (
	opWaiting = iota
	opTaken
	opLeft
)

func newWriter(conn *sql.Conn) (*writer, error) {
	w := &writer{conn: conn, ops: make(chan *op, waiting), done: make(chan struct{}),
		begin: &query{"BEGIN IMMEDIATE"}, rollback: &query{"ROLLBACK"}}
	commit := &query{"COMMIT"}
	w.commit = func() error { return w.exec(commit) }
	err := conn.Raw(func(c any) (err error) {
		w.raw, err = newRaw(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

// do hands an operation to the writer and waits for its commit. A caller whose
// context ends before the writer has begun gets the context's error and nothing
// is stored; afterwards it waits for the truth.
func (w *writer) do(ctx context.Context, o *op) error {
	if err := w.fault(); err != nil {
		return refuse(err)
	}
	o.ctx, o.ready = ctx, make(chan struct{})
	w.stopping.RLock()
	if w.stopped {
		w.stopping.RUnlock()
		return refuse(errClosed)
	}
	select {
	case w.ops <- o:
		w.stopping.RUnlock()
	case <-ctx.Done():
		w.stopping.RUnlock()
		return context.Cause(ctx)
	}
	select {
	case <-o.ready:
	case <-ctx.Done():
		if o.state.CompareAndSwap(opWaiting, opLeft) {
			return context.Cause(ctx)
		}
		<-o.ready
	}
	return refuse(o.err)
}

// refused is the error that everything gets once the store has stopped, or nil.
func (w *writer) refused() error { return refuse(w.fault()) }

// fault is the error that the store stopped with, or nil.
func (w *writer) fault() error {
	if p := w.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// stop lets what waits finish and ends the goroutine.
func (w *writer) stop() {
	w.stopping.Lock()
	if !w.stopped {
		w.stopped = true
		close(w.ops)
	}
	w.stopping.Unlock()
	<-w.done
}

func (w *writer) run() {
	defer close(w.done)
	var next *op
	for {
		if next == nil {
			o, ok := <-w.ops
			if !ok {
				return
			}
			next = o
		}
		if !next.state.CompareAndSwap(opWaiting, opTaken) {
			next = nil
			continue
		}
		next = w.group(next)
	}
}

// group runs first and whatever waits with it, and answers an operation that it took over but did not run.
func (w *writer) group(first *op) (next *op) {
	if err := w.fault(); err != nil {
		first.answer(err)
		return nil
	}
	if first.alone != nil {
		first.answer(first.alone(w.conn))
		return nil
	}
	taken, next, err := w.together(first)
	if err == nil {
		for _, o := range taken {
			o.answer(o.err)
		}
		return next
	}
	if len(taken) == 1 || w.fault() != nil {
		for _, o := range taken {
			if o.err == nil { // a refusal stands whatever became of the others
				o.err = err
			}
			o.answer(o.err)
		}
		return next
	}
	for _, o := range taken {
		o.answer(w.one(o))
	}
	return next
}

func (o *op) answer(err error) {
	if r, ok := errors.AsType[refusal](err); ok {
		err = r.err
	}
	o.err = err
	close(o.ready)
}

// one runs a single operation in a transaction of its own.
func (w *writer) one(o *op) error {
	if err := w.exec(w.begin); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := w.apply(o); err != nil {
		w.undo(o)
		return err
	}
	return w.finish(o)
}

// together runs first and what arrives meanwhile in one transaction. With an
// error nothing is stored and each has to be run alone.
func (w *writer) together(first *op) (taken []*op, next *op, err error) {
	taken = append(make([]*op, 0, groupOps), first)
	if err := w.exec(w.begin); err != nil {
		return taken, nil, fmt.Errorf("begin: %w", err)
	}
	rows := 0
	for i := 0; i < len(taken); i++ {
		o := taken[i]
		if err := w.apply(o); err != nil {
			if r, ok := errors.AsType[refusal](err); ok {
				o.err = r
			} else {
				w.undo(taken[:i+1]...)
				return taken, next, err
			}
		}
		rows += o.rows
		if len(taken) < groupOps && next == nil {
			if o := w.waits(); o != nil && (o.alone != nil || rows+o.rows > groupRows) {
				next = o
			} else if o != nil && o.state.CompareAndSwap(opWaiting, opTaken) {
				taken = append(taken, o)
			}
		}
	}
	return taken, next, w.finish(taken...)
}

// waits takes an operation that is there already, if any.
func (w *writer) waits() *op {
	select {
	case o := <-w.ops:
		return o // nil when stopping
	default:
		return nil
	}
}

// apply runs the operation inside the open transaction.
func (w *writer) apply(o *op) error {
	if o.hot != nil {
		return w.conn.Raw(func(any) error { return o.hot(w.raw) })
	}
	if _, err := w.conn.ExecContext(context.Background(), "SAVEPOINT op"); err != nil {
		return err
	}
	err := o.cold(steady{w.conn})
	if err != nil {
		if _, uerr := w.conn.ExecContext(context.Background(), "ROLLBACK TO op"); uerr != nil {
			return err // the whole transaction is gone: everybody alone
		}
		if primary(err) == 0 {
			err = refusal{err}
		}
	}
	if _, rerr := w.conn.ExecContext(context.Background(), "RELEASE op"); rerr != nil {
		return rerr
	}
	return err
}

func (w *writer) exec(q *query) error {
	return w.conn.Raw(func(any) error {
		_, err := w.raw.run(q)
		return err
	})
}

// undo rolls back what these operations did. An error means that SQLite has done so by itself.
func (w *writer) undo(ran ...*op) {
	_ = w.exec(w.rollback)
	for _, o := range ran {
		if o.undo != nil {
			o.undo()
		}
	}
}

// finish commits these operations. When the flush fails the store is broken for good.
func (w *writer) finish(ran ...*op) error {
	err := w.commit()
	if err == nil {
		return nil
	}
	w.undo(ran...)
	if primary(err) == codeIOErr || primary(err) == codeCorrupt {
		fault := fmt.Errorf("%w: %w", errBroken, err)
		w.broken.Store(&fault)
		return uncertain(fault)
	}
	return fmt.Errorf("commit: %w", err)
}

// close gives the connection up; the goroutine has ended.
func (w *writer) close() error {
	err := w.conn.Raw(func(any) error { return w.raw.close() })
	return errors.Join(err, w.conn.Close())
}

// hot runs an operation below database/sql that writes about so many rows.
func (w *writer) hot(ctx context.Context, rows int, fn func(*raw) error) error {
	return w.do(ctx, &op{hot: fn, rows: rows})
}

// write runs shared SQL.
func (w *writer) write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	return w.do(ctx, &op{cold: fn, rows: 4})
}

// steady keeps a caller's cancelled context from interrupting a statement:
// SQLite would roll the neighbours back with it.
type steady struct{ q sqlstore.Querier }

func (s steady) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	return s.q.ExecContext(context.WithoutCancel(ctx), q, args...)
}

func (s steady) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	return s.q.QueryContext(context.WithoutCancel(ctx), q, args...)
}

func (s steady) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	return s.q.QueryRowContext(context.WithoutCancel(ctx), q, args...)
}

var _ sqlstore.DB = (*Store)(nil)

// Read implements sqlstore.DB.
func (s *Store) Read(ctx context.Context, fn func(sqlstore.Querier) error) error {
	return s.readers.with(ctx, func(r *reader) error { return fn(r.conn) })
}

// Write implements sqlstore.DB.
func (s *Store) Write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	return s.w.write(ctx, fn)
}
