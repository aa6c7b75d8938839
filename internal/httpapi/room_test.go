package httpapi

import (
	"context"
	"fmt"
	"io"
	"net"
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
		for range 3 {
			held = append(held, <-enter(m, tenantID(1), maxFiles))
		}
		more := enter(m, tenantID(1), maxFiles) // it would have more than it leaves free
		synctest.Wait()
		for app := byte(2); app < 5; app++ { // what is free is for others, who pass
			held = append(held, <-enter(m, tenantID(app), maxFiles))
		}
		heavy, late := enter(m, tenantID(5), 2*lightBody), enter(m, tenantID(6), 1)
		synctest.Wait()
		if m.used != bodyRoom || len(more) != 0 || len(heavy) != 0 || len(late) != 0 {
			t.Fatalf("used %d of %d, beyond the share %d, beyond the room %d and %d; want a full room and three waiting", m.used, bodyRoom, len(more), len(heavy), len(late))
		}
		held[5]()
		held[5]() // twice is once
		synctest.Wait()
		if len(more) != 0 || len(heavy) != 1 || len(late) != 1 {
			t.Fatal("those that came for little did not get the room that came free")
		}
		held = append(held[:5], <-heavy, <-late)
		if leave := <-more; leave != nil { // the fake clock jumps over the wait
			t.Fatal("room beyond the share was given")
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
		first := <-enter(m, tenantID(1), bodyRoom/2)
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
		leave, err := w.api.bodies.enter(t.Context(), comm.NewID(comm.At(time.Now())), bodyRoom/2)
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

// TestIdleSocketsTakeNobodysRoom: requests that say they are large and send little keep
// neither other apps out nor their room for long.
func TestIdleSocketsTakeNobodysRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	var idle []net.Conn
	for _, name := range []string{"slow-one", "slow-two"} {
		who := w.tenant(name, comm.AllScopes)
		for range 4 {
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := fmt.Fprintf(c, "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{",
				who.app.Slug, who.key, maxFiles); err != nil {
				t.Fatal(err)
			}
			idle = append(idle, c)
		}
	}
	time.Sleep(200 * time.Millisecond)
	w.api.bodies.mu.Lock()
	used := w.api.bodies.used
	w.api.bodies.mu.Unlock()
	if used < 3*maxFiles {
		t.Fatalf("the idle requests hold %d bytes: nothing is tested", used)
	}
	other := w.tenant("other", comm.AllScopes)
	began := time.Now()
	large := `{"channel":"EMAIL","to":"a@example.com","subject":"s","body":"` + strings.Repeat("b", 100<<10) + `"}`
	if got := w.do(other, http.MethodPost, "/api/v1/messages", large, nil); got.status != http.StatusAccepted || time.Since(began) > time.Second {
		t.Errorf("another app's 100 KiB: %d after %v %s", got.status, time.Since(began), got.raw)
	}
	if err := idle[0].SetReadDeadline(time.Now().Add(slowStart + 3*time.Second)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	if n, err := io.ReadFull(idle[0], answer[:12]); err != nil || string(answer[:n]) != "HTTP/1.1 408" {
		t.Errorf("an idle request is answered %q, %v; want 408", answer[:n], err)
	}
}
