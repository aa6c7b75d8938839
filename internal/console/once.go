package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/commserver/commserver/client"
)

// pressKey is the hidden field that names one showing of a form. However often that form is sent, what it asks for is done once.
const pressKey = "press"

// renew gives the form a name of its own, for one more press.
func (f *form) renew() *form {
	f.Hidden = slices.DeleteFunc(f.Hidden, func(h hidden) bool { return h.Name == pressKey })
	f.Hidden = append(f.Hidden, hidden{pressKey, newPress()})
	return f
}

// pressMost bounds what names a showing: ours are shorter.
const pressMost = 100

// pressOf is the press that a form was sent by.
func pressOf(in url.Values) (string, error) {
	switch press := in.Get(pressKey); {
	case press == "":
		return "", errNoPress
	case len(press) > pressMost:
		return "", errLongForm
	default:
		return press, nil
	}
}

// newPress names one showing of a form.
func newPress() string { return "console-" + rand.Text() }

// sentAlready says above a form that it was sent before with other entries, and makes it one that can be sent again.
func (f *form) sentAlready(err error) {
	var e *client.Error
	if errors.As(err, &e) && e.Code == "idempotency_key_reused" {
		f.Error = "This form was sent already, with other entries. Send it again if these are to go out, too."
		f.renew()
	}
}

// presses remembers what the newest presses of forms came to whose acts the API cannot tell apart. It is this node's: browsers
// send the second click of two, and a form once more, to where they sent the first.
type presses[T any] struct {
	most int

	mu    sync.Mutex
	known map[pressID]*press[T]
	order []pressID // oldest first
}

// pressID stands for a press: what it was sent with may be long.
type pressID [sha256.Size]byte

type press[T any] struct {
	ended chan struct{} // closed when got and err stand
	got   T
	err   error
}

// once does what a press asks for, or waits for what the same press came to before. What failed may be pressed again. do is not
// ended with the visit: of two clicks the browser gives the first one up.
func (p *presses[T]) once(ctx context.Context, name string, do func() (T, error)) (T, error) {
	key := pressID(sha256.Sum256([]byte(name)))
	p.mu.Lock()
	one, again := p.known[key]
	if !again {
		one = &press[T]{ended: make(chan struct{})}
		if p.known == nil {
			p.known = map[pressID]*press[T]{}
		}
		if len(p.order) >= p.most {
			delete(p.known, p.order[0])
			p.order = p.order[1:]
		}
		p.known[key], p.order = one, append(p.order, key)
	}
	p.mu.Unlock()
	if again {
		select {
		case <-one.ended:
			return one.got, one.err
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
	one.err = errors.New("console: the press did not end") // unless do comes back
	defer func() {
		if one.err != nil {
			p.mu.Lock()
			delete(p.known, key)
			p.order = slices.DeleteFunc(p.order, func(other pressID) bool { return other == key })
			p.mu.Unlock()
		}
		close(one.ended)
	}()
	one.got, one.err = do()
	return one.got, one.err
}

// lasting is the visit without its end: what it calls goes on when the browser is gone.
func (v *visit) lasting() *visit {
	out := *v
	out.r = v.r.WithContext(context.WithoutCancel(v.r.Context()))
	return &out
}

// errNoPress is the refusal of a form that names no showing.
var errNoPress = refusal{http.StatusBadRequest, "This form does not say when it was shown.", "Go back, load the page again and send it once more. Nothing was sent."}

// errLongForm is the refusal of a form that has more in it than a page of ours puts there, where that would be remembered.
var errLongForm = refusal{http.StatusBadRequest, "This form was not sent by a page of this console.", "What it holds is longer than any page makes it. Load the page again. Nothing was sent."}
