package httpapi

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
)

// A large body has to keep arriving: who holds room for one that does not come takes it from others.
const (
	paceWindow = 5 * time.Second
	// seatWindow is the window of the body on the seat, for which all others may wait.
	seatWindow = 2 * time.Second
	// paceBytes is what each window must bring, but for the one in which the body ends.
	paceBytes = 80 << 10
)

// firstSpace is the least memory that is taken for a body.
const firstSpace = 1 << 10

// parcel is the body of one request. Its memory doubles as bytes arrive, never by what
// the request promises, and is booked before it is taken once it is not small.
type parcel struct {
	text []byte
	api  *API
	req  *http.Request
	app  comm.ID
	most int64 // the body is no longer
	pace *paced
	// guest is the parcel's place in the room; nil: it is small.
	guest *guest
	one   [1]byte
}

// receive reads the request's JSON body of at most limit bytes; release gives back what
// it returns. The zero app stands for all callers of settings, who have one share together.
func (a *API) receive(w http.ResponseWriter, r *http.Request, app comm.ID, limit int64) (*parcel, error) {
	p, _ := a.parcels.Get().(*parcel)
	p.api, p.req, p.app, p.most = a, r, app, limit
	if n := r.ContentLength; n < 0 || n > smallBody {
		p.pace = &paced{ReadCloser: r.Body, req: r, conn: http.NewResponseController(w), end: time.Now().Add(httpserver.ReadTimeout), window: paceWindow}
		r.Body = p.pace
		if n > 0 {
			p.most = min(n, limit)
		}
	}
	if err := readBody(w, r, p, limit); err != nil {
		a.release(p)
		return nil, err
	}
	return p, nil
}

// release gives back the parcel's room, and its memory to the next request if it is small.
func (a *API) release(p *parcel) {
	a.bodies.leave(p.guest)
	text := p.text[:0]
	if cap(text) > smallBody {
		text = nil
	}
	*p = parcel{text: text}
	a.parcels.Put(p)
}

// keep takes the parcel's room from it: what was decoded from it needs as much.
func (p *parcel) keep() *guest {
	g := p.guest
	p.guest = nil
	return g
}

// ReadFrom reads the body to its end.
func (p *parcel) ReadFrom(from io.Reader) (int64, error) {
	for {
		var n int
		var err error
		if len(p.text) < cap(p.text) {
			n, err = from.Read(p.text[len(p.text):cap(p.text)])
			p.text = p.text[:len(p.text)+n]
		} else if n, err = from.Read(p.one[:]); n > 0 { // a byte shows that more is needed
			if refused := p.grow(); refused != nil {
				p.text = nil
				p.api.bodies.leave(p.guest)
				return 0, refused
			}
			p.text = append(p.text, p.one[0])
		}
		switch {
		case err == io.EOF:
			return int64(len(p.text)), nil
		case err != nil:
			return int64(len(p.text)), err
		}
	}
}

// grow doubles the parcel's memory, up to what the body can need.
func (p *parcel) grow() error {
	size := max(firstSpace, 2*int64(cap(p.text)))
	if size > smallBody {
		size = max(min(size, p.most), int64(cap(p.text))+1)
		if err := p.book(size); err != nil {
			return err
		}
	}
	text := make([]byte, size)
	copy(text, p.text)
	p.text = text[:len(p.text)]
	return nil
}

func (p *parcel) book(size int64) error {
	m := p.api.bodies
	if p.guest == nil {
		p.guest = &guest{app: p.app}
	}
	was, began := p.guest.seated, time.Now()
	var err error
	now := m.grow(p.guest, size)
	if !now {
		p.pace.stop()
		err = m.wait(p.req.Context(), p.guest)
	}
	if !now || p.guest.seated != was {
		p.pace.resume(time.Since(began), p.guest.seated)
	}
	return err
}

// paced is a body that must keep arriving.
type paced struct {
	io.ReadCloser
	req  *http.Request
	conn *http.ResponseController
	end  time.Time // when all of it must be there
	read int64
	goal int64 // at which the next window opens
	// window is how long one is.
	window time.Duration
}

// Read reads what the present window must bring.
func (p *paced) Read(b []byte) (int, error) {
	if p.read >= p.goal {
		due := time.Now().Add(p.window)
		if p.end.Before(due) {
			due = p.end
		}
		if err := p.deadline(due); err != nil {
			return 0, err
		}
		p.goal = p.read + paceBytes
	}
	n, err := p.ReadCloser.Read(b)
	if p.read += int64(n); err == io.EOF {
		// The message is whole: what follows has its usual time, and must not end this request.
		_ = p.deadline(time.Now().Add(httpserver.ReadTimeout))
	}
	return n, err
}

// stop says that nobody reads for a while: the time of that is not the client's.
func (p *paced) stop() {
	if p != nil {
		_ = p.deadline(time.Now().Add(roomWait + httpserver.ReadTimeout)) // an error comes again with the next window
	}
}

// resume opens a new window after a stop of that length.
func (p *paced) resume(stopped time.Duration, seated bool) {
	if p == nil {
		return
	}
	p.goal, p.end, p.window = p.read, p.end.Add(stopped), paceWindow
	if seated {
		p.window = seatWindow
	}
}

func (p *paced) deadline(at time.Time) error {
	return readBy(p.conn, p.req, at)
}

// readBy gives a body until then, unless the call has ended with its caller: that is not taken back.
func readBy(conn *http.ResponseController, r *http.Request, at time.Time) error {
	if err := conn.SetReadDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return ended(r.Context())
}
