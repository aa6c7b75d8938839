// Package pace says when something may be done: a token bucket for rates, a
// circuit breaker for failing peers, the back-off between retries, what a peer asks
// for in Retry-After, and places for what may go on at one moment.
//
// Everything but the places is a plain value without goroutines, locks or clock: the caller
// passes the time in and guards the value, and may copy it to keep a snapshot.
// Times should carry Go's monotonic reading (time.Now does), then a stepping
// wall clock changes nothing; without it a step back costs at most one burst.
//
// It does not wait, and it does not count across processes: who shares a limit
// between nodes gives each its part.
package pace

import (
	"math"
	"time"
)

// Bucket limits a rate with bursts: at most burst at once and perSecond on
// average. The zero value allows everything. It is the generic cell rate
// algorithm, a token bucket that stores one time instead of a level.
// Not safe for concurrent use.
type Bucket struct {
	interval time.Duration // between two takes at the full rate; 0 = no limit
	burst    int
	full     time.Time // when the bucket will be full again
}

// NewBucket returns a full bucket. perSecond may be a fraction (1.0/60 is one a
// minute; 500.0/86400 is 500 a day); zero or less means no limit. burst is in
// takes and at least 1.
func NewBucket(perSecond float64, burst int) Bucket {
	var b Bucket
	b.SetRate(perSecond, burst)
	return b
}

// SetRate changes the limit, as in NewBucket, and keeps what was already taken.
func (b *Bucket) SetRate(perSecond float64, burst int) {
	b.burst = max(burst, 1)
	b.interval = 0
	if perSecond > 0 {
		interval := float64(time.Second) / perSecond
		// A century stands for never, and leaves room for a burst of them.
		const longest = float64(100 * 365 * 24 * time.Hour)
		b.interval = max(1, time.Duration(min(interval, longest)))
	}
	b.burst = min(b.burst, int(time.Duration(1<<62)/max(b.interval, 1)))
	b.burst = max(b.burst, 1)
}

// Take takes one token if there is one at now.
func (b *Bucket) Take(now time.Time) bool {
	if b.interval == 0 {
		return true
	}
	if b.Wait(now) > 0 {
		return false
	}
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.interval)
	return true
}

// Wait returns how long after now the next token is there; 0 if Take would
// succeed now. It takes nothing.
func (b *Bucket) Wait(now time.Time) time.Duration {
	if b.interval == 0 || !b.full.After(now) {
		return 0
	}
	capacity := time.Duration(b.burst) * b.interval
	if ahead := b.full.Sub(now); ahead > capacity {
		// The clock stepped back, or the rate was raised: an empty bucket is the
		// worst that can be true now.
		b.full = now.Add(capacity)
	}
	return max(0, b.full.Sub(now)-capacity+b.interval)
}

// Tokens is how many takes would succeed at now, one after the other. It takes nothing.
func (b *Bucket) Tokens(now time.Time) int {
	switch {
	case b.interval == 0:
		return math.MaxInt
	case b.Wait(now) > 0:
		return 0
	}
	ahead := max(0, b.full.Sub(now))
	return int((time.Duration(b.burst)*b.interval - ahead) / b.interval)
}

// Return puts back one taken token, for a take that turned out not to be used.
func (b *Bucket) Return() {
	b.full = b.full.Add(-b.interval)
}
