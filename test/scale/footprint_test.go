package scale

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Promised: 40 MiB idle, 150 MiB with a million queued, ready in 300 ms. A
// smaller queue gets its part of the difference.
const (
	idleMemory  = 40.0
	queueMemory = 150.0
	readyTime   = 300 * time.Millisecond
)

// TestAnIdleServerIsSmall: memory and start-up with nothing to do.
func TestAnIdleServerIsSmall(t *testing.T) {
	onEach(t, func(w *world) {
		machine := w.meter()
		p := w.serve()
		first := p.ready // makes the schema
		p.end()
		again := w.restarts(5)
		bound := machine.bound(readyTime)
		w.t.Logf("ready: first start %s, then %s", short(first), again)
		if slices.Min(again) > bound {
			w.t.Errorf("ready after %s at best; the bound is %s", slices.Min(again), bound)
		}
		p = w.serve()
		time.Sleep(size(3*time.Second, 30*time.Second))
		now, peak := p.resident()
		w.t.Logf("idle: %.1f MiB resident, %.1f at most", now, peak)
		if peak > idleMemory {
			w.t.Errorf("%.1f MiB resident, the bound is %.0f", peak, idleMemory)
		}
		p.end()
	})
}

// restarts starts and stops the program and answers how long it took to be ready.
func (w *world) restarts(n int) (out figures) {
	w.t.Helper()
	for range n {
		p := w.serve()
		out = append(out, p.ready)
		p.end()
	}
	return out
}

// TestALongQueueIsSmall: memory and start-up with many messages queued, first
// while they wait, then while they are sent by a slow provider.
func TestALongQueueIsSmall(t *testing.T) {
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		t.Run(kind, func(t *testing.T) {
			w, b := onBacklog(t, kind)
			bound := idleMemory + (queueMemory-idleMemory)*float64(b.n)/1e6
			to := newSink(t)
			to.keep = func(string) bool { return false }
			to.hold = func(string) time.Duration { return 300 * time.Millisecond }
			w.open(func(ctx context.Context, s store.Store) error { return sendTo(ctx, s, to.addr, comm.ProviderLimits{}) })
			w.pause(&b.big, true)
			w.placed(&b.big)
			machine := w.meter()
			again := w.restarts(5)
			limit := machine.bound(readyTime)
			t.Logf("%d queued: ready after %s", b.n, again)
			if slices.Min(again) > limit {
				t.Errorf("ready after %s at best; the bound is %s", slices.Min(again), limit)
			}
			p := w.serve()
			time.Sleep(size(3*time.Second, 30*time.Second))
			now, peak := p.resident()
			t.Logf("%d queued and paused: %.1f MiB resident, %.1f at most; bound %.0f", b.n, now, peak, bound)
			if peak > bound {
				t.Errorf("%.1f MiB resident, the bound is %.0f", peak, bound)
			}
			p.end()
			w.pause(&b.big, false)
			p = w.serve()
			time.Sleep(size(6*time.Second, 60*time.Second))
			now, peak = p.resident()
			t.Logf("%d queued, %d sent meanwhile: %.1f MiB resident, %.1f at most; bound %.0f", b.n, to.copies(), now, peak, queueMemory)
			if to.copies() == 0 {
				t.Error("nothing was sent")
			}
			if peak > queueMemory {
				t.Errorf("%.1f MiB resident while sending, the bound is %.0f", peak, queueMemory)
			}
			p.end()
		})
	}
}

// placed lets a node give the events of an app their places in the feed. They have them within a second of being
// accepted by one; the queue of these tests was stored without.
func (w *world) placed(who *tenant) {
	w.t.Helper()
	for before, end := int64(-1), time.Now().Add(10*time.Minute); ; {
		p := w.serve()
		time.Sleep(2 * time.Second)
		p.end()
		var heads []int64
		w.open(func(ctx context.Context, s store.Store) (err error) {
			heads, err = s.Heads(ctx, []comm.ID{who.app.ID})
			return err
		})
		if heads[0] > 0 && heads[0] == before {
			return
		}
		if before = heads[0]; time.Now().After(end) {
			w.t.Fatal("the events of the queue have no places after ten minutes")
		}
	}
}
