package pace

import "time"

// Slice says how large the next step of a long work may be, so that a step takes
// about Aim whatever the machine and the rows are. The zero value is of no use:
// fill the exported members in. Not safe for concurrent use.
type Slice struct {
	Aim         time.Duration
	Least, Most int
	// Share is the part of the time that steps may take, from 0 to 1: Pause is the rest.
	Share float64

	size float64
}

// Size is how many items the next step may have.
func (s *Slice) Size() int {
	if s.size == 0 {
		s.size = float64(s.Least)
	}
	return int(s.size)
}

// Took learns from a step of n items. A step that was too long halves the next ones
// at least; a short one makes them at most half as large again, so that one lucky
// measurement costs nobody a long wait. A step of few items tells nothing about many.
func (s *Slice) Took(n int, d time.Duration) {
	size := float64(s.Size())
	switch {
	case n <= 0 || d <= 0:
		return
	case d > s.Aim:
		size = min(size/2, float64(n)*float64(s.Aim)/float64(d))
	case 2*n >= int(size):
		size = min(size*1.5+1, float64(n)*float64(s.Aim)/float64(d))
		size = max(size, s.size*0.8)
	}
	s.size = min(max(size, float64(s.Least)), float64(s.Most))
}

// Pause is how long to leave to others after a step that took d.
func (s *Slice) Pause(d time.Duration) time.Duration {
	if s.Share <= 0 || s.Share >= 1 {
		return 0
	}
	return time.Duration(float64(d) * (1 - s.Share) / s.Share)
}
