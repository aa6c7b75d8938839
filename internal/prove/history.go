package prove

import (
	"fmt"
	"sync"
	"time"
)

// Entry is what a client knows of one message it tried to create.
type Entry struct {
	App  int
	Key  string          // idempotency key
	Name string          // the recipient's local part: how the ledger knows it
	IDs  map[string]bool // every id that an answer gave
	OK   int             // answers 202 or 200
	New  int             // answers 202
	Lost int             // requests without an answer
	Bad  []string        // answers that the contract does not allow
}

// history is what the clients saw, by app and key. It is safe for concurrent use.
type history struct {
	mu       sync.Mutex
	entries  map[string]*Entry
	order    []string
	taken    int
	lost     int
	notes    []string
	recovery []time.Duration
	refused  map[int]int // answers other than 2xx, by status
}

func newHistory() *history {
	return &history{entries: map[string]*Entry{}, refused: map[int]int{}}
}

// invoke notes an attempt to create before it is sent.
func (h *history) invoke(app int, key, name string) *Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := entryID(app, key)
	e := h.entries[id]
	if e == nil {
		e = &Entry{App: app, Key: key, Name: name, IDs: map[string]bool{}}
		h.entries[id] = e
		h.order = append(h.order, id)
	}
	return e
}

// stored finds a message that an answer said is stored; nil otherwise.
func (h *history) stored(app int, key string) *Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.entries[entryID(app, key)]; e != nil && e.OK > 0 {
		return e
	}
	return nil
}

func entryID(app int, key string) string { return fmt.Sprintf("%d/%s", app, key) }

// answered notes a 202 or 200.
func (h *history) answered(e *Entry, id string, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.OK == 0 {
		h.taken++
	}
	e.OK++
	if fresh {
		e.New++
	}
	e.IDs[id] = true
}

// silent notes a request whose answer did not come: it may or may not be stored.
func (h *history) silent(e *Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Lost++
	h.lost++
}

func (h *history) refuse(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused[status]++
}

func (h *history) bad(e *Entry, format string, a ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Bad = append(e.Bad, fmt.Sprintf(format, a...))
}

func (h *history) note(format string, a ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, fmt.Sprintf(format, a...))
}

func (h *history) recovered(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recovery = append(h.recovery, d)
}

func (h *history) accepted() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken
}

func (h *history) unknown() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// all lists the entries in the order of their first request.
func (h *history) all() []*Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*Entry, 0, len(h.order))
	for _, id := range h.order {
		out = append(out, h.entries[id])
	}
	return out
}
