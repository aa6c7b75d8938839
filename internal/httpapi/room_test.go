package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

func tenantID(n byte) comm.ID { return comm.ID{n} }

// enter asks for room in the background and says on the channel what became of it.
func enter(m *room, app comm.ID, size int64) chan func() {
	got := make(chan func(), 1)
	go func() {
		leave, err := m.enter(context.Background(), app, size)
		if err != nil {
			leave = nil
		}
		got <- leave
	}()
	return got
}

func TestRoomIsBoundedFairAndInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRoom()
		var held []func()
		for range roomPerApp / maxFiles {
			held = append(held, <-enter(m, tenantID(1), maxFiles))
		}
		more := enter(m, tenantID(1), maxFiles) // one app has at most half
		synctest.Wait()
		for range roomPerApp / maxFiles { // the other half is for others, who pass
			held = append(held, <-enter(m, tenantID(2), maxFiles))
		}
		late := enter(m, tenantID(3), 1)
		synctest.Wait()
		if m.used != bodyRoom || len(more) != 0 || len(late) != 0 {
			t.Fatalf("used %d of %d, beyond the share %d, beyond the room %d; want a full room and two waiting", m.used, bodyRoom, len(more), len(late))
		}
		held[0]()
		held[0]() // twice is once
		synctest.Wait()
		if len(more) != 1 || len(late) != 0 {
			t.Fatal("the one that came first did not get the room that came free")
		}
		held = append(held[1:], <-more)
		if leave := <-late; leave != nil { // the fake clock jumps over the wait
			t.Fatal("room beyond the bound was given")
		}
		for _, leave := range held {
			leave()
		}
		if m.used != 0 || len(m.byApp) != 0 || len(m.line) != 0 {
			t.Fatalf("after all left: used %d, apps %d, line %d; want nothing", m.used, len(m.byApp), len(m.line))
		}
	})
}

func TestRoomOfAnEndedRequestIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRoom()
		first := <-enter(m, tenantID(1), roomPerApp)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.enter(ctx, tenantID(1), 1); err == nil {
			t.Fatal("room was given beyond the app's share")
		}
		first()
		if m.used != 0 || len(m.line) != 0 {
			t.Fatalf("used %d, line %d; want nothing", m.used, len(m.line))
		}
	})
}

// Fifty uploads of 16 MiB at once took 2.5 GB before there was a bound.
func TestLargeBodiesWaitForRoomAndSmallOnesDoNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("roomy", comm.ScopeSend|comm.ScopeRead|comm.ScopeProviders)
	small := `{"channel":"SMS","to":"233241234567","body":"hi"}`
	large := `{"channel":"EMAIL","to":"a@example.com","subject":"s","body":"` + strings.Repeat("b", smallBody) + `"}`

	var leaves []func()
	for range 2 {
		leave, err := w.api.bodies.enter(t.Context(), comm.NewID(comm.At(time.Now())), roomPerApp)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	post := func(body io.Reader) *httptest.ResponseRecorder {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // the client's patience is shorter than ours
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/messages", body)
		r.Header.Set("X-App-ID", who.app.Slug)
		r.Header.Set("X-API-Key", who.key)
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec
	}
	unmeasured := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) } // hides the length
	for name, body := range map[string]io.Reader{"with length": strings.NewReader(large), "without length": unmeasured(large)} {
		got := post(body)
		if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
			t.Errorf("%s: a large body without room: %d %v %s; want 503 with Retry-After", name, got.Code, got.Header(), got.Body)
		}
	}
	if got := w.do(who, http.MethodPost, "/api/v1/messages", small, nil); got.status != http.StatusAccepted {
		t.Errorf("a small body while the room is full: %d %s; want 202", got.status, got.raw)
	}
	if got := w.do(who, http.MethodPatch, "/api/v1/app", `{"sandboxMode":true}`, nil); got.status != http.StatusOK {
		t.Errorf("a setting while the room is full: %d %s; want 200", got.status, got.raw)
	}
	for _, leave := range leaves {
		leave()
	}
	for name, body := range map[string]io.Reader{"with length": strings.NewReader(large), "without length": unmeasured(large)} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/messages", body)
		r.Header.Set("X-App-ID", who.app.Slug)
		r.Header.Set("X-API-Key", who.key)
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != http.StatusAccepted {
			t.Errorf("%s: a large body with room: %d %s; want 202", name, rec.Code, rec.Body)
		}
	}
	if w.api.bodies.used != 0 || len(w.api.bodies.line) != 0 {
		t.Errorf("after all requests: used %d, line %d; want nothing", w.api.bodies.used, len(w.api.bodies.line))
	}
}
