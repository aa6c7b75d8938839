package dispatch

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// clocked is a time.Time with both its readings, as the runtime lays it out.
type clocked struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

// onceSet is what time.Now answers on a node whose wall clock was set by shift; its
// monotonic reading, which fake time does not have, goes on. Package time offers no way to make one.
func onceSet(t time.Time, shift time.Duration) time.Time {
	const (
		hasMonotonic = 1 << 63
		nanoBits     = 30
		year1885     = -2682288000 // in Unix seconds: where the wall reading begins
		began        = 900_000_000 // any instant at which the process began
	)
	w := t.Add(shift)
	raw := clocked{wall: hasMonotonic | uint64(w.Unix()-year1885)<<nanoBits | uint64(w.Nanosecond()), ext: t.UnixNano() - began*int64(time.Second), loc: time.Local}
	return *(*time.Time)(unsafe.Pointer(&raw))
}

// TestANodesClockIsSet: what waits by the node's clock waits no longer for it.
func TestANodesClockIsSet(t *testing.T) {
	for name, shift := range map[string]time.Duration{"back": -time.Hour, "forward": time.Hour} {
		play(t, name, func(t *testing.T, s *stage) {
			var set atomic.Int64
			first := s.edit
			s.edit = func(c *Config) {
				first(c)
				c.Now = func() time.Time { return onceSet(time.Now(), time.Duration(set.Load())) }
			}
			c := emailConfig("ONE", 1)
			c.Limits.RatePerSecond = 1
			a := s.app(nil, c)
			srv := s.boot(0)
			time.Sleep(time.Second)
			for range 20 {
				s.send(srv, a, nil)
			}
			time.Sleep(3500 * time.Millisecond)
			set.Store(int64(shift))
			if x := time.Now(); onceSet(x, shift).Sub(onceSet(x, 0)) != 0 || onceSet(x, shift).Unix()-x.Unix() != int64(shift/time.Second) {
				t.Fatal("the clock was not set")
			}
			time.Sleep(time.Minute)
			if n := s.called("ONE"); n != 20 {
				t.Errorf("%d calls after a minute, want 20", n)
			}
		})
	}
}
