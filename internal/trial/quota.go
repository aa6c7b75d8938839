package trial

import (
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// quota counts what apps did in this minute. What it remembers ends with the minute.
type quota struct {
	most int

	mu     sync.Mutex
	minute int64
	used   map[comm.ID]int
}

// take counts one; when the minute's are used up it answers how long until the next one.
func (q *quota) take(app comm.ID, now time.Time) (wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if minute := now.Unix() / 60; minute != q.minute || q.used == nil {
		q.minute, q.used = minute, map[comm.ID]int{}
	}
	if q.used[app] >= q.most {
		return now.Truncate(time.Minute).Add(time.Minute).Sub(now), false
	}
	q.used[app]++
	return 0, true
}

// enter takes a place among those that are tried at this moment, and one of the app's minute.
func (s *Service) enter(q *quota, app comm.ID) (leave func(), err error) {
	if !s.places.Take(app) {
		e := comm.E("unavailable", "Too many provider configurations are being tried at this moment; try again in a few seconds.")
		e.RetryAfter = 5
		return nil, e
	}
	leave = func() { s.places.Leave(app) }
	if wait, ok := q.take(app, s.cfg.Now()); !ok {
		leave()
		e := comm.E("rate_limited", "Provider configurations may be tried %d times a minute this way; try again when the minute is over.", q.most)
		e.RetryAfter = int(wait/time.Second) + 1
		return nil, e
	}
	return leave, nil
}
