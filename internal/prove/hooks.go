package prove

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/signature"
)

// hookSecret signs what is posted to the run's receiver.
const hookSecret = "whsec_cHJvdmUtd2ViaG9vay1zZWNyZXQtMDEyMzQ1Njc4OWFiY2RlZg=="

// Heard is what the receiver knows of an event, or of what waits to be told to it.
type Heard struct {
	App     int    // whose endpoint heard it first
	Copies  int    // requests
	Bodies  int    // different ones
	Strange string // what was wrong with one of the requests
	Waits   bool   // the server says that it is still to be told
}

// hooks is the receiver of all webhooks. It takes most events, refuses one in four at first and one in
// 64 for good, so that there is something to repeat.
type hooks struct {
	listener net.Listener
	server   *http.Server
	mu       sync.Mutex
	heard    map[string]*Heard // by event id
	bodies   map[string][][sha256.Size]byte
}

// startHooks listens on a free loopback port.
func startHooks(ctx context.Context) (*hooks, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hooks{listener: l, heard: map[string]*Heard{}, bodies: map[string][][sha256.Size]byte{}}
	h.server = &http.Server{Handler: h, ReadHeaderTimeout: 20 * time.Second}
	go func() { _ = h.server.Serve(l) }() // ends with close
	return h, nil
}

// url is where an app's events go.
func (h *hooks) url(app int) string {
	return "http://" + h.listener.Addr().String() + "/" + strconv.Itoa(app)
}

func (h *hooks) close() error { return h.server.Close() }

// ServeHTTP takes an event.
func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the sender was killed
	}
	id := r.Header.Get("X-Comms-Event-Id")
	app, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	first := h.hear(id, app, r.Header, body)
	if n := lot(id); n%64 == 9 || n%4 == 1 && first {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// lot is a number that is always the same for an event.
func lot(id string) uint32 {
	f := fnv.New32a()
	_, _ = f.Write([]byte(id)) // never fails
	return f.Sum32()
}

func (h *hooks) hear(id string, app int, header http.Header, body []byte) (first bool) {
	timestamp := header.Get("X-Comms-Timestamp")
	at, err := strconv.ParseInt(timestamp, 10, 64)
	var told struct{ EventID string }
	strange := ""
	switch {
	case err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute:
		strange = "the timestamp " + strconv.Quote(timestamp) + " is not of now"
	case header.Get("X-Comms-Signature") != signature.Guide(hookSecret, timestamp, body):
		strange = "the signature does not fit"
	case json.Unmarshal(body, &told) != nil || told.EventID != id:
		strange = "the body is of another event"
	}
	sum := sha256.Sum256(body)
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.heard[id]
	if e == nil {
		e, first = &Heard{App: app}, true
		h.heard[id] = e
	}
	if e.App != app {
		strange = "it came to two apps"
	}
	if e.Copies++; strange != "" {
		e.Strange = strange
	}
	if !slices.Contains(h.bodies[id], sum) {
		h.bodies[id] = append(h.bodies[id], sum)
		e.Bodies++
	}
	return first
}

// all answers what was heard so far. It is the caller's own.
func (h *hooks) all() map[string]*Heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]*Heard, len(h.heard))
	for id, e := range h.heard {
		out[id] = new(*e)
	}
	return out
}

// posts is how many requests came.
func (h *hooks) posts() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.heard {
		n += e.Copies
	}
	return n
}

// told says whether an event of a message is posted to an endpoint without filter.
func (e *Event) told() bool {
	if e.To == nil || e.From != nil && *e.From == *e.To {
		return false
	}
	return slices.Contains([]string{"SENT", "DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED"}, *e.To)
}

// eventID is the name of a message's event.
func (m *Message) eventID(e *Event) string {
	return fmt.Sprintf("evt_%s_%d_%s", m.ID, e.Sequence, strconv.FormatInt(e.At.UnixMilli(), 36))
}

// Wait is how long after a call of its endpoint a delivery is to be posted again.
type Wait struct {
	Tries int
	After time.Duration
}

// listen waits until every event of the messages was posted or is known to wait, until the drain time is over, and
// answers what was heard and a sample of the waits.
func (r *run) listen(ctx context.Context, messages map[string]*Message) (heard map[string]*Heard, waits []Wait, err error) {
	web := &http.Client{Timeout: 30 * time.Second}
	defer web.CloseIdleConnections()
	for deadline := time.Now().Add(r.cfg.Drain); ; {
		waiting := map[string]int{}
		waits = nil
		for i, a := range r.apps {
			if a.endpoint == "" {
				continue
			}
			some, err := r.waiting(ctx, web, a, func(event string) { waiting[event] = i })
			if err != nil {
				return nil, nil, err
			}
			waits = append(waits, some...)
		}
		heard = r.hooks.all() // after the list: what is on neither was not told
		for id := range waiting {
			if heard[id] == nil {
				heard[id] = &Heard{App: waiting[id]}
			}
			heard[id].Waits = true
		}
		if !r.untold(messages, heard) || time.Now().After(deadline) {
			return heard, waits, nil
		}
		pause(ctx, 500*time.Millisecond)
	}
}

// untold says whether there is an event that nobody was told of yet.
func (r *run) untold(messages map[string]*Message, heard map[string]*Heard) bool {
	for _, of := range r.history.all() {
		if r.apps[of.App].endpoint == "" {
			continue
		}
		for id := range of.IDs {
			m := messages[id]
			for i := 0; m != nil && i < len(m.Events); i++ {
				if e := &m.Events[i]; e.told() && heard[m.eventID(e)] == nil {
					return true
				}
			}
		}
	}
	return false
}

// sampled is how many waiting deliveries of each app are read for their waits.
const sampled = 12

// waiting finds the events that an app's endpoint is still to get, and answers how long the first of them wait.
func (r *run) waiting(ctx context.Context, web *http.Client, a app, found func(event string)) (waits []Wait, err error) {
	type delivery struct {
		ID, EventID   string
		Attempts      int
		NextAttemptAt *time.Time
		AttemptLog    []struct {
			At     time.Time
			TookMs int64
		}
	}
	path := "/api/v1/webhooks/" + a.endpoint + "/deliveries"
	for cursor := ""; ; {
		var page struct {
			Data       []delivery
			NextCursor *string
		}
		if err := r.read(ctx, web, a, path+"?state=waiting&limit=100"+cursor, &page); err != nil {
			return nil, err
		}
		for _, d := range page.Data {
			if found(d.EventID); d.Attempts == 0 || len(waits) >= sampled {
				continue
			}
			if err := r.read(ctx, web, a, path+"/"+d.ID, &d); err != nil {
				return nil, err
			}
			if n := len(d.AttemptLog); n > 0 && d.NextAttemptAt != nil {
				last := d.AttemptLog[n-1]
				waits = append(waits, Wait{n, d.NextAttemptAt.Sub(last.At.Add(time.Duration(last.TookMs) * time.Millisecond))})
			}
		}
		if page.NextCursor == nil {
			return waits, nil
		}
		cursor = "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
}

// read gets something of an app from healthy nodes.
func (r *run) read(ctx context.Context, web *http.Client, a app, path string, out any) error {
	var last error
	for range 20 {
		status, body, err := r.call(ctx, web, 0, a, http.MethodGet, path, nil)
		if err == nil && status == http.StatusOK {
			return json.Unmarshal(body, out)
		}
		last = errors.Join(fmt.Errorf("read %s: %d", path, status), err)
		pause(ctx, 200*time.Millisecond)
	}
	return last
}
