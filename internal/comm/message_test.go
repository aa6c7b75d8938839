package comm

import (
	"testing"
	"time"
)

func TestLastStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s     State
		at    Micros
		cause Cause
	}{
		"a time to live":         {State{ExpiresAt: 5, RoundSince: 1}, 5, CauseExpired},
		"tried, with no such":    {State{RoundSince: 7}, Micros(7).Add(time.Hour), CauseExhausted},
		"not tried, and no such": {State{}, 0, CauseExhausted},
	} {
		if at, cause := c.s.LastStart(time.Hour); at != c.at || cause != c.cause {
			t.Errorf("%s: %d %s", name, at, cause)
		}
	}
}
