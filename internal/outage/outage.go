// Package outage keeps the log readable while something fails again and again:
// a database that is away, a client that is refused thousands of times.
//
// It promises that the first failure is written at once, that no outage fills a
// disk, that what was left out is counted in what is written, and that the end
// of an outage is written too. It decides nothing but what is written.
package outage

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Report is one thing that is tried again until it works. Fill in the exported
// members before use; then it is safe for concurrent use.
type Report struct {
	Log   *slog.Logger
	Level slog.Level // of a failure; that it works again is Info
	// Failing and Works are the messages of the two lines.
	Failing, Works string

	failures atomic.Int64
	began    atomic.Int64 // Unix nanoseconds of the first failure
}

// Failed counts a failure and writes the first, the second, the fourth and so
// on, with the count. Args are further attributes, as slog takes them.
func (r *Report) Failed(err error, args ...any) {
	n := r.failures.Add(1)
	if n == 1 {
		r.began.Store(time.Now().UnixNano())
	}
	if n&(n-1) == 0 {
		r.write(r.Level, r.Failing, append(args, "failures", n, "err", err)...)
	}
}

// Worked ends the outage, if there is one, with a line. It costs next to nothing otherwise.
func (r *Report) Worked() {
	if r.failures.Load() == 0 {
		return
	}
	if n := r.failures.Swap(0); n > 0 {
		lasted := time.Duration(time.Now().UnixNano() - r.began.Load())
		r.write(slog.LevelInfo, r.Works, "failures", n, "lasted", lasted.Round(time.Millisecond).String())
	}
}

// write is for messages that are chosen once by whoever filled the Report in.
func (r *Report) write(level slog.Level, message string, args ...any) {
	ctx, h := context.Background(), r.Log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	line := slog.NewRecord(time.Now(), level, message, 0)
	line.Add(args...)
	_ = h.Handle(ctx, line) // a log that cannot be written has nowhere to say so
}

// Spaced lets one line through in a while and counts those in between. Its zero
// value lets one through per second; it is safe for concurrent use.
type Spaced struct {
	Every time.Duration // 0: a second

	mu   sync.Mutex
	next time.Time
	left int
}

// Speak says whether to write the line, and how many were not written before it.
func (s *Spaced) Speak(now time.Time) (unsaid int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.left++
		return 0, false
	}
	every := s.Every
	if every == 0 {
		every = time.Second
	}
	unsaid, s.left, s.next = s.left, 0, now.Add(every)
	return unsaid, true
}

// Once lets each of some things be said once. Its zero value has said nothing; it is safe for concurrent use.
type Once[K comparable] struct {
	mu   sync.Mutex
	said map[K]struct{}
}

// mostSaid bounds what a Once remembers; past it everything may be said once more.
const mostSaid = 1000

// First says whether the thing has not been said yet; from then on it has.
func (o *Once[K]) First(thing K) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, said := o.said[thing]; said {
		return false
	}
	if o.said == nil || len(o.said) >= mostSaid {
		o.said = map[K]struct{}{}
	}
	o.said[thing] = struct{}{}
	return true
}
