package pace

import "time"

// Backoff is a schedule of growing waits with jitter. The zero value waits not
// at all. It is read only and safe for concurrent use as long as nobody changes
// Steps.
type Backoff struct {
	// Steps are the waits in order; the last one repeats for ever.
	Steps []time.Duration
	// Jitter is the share by which a wait is made longer or shorter at random,
	// 0 to 1: 0.2 spreads 10 s evenly over 8 s to 12 s.
	Jitter float64
}

// Retry returns the schedule between two rounds of attempts of a message: 5 s,
// 30 s, 2 min, 10 min, 30 min, then every hour, each ±20 %.
func Retry() Backoff {
	return Backoff{
		Steps: []time.Duration{
			5 * time.Second, 30 * time.Second, 2 * time.Minute,
			10 * time.Minute, 30 * time.Minute, time.Hour,
		},
		Jitter: 0.2,
	}
}

// Delay returns the wait after n failures in a row, n counting from 1 (a lower n
// is taken as 1). random returns a number in [0, 1), as math/rand/v2's Float64
// does; nil means no jitter. The result is rounded to a microsecond, the unit in
// which times are stored.
func (b Backoff) Delay(n int, random func() float64) time.Duration {
	if len(b.Steps) == 0 {
		return 0
	}
	step := b.Steps[min(max(n, 1), len(b.Steps))-1]
	if random == nil || b.Jitter <= 0 {
		return step
	}
	share := (2*random() - 1) * min(b.Jitter, 1)
	return (step + time.Duration(share*float64(step))).Round(time.Microsecond)
}
