package feed

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// ends are the heads of apps, and how often each was asked for.
type ends struct {
	mu    sync.Mutex
	heads map[comm.ID]int64
	asked map[comm.ID]int
	calls int
	fail  error
}

func (e *ends) of(_ context.Context, apps []comm.ID) (out []int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	for _, app := range apps {
		e.asked[app]++
		out = append(out, e.heads[app])
	}
	return out, e.fail
}

func (e *ends) set(app comm.ID, head int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heads[app] = head
}

func (e *ends) count(n *int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return *n
}

func (e *ends) about(app comm.ID) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[app]
}

func woken(wake <-chan struct{}) bool {
	select {
	case _, open := <-wake:
		return open
	default:
		return false
	}
}

// Whoever waits is woken: at once by what this node stamps, soon by what others do. Nobody is asked about while nobody waits, and about what this node stamps seldom.
func TestTheTailWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := comm.ID{1}, comm.ID{2}
		for comm.ShardOf(ours, comm.ID{}, 1) == comm.ShardOf(theirs, comm.ID{}, 1) {
			theirs[15]++
		}
		e := &ends{heads: map[comm.ID]int64{}, asked: map[comm.ID]int{}}
		tail := NewTail(TailConfig{Heads: e.of, Owned: func() (string, []store.Lease) { return "n", []store.Lease{{Shard: comm.ShardOf(ours, comm.ID{}, 1)}} }})
		ctx, cancel := context.WithCancel(t.Context())
		var ran sync.WaitGroup
		ran.Go(func() { _ = tail.Run(ctx) })
		time.Sleep(time.Minute)
		if n := e.count(&e.calls); n != 0 {
			t.Errorf("%d questions while nobody waits", n)
		}
		left := 0
		a, stopA := tail.Listen(ours, func() { left++ })
		b, stopB := tail.Listen(theirs, func() { left++ })
		b2, stopB2 := tail.Listen(theirs, func() { left++ })
		time.Sleep(time.Minute)
		if n, m := e.about(theirs), e.about(ours); n < 115 || m > 15 {
			t.Errorf("asked %d times about the others', %d about ours", n, m)
		}
		if woken(a) || woken(b) {
			t.Error("woken by nothing")
		}
		tail.Stamped([]store.Run{{App: ours, Last: 7}, {App: comm.ID{9}, Last: 1}})
		if !woken(a) || woken(a) || woken(b) {
			t.Error("what this node stamped")
		}
		e.set(theirs, 3)
		time.Sleep(time.Second)
		if !woken(b) || !woken(b2) || woken(b) {
			t.Error("what another node stamped")
		}
		stopB2()
		e.set(ours, 8) // as if another node had the shard for a moment
		time.Sleep(6 * time.Second)
		if !woken(a) {
			t.Error("what this node does not know of")
		}
		e.mu.Lock()
		e.fail = errors.New("away")
		e.mu.Unlock()
		time.Sleep(time.Minute)
		e.mu.Lock()
		e.fail = nil
		e.heads[theirs]++
		e.mu.Unlock()
		time.Sleep(time.Second)
		if !woken(b) {
			t.Error("nobody is woken after an outage")
		}
		cancel()
		ran.Wait()
		if _, open := <-a; open || left != 2 {
			t.Errorf("%d were told of the end", left)
		}
		if c, _ := tail.Listen(ours, nil); woken(c) {
			t.Error("it has ended")
		}
		stopA()
		stopB()
		if len(tail.apps) != 0 {
			t.Error("somebody is remembered")
		}
	})
}
