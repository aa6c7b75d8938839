// Package batch joins many callers into few calls: group commit.
//
// Callers hand items to Do; one committer takes whatever waits, without
// lingering for company, and hands it to Commit as one group. While a group
// commits, the next one gathers by itself.
//
// It promises that every item given to Commit gets Commit's answer; that an item
// whose caller gave up before it was taken is never given to Commit; that items
// of Do, and those of DoAll, are taken in the order they came; that whoever hands
// in one item waits behind no list of DoAll for longer than a part of a group takes,
// and the lists go on all the same; and that one bad item does not fail its group, as
// far as Commit can tell (see Isolate and Doubt).
//
// It does not retry on its own: without a mark an error is given to all callers
// of the group as it is, because repeating a group of which something may have
// been stored would store it twice.
package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// ErrClosed is returned for an item that was not taken because Run has ended or
// is ending. The item was not committed.
var ErrClosed = errors.New("batch: closed")

// Defaults of Config.
const (
	defaultMaxItems = 1000
	defaultMaxQueue = 4096
)

// Config describes a Group.
type Config[In, Out any] struct {
	// Commit handles a group: at least one item, one answer per item in the same
	// order. It is never called twice at once. The slice is reused after it
	// returns. ctx is never cancelled by Run stopping; a deadline is Commit's own.
	//
	// With an error no answers are needed. Mark it with Isolate if nothing of the
	// group was stored and a single item may be at fault, with Doubt if everything may be.
	Commit func(ctx context.Context, items []In) ([]Out, error)
	// Size returns the bytes of an item for MaxBytes; nil if only the count matters.
	Size func(In) int
	// MaxItems bounds a group by count [1000].
	MaxItems int
	// MaxBytes bounds a group by the sum of Size; 0 means no bound. A larger item
	// makes a group of its own.
	MaxBytes int
	// MaxQueue bounds the items of Do that wait, and those of DoAll; further callers
	// block until there is room or their context ends [4096].
	MaxQueue int
}

// Group joins the calls of many goroutines. Make it with New; Do and DoAll are
// safe for concurrent use.
type Group[In, Out any] struct {
	config  Config[In, Out]
	wake    chan struct{} // holds one entry if something may be waiting
	closing chan struct{} // closed when Run stops taking
	pool    sync.Pool
	started atomic.Bool

	mu     sync.Mutex
	closed bool
	ones   line[In, Out] // items of Do
	lists  line[In, Out] // items of DoAll
}

// line is a queue, oldest first.
type line[In, Out any] struct {
	room        chan struct{} // one entry per waiting item
	first, last *call[In, Out]
}

// call is one waiting item. The queue is linked through the calls so that one
// that gives up leaves at once.
type call[In, Out any] struct {
	in         In
	out        Out
	err        error
	size       int
	queued     bool
	prev, next *call[In, Out]
	done       *waiter
}

// waiter is told when the last of its calls is answered.
type waiter struct {
	left   atomic.Int32
	signal chan struct{}
}

// single is a call with its own waiter, the unit that Do recycles.
type single[In, Out any] struct {
	call   call[In, Out]
	waiter waiter
}

// New returns a group; its items move once Run is called. It panics without
// Commit.
func New[In, Out any](config Config[In, Out]) *Group[In, Out] {
	if config.Commit == nil {
		panic("batch: Config.Commit is missing")
	}
	if config.MaxItems <= 0 {
		config.MaxItems = defaultMaxItems
	}
	if config.MaxQueue <= 0 {
		config.MaxQueue = defaultMaxQueue
	}
	g := &Group[In, Out]{
		config:  config,
		ones:    line[In, Out]{room: make(chan struct{}, config.MaxQueue)},
		lists:   line[In, Out]{room: make(chan struct{}, config.MaxQueue)},
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	g.pool.New = func() any {
		s := &single[In, Out]{}
		s.waiter.signal = make(chan struct{}, 1)
		s.call.done = &s.waiter
		return s
	}
	return g
}

// Do hands in one item and waits for its answer. If ctx ends before the item was
// taken the item is withdrawn and ctx's cause returned; once it was taken Do
// waits for the answer, because it may be stored. Before Run is called, and
// after it ended, see ErrClosed.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	s := g.pool.Get().(*single[In, Out])
	c := &s.call
	c.in, c.size = in, g.size(in)
	s.waiter.left.Store(1)
	err := g.enqueue(ctx, &g.ones, c)
	if err == nil {
		select {
		case <-s.waiter.signal:
			err = c.err
		case <-ctx.Done():
			if g.withdraw(&g.ones, c) {
				err = context.Cause(ctx)
			} else {
				<-s.waiter.signal
				err = c.err
			}
		}
	}
	out := c.out
	var noIn In
	var noOut Out
	c.in, c.out, c.err = noIn, noOut, nil
	g.pool.Put(s)
	return out, err
}

// DoAll hands in several items of one caller, in order, and waits for all of
// them. They may share a group with other callers' items or be spread over
// several groups. errs is nil if every item succeeded, else it has one entry per
// item. If ctx ends, the items not yet taken fail with its cause; the others
// keep their answers.
func (g *Group[In, Out]) DoAll(ctx context.Context, ins []In) (outs []Out, errs []error) {
	if len(ins) == 0 {
		return nil, nil
	}
	w := &waiter{signal: make(chan struct{}, 1)}
	w.left.Store(int32(len(ins)))
	calls := make([]call[In, Out], len(ins))
	for i := range calls {
		c := &calls[i]
		c.in, c.size, c.done = ins[i], g.size(ins[i]), w
		if err := g.enqueue(ctx, &g.lists, c); err != nil {
			for j := i; j < len(calls); j++ {
				calls[j].err = err
				w.answered()
			}
			break
		}
	}
	select {
	case <-w.signal:
	case <-ctx.Done():
		for i := range calls {
			if g.withdraw(&g.lists, &calls[i]) {
				calls[i].err = context.Cause(ctx)
				w.answered()
			}
		}
		<-w.signal
	}
	return collect(calls)
}

func collect[In, Out any](calls []call[In, Out]) (outs []Out, errs []error) {
	outs = make([]Out, len(calls))
	for i := range calls {
		outs[i] = calls[i].out
		if calls[i].err == nil {
			continue
		}
		if errs == nil {
			errs = make([]error, len(calls))
		}
		errs[i] = calls[i].err
	}
	return outs, errs
}

func (w *waiter) answered() {
	if w.left.Add(-1) == 0 {
		w.signal <- struct{}{}
	}
}

func (g *Group[In, Out]) size(in In) int {
	if g.config.Size == nil {
		return 0
	}
	return g.config.Size(in)
}

// enqueue waits for room in the line and appends c to it.
func (g *Group[In, Out]) enqueue(ctx context.Context, l *line[In, Out], c *call[In, Out]) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case l.room <- struct{}{}:
	default:
		select {
		case l.room <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.closing:
			return ErrClosed
		}
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		<-l.room
		return ErrClosed
	}
	l.push(c)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return nil
}

// withdraw takes c out of the line; false if it is not in it any more.
func (g *Group[In, Out]) withdraw(l *line[In, Out], c *call[In, Out]) bool {
	g.mu.Lock()
	queued := c.queued
	if queued {
		l.unlink(c)
	}
	g.mu.Unlock()
	if queued {
		<-l.room
	}
	return queued
}

func (l *line[In, Out]) push(c *call[In, Out]) {
	c.queued = true
	c.prev, c.next = l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

func (l *line[In, Out]) unlink(c *call[In, Out]) {
	if c.prev == nil {
		l.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next, c.queued = nil, nil, false
}

// PanicError is what the callers of a group get when Commit panicked. Whether
// anything was stored is unknown.
type PanicError struct {
	// Value is what Commit panicked with. It may hold contents: do not log it
	// unseen.
	Value any
	// Stack is the stack at the panic.
	Stack []byte
}

// Error names the panic without the contents of a value that we did not make.
func (e *PanicError) Error() string {
	var known runtime.Error
	if err, ok := e.Value.(error); ok && errors.As(err, &known) {
		return "batch: commit panicked: " + known.Error()
	}
	return fmt.Sprintf("batch: commit panicked with a %T", e.Value)
}

func newPanicError(value any) *PanicError {
	return &PanicError{Value: value, Stack: debug.Stack()}
}
