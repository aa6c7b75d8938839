package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
)

// Bounds of the memory that request bodies take together. A body of a message
// costs about three times its size until it is stored: text, decoded members,
// and the copy on its way to the database.
const (
	// smallBody is what every request may bring without asking for room.
	smallBody = 64 << 10
	// bodyRoom is what all larger bodies of this process may hold at one time.
	bodyRoom = 96 << 20
	// lightBody may pass larger ones that wait for room.
	lightBody = 1 << 20
	// A body that holds room has to arrive: at slowest bytes a second on average, after slowStart.
	slowest   = 16 << 10
	slowStart = 5 * time.Second
	// roomWait is how long a request waits for room before it is refused.
	roomWait = 10 * time.Second
)

// room hands out memory for large bodies in the order in which they came, except
// that an app which holds its share lets others pass, and that light ones pass heavy
// ones. It is safe for concurrent use.
type room struct {
	mu    sync.Mutex
	used  int64
	byApp map[comm.ID]int64
	line  []*guest
}

// guest is one body that waits for room or has it.
type guest struct {
	app    comm.ID
	size   int64
	seated chan struct{} // closed once it has room
}

func newRoom() *room { return &room{byApp: map[comm.ID]int64{}} }

// enter waits for room of that size; leave gives it back, once. Size is at most bodyRoom.
func (m *room) enter(ctx context.Context, app comm.ID, size int64) (leave func(), err error) {
	g := &guest{app: app, size: size, seated: make(chan struct{})}
	m.mu.Lock()
	m.line = append(m.line, g)
	m.seat()
	m.mu.Unlock()
	leave = sync.OnceFunc(func() { m.leave(g) })
	wait := time.NewTimer(roomWait)
	defer wait.Stop()
	select {
	case <-g.seated:
		return leave, nil
	case <-wait.C:
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.line, g)
	if i < 0 {
		return leave, nil // it was seated at the last moment
	}
	m.line = slices.Delete(m.line, i, i+1)
	m.seat() // smaller ones behind it may fit
	e := comm.E("unavailable", "Too many large requests are under way; send the same request again.")
	e.RetryAfter = 1
	return nil, e
}

func (m *room) leave(g *guest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= g.size
	if m.byApp[g.app] -= g.size; m.byApp[g.app] == 0 {
		delete(m.byApp, g.app)
	}
	m.seat()
}

// seat gives room to those in line, oldest first. It runs under mu.
func (m *room) seat() {
	full := false // who only has to wait for others to leave is overtaken by light ones alone
	m.line = slices.DeleteFunc(m.line, func(g *guest) bool {
		if full && g.size > lightBody || !m.fair(g) {
			return false
		}
		if m.used+g.size > bodyRoom {
			full = true
			return false
		}
		m.used += g.size
		m.byApp[g.app] += g.size
		close(g.seated)
		return true
	})
}

// fair says that the guest's app stays within its share: as much as it leaves free.
// So each further app finds some room, however many hold all they may.
func (m *room) fair(g *guest) bool {
	own := m.byApp[g.app]
	return own == 0 || own+g.size <= bodyRoom-m.used-g.size
}

// paced is a body that must arrive at the least rate: who holds room for one that
// does not come takes it from others.
type paced struct {
	io.ReadCloser
	conn  *http.ResponseController
	start time.Time
	read  int64
}

func (p *paced) Read(b []byte) (int, error) {
	due := p.start.Add(slowStart + time.Duration(p.read)*time.Second/slowest)
	if err := p.conn.SetReadDeadline(earlier(due, p.start.Add(httpserver.ReadTimeout))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.ReadCloser.Read(b)
	if p.read += int64(n); err == io.EOF {
		// The message is whole: what follows has its usual time, and must not end this request.
		_ = p.conn.SetReadDeadline(time.Now().Add(httpserver.ReadTimeout))
	}
	return n, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// admission is the room of one request's body.
type admission struct {
	leave func() // gives the room back; may be called more than once
	// refused is why reading the body stopped when there was no room for it.
	refused error
}

// admit makes sure that there is room for the request's body of at most limit
// bytes before it is read. One that does not say its length asks for room when
// it turns out not to be small. The zero app stands for all callers that are none.
func (a *API) admit(w http.ResponseWriter, r *http.Request, app comm.ID, limit int64) (*admission, error) {
	d := &admission{leave: func() {}}
	body := r.Body
	enter := func(size int64) error {
		leave, err := a.bodies.enter(r.Context(), app, size)
		if err != nil {
			// A client that is still sending does not look for an answer: let it finish, keep nothing.
			_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, body, limit))
			d.refused = err
			return err
		}
		d.leave = leave
		return nil
	}
	pace := func() io.ReadCloser {
		return &paced{ReadCloser: body, conn: http.NewResponseController(w), start: time.Now()}
	}
	switch n := r.ContentLength; {
	case n < 0:
		r.Body = &unmeasured{ReadCloser: pace(), enter: func() error { return enter(limit) }}
	case n > smallBody && n <= limit: // a longer one is refused unread
		if err := enter(n); err != nil {
			return d, err
		}
		r.Body = pace()
	}
	return d, nil
}

// unmeasured is a body whose length is not known: past smallBody it asks for room, once.
type unmeasured struct {
	io.ReadCloser
	enter func() error
	read  int64
	asked bool
}

func (u *unmeasured) Read(p []byte) (int, error) {
	if u.read >= smallBody && !u.asked {
		u.asked = true
		if err := u.enter(); err != nil {
			return 0, err
		}
	}
	n, err := u.ReadCloser.Read(p)
	u.read += int64(n)
	return n, err
}
