package pace

import (
	"testing"
	"time"
)

// A step costs a fixed part and one for each item, which changes: the sizes follow.
func TestSlicesAimAtATime(t *testing.T) {
	t.Parallel()
	s := Slice{Aim: 5 * time.Millisecond, Least: 1, Most: 400, Share: 0.2}
	for _, each := range []time.Duration{50 * time.Microsecond, 500 * time.Microsecond, time.Microsecond, 20 * time.Millisecond, 50 * time.Microsecond} {
		cost := func(n int) time.Duration { return time.Millisecond + time.Duration(n)*each }
		over := 0
		for step := range 60 {
			n := s.Size()
			if n < 1 || n > 400 {
				t.Fatalf("a step of %d items", n)
			}
			if cost(n) > s.Aim+s.Aim/4 && n > 1 && step > 12 {
				over++
			}
			s.Took(n, cost(n))
		}
		if over > 0 {
			t.Errorf("%s for each item: %d of 48 steps too long", each, over)
		}
		if n := s.Size(); cost(n) < s.Aim/2 && n < 400 {
			t.Errorf("%s for each item: steps of %d items take only %s", each, n, cost(n))
		}
	}
	before := s.Size()
	s.Took(0, time.Second)
	s.Took(1, time.Microsecond) // one item was there: it says nothing about more
	if s.Size() != before {
		t.Errorf("%d became %d", before, s.Size())
	}
	if d := s.Pause(2 * time.Millisecond); d != 8*time.Millisecond {
		t.Errorf("a pause of %s", d)
	}
}
