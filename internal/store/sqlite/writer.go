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

// writer is the only goroutine that writes. Accept groups, turns and other hot
// operations that wait together share one transaction and one flush; the rest
// go alone, through database/sql.
type writer struct {
	raw  *raw
	conn conn
	ops  chan *op
	done chan struct{}

	stopping sync.RWMutex // held for reading while an operation is handed over
	stopped  bool
	broken   atomic.Pointer[error]

	folding *folding
	present func() error // why the file is not the one that is open, or nil
	failed  func(error)  // told once when the store stops for good
	// commit runs a COMMIT, which is durable when it answers nil.
	commit func(run func() error) error
}

// conn is the writer's connection for shared SQL and migrations.
type conn = *sql.Conn

// op is one caller's operation. Exactly one of hot, cold and alone is set.
type op struct {
	hot   func(*raw) error             // shares a transaction
	cold  func(sqlstore.Querier) error // in a transaction of its own
	alone func(conn) error             // outside any transaction (migrations)
	undo  func()                       // called when a transaction in which hot has run is rolled back
	rows  int                          // about how many hot writes
	state atomic.Int32                 // opWaiting, opTaken, opLeft
	err   error
	ready chan struct{}
}

const (
	opWaiting = iota
	opTaken
	opLeft
)

var (
	qImmediate = &query{"BEGIN IMMEDIATE"}
	qCommit    = &query{"COMMIT"}
	qRollback  = &query{"ROLLBACK"}
)

// newWriter starts the writer, which owns both connections from now on.
func newWriter(r *raw, c conn, present func() error, failed func(error)) *writer {
	w := &writer{raw: r, conn: c, ops: make(chan *op, waiting), done: make(chan struct{}), present: present, failed: failed, folding: newFolding(),
		commit: func(run func() error) error { return run() }}
	go w.run()
	return w
}

// do hands an operation to the writer and waits for its commit. A caller whose
// context ends before the writer has begun gets the context's error and nothing
// is stored; afterwards it waits for the truth.
func (w *writer) do(ctx context.Context, o *op) error {
	if err := w.fault(); err != nil {
		return refuse(err)
	}
	o.ready = make(chan struct{})
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

// stopWith refuses everything from now on.
func (w *writer) stopWith(fault error) {
	w.broken.Store(&fault)
	w.failed(fault)
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
	switch {
	case first.alone != nil:
		first.answer(first.alone(w.conn))
		return nil
	case first.cold != nil:
		first.answer(w.cold(first))
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
	if err := w.begin(); err != nil {
		return err
	}
	if err := o.hot(w.raw); err != nil {
		w.undo(o)
		return err
	}
	return w.finish(o)
}

// together runs first and what arrives meanwhile in one transaction. With an
// error nothing is stored and each has to be run alone.
func (w *writer) together(first *op) (taken []*op, next *op, err error) {
	taken = append(make([]*op, 0, groupOps), first)
	if err := w.begin(); err != nil {
		return taken, nil, err
	}
	rows := 0
	for i := 0; i < len(taken); i++ {
		o := taken[i]
		if err := o.hot(w.raw); err != nil {
			if r, ok := errors.AsType[refusal](err); ok {
				o.err = r
			} else {
				w.undo(taken[:i+1]...)
				return taken, next, err
			}
		}
		rows += o.rows
		if len(taken) < groupOps && next == nil {
			if o := w.waits(); o != nil && (o.hot == nil || rows+o.rows > groupRows) {
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

// cold runs shared SQL in a transaction of its own.
func (w *writer) cold(o *op) error {
	ctx := context.Background()
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := o.cold(steady{w.conn})
	if err == nil {
		err = w.committed(w.commit(func() error {
			_, err := w.conn.ExecContext(ctx, "COMMIT")
			return err
		}))
	}
	if err != nil {
		_, _ = w.conn.ExecContext(ctx, "ROLLBACK") // an error means that SQLite has done so by itself
	}
	return err
}

// begin begins a transaction, in which nothing is counted yet.
func (w *writer) begin() error {
	w.raw.tally.Reset()
	w.raw.outbox = w.raw.outbox[:0]
	if err := w.exec(qImmediate); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return nil
}

func (w *writer) exec(q *query) error {
	_, err := w.raw.run(q)
	return err
}

// undo rolls back what these operations did. An error means that SQLite has done so by itself.
func (w *writer) undo(ran ...*op) {
	_ = w.exec(qRollback)
	for _, o := range ran {
		if o.undo != nil {
			o.undo()
		}
	}
}

// finish commits these operations with what they have counted.
func (w *writer) finish(ran ...*op) error {
	err := writeTally(w.raw)
	if err == nil {
		err = w.committed(w.commit(func() error { return w.exec(qCommit) }))
	}
	if err != nil {
		w.undo(ran...)
		return err
	}
	if !w.raw.tally.Empty() {
		w.folding.tallied.Store(true)
	}
	return nil
}

// committed judges the answer to a COMMIT. When the flush has failed, or what was
// flushed is no longer the file that the next process will open, the store is
// broken for good.
func (w *writer) committed(err error) error {
	if err == nil {
		fault := w.present()
		if fault == nil {
			return nil
		}
		w.stopWith(fault)
		return uncertain(fault)
	}
	if primary(err) == codeIOErr || primary(err) == codeCorrupt {
		fault := fmt.Errorf("%w: %w", errBroken, err)
		w.stopWith(fault)
		return uncertain(fault)
	}
	return fmt.Errorf("commit: %w", err)
}

// close gives the connections up; the goroutine has ended.
func (w *writer) close() error { return errors.Join(w.raw.close(), w.conn.Close()) }

// hot runs an operation that writes about so many rows.
func (w *writer) hot(ctx context.Context, rows int, fn func(*raw) error) error {
	return w.do(ctx, &op{hot: fn, rows: rows})
}

// write runs shared SQL.
func (w *writer) write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	return w.do(ctx, &op{cold: fn})
}

// steady keeps a caller's cancelled context from interrupting a statement: the
// driver would answer before anybody knows what SQLite has done.
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
	if err := s.readers.refused(); err != nil {
		return err
	}
	if err := s.disk.present(); err != nil { // a new connection would open what stands there now
		return refuse(err)
	}
	return fn(s.cold)
}

// Write implements sqlstore.DB.
func (s *Store) Write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	return s.w.write(ctx, fn)
}
