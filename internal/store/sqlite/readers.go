package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// readers is a small pool of connections that cannot write. A reader is held
// for one short statement or a few: an old snapshot would keep the write-ahead
// log from starting over.
type readers struct {
	db    *sql.DB
	fault func() error  // why nothing may be read any more, or nil
	done  chan struct{} // closed by close
	idle  chan *reader  // nil entries are connections not opened yet
}

// reader is a query-only connection, with database/sql and below it.
type reader struct {
	conn *sql.Conn
	raw  *raw
}

func newReaders(db *sql.DB, n int, fault func() error) *readers {
	r := &readers{db: db, fault: fault, done: make(chan struct{}), idle: make(chan *reader, n)}
	for range n {
		r.idle <- nil
	}
	return r
}

// with lends fn a reader. fn copies what it needs and does not keep it.
func (p *readers) with(ctx context.Context, fn func(*reader) error) error {
	if err := p.fault(); err != nil {
		return refuse(err)
	}
	var r *reader
	select {
	case <-p.done:
		return refuse(errClosed)
	default:
	}
	select {
	case r = <-p.idle:
	case <-p.done:
		return refuse(errClosed)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if r == nil {
		var err error
		if r, err = p.open(ctx); err != nil {
			p.idle <- nil
			return fmt.Errorf("open a connection for reading: %w", err)
		}
	}
	defer func() { p.idle <- r }()
	return fn(r)
}

// raw lends fn a reader below database/sql.
func (p *readers) raw(ctx context.Context, fn func(*raw) error) error {
	return p.with(ctx, func(r *reader) error {
		return r.conn.Raw(func(any) error { return fn(r.raw) })
	})
}

var (
	qBegin    = &query{`BEGIN`}
	qRollback = &query{`ROLLBACK`}
)

// snapshot calls fn n times in one snapshot, which costs less than one for each.
func (r *raw) snapshot(n int, fn func(i int) error) error {
	if n > 1 {
		if _, err := r.run(qBegin); err != nil {
			return err
		}
		defer func() { _, _ = r.run(qRollback) }()
	}
	for i := range n {
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

func (p *readers) open(ctx context.Context) (*reader, error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn}
	err = conn.Raw(func(c any) (err error) {
		r.raw, err = newRaw(c)
		return err
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return r, nil
}

// close waits until every reader is back.
func (p *readers) close() error {
	close(p.done)
	for range cap(p.idle) {
		if r := <-p.idle; r != nil {
			_ = r.raw.close()
			_ = r.conn.Close()
		}
	}
	return p.db.Close()
}
