package httpapi

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Bounds of the memory that request bodies and large answers take together. A body of
// a message costs about three times its size until it is stored: text, decoded members,
// and the copy on its way to the database. An answer stays until its client has read it,
// which with HTTP/2 is as long as the client likes (HTTP/1.1 leaves it to the kernel).
const (
	// smallBody is what every request may bring without asking for room.
	smallBody = 64 << 10
	// bodyRoom is what all larger bodies of this process may hold at one time, the one on the seat apart.
	bodyRoom = 80 << 20
	// spareRoom is the last part of the room, in which no app may hold a whole largest body.
	spareRoom = bodyRoom / 4
	// roomWait is how long one request waits for room, all its waits together, before it is refused.
	roomWait = 10 * time.Second
)

// room hands out memory for large bodies as they arrive. One body at a time has the
// seat, memory for a largest body beside the room: so one can always end, also when
// all others wait for each other. It is safe for concurrent use.
type room struct {
	mu    sync.Mutex
	used  int64 // without the body on the seat
	byApp map[comm.ID]int64
	seat  *guest
	line  []*guest // in the order in which they asked
}

// guest is one body in the room.
type guest struct {
	app     comm.ID
	held    int64
	want    int64         // what it asked to hold, while it stands in line
	granted chan struct{} // closed once it has that
	waited  time.Duration
	seated  bool // it has the seat; g's own goroutine may read it between its calls
}

func newRoom() *room { return &room{byApp: map[comm.ID]int64{}} }

// grow asks that g may hold size bytes, at most maxFiles, and says whether it does at
// once. Otherwise it stands in line: wait must follow.
func (m *room) grow(g *guest, size int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	g.want = size
	if m.seat == g {
		m.hold(g)
		return true
	}
	g.granted = make(chan struct{})
	m.line = append(m.line, g)
	m.serve()
	return g.held == size
}

// more waits until g holds as many bytes more, but no more than maxFiles in all: what a
// template makes of a small request is as large as a large one.
func (m *room) more(ctx context.Context, g *guest, bytes int64) error {
	if m.grow(g, min(g.held+bytes, maxFiles)) {
		return nil
	}
	return m.wait(ctx, g)
}

// wait waits until g holds what it asked for. What g holds when it is refused it keeps until it leaves.
func (m *room) wait(ctx context.Context, g *guest) error {
	began := time.Now()
	defer func() { g.waited += time.Since(began) }()
	patience := time.NewTimer(roomWait - g.waited)
	defer patience.Stop()
	select {
	case <-g.granted:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.line, g)
	if i < 0 {
		return nil // it was granted at the last moment
	}
	m.line = slices.Delete(m.line, i, i+1)
	e := comm.E("unavailable", "Too many large requests are under way; send the same request again.")
	e.RetryAfter = 1
	return e
}

// shrink gives back what g holds above size.
func (m *room) shrink(g *guest, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if size < g.held {
		g.want = size
		m.hold(g)
		m.serve()
	}
}

// leave gives back what g holds; nil and one that has left hold nothing.
func (m *room) leave(g *guest) {
	if g == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g.want = 0
	m.hold(g)
	if m.seat == g {
		m.seat, g.seated = nil, false
	}
	m.serve()
}

// hold books what g asked for. It runs under mu, as all that follows.
func (m *room) hold(g *guest) {
	more := g.want - g.held
	if m.seat != g {
		m.used += more
	}
	if m.byApp[g.app] += more; m.byApp[g.app] == 0 {
		delete(m.byApp, g.app)
	}
	g.held = g.want
}

// serve gives room to those in line that may have it, oldest first, and the seat, when
// it is free, to one of those that may not: of the app that holds least besides, so that
// an app with many bodies stands behind one with few.
func (m *room) serve() {
	m.line = slices.DeleteFunc(m.line, func(g *guest) bool {
		if !m.fits(g) {
			return false
		}
		m.hold(g)
		close(g.granted)
		return true
	})
	if m.seat != nil || len(m.line) == 0 {
		return
	}
	g := slices.MinFunc(m.line, func(a, b *guest) int { return cmp.Compare(m.byApp[a.app]-a.held, m.byApp[b.app]-b.held) })
	m.used -= g.held
	m.seat, g.seated = g, true
	m.hold(g)
	close(g.granted)
	i := slices.Index(m.line, g)
	m.line = slices.Delete(m.line, i, i+1)
	m.serve() // what it held in the room is free for others
}

// fits says that there is room for g and that its app stays within its share: a quarter
// of what it leaves free, and a largest body more while that leaves the spare part free.
// So each further app finds some room, however many hold all they may.
func (m *room) fits(g *guest) bool {
	more := g.want - g.held
	free := bodyRoom - m.used - more
	share := free / 4
	if free >= spareRoom {
		share += maxFiles
	}
	return free >= 0 && m.byApp[g.app]+more <= share
}
