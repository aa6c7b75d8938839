package httpserver

import (
	"net/http/httptest"
	"testing"
	"time"
)

// Those that have WriteTimeout take none of the places of those that have longer.
func TestFewAnswersAreHeldForLong(t *testing.T) {
	t.Parallel()
	var h Held
	begin := func() (long bool, done func()) {
		l := NewLongAnswer(t.Context(), httptest.NewRecorder())
		done = h.Begin(l, false)
		return time.Until(l.End) > WriteTimeout, done
	}
	var ends []func()
	for i := range 4 {
		long, done := begin()
		if long != (i < heldLong) {
			t.Errorf("answer %d may take long: %t", i+1, long)
		}
		ends = append(ends, done)
	}
	ends[0]()
	ends[1]() // those without a place go on
	for range heldLong {
		if long, _ := begin(); !long {
			t.Error("a place that is free again is not given")
		}
	}
	ends[2]()
	if long, _ := begin(); long {
		t.Error("one without a place gave one back")
	}
}
