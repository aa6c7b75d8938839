package postgres

import (
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// ahead knows the leases that lie impossibly far ahead of the database's clock and
// do not move: after the clock was set back, a dead node's lease would otherwise
// hold its shards for as long as the jump was. A live node moves its lease with its
// next heartbeat, and comes back with it if its row was removed. It is safe for
// concurrent use.
type ahead struct {
	mu   sync.Mutex
	seen map[string]sighting
}

// sighting is a lease that lies too far ahead, and since when it has been so on our own clock.
type sighting struct {
	until comm.Micros
	since time.Time
	ended bool
}

// ended says whether a lease counts as ended although it lies ahead. lease is how long leases are.
func (a *ahead) ended(node string, until, now comm.Micros, lease int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if int64(until-now) <= 2*lease {
		delete(a.seen, node)
		return false
	}
	s, known := a.seen[node]
	if !known || s.until != until {
		a.seen[node] = sighting{until: until, since: time.Now()}
		return false
	}
	if !s.ended && time.Since(s.since) > time.Duration(lease)*time.Microsecond {
		s.ended = true
		a.seen[node] = s
	}
	return s.ended
}

// list answers the leases that have ended so, as parameters.
func (a *ahead) list() (nodes, untils *list) {
	a.mu.Lock()
	defer a.mu.Unlock()
	nodes, untils = texts(0), int8s(0)
	for node, s := range a.seen {
		if s.ended {
			nodes.text(node)
			untils.i64(int64(s.until))
		}
	}
	return nodes, untils
}
