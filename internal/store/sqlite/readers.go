package sqlite

import (
	"context"
	"fmt"
)

// readers is a small pool of connections that cannot write. A reader is held
// for one short statement or a few: an old snapshot would keep the write-ahead
// log from starting over.
type readers struct {
	open  func() (*raw, error)
	fault func() error  // why nothing may be read any more, or nil
	idle  chan *raw     // nil entries are connections not opened yet
	done  chan struct{} // closed by close
}

func newReaders(n int, open func() (*raw, error), fault func() error) *readers {
	p := &readers{open: open, fault: fault, idle: make(chan *raw, n), done: make(chan struct{})}
	for range n {
		p.idle <- nil
	}
	return p
}

// refused is why nothing may be read any more, or nil.
func (p *readers) refused() error {
	select {
	case <-p.done:
		return refuse(errClosed)
	default:
		return refuse(p.fault())
	}
}

// with lends fn a reader. fn copies what it needs and does not keep it.
func (p *readers) with(ctx context.Context, fn func(*raw) error) error {
	if err := p.refused(); err != nil {
		return err
	}
	var r *raw
	select {
	case r = <-p.idle:
	case <-p.done:
		return refuse(errClosed)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if r == nil {
		var err error
		if r, err = p.open(); err != nil {
			p.idle <- nil
			return fmt.Errorf("open a connection for reading: %w", err)
		}
	}
	defer func() { p.idle <- r }()
	return fn(r)
}

var qBegin = &query{`BEGIN`}

// in calls fn in one snapshot.
func (r *raw) in(fn func() error) error {
	if _, err := r.run(qBegin); err != nil {
		return err
	}
	defer func() { _, _ = r.run(qRollback) }()
	return fn()
}

// snapshot calls fn n times in one snapshot, which costs less than one for each.
func (r *raw) snapshot(n int, fn func(i int) error) error {
	all := func() error {
		for i := range n {
			if err := fn(i); err != nil {
				return err
			}
		}
		return nil
	}
	if n <= 1 {
		return all()
	}
	return r.in(all)
}

// close waits until every reader is back.
func (p *readers) close() (err error) {
	close(p.done)
	for range cap(p.idle) {
		if r := <-p.idle; r != nil {
			if cerr := r.close(); err == nil {
				err = cerr
			}
		}
	}
	return err
}
