package sqlite

import (
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// flightsKept bounds the memory of open attempts' rows.
const flightsKept = 8192

// flights remembers the rows of attempts that this process has started, so that
// their finishes need not read them. It is a guess: a finish is written only if
// the row still has the same sequence. It is safe for concurrent use.
type flights struct {
	mu   sync.Mutex
	rows map[comm.ID]comm.State
}

// put remembers what was started.
func (f *flights) put(started []store.Started) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows == nil || len(f.rows)+len(started) > flightsKept {
		f.rows = make(map[comm.ID]comm.State, len(started))
	}
	for i := range started {
		if started[i].Verdict == store.Go {
			f.rows[started[i].State.ID] = started[i].State
		}
	}
}

// take moves the rows of these finishes into known, which is as long.
func (f *flights) take(finishes []store.Finish, known []comm.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range finishes {
		id := finishes[i].ID
		if row, ok := f.rows[id]; ok {
			known[i] = row
			delete(f.rows, id)
		}
	}
}

const (
	// recentKept and recentBytes bound the memory of what was accepted lately.
	recentKept  = 4096
	recentBytes = 4 << 20
)

// recent remembers the rows and contents that this process has accepted lately:
// most are started within milliseconds and need not be read then. It is a guess
// as flights are: a start is written only if the row still has the same
// sequence, which everything that happens to a message counts up, the loss of
// its content included (triggers of table content see to that). What a failed
// turn took is read again. Messages with files are not kept. It is safe for
// concurrent use.
type recent struct {
	mu    sync.Mutex
	rows  map[comm.ID]content
	order []comm.ID // as accepted; may name rows that were taken
	first int       // of order that is still there
	bytes int
}

// put remembers the new ones of an accept group.
func (m *recent) put(subs []store.Submission, out []store.Accepted, now comm.Micros) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows = make(map[comm.ID]content, recentKept)
	}
	for i := range subs {
		sub := &subs[i]
		if out[i].Result != store.New || out[i].Due > now || len(sub.Files) > 0 || len(sub.Payload) > recentBytes/16 {
			continue // scheduled, or too large to keep
		}
		m.rows[sub.ID] = content{recipient: sub.Recipient, payload: sub.Payload, found: true, state: acceptedState(sub, &out[i], now)}
		m.order = append(m.order, sub.ID)
		m.bytes += len(sub.Payload)
	}
	for len(m.order)-m.first > recentKept || m.bytes > recentBytes {
		m.drop(m.order[m.first])
		m.first++
	}
	if m.first > recentKept {
		m.order = append(m.order[:0], m.order[m.first:]...)
		m.first = 0
	}
}

// take moves what is known of these starts into found, which is as long.
func (m *recent) take(starts []store.Start, found []content) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range starts {
		if c, ok := m.rows[starts[i].Head.ID]; ok {
			found[i] = c
			m.drop(starts[i].Head.ID)
		}
	}
}

func (m *recent) drop(id comm.ID) {
	if c, ok := m.rows[id]; ok {
		m.bytes -= len(c.payload)
		delete(m.rows, id)
	}
}

// acceptedState is the row that qStateInsert writes.
func acceptedState(sub *store.Submission, out *store.Accepted, now comm.Micros) comm.State {
	s := comm.State{
		App: sub.App, ID: sub.ID, Shard: sub.Shard, Channel: sub.Channel, Lane: sub.Lane, Mode: sub.Mode, OnUnknown: sub.OnUnknown,
		Status: comm.Queued, CreatedAt: now, UpdatedAt: now, ScheduledAt: sub.ScheduledAt, Due: out.Due, Generation: 1, Sequence: 1,
		Bytes: sub.Bytes(),
	}
	if sub.TTL > 0 {
		s.ExpiresAt = out.Due + comm.Micros(sub.TTL)
	}
	return s
}
