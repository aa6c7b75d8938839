package httpapi

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

func tenantID(n byte) comm.ID { return comm.ID{n} }

// stay makes a guest ask for that much in the background; the channel says whether it got it.
func stay(m *room, g *guest, size int64) chan bool {
	got := make(chan bool, 1)
	go func() { got <- m.grow(g, size) || m.wait(context.Background(), g) == nil }()
	return got
}

// booked is what all bodies hold, the one on the seat included.
func (m *room) booked() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seat != nil {
		return m.used + m.seat.held
	}
	return m.used
}

// fill takes all room and the seat, for apps of which no test knows.
func (m *room) fill(t *testing.T) (leave func()) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*guest
	for n := range 6 {
		g := &guest{app: tenantID(byte(200 + n)), want: maxFiles}
		if n == 5 {
			m.seat, g.seated = g, true
		}
		m.hold(g)
		all = append(all, g)
	}
	if m.used != bodyRoom {
		t.Fatalf("the room of %d has %d free", bodyRoom, bodyRoom-m.used)
	}
	return func() {
		for _, g := range all {
			m.leave(g)
		}
	}
}

func (m *room) empty(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used != 0 || len(m.byApp) != 0 || len(m.line) != 0 || m.seat != nil {
		t.Errorf("after all left: used %d, apps %d, line %d, seat %v; want nothing", m.used, len(m.byApp), len(m.line), m.seat)
	}
}

func TestRoomIsBoundedFairAndInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRoom()
		greedy := tenantID(1)
		var held []*guest
		enter := func(app comm.ID, size int64) chan bool {
			g := &guest{app: app}
			held = append(held, g)
			got := stay(m, g, size)
			synctest.Wait()
			return got
		}
		if !<-enter(greedy, maxFiles) || !<-enter(greedy, 8<<20) {
			t.Fatal("an app alone has less than a body and a half")
		}
		if !<-enter(greedy, maxFiles) || m.seat != held[2] {
			t.Fatal("a body beyond its app's share does not have the seat, which is free")
		}
		more := enter(greedy, maxFiles)
		for app := byte(2); app < 4; app++ { // what is free is for others, who pass
			if !<-enter(tenantID(app), maxFiles) {
				t.Fatal("another app found no room")
			}
		}
		heavy := enter(tenantID(4), maxFiles) // it would take the spare part
		second := enter(tenantID(5), 7<<20)   // as would this one
		if len(more) != 0 || len(heavy) != 0 || len(second) != 0 {
			t.Fatalf("beyond the share %d, in the spare part %d and %d; want three waiting", len(more), len(heavy), len(second))
		}
		for app := byte(6); app < 36; app++ {
			if !<-enter(tenantID(app), 64<<10) {
				t.Fatalf("app %d found no room for a little", app)
			}
		}
		if got := m.booked(); got > bodyRoom+maxFiles {
			t.Fatalf("%d bytes are booked; at most %d", got, bodyRoom+maxFiles)
		}
		m.leave(held[2])
		m.leave(held[2]) // twice is once
		synctest.Wait()
		if len(heavy) != 1 || len(second) != 0 || len(more) != 0 {
			t.Fatal("the seat did not go to the first of those whose apps hold nothing besides")
		}
		m.leave(held[6])
		synctest.Wait()
		if len(second) != 1 || len(more) != 0 {
			t.Fatal("the seat did not go to an app with nothing before the one that has most")
		}
		if <-more { // the fake clock jumps over the wait
			t.Fatal("the greedy app did not wait for its turn")
		}
		for _, g := range held {
			m.leave(g)
		}
		m.empty(t)
	})
}

func TestBodiesThatWaitForEachOtherEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRoom()
		ended := make(chan int, 12)
		var all []*guest
		for n := range byte(12) { // each has 6 MiB of the room before any goes on
			g := &guest{app: tenantID(n), want: 6 << 20}
			m.hold(g)
			all = append(all, g)
		}
		for n, g := range all {
			go func() {
				if !m.grow(g, maxFiles) && m.wait(context.Background(), g) != nil {
					t.Errorf("body %d did not end", n)
				}
				if got := m.booked(); got > bodyRoom+maxFiles {
					t.Errorf("%d bytes are booked; at most %d", got, bodyRoom+maxFiles)
				}
				time.Sleep(roomWait / 16)
				m.leave(g)
				ended <- n
			}()
		}
		for range 12 {
			<-ended
		}
		m.empty(t)
	})
}

func TestRoomOfAnEndedRequestIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRoom()
		leave := m.fill(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g := &guest{app: tenantID(1)}
		if m.grow(g, 1) || m.wait(ctx, g) == nil {
			t.Fatal("room was given where there is none")
		}
		m.leave(g)
		if late := (&guest{app: tenantID(1), waited: roomWait - time.Second}); !m.grow(late, 1) {
			began := time.Now()
			if err := m.wait(t.Context(), late); err == nil || time.Since(began) != time.Second {
				t.Errorf("one that had waited before: %v after %v; want a refusal after 1 s", err, time.Since(began))
			}
		}
		leave()
		m.empty(t)
	})
}

// TestRoomIsNeverOverbooked has many bodies that grow, wait, give up and leave at random.
func TestRoomIsNeverOverbooked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRoom()
		var all sync.WaitGroup
		var most atomic.Int64
		for n := range 400 {
			all.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(n)))
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rnd.IntN(20_000))*time.Millisecond)
				defer cancel()
				g := &guest{app: tenantID(byte(rnd.IntN(12)))}
				last := int64(1) << (17 + rnd.IntN(8))
				for size := int64(128 << 10); size <= last; size *= 2 {
					if !m.grow(g, size) && m.wait(ctx, g) != nil {
						break
					}
					most.Store(max(most.Load(), m.booked()))
					time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
				}
				m.leave(g)
			})
		}
		all.Wait()
		if got := most.Load(); got > bodyRoom+maxFiles || got < bodyRoom/2 {
			t.Errorf("at most %d bytes were booked; want more than half and no more than all of %d", got, bodyRoom+maxFiles)
		}
		m.empty(t)
	})
}

// Fifty uploads of 16 MiB at once took 2.5 GB before there was a bound.
func TestLargeBodiesWaitForRoomAndSmallOnesDoNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("roomy", comm.ScopeSend|comm.ScopeRead|comm.ScopeProviders)
	small := `{"channel":"SMS","to":"233241234567","body":"hi"}`
	large := `{"channel":"EMAIL","to":"a@example.com","subject":"s","body":"` + strings.Repeat("b", smallBody) + `"}`

	leave := w.api.bodies.fill(t)
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
	leave()
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
	w.api.bodies.empty(t)
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
	if used := w.api.bodies.booked(); used != 0 {
		t.Errorf("the idle requests hold %d bytes; want none for what they only promise", used)
	}
	other := w.tenant("other", comm.AllScopes)
	began := time.Now()
	large := `{"channel":"EMAIL","to":"a@example.com","subject":"s","body":"` + strings.Repeat("b", 100<<10) + `"}`
	if got := w.do(other, http.MethodPost, "/api/v1/messages", large, nil); got.status != http.StatusAccepted || time.Since(began) > time.Second {
		t.Errorf("another app's 100 KiB: %d after %v %s", got.status, time.Since(began), got.raw)
	}
	if err := idle[0].SetReadDeadline(time.Now().Add(paceWindow + 3*time.Second)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	if n, err := io.ReadFull(idle[0], answer[:12]); err != nil || string(answer[:n]) != "HTTP/1.1 408" {
		t.Errorf("an idle request is answered %q, %v; want 408", answer[:n], err)
	}
}
