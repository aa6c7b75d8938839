package intake

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// What is told of a rate is the store's last word in the minute under way.
func TestRateRemembersTheStoresWord(t *testing.T) {
	t.Parallel()
	a, b := comm.NewID(1), comm.NewID(2)
	var r rates
	expect := func(app comm.ID, at comm.Micros, used int, reset comm.Micros) {
		t.Helper()
		if u, end := r.of(app, at); u != used || end != reset {
			t.Errorf("at %d: %d used, ends at %d; want %d and %d", at, u, end, used, reset)
		}
	}
	expect(a, 10*minute+5, 0, 11*minute)
	r.heard(a, store.Accepted{RateUsed: 7, RateReset: 11 * minute})
	r.heard(a, store.Accepted{RateUsed: 6, RateReset: 11 * minute}) // answers may overtake each other
	expect(a, 10*minute+5, 7, 11*minute)
	expect(b, 10*minute+5, 0, 11*minute)
	r.heard(b, store.Accepted{RateUsed: 1, RateReset: 12 * minute})
	r.heard(a, store.Accepted{RateUsed: 8, RateReset: 11 * minute})
	expect(a, 11*minute, 0, 12*minute)
	expect(b, 12*minute-1, 1, 12*minute)
	expect(b, 12*minute, 0, 13*minute)
	if got := rateOf(&comm.App{RatePerMinute: 5}, 7, 11*minute, 11*minute-1); got != (Rate{Limit: 5, Remaining: 0, Reset: 1}) {
		t.Errorf("%+v", got)
	}
}
