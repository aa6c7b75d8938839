package dispatch

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestWindowLosesNothing lets rows appear anywhere, behind the cursor with a
// push or a wake, while the window is read in pieces and emptied: every row
// comes out once, and at the end nothing is left in the queue.
func TestWindowLosesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var w window
		w.more = true
		var queue []store.Head
		out := map[comm.ID]bool{}
		known := func(h store.Head) bool { return out[h.ID] }
		read := func() {
			if !w.more && !w.behind {
				return
			}
			limit := 1 + rng.IntN(20)
			i, _ := slices.BinarySearchFunc(queue, w.cursor, compareHeads)
			for i < len(queue) && !w.cursor.Before(queue[i]) {
				i++
			}
			rows := slices.Clone(queue[i:min(len(queue), i+limit)])
			w.merge(rows, len(rows) >= limit, false, known)
		}
		total := 0
		for range 300 {
			switch rng.IntN(4) {
			case 0, 1: // a row appears
				total++
				h := store.Head{Due: comm.Micros(rng.IntN(1000))}
				h.ID[0], h.ID[1] = byte(total>>8), byte(total)
				i, _ := slices.BinarySearchFunc(queue, h, compareHeads)
				queue = slices.Insert(queue, i, h)
				if rng.IntN(2) == 0 {
					w.insert(h)
				} else {
					w.rewind(h.Due)
				}
			case 2:
				read()
			case 3:
				for n := rng.IntN(5); n > 0 && w.len() > 0; n-- {
					h := w.pop()
					if out[h.ID] {
						t.Fatalf("seed %d: %v comes out twice", seed, h)
					}
					out[h.ID] = true
				}
			}
			if !slices.IsSortedFunc(w.heads[w.at:], compareHeads) {
				t.Fatalf("seed %d: the window is out of order", seed)
			}
		}
		for w.len() > 0 || w.more || w.behind {
			read()
			for w.len() > 0 {
				out[w.pop().ID] = true
			}
		}
		if len(out) != total {
			t.Fatalf("seed %d: %d of %d rows came out", seed, len(out), total)
		}
	}
}

func TestWindowIsBounded(t *testing.T) {
	t.Parallel()
	var w window
	for i := range 3 * windowSize {
		w.insert(store.Head{Due: comm.Micros(3*windowSize - i)})
	}
	if w.len() != windowSize || !w.more || w.front().Due != 1 || w.cursor.Due != windowSize {
		t.Errorf("%d heads from %d, cursor %d, more %v", w.len(), w.front().Due, w.cursor.Due, w.more)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	g := newGuard(func() time.Time { return now }, 10*time.Second)
	if _, ok := g.current(); ok {
		t.Error("a node that never had a lease may call")
	}
	g.renewed(now)
	first, ok := g.current()
	now = now.Add(7 * time.Second)
	if !ok || !g.allows(first) || g.lapsed() {
		t.Error("a fresh lease does not allow a call")
	}
	now = now.Add(2 * time.Second) // inside the lease, past the margin
	if g.allows(first) || !g.lapsed() {
		t.Error("the margin is not kept")
	}
	g.lost()
	g.renewed(now)
	if second, ok := g.current(); !ok || second == first || g.allows(first) || !g.allows(second) {
		t.Error("a start of the old lease may be called under the new one")
	}
}

func TestClockFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	now := time.UnixMicro(1_000_000_000)
	c := &clock{now: func() time.Time { return now }}
	for _, tc := range []struct {
		name string
		db   comm.Micros
		beat bool
		want int64
	}{
		{"first", 1_000_005_000, true, 5000},
		{"a slower answer does not count", 1_000_003_000, false, 5000},
		{"a quicker one does", 1_000_005_500, false, 5500},
		{"a heartbeat lets it sink a little", 1_000_003_000, true, 5400},
		{"a clock that was set back is believed", 400_000_000, true, -600_000_000},
		{"and one that was set forward", 1_900_000_000, false, 900_000_000},
		{"no clock, no sample", 0, true, 900_000_000},
	} {
		c.observe(tc.db, tc.beat)
		if got := c.offset.Load(); got != tc.want {
			t.Errorf("%s: offset %d, want %d", tc.name, got, tc.want)
		}
	}
}
