package httpapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/intake"
)

// gate is a real HTTP server with the limits of the product, in a bubble of fake time:
// its connections are pipes, and its intake answers after a pause.
type gate struct {
	t     *testing.T
	api   *API
	conns chan net.Conn
	stop  chan struct{}
	pause time.Duration // before a message is stored

	mu   sync.Mutex
	apps map[comm.ID]*comm.App
	keys map[[32]byte]*comm.Key
}

func (g *gate) Rate(app *comm.App) intake.Rate { return intake.Rate{Limit: 1, Reset: 1} }

func (g *gate) KeyByHash(_ context.Context, hash [32]byte) (*comm.Key, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys[hash], nil
}

func (g *gate) AppBySlug(context.Context, string) (*comm.App, error) { return nil, comm.E("not_found") }

func (g *gate) AppByID(_ context.Context, id comm.ID) (*comm.App, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apps[id], nil
}

func (g *gate) Accept(_ context.Context, app *comm.App, reqs []intake.Request) []intake.Result {
	time.Sleep(g.pause)
	return []intake.Result{{ID: app.ID, Status: comm.Queued}}[:len(reqs)]
}

func (g *gate) Recipient(comm.Channel, string) (string, error)                  { return "", nil }
func (g *gate) Bound(context.Context, *comm.App, *intake.Request) int64         { return 0 }
func (g *gate) Sample(*comm.Template, intake.Variables) (*intake.Sample, error) { return nil, nil }
func (*gate) Preview(context.Context, *comm.App, *intake.Request) (*intake.Preview, error) {
	return nil, comm.E("internal")
}

func (g *gate) Hindrance(context.Context, *comm.App, comm.Channel) (string, error) { return "", nil }

func (g *gate) Addr() net.Addr { return &net.TCPAddr{} }
func (g *gate) Close() error   { return nil }

// pipes is the gate as a net.Listener.
type pipes struct{ *gate }

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.stop:
		return nil, net.ErrClosed
	}
}

// atGate runs a test in a bubble with a gate. Afterwards nothing may be held.
func atGate(t *testing.T, test func(t *testing.T, g *gate)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{t: t, conns: make(chan net.Conn), stop: make(chan struct{}), apps: map[comm.ID]*comm.App{}, keys: map[[32]byte]*comm.Key{}}
		g.api = New(Config{Auth: auth.New(auth.Config{Keys: g, Apps: g}), Intake: g, Log: slog.New(slog.DiscardHandler)})
		s := &http.Server{
			Handler: g.api.Handler(), ReadHeaderTimeout: httpserver.HeaderTimeout, ReadTimeout: httpserver.ReadTimeout, WriteTimeout: httpserver.WriteTimeout,
			IdleTimeout: httpserver.IdleTimeout, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := s.Serve(pipes{g}); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}()
		test(t, g)
		time.Sleep(time.Minute) // what is under way ends
		g.api.bodies.empty(t)
		close(g.stop)
		<-served
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (g *gate) tenant(slug string) tenant {
	minted := apikey.Mint(false)
	g.mu.Lock()
	defer g.mu.Unlock()
	app := &comm.App{ID: comm.ID{byte(len(g.apps)), 1}, Slug: slug, Active: true, Sandbox: true}
	g.apps[app.ID] = app
	g.keys[minted.Hash] = &comm.Key{App: app.ID, Hash: minted.Hash, Scopes: comm.AllScopes}
	return tenant{app, minted.Text}
}

// post opens a connection and sends the head of a request; length -1 says none.
func (g *gate) post(who tenant, length int) net.Conn {
	client, server := net.Pipe()
	g.conns <- server
	size := fmt.Sprintf("Content-Length: %d", length)
	if length < 0 {
		size = "Transfer-Encoding: chunked"
	}
	_, _ = fmt.Fprintf(client, "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", who.app.Slug, who.key, size)
	return client
}

// answered is the answer on a connection and when it came.
func answered(c net.Conn) (status int, retry string, at time.Time) {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error(), time.Now()
	}
	at = time.Now()
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After"), at
}

// letter is a valid message of exactly size bytes, nearly all of it a file.
func letter(size int) string {
	start := `{"channel":"EMAIL","to":"a@example.com","subject":"s","body":"b","attachments":[{"filename":"a.bin","contentType":"application/octet-stream","content":"`
	end := `"}]}`
	file := (size - len(start) - len(end)) / 4 * 3
	return start + base64.StdEncoding.EncodeToString(make([]byte, file)) + end
}

// send sends a whole message, in a number of equal parts with pauses between them.
func (g *gate) send(who tenant, body string, parts int, pause time.Duration) (status int, retry string, took time.Duration) {
	began := time.Now()
	c := g.post(who, len(body))
	defer func() { _ = c.Close() }()
	go func() {
		for i := range parts {
			if i > 0 {
				time.Sleep(pause)
			}
			if _, err := io.WriteString(c, body[len(body)*i/parts:len(body)*(i+1)/parts]); err != nil {
				return
			}
		}
	}()
	status, retry, at := answered(c)
	return status, retry, at.Sub(began)
}

// besiege keeps so many connections of each of so many apps which promise 16 MiB, send some of it
// and then nothing. A new one comes every 5 s, while the old one is still open.
func (g *gate) besiege(ctx context.Context, apps, socks, sent int) {
	some := letter(maxFiles)[:sent]
	for i := range apps {
		who := g.tenant(fmt.Sprintf("slow-%d", i))
		for range socks {
			go func() {
				for ctx.Err() == nil {
					go func() {
						c := g.post(who, maxFiles)
						defer func() { _ = c.Close() }()
						_ = c.SetDeadline(time.Now().Add(25 * time.Second))
						go func() { _, _ = io.WriteString(c, some) }()
						_, _, _ = answered(c)
					}()
					select {
					case <-ctx.Done():
					case <-time.After(5 * time.Second):
					}
				}
			}()
		}
	}
}

// TestIdleSocketsCrowdNobodyOut: what a request promises takes no room, and what idle ones
// sent leaves room for the large requests of others.
func TestIdleSocketsCrowdNobodyOut(t *testing.T) {
	for _, c := range []struct{ apps, socks, sent int }{{6, 3, 230}, {6, 18, 230}, {20, 18, 230}, {6, 18, 400 << 10}, {20, 18, 400 << 10}} {
		t.Run(fmt.Sprintf("%d apps, %d sockets, %d bytes", c.apps, c.socks, c.sent), func(t *testing.T) {
			atGate(t, func(t *testing.T, g *gate) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				honest := g.tenant("honest")
				g.besiege(ctx, c.apps, c.socks, c.sent)
				time.Sleep(500 * time.Millisecond)
				for _, size := range []int{1 << 20, maxFiles, 1 << 20, maxFiles} {
					status, _, took := g.send(honest, letter(size), 1, 0)
					t.Logf("%d bytes: %d after %v", size, status, took)
					if status != http.StatusAccepted {
						t.Errorf("an honest request of %d bytes: %d after %v; want 202", size, status, took)
					}
				}
			})
		})
	}
}

// TestABodyMustKeepArriving: what came fast earns no time for what does not come.
func TestABodyMustKeepArriving(t *testing.T) {
	const kib = 1 << 10
	for _, c := range []struct {
		name   string
		length int
		parts  []int // KiB, one each second
		status int
		after  time.Duration
	}{
		{"20 KiB a second", 400 * kib, slices.Repeat([]int{20}, 20), 202, 19 * time.Second},
		{"bursts", 400 * kib, []int{100, 0, 0, 0, 100, 0, 0, 0, 100, 0, 0, 0, 100}, 202, 12 * time.Second},
		{"fast, then nothing", 500 * kib, []int{400}, 408, 5 * time.Second},
		{"fast, then too slow", 500 * kib, []int{400, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10}, 408, 5 * time.Second},
		{"too slow at once", 400 * kib, slices.Repeat([]int{12}, 20), 408, 5 * time.Second},
		{"little is missing", 400 * kib, []int{390, 1, 1, 1, 7}, 202, 4 * time.Second},
		{"its end does not come", 400 * kib, []int{399}, 408, 5 * time.Second},
		{"a small one has time", 64 * kib, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 46}, 202, 18 * time.Second},
		{"for ever", 800 * kib, slices.Repeat([]int{20}, 40), 408, httpserver.ReadTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			atGate(t, func(t *testing.T, g *gate) {
				body, began := letter(c.length), time.Now()
				conn := g.post(g.tenant("one"), len(body))
				defer func() { _ = conn.Close() }()
				go func() {
					rest := body
					for _, part := range c.parts {
						now := rest[:min(len(rest), part*kib)]
						rest = rest[len(now):]
						if _, err := io.WriteString(conn, now); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				status, _, at := answered(conn)
				if took := at.Sub(began); status != c.status || took != c.after {
					t.Errorf("%d after %v; want %d after %v", status, took, c.status, c.after)
				}
				time.Sleep(time.Second)
				g.api.bodies.empty(t)
			})
		})
	}
}

// TestTheBodyOnTheSeatHasLessTime: all others may wait for it.
func TestTheBodyOnTheSeatHasLessTime(t *testing.T) {
	atGate(t, func(t *testing.T, g *gate) {
		m := g.api.bodies
		leave := m.fill(t)
		m.leave(m.seat)
		began := time.Now()
		conn := g.post(g.tenant("one"), maxFiles)
		defer func() { _ = conn.Close() }()
		go func() { _, _ = io.WriteString(conn, letter(maxFiles)[:200<<10]) }()
		if status, _, at := answered(conn); status != http.StatusRequestTimeout || at.Sub(began) != seatWindow {
			t.Errorf("%d after %v; want 408 after %v", status, at.Sub(began), seatWindow)
		}
		leave()
	})
}

// TestBodiesThatNeedMoreThanIsLeftEndOneByOne: they have the seat one after the other.
func TestBodiesThatNeedMoreThanIsLeftEndOneByOne(t *testing.T) {
	atGate(t, func(t *testing.T, g *gate) {
		m := g.api.bodies
		leave := m.fill(t)
		m.leave(m.seat)
		g.pause = 3 * time.Second
		var all sync.WaitGroup
		took := make([]time.Duration, 3)
		for i := range took {
			who := g.tenant(fmt.Sprintf("app-%d", i))
			all.Go(func() {
				var status int
				if status, _, took[i] = g.send(who, letter(maxFiles), 1, 0); status != http.StatusAccepted {
					t.Errorf("body %d: %d after %v; want 202", i, status, took[i])
				}
			})
		}
		all.Wait()
		slices.Sort(took)
		if want := []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}; !slices.Equal(took, want) {
			t.Errorf("they ended after %v; want %v", took, want)
		}
		leave()
	})
}

// TestARefusedBodyHoldsNothing while what is left of it is read away, and its sender hears when to come again.
func TestARefusedBodyHoldsNothing(t *testing.T) {
	for name, length := range map[string]int{"with length": 4 << 20, "without length": -1} {
		t.Run(name, func(t *testing.T) {
			atGate(t, func(t *testing.T, g *gate) {
				m := g.api.bodies
				leave := m.fill(t)
				full, who := m.booked(), g.tenant("one")
				m.leave(m.seat) // this body has that until it is taken from it below
				began, body := time.Now(), letter(4<<20)
				conn := g.post(who, length)
				defer func() { _ = conn.Close() }()
				write := func(s string) {
					if length < 0 {
						s = fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
					}
					if _, err := io.WriteString(conn, s); err != nil {
						t.Error(err)
					}
				}
				write(body[:100<<10])
				synctest.Wait()
				if got := m.booked() - bodyRoom; got != 128<<10 {
					t.Fatalf("100 KiB hold %d bytes; want 128 KiB", got)
				}
				m.mu.Lock()
				g2 := m.seat
				m.seat, g2.seated = &guest{app: tenantID(99)}, false // its next step finds no room
				m.used += g2.held
				m.mu.Unlock()
				go func() {
					write(body[100<<10 : 1<<20])
					time.Sleep(time.Second) // it has been refused by now
					if got := m.booked(); time.Since(began) != roomWait+time.Second || got != bodyRoom || full <= got {
						t.Errorf("%v after its start %d bytes are booked; want those of others, %d", time.Since(began), got, bodyRoom)
					}
					write(body[1<<20:])
					if length < 0 {
						_, _ = io.WriteString(conn, "0\r\n\r\n")
					}
				}()
				status, retry, at := answered(conn)
				if took := at.Sub(began); status != http.StatusServiceUnavailable || retry != "1" || took != roomWait+time.Second {
					t.Errorf("%d, Retry-After %q after %v; want 503 and 1", status, retry, took)
				}
				m.leave(m.seat)
				leave()
			})
		})
	}
}

// sips is a body that arrives in pieces; before each, look is called.
type sips struct {
	left int
	look func()
}

func (s *sips) Read(b []byte) (int, error) {
	s.look()
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(s.left, len(b), 10_000)
	s.left -= n
	return n, nil
}

// TestMemoryIsBookedBeforeItIsTaken: as much as has arrived, doubled at most; and none is kept once refused.
func TestMemoryIsBookedBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := New(Config{Log: slog.New(slog.DiscardHandler)})
			leave := func() {}
			if full {
				leave = a.bodies.fill(t)
			}
			p := &parcel{api: a, req: httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), most: 3 << 20}
			body := &sips{left: 3 << 20}
			body.look = func() {
				arrived, size := 3<<20-body.left, cap(p.text)
				booked := int64(smallBody)
				if p.guest != nil {
					booked = max(booked, p.guest.held)
				}
				if int64(size) > booked || size > max(firstSpace, 2*arrived) {
					t.Fatalf("%d bytes arrived, memory for %d is taken and %d booked", arrived, size, booked)
				}
			}
			if _, err := p.ReadFrom(body); (err != nil) != full || (body.left == 0) == full {
				t.Fatalf("%v, %d left", err, body.left)
			}
			if full && (p.text != nil || p.guest.held != 0) { // what is left of it is read away later
				t.Fatalf("a refused body keeps %d bytes, %d are booked", cap(p.text), p.guest.held)
			}
			if !full && (len(p.text) != 3<<20 || p.guest.held != 3<<20) {
				t.Errorf("%d bytes read, %d booked; want 3 MiB each", len(p.text), p.guest.held)
			}
			a.release(p)
			leave()
			a.bodies.empty(t)
		})
	}
}

// timed is a sink that takes a deadline, as a connection does.
type timed struct{ *sink }

func (timed) SetReadDeadline(time.Time) error { return nil }

// TestSmallBodiesDoNotMeetTheRoom: they do not even wait for its lock, nor allocate more than they did.
func TestSmallBodiesDoNotMeetTheRoom(t *testing.T) {
	a := New(Config{Log: slog.New(slog.DiscardHandler)})
	a.bodies.mu.Lock()
	defer a.bodies.mu.Unlock()
	text := strings.Repeat("b", smallBody)
	for _, size := range []int{0, 1, firstSpace, 10_000, smallBody} {
		for _, measured := range []bool{true, false} {
			r := httptest.NewRequest("POST", "/", nil)
			r.Header.Set("Content-Type", "application/json")
			r.ContentLength = -1
			if measured {
				r.ContentLength = int64(size)
			}
			body := strings.NewReader("")
			w := timed{&sink{header: http.Header{}}}
			got := testing.AllocsPerRun(100, func() {
				body.Reset(text[:size])
				r.Body = io.NopCloser(body)
				p, err := a.receive(w, r, comm.ID{}, maxBody)
				if err != nil || len(p.text) != size {
					t.Fatalf("%d bytes: %d, %v", size, len(p.text), err)
				}
				if p.guest != nil {
					t.Fatal("it is a guest")
				}
				a.release(p)
			})
			most := 2.0 // one of the test's, one of http.MaxBytesReader
			if !measured {
				most = 4 // the pace and its controller
			}
			if got > most+3 { // the race detector drops some of a pool
				t.Errorf("%d bytes, measured %v: %.0f allocations; at most %.0f", size, measured, got, most)
			}
		}
	}
}

// TestEveryEndGivesAllBack: however a large request ends, nothing of it stays booked (atGate looks).
func TestEveryEndGivesAllBack(t *testing.T) {
	big := letter(2 << 20)
	for name, c := range map[string]struct {
		body   string
		length int
		cut    bool // the client goes away after the body's bytes
		full   bool // there is no room
		status int
	}{
		"no JSON":                {strings.Repeat("x", 1<<20), 1 << 20, false, false, 400},
		"too much text":          {strings.Repeat("x", 2<<20), 2 << 20, false, false, 413},
		"over the limit":         {"", maxFiles + 1, false, false, 413},
		"over it, unmeasured":    {strings.Repeat("x", maxFiles+1), -1, false, false, 413},
		"client gone":            {big[:1<<20], 2 << 20, true, false, 0},
		"gone while it waits":    {big[:1<<20], 2 << 20, true, true, 0},
		"gone, unmeasured":       {big[:1<<20], -1, true, false, 0},
		"no room":                {big, 2 << 20, false, true, 503},
		"no room and unmeasured": {big, -1, false, true, 503},
	} {
		t.Run(name, func(t *testing.T) {
			atGate(t, func(t *testing.T, g *gate) {
				if c.full {
					leave := g.api.bodies.fill(t)
					defer func() {
						time.Sleep(time.Minute)
						leave()
					}()
				}
				conn := g.post(g.tenant("one"), c.length)
				defer func() { _ = conn.Close() }()
				go func() {
					text := c.body
					if c.length < 0 {
						text = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(c.body), c.body)
						if c.cut {
							text = text[:len(c.body)]
						}
					}
					_, _ = io.WriteString(conn, text)
				}()
				if c.cut {
					time.Sleep(time.Second)
					_ = conn.Close()
					return
				}
				if status, _, _ := answered(conn); status != c.status {
					t.Errorf("%d; want %d", status, c.status)
				}
			})
		})
	}
}
