package intake

import (
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Rate is the app's use of its rate per minute.
type Rate struct {
	Limit, Remaining int
	Reset            int // seconds until the minute ends, at least 1
}

// rates remembers what the store last said of each app's minute, so that an answer
// to what was not counted can tell it too, without a question to the database. Where
// several nodes accept for one app it may be behind by what the others counted since;
// what is enforced is the store's own count. It is safe for concurrent use.
type rates struct {
	mu    sync.Mutex
	reset comm.Micros     // when the minute ends that used belongs to
	used  map[comm.ID]int // by app
}

// heard keeps the word of the store.
func (r *rates) heard(app comm.ID, got store.Accepted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case got.RateReset < r.reset: // the answer to a group of the minute before
		return
	case got.RateReset > r.reset:
		r.reset, r.used = got.RateReset, make(map[comm.ID]int, len(r.used))
	}
	r.used[app] = max(r.used[app], got.RateUsed)
}

// of is how many of the app's submissions count so far, and when the minute ends.
func (r *rates) of(app comm.ID, now comm.Micros) (used int, reset comm.Micros) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now < r.reset {
		return r.used[app], r.reset
	}
	return 0, now - now%minute + minute
}

// minute is what rates are counted in, in microseconds.
const minute = comm.Micros(time.Minute / time.Microsecond)

// rateOf is a rate as answers tell it.
func rateOf(app *comm.App, used int, reset, now comm.Micros) Rate {
	left := (reset.Sub(now) + time.Second - 1) / time.Second
	return Rate{Limit: app.RatePerMinute, Remaining: max(0, app.RatePerMinute-used), Reset: int(min(60, max(1, left)))}
}

// Rate is what is known here of an app's rate, for answers to what was not counted.
func (s *Service) Rate(app *comm.App) Rate {
	now := comm.At(s.cfg.Now())
	used, reset := s.rates.of(app.ID, now)
	return rateOf(app, used, reset, now)
}
