package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// clearing is a store whose transactions of clearing fail when asked to.
type clearing struct {
	*sqlite.Store
	calls int
	fails func(call int) bool
}

func (c *clearing) CancelQueued(ctx context.Context, u comm.Unit, heads []store.Head, until comm.Micros, actor string) (store.CancelledSlice, error) {
	if c.calls++; c.fails(c.calls) {
		return store.CancelledSlice{}, errors.New("this slice cannot be stored")
	}
	return c.Store.CancelQueued(ctx, u, heads, until, actor)
}

// TestClearingThatFailsGoesOnAsOrdered: an error in the middle neither loses what was done nor makes a new order of the rest.
func TestClearingThatFailsGoesOnAsOrdered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	queue := func(n int) {
		t.Helper()
		body := `{"messages":[` + strings.TrimSuffix(strings.Repeat(sms("")+",", n), ",") + `]}`
		if got := w.do(one, "POST", "/api/v1/messages/batch", body, nil); got.status > 299 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	queue(150)
	faulty := &clearing{Store: w.store, fails: func(call int) bool { return call == 2 }}
	w.api.cfg.Backlog = backlog.New(faulty, backlog.Rules{})
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	calls := 0
	got, err := admin.CancelQueue(t.Context(), "one", "one", "", "", func(so client.QueueChanged) {
		if calls++; calls == 1 {
			if so.Cancelled == 0 || so.Cancelled == 150 || so.NextCursor == "" {
				t.Errorf("%+v", so)
			}
			queue(7) // after the order
		}
	})
	if err != nil || got.Cancelled != 150 || got.Remaining != 7 || calls != 2 {
		t.Errorf("%+v %v after %d calls", got, err, calls)
	}
	if noted := w.root("GET", "/api/admin/audit?action=queue_cancelled", "").items(); len(noted) != 1 {
		t.Errorf("ordered %d times: %v", len(noted), noted)
	}
	if log := w.log.String(); strings.Count(log, "clearing a queue stopped early") != 1 || !strings.Contains(log, "this slice cannot be stored") {
		t.Errorf("%s", log)
	}
	// What fails for good is told, and is no endless row of answers.
	faulty.fails = func(int) bool { return true }
	if got, err = admin.CancelQueue(t.Context(), "one", "one", "", "", nil); err == nil || got.Cancelled != 0 || got.NextCursor == "" {
		t.Errorf("%+v %v", got, err)
	}
}

// TestClearingWhatWasShown: what is accepted after the instant that is sent along stays, also when it takes several calls.
func TestClearingWhatWasShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	queue := func(n int) {
		t.Helper()
		body := `{"messages":[` + strings.TrimSuffix(strings.Repeat(sms("")+",", n), ",") + `]}`
		if got := w.do(one, "POST", "/api/v1/messages/batch", body, nil); got.status > 299 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	queue(150)
	time.Sleep(2 * time.Millisecond)
	shown := time.Now()
	time.Sleep(2 * time.Millisecond)
	queue(9)
	w.api.cfg.Backlog = backlog.New(&clearing{Store: w.store, fails: func(call int) bool { return call == 2 }}, backlog.Rules{})
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	calls := 0
	got, err := admin.CancelQueued(t.Context(), client.QueueOrder{App: "one", Slug: "one", CreatedBefore: shown}, func(so client.QueueChanged) {
		if calls++; calls > 1 {
			return
		}
		other := w.root("POST", "/api/admin/queue", fmt.Sprintf(`{"action":"CANCEL","app":"one","confirm":"one","cursor":%q}`, so.NextCursor))
		if other.code() != "invalid_cursor" {
			t.Errorf("a cursor of another order: %d %s", other.status, other.raw)
		}
	})
	if err != nil || got.Cancelled != 150 || got.Remaining != 9 || calls != 2 {
		t.Errorf("%+v %v after %d calls", got, err, calls)
	}
}

// TestTheOrderToClearIsGivenOnce: a first call without an answer is not repeated by itself.
func TestTheOrderToClearIsGivenOnce(t *testing.T) {
	t.Parallel()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 2 || calls == 4 {
			_, _ = fmt.Fprint(w, `{"app":{"slug":"one"},"cancelled":3,"nextCursor":"more"}`) // to a test
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	if _, err := admin.CancelQueue(t.Context(), "one", "one", "", "", nil); err == nil || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got, err := admin.CancelQueue(ctx, "one", "one", "", "", func(so client.QueueChanged) {
		if so.Cancelled == 6 {
			cancel()
		}
	})
	if err == nil || got.Cancelled != 6 || calls != 4 { // the second call, with the cursor, was repeated
		t.Errorf("%+v %v after %d calls", got, err, calls)
	}
}
