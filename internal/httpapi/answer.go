package httpapi

import (
	"context"
	"net/http"

	"github.com/commserver/commserver/internal/comm"
)

// What answers of a list are booked with before they are read, for each of their rows.
const (
	itemBytes = 32 << 10 // metadata, read and written
	// captureRows is how many captures, with their bodies, are read at a time at first.
	captureRows = 4
	// captureBytes is how much content a page of captures holds before it is cut.
	captureBytes = 1 << 20
)

// The most that is read at a time for one message: HTML and text of 512 KiB each.
const contentBytes = 1 << 20

// enter books memory for an answer that will be large; the guest leaves when it has been written.
func (a *API) enter(ctx context.Context, app comm.ID, size int64) (*guest, error) {
	g := &guest{app: app}
	if a.bodies.grow(g, size) {
		return g, nil
	}
	return g, a.bodies.wait(ctx, g)
}

// readWhole reads one message with its content. A large one is let go and read again
// once there is room for it; the guest, which may be nil, leaves when it has been answered.
func (a *API) readWhole(ctx context.Context, app, id comm.ID) (*comm.Message, *guest, error) {
	m, err := a.cfg.Messages.Message(ctx, app, id)
	if err != nil {
		return nil, nil, err
	}
	size := wholeSize(m)
	if size <= smallBody {
		return m, nil, nil
	}
	m = nil // nobody holds it while it waits
	g, err := a.enter(ctx, app, min(size, maxFiles))
	if err != nil {
		return nil, g, err
	}
	m, err = a.cfg.Messages.Message(ctx, app, id)
	return m, g, err
}

// wholeSize is about what a message takes, read and written as JSON.
func wholeSize(m *comm.Message) int64 {
	const event = 512
	c := &m.Content
	return 2 * int64(len(c.Body)+len(c.Text)+len(c.Metadata)+event*len(m.Events))
}

// answer writes v, for which g holds room (nil: it is small), and keeps no more of that than the answer takes.
func (a *API) answer(w http.ResponseWriter, g *guest, v any) {
	body := encode(v)
	if g != nil {
		a.bodies.shrink(g, int64(len(body)))
	}
	writeRaw(w, http.StatusOK, body)
}
