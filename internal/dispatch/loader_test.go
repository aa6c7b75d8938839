package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// badReads is a store that cannot read one app, in whatever company; while down it reads nothing at all.
type badReads struct {
	*simNode
	bad          comm.ID
	mended, down atomic.Bool
	reads, most  atomic.Int32 // reads, and the largest one
	windows      bool         // the app's queue is what cannot be read, else its row
}

func (b *badReads) check(n int, spoilt bool) error {
	b.reads.Add(1)
	b.most.Store(max(b.most.Load(), int32(n)))
	if b.down.Load() || spoilt && !b.mended.Load() {
		return errors.New("disk image is malformed")
	}
	return nil
}

func (b *badReads) Windows(ctx context.Context, asks []store.Ask) ([][]store.Head, error) {
	spoilt := slices.ContainsFunc(asks, func(a store.Ask) bool { return a.Unit.App == b.bad })
	if err := b.check(len(asks), b.windows && spoilt); err != nil {
		return nil, err
	}
	return b.simNode.Windows(ctx, asks)
}

func (b *badReads) AppsByID(ctx context.Context, ids []comm.ID) ([]comm.App, error) {
	if err := b.check(len(ids), !b.windows && slices.Contains(ids, b.bad)); err != nil {
		return nil, err
	}
	return b.simNode.AppsByID(ctx, ids)
}

// manyApps starts a node that finds n apps with a due message each.
func manyApps(t *testing.T, n int, b *badReads) (*world, *pacedSender) {
	p := &pacedSender{took: time.Millisecond}
	w, boot := crowd(t, 10*time.Millisecond, p)
	server := emailConfig("PACED", 1)
	server.ID = testID(1)
	w.store.configs[comm.ID{}] = []comm.ProviderConfig{server}
	for i := range n {
		a := &comm.App{ID: comm.NewID(comm.Micros(i+1) * 1000), Active: true, ShardSpread: 1}
		w.store.apps[a.ID] = a
		w.send(nil, a, nil)
		if i == n/2 {
			b.bad = a.ID
		}
	}
	w.edit2(func(c *Config) {
		b.simNode = c.Queue.(*simNode)
		c.Queue, c.Apps = b, b
	})
	boot()
	return w, p
}

func (p *pacedSender) reached() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.at)
}

// TestManyAppsCostFewReads: what waits is read together, in reads of bounded size.
func TestManyAppsCostFewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps = 5000
		b := &badReads{}
		b.mended.Store(true)
		w, p := manyApps(t, apps, b)
		time.Sleep(2 * time.Second)
		if p.reached() != apps {
			t.Errorf("%d of %d were attempted", p.reached(), apps)
		}
		if n := b.reads.Load(); n > 3*apps/readItems || b.most.Load() != readItems {
			t.Errorf("%d reads of at most %d", n, b.most.Load())
		}
		w.stopAll()
	})
}

// TestWhatCannotBeReadStandsAlone: one app that cannot be read delays the others
// for moments only, and is served once it can be read.
func TestWhatCannotBeReadStandsAlone(t *testing.T) {
	for name, windows := range map[string]bool{"an app": false, "a window": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const apps = 2000
				b := &badReads{windows: windows}
				w, p := manyApps(t, apps, b)
				time.Sleep(4 * time.Second)
				if p.reached() != apps-1 {
					t.Errorf("%d of %d were attempted beside one that cannot be read", p.reached(), apps)
				}
				b.mended.Store(true)
				time.Sleep(2 * time.Second)
				if p.reached() != apps {
					t.Errorf("%d of %d were attempted", p.reached(), apps)
				}
				w.stopAll()
			})
		})
	}
}

// TestReadsGoOnAfterAnOutage: a store that cannot be read for a while is not asked
// in a hurry, and everything is read when it is back.
func TestReadsGoOnAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps = 2000
		b := &badReads{}
		b.mended.Store(true)
		b.down.Store(true)
		w, p := manyApps(t, apps, b)
		time.Sleep(30 * time.Second)
		if p.reached() != 0 {
			t.Fatalf("%d were attempted without a read", p.reached())
		}
		b.down.Store(false)
		time.Sleep(5 * time.Second)
		if p.reached() != apps {
			t.Errorf("%d of %d were attempted", p.reached(), apps)
		}
		w.stopAll()
	})
}

// TestReadsGrowWithTheQueue: a unit's first read is small, the next fill the window.
func TestReadsGrowWithTheQueue(t *testing.T) {
	s := benchScheduler(t)
	var tasks []task
	s.reads.start = func(t task) { tasks = append(tasks, t) }
	k := comm.Unit{Shard: 1, App: testID(1), Channel: comm.Email, Lane: comm.Normal}
	u := s.unitOf(s.shards[1], k)
	s.rewind(u, 0)
	s.rearm(u)
	var sizes []int
	for i := 0; len(tasks) > 0 && i < 10; i++ {
		a := &tasks[0].windows[0]
		tasks = tasks[1:]
		s.reads.windows--
		s.reads.rows -= a.Limit
		sizes = append(sizes, a.Limit)
		rows := make([]store.Head, a.Limit)
		for j := range rows {
			rows[j] = store.Head{Due: a.After.Due + comm.Micros(j) + 1, ID: testID(2)}
		}
		s.filled(a, rows, nil)
	}
	if !slices.Equal(sizes, []int{firstRows, 8 * firstRows}) {
		t.Errorf("the reads were of %v rows", sizes)
	}
}
