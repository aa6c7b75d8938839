package stalls

import (
	"testing"
	"time"
)

// TestBetween: of a stall counts what lies between the two instants, and a look that is quick is none.
func TestBetween(t *testing.T) {
	t.Parallel()
	zero := time.Unix(1_800_000_000, 0)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	l := &Log{}
	l.looked(at(0), at(100))
	l.looked(at(100), at(1100))
	l.looked(at(2000), at(2500))
	for _, c := range []struct{ from, to, want int }{{0, 5000, 1300}, {0, 200, 0}, {600, 700, 100}, {1000, 2200, 200}, {1100, 2100, 0}, {2400, 9000, 100}} {
		if got := l.Between(at(c.from), at(c.to)); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("%d to %d: %v, want %d ms", c.from, c.to, got, c.want)
		}
	}
}
