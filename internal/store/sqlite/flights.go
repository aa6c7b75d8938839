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
