package batch

import (
	"context"
	"errors"
	"fmt"
)

// isolated marks an error as safe to answer by trying smaller groups.
type isolated struct{ cause error }

func (e *isolated) Error() string { return e.cause.Error() }
func (e *isolated) Unwrap() error { return e.cause }

// Isolate marks an error of Commit with two promises: nothing of the group was
// stored, and the fault may lie with a single item (a violated constraint, a
// value that does not fit). The group is then halved until only the items at
// fault remain; they alone get the error, and every other item is committed. A
// group with k bad items of n costs about 2 k log2(n) further calls of Commit.
//
// Do not mark what fails every group alike, such as a lost connection, nor
// anything after which a part may have been stored, such as a commit without an
// answer. errors.Is and errors.As see through the mark. Isolate(nil) is nil.
func Isolate(err error) error {
	if err == nil {
		return nil
	}
	return &isolated{err}
}

func isolates(err error) bool {
	if err == nil {
		return false
	}
	var mark *isolated
	return errors.As(err, &mark)
}

// doubted marks an error of which nobody knows whether an item is at fault.
type doubted struct{ cause error }

func (e *doubted) Error() string { return e.cause.Error() }
func (e *doubted) Unwrap() error { return e.cause }

// Doubt marks an error of Commit with the first promise of Isolate, nothing of the
// group was stored, where the fault may lie with a single item or with everything. A few
// parts of the group are tried: if one of them does not fail so, the parts that do are
// split until only the items at fault remain. If all of them fail, the group costs no more
// than those few calls, and every item gets an error.
//
// errors.Is and errors.As see through the mark. Doubt(nil) is nil.
func Doubt(err error) error {
	if err == nil {
		return nil
	}
	return &doubted{err}
}

func doubts(err error) bool {
	var mark *doubted
	return err != nil && errors.As(err, &mark)
}

// doubtParts is how many parts of a group are tried after an error marked by Doubt.
const doubtParts = 8

// Run commits what callers hand in until ctx ends; then it refuses new items,
// commits all that wait, and returns nil. A panic of Commit becomes a
// *PanicError for the callers of its group, and Run goes on. Call it once; a
// second call returns an error.
func (g *Group[In, Out]) Run(ctx context.Context) error {
	if !g.started.CompareAndSwap(false, true) {
		return errors.New("batch: Run was called twice")
	}
	c := &committer[In, Out]{group: g, ctx: context.WithoutCancel(ctx)}
	for ctx.Err() == nil {
		if c.tick() {
			continue
		}
		select {
		case <-g.wake:
		case <-ctx.Done():
		}
	}
	g.close()
	for c.tick() {
	}
	return nil
}

func (g *Group[In, Out]) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	close(g.closing)
}

// committer holds what Run reuses from group to group.
type committer[In, Out any] struct {
	group *Group[In, Out]
	ctx   context.Context
	calls []*call[In, Out]
	items []In
	bytes int // of items
	// passed says that the last group had no room for what waits of DoAll.
	passed bool
}

// tick commits one group of what waits; false if nothing does.
func (c *committer[In, Out]) tick() bool {
	c.take()
	if len(c.calls) == 0 {
		return false
	}
	c.commit(c.calls, c.items)
	// Keep the memory of the slices but not what they pointed to.
	clear(c.calls)
	clear(c.items)
	c.calls, c.items, c.bytes = c.calls[:0], c.items[:0], 0
	return true
}

// listsPart is the part of a group that items of DoAll have at most beside items of
// Do, whose callers wait for all of the group.
const listsPart = 4

// take moves the oldest waiting calls into the group, up to its bounds: those of Do,
// then some of DoAll. Where the first left no room for the second, it is the other way
// round in the next group.
func (c *committer[In, Out]) take() {
	g := c.group
	g.mu.Lock()
	most, ones, lists := g.config.MaxItems, 0, 0
	part := max(1, most/listsPart)
	if c.passed {
		lists = c.from(&g.lists, part)
	}
	ones = c.from(&g.ones, most)
	switch {
	case ones == 0:
		lists += c.from(&g.lists, most)
	case lists == 0:
		lists = c.from(&g.lists, min(most, ones+part))
	}
	c.passed = lists == 0 && g.lists.first != nil
	g.mu.Unlock()
	for range ones {
		<-g.ones.room
	}
	for range lists {
		<-g.lists.room
	}
}

// from takes calls of a line until the group has so many, or its bytes. It runs under mu.
func (c *committer[In, Out]) from(l *line[In, Out], most int) (n int) {
	for next := l.first; next != nil && len(c.calls) < most; next = l.first {
		if bound := c.group.config.MaxBytes; bound > 0 && c.bytes+next.size > bound && len(c.calls) > 0 {
			break
		}
		c.bytes += next.size
		l.unlink(next)
		c.calls, c.items = append(c.calls, next), append(c.items, next.in)
		n++
	}
	return n
}

// commit hands a group to Commit and answers its callers, splitting it as long as
// the error allows.
func (c *committer[In, Out]) commit(calls []*call[In, Out], items []In) {
	outs, err := c.attempt(items)
	if len(calls) > 1 && isolates(err) {
		c.halves(calls, items)
		return
	}
	if len(calls) > 1 && doubts(err) {
		c.inParts(calls, items, false)
		return
	}
	answer(calls, items, outs, err)
}

// restore fills items anew: Commit may have reordered them; the calls still know theirs.
func restore[In, Out any](calls []*call[In, Out], items []In) {
	for i, call := range calls {
		items[i] = call.in
	}
}

func (c *committer[In, Out]) halves(calls []*call[In, Out], items []In) {
	restore(calls, items)
	half := len(calls) / 2
	c.commit(calls[:half], items[:half])
	c.commit(calls[half:], items[half:])
}

// inParts tries parts of a group that failed with a doubt. If one does not fail so, or
// sure says that it was like that before, items are at fault, and those parts are split.
func (c *committer[In, Out]) inParts(calls []*call[In, Out], items []In, sure bool) {
	restore(calls, items)
	type part struct {
		calls []*call[In, Out]
		items []In
		err   error
	}
	var failed []part
	size := (len(calls) + doubtParts - 1) / doubtParts
	for from := 0; from < len(calls); from += size {
		to := min(from+size, len(calls))
		p := part{calls: calls[from:to], items: items[from:to]}
		outs, err := c.attempt(p.items)
		p.err = err
		switch {
		case doubts(err):
			failed = append(failed, p)
		case err == nil:
			sure = true
			answer(p.calls, p.items, outs, nil)
		case isolates(err) && len(p.calls) > 1:
			sure = true
			c.halves(p.calls, p.items)
		case isolates(err):
			sure = true
			answer(p.calls, p.items, nil, err)
		default: // it meets everybody now
			answer(p.calls, p.items, nil, err)
			if to < len(calls) {
				answer(calls[to:], items[to:], nil, err)
			}
			for _, f := range failed {
				answer(f.calls, f.items, nil, f.err)
			}
			return
		}
	}
	for _, f := range failed {
		if sure && len(f.calls) > 1 {
			c.inParts(f.calls, f.items, true)
			continue
		}
		answer(f.calls, f.items, nil, f.err)
	}
}

// answer tells the callers of a group.
func answer[In, Out any](calls []*call[In, Out], items []In, outs []Out, err error) {
	if err == nil && len(outs) != len(items) {
		err = fmt.Errorf("batch: commit returned %d answers for %d items", len(outs), len(items))
	}
	for i, call := range calls {
		if err != nil {
			call.err = err
		} else {
			call.out = outs[i]
		}
		// Not touched after this: its caller owns it again.
		call.done.answered()
	}
}

// attempt calls Commit and turns a panic into an error.
func (c *committer[In, Out]) attempt(items []In) (outs []Out, err error) {
	defer func() {
		if value := recover(); value != nil {
			outs, err = nil, newPanicError(value)
		}
	}()
	return c.group.config.Commit(c.ctx, items)
}
