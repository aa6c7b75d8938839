package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// ledger is a store of uses and notes.
type ledger struct {
	mu    sync.Mutex
	uses  []store.KeyUse
	notes []store.AuditEntry
	err   error
}

func (l *ledger) UseKeys(_ context.Context, uses []store.KeyUse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.uses = append(l.uses, uses...)
	}
	return l.err
}

func (l *ledger) Note(_ context.Context, notes []store.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.notes = append(l.notes, notes...)
	}
	return l.err
}

func TestAKeysUseIsGatheredOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := &ledger{}
	w.auth.uses.to = l
	for second := range 121 {
		if _, err := w.try("one", w.key); err != nil {
			t.Fatal(err)
		}
		if second%7 == 0 {
			if err := w.auth.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.now = w.now.Add(time.Second)
		// The store's answer is what a reload finds.
		l.mu.Lock()
		for h, k := range w.keys {
			if n := len(l.uses); n > 0 {
				k.LastUsedAt = l.uses[n-1].At
				w.keys[h] = k
			}
		}
		l.mu.Unlock()
	}
	if err := w.auth.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(l.uses) != 3 || l.uses[1].At < l.uses[0].At.Add(usedEvery) || l.uses[0].App != w.app.ID {
		t.Errorf("%+v", l.uses)
	}
	l.err = errors.New("away")
	w.now = w.now.Add(time.Hour)
	if _, err := w.try("one", w.key); err != nil {
		t.Errorf("a use that cannot be noted keeps the key from opening: %v", err)
	}
	if err := w.auth.Flush(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestNotesAreBoundedAndWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := &ledger{err: errors.New("away")}
	w.auth.uses.to = l
	// 30 tries from each of many addresses: one note of each, up to what is kept.
	for i := range 2 * maxNotes {
		from := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		for range 30 {
			_ = w.auth.Admin(t.Context(), nil, from)
		}
	}
	if err := w.auth.Flush(t.Context()); err == nil || len(l.notes) != 0 {
		t.Errorf("%d notes, %v", len(l.notes), err)
	}
	l.err = nil
	if err := w.auth.Flush(t.Context()); err != nil || len(l.notes) != maxNotes {
		t.Errorf("%d notes, %v", len(l.notes), err)
	}
	if n := l.notes[0]; n.Action != comm.AuditTooManyFailures || n.Actor.Address != "10.0.0.0" || n.Detail != `{}` {
		t.Errorf("%+v", n)
	}
	for range 30 {
		_ = w.auth.Admin(t.Context(), nil, netip.AddrFrom4([4]byte{10, 0, 0, 0}))
	}
	if err := w.auth.Flush(t.Context()); err != nil || len(l.notes) != maxNotes {
		t.Errorf("noted twice within the hour: %d, %v", len(l.notes), err)
	}
	w.now = w.now.Add(notedEvery)
	for range 30 {
		_ = w.auth.Admin(t.Context(), nil, netip.AddrFrom4([4]byte{10, 0, 0, 0}))
	}
	if err := w.auth.Flush(t.Context()); err != nil || len(l.notes) != maxNotes+1 {
		t.Errorf("not noted in the next hour: %d, %v", len(l.notes), err)
	}
}

func TestRunWritesAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &ledger{}
		w.auth.uses.to = l
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.auth.Run(ctx) }()
		time.Sleep(flushEvery + time.Millisecond)
		if _, err := w.try("one", w.key); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil || len(l.uses) != 1 {
			t.Errorf("%+v %v", l.uses, err)
		}
	})
}
