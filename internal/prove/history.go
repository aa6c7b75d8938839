package prove

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Entry is what a client knows of one message it tried to create.
type Entry struct {
	App  int
	Key  string          // idempotency key
	Name string          // the recipient's local part: how the ledger knows it
	At   time.Time       // not before this; zero: at once
	IDs  map[string]bool // every id that an answer gave
	OK   int             // answers 202 or 200
	New  int             // answers 202
	Lost int             // requests without an answer
	Bad  []string        // answers that the contract does not allow
	Open []string        // answers that another app should not have got

	Wishes    int // CANCELs asked for
	Cancelled int // CANCELs answered 200
}

// address is the recipient.
func (e *Entry) address() string { return e.Name + "@prove.example.com" }

// history is what the clients saw. It is safe for concurrent use.
type history struct {
	mu       sync.Mutex
	entries  []*Entry
	taken    int
	lost     int
	notes    []string
	recovery []time.Duration
	refused  map[int]int // answers other than 2xx, by status
}

func newHistory() *history {
	return &history{refused: map[int]int{}}
}

// invoke notes an attempt to create before it is sent.
func (h *history) invoke(e *Entry) *Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.IDs = map[string]bool{}
	h.entries = append(h.entries, e)
	return e
}

// stored says whether an answer said that the message is stored.
func (h *history) stored(e *Entry) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return e.OK > 0
}

// wishes notes that a message is to be cancelled, before it is asked for, and
// answers its id; empty when no answer has named it yet.
func (h *history) wishes(e *Entry) (id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id = range e.IDs {
		e.Wishes++
		return id
	}
	return ""
}

// cancelled notes that a CANCEL was answered 200.
func (h *history) cancelled(e *Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Cancelled++
}

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

func (h *history) trespassed(e *Entry, format string, a ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Open = append(e.Open, fmt.Sprintf(format, a...))
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
	return slices.Clone(h.entries)
}
