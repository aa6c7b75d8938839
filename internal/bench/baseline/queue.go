package baseline

import (
	"context"
	"sync"
	"time"
)

// queue keeps the heads of each unit in memory: filled from the database in
// order behind a cursor, and directly by accepts while nothing lies between.
type queue struct {
	pipes []pipe
	stats *stats
	pace  time.Duration
	parts []*part // one for each pipe
}

// part is the units of one pipe.
type part struct {
	mu    sync.Mutex
	units map[unit]*window
	order []*window
	turn  int // where the round begins
	wake  chan struct{}
}

// window is the heads of a unit.
type window struct {
	unit
	heads   []*message
	due, id int64 // the cursor: everything up to here is in heads or begun
	behind  bool  // the database may hold rows after the cursor
	left    bool  // a push left its row to the next reading
}

func newQueue(pipes []pipe, stats *stats, pace time.Duration) *queue {
	q := &queue{pipes: pipes, stats: stats, pace: pace}
	for range pipes {
		q.parts = append(q.parts, &part{units: map[unit]*window{}, wake: make(chan struct{}, 1)})
	}
	return q
}

func (p *part) window(u unit) *window {
	w := p.units[u]
	if w == nil {
		w = &window{unit: u, behind: true}
		p.units[u] = w
		p.order = append(p.order, w)
	}
	return w
}

// push hands committed messages over. Ids rise in the order of commits, so a
// row can be taken directly when nothing is left behind the cursor.
func (q *queue) push(group []*message) {
	for i, p := range q.parts {
		p.mu.Lock()
		any := false
		for _, m := range group {
			if !q.pipes[i].mine(m.shard) {
				continue
			}
			any = true
			w := p.window(m.unit)
			if w.behind || len(w.heads) >= windowSize {
				w.behind, w.left = true, true
				continue
			}
			w.heads = append(w.heads, m)
			w.due, w.id = m.due, m.id
		}
		p.mu.Unlock()
		if any {
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}
}

// poll notes the units that have rows.
func (q *queue) poll(ctx context.Context, i int) error {
	found, err := q.pipes[i].units(ctx)
	if err != nil {
		return err
	}
	p := q.parts[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range found {
		if w := p.window(u); len(w.heads) == 0 {
			w.behind = true
		}
	}
	return nil
}

// run takes turns without pause while there is work: the finish of one group and the start of the next together.
func (q *queue) run(ctx context.Context, i int) error {
	p := q.parts[i]
	if err := q.poll(ctx, i); err != nil {
		return err
	}
	var open []*message
	var last time.Time
	polled := time.Now()
	for ctx.Err() == nil {
		if left := q.pace - time.Since(last); left > 0 && len(open) >= 8 && len(open) < turnGroup/2 {
			time.Sleep(left)
		}
		last = time.Now()
		next, err := q.pick(ctx, i)
		if err != nil {
			return unlessOver(ctx, err)
		}
		if len(open)+len(next) > 0 {
			q.stats.first.CompareAndSwap(0, time.Now().UnixNano())
			n := len(open)
			if open, err = q.pipes[i].turn(ctx, open, next); err != nil {
				return unlessOver(ctx, err)
			}
			if n > 0 {
				q.stats.ended(n)
			}
			for _, m := range open {
				m.ref = "accepted-0123456789"
			}
			q.stats.called(open)
			continue
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(polled) > 500*time.Millisecond {
			polled = time.Now()
			if err := q.poll(ctx, i); err != nil {
				return unlessOver(ctx, err)
			}
		}
	}
	return nil
}

func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// pick takes up to a group of heads, each unit in turn.
func (q *queue) pick(ctx context.Context, i int) (out []*message, err error) {
	p := q.parts[i]
	p.mu.Lock()
	live := make([]*window, 0, len(p.order))
	for k := range p.order {
		if w := p.order[(p.turn+k)%len(p.order)]; len(w.heads) > 0 || w.behind {
			live = append(live, w)
		}
	}
	p.turn++
	p.mu.Unlock()
	for len(live) > 0 && len(out) < turnGroup {
		share := max(1, (turnGroup-len(out))/len(live))
		rest := live[:0]
		for _, w := range live {
			if err := q.fill(ctx, i, w); err != nil {
				return nil, err
			}
			p.mu.Lock()
			n := min(share, len(w.heads), turnGroup-len(out))
			out = append(out, w.heads[:n]...)
			w.heads = w.heads[n:]
			if len(w.heads) > 0 || w.behind {
				rest = append(rest, w)
			}
			p.mu.Unlock()
		}
		live = rest
	}
	return out, nil
}

// fill reads the next rows of an empty window. Only the part's own goroutine
// fills; a push meanwhile finds behind set and leaves its row to the next reading.
func (q *queue) fill(ctx context.Context, i int, w *window) error {
	p := q.parts[i]
	p.mu.Lock()
	need := len(w.heads) == 0 && w.behind
	due, id := w.due, w.id
	w.left = w.left && !need
	p.mu.Unlock()
	if !need {
		return nil
	}
	rows, err := q.pipes[i].window(ctx, w.unit, due, id, windowSize)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.heads = append(w.heads, rows...)
	if n := len(rows); n > 0 {
		w.due, w.id = rows[n-1].due, rows[n-1].id
	}
	// Only a reading that found nothing proves that nothing is left, and only if
	// no row was committed after it began.
	w.behind = len(rows) > 0 || w.left
	return nil
}
