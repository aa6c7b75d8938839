package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// looking notes whose messages are listed.
type looking struct {
	*sqlite.Store
	mu  sync.Mutex
	ids []comm.ID
}

func (l *looking) List(ctx context.Context, app comm.ID, f store.Filter) ([]comm.Message, error) {
	l.mu.Lock()
	l.ids = append(l.ids, app)
	l.mu.Unlock()
	return l.Store.List(ctx, app, f)
}

// at answers whose messages were listed since the last time.
func (l *looking) at() []comm.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Compact(l.ids)
	l.ids = nil
	return out
}

// TestDeletedAppsWithNothingLeftCostNothing: they stay for weeks, and there may be thousands of them. Each deletion looked through the
// messages of all of them.
func TestDeletedAppsWithNothingLeftCostNothing(t *testing.T) {
	t.Parallel()
	s, st, _ := open(t)
	l := &looking{Store: st}
	s.cfg.Messages = l
	made := func(n int) *comm.App {
		now := comm.At(time.Now())
		a := &comm.App{ID: comm.NewID(now), Slug: fmt.Sprint("app-", n), Name: "App", Active: true, Sandbox: true, RatePerMinute: 1000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
		if _, err := st.CreateApp(t.Context(), a, nil); err != nil {
			t.Fatal(err)
		}
		return a
	}
	sent := func(a *comm.App) comm.ID {
		payload, err := store.EncodeContent(&comm.Content{To: "ama@example.com", Subject: "Hello", Body: "Hello"})
		if err != nil {
			t.Fatal(err)
		}
		id := comm.NewID(comm.At(time.Now()))
		if _, err := st.Accept(t.Context(), []store.Submission{{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, 1), Channel: comm.Email, Lane: comm.Normal, Mode: a.Mode(), Node: "n",
			Recipient: "ama@example.com", Payload: payload, RatePerMinute: 1000}}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	deleted := func(a *comm.App) {
		if err := s.DeleteApp(t.Context(), a, a.Slug); err != nil {
			t.Fatal(err)
		}
	}
	cancelled := func(a *comm.App, id comm.ID) bool {
		m, err := st.Message(t.Context(), a.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		return m.Status == comm.Cancelled
	}
	alive := made(0)
	kept := sent(alive)
	for n := range 300 { // more than are waited for, and than a page
		deleted(made(1 + n))
	}
	last := made(400)
	id := sent(last)
	deleted(last)
	if err := s.Sweep(t.Context()); err != nil || !cancelled(last, id) || cancelled(alive, kept) {
		t.Errorf("%v %v %v", err, cancelled(last, id), cancelled(alive, kept))
	}
	if got := l.at(); !slices.Equal(got, []comm.ID{last.ID}) {
		t.Errorf("%d apps were looked at", len(got))
	}
	s.deleted = make(chan comm.ID, deletedAhead)
	next := made(401)
	id = sent(next)
	deleted(next)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for len(s.deleted) > 0 || !cancelled(next, id) {
		if ctx.Err() != nil {
			t.Fatal("not cancelled")
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if got := l.at(); !slices.Equal(got, []comm.ID{next.ID}) {
		t.Errorf("%d apps were looked at", len(got))
	}
}
