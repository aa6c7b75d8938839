package health

import (
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

// TestWhatIsKnown: of each configuration what was told of it, and of no other one.
func TestWhatIsKnown(t *testing.T) {
	t.Parallel()
	now := comm.Micros(2e15)
	midnight := now.NextDay()
	of := func(id byte, t store.ProviderTrouble) store.ProviderTrouble {
		t.ID = comm.ID{id}
		return t
	}
	told := Told{
		Troubles: []store.ProviderTrouble{of(1, said("a", 5, pace.Open, "451", 90)), of(2, unusable("a", 5, comm.WarnCredentials)), of(3, said("a", 5, pace.Closed, "451", 0))},
		Strains:  []store.ProviderStrain{{ID: comm.ID{1}, ThrottledUntil: 7}, {ID: comm.ID{1}, ThrottledUntil: 9}},
		Days: []store.DayUse{{Provider: comm.ID{4}, Day: now.Day(), Used: 90}, {Provider: comm.ID{5}, Day: now.Day(), Used: 100},
			{Provider: comm.ID{6}, Day: now.Day() - 1, Used: 100}, {Provider: comm.ID{7}, Day: now.Day() + 1, Used: 100}},
	}
	daily := comm.ProviderLimits{RatePerDay: 100}
	for _, tc := range []struct {
		id       byte
		limits   comm.ProviderLimits
		critical bool
		want     Known
	}{
		{1, comm.ProviderLimits{}, false, Known{Throttled: 9, Down: true, DownUntil: 90}},
		{1, comm.ProviderLimits{Pinned: true}, false, Known{Throttled: 9, DownUntil: 90}},
		{2, comm.ProviderLimits{}, false, Known{Broken: comm.WarnCredentials}},
		{3, comm.ProviderLimits{}, false, Known{}},
		{4, daily, false, Known{Spent: midnight}}, {4, daily, true, Known{}}, {4, comm.ProviderLimits{}, false, Known{}},
		{5, daily, true, Known{Spent: midnight}}, {6, daily, false, Known{}}, {7, daily, true, Known{Spent: midnight}}, {8, daily, false, Known{}},
	} {
		if got := told.Known(now, 10)(&comm.ProviderConfig{ID: comm.ID{tc.id}, Limits: tc.limits}, tc.critical); got != tc.want {
			t.Errorf("%+v is known as %+v", tc, got)
		}
	}
}

func TestWhoseDaysAreRead(t *testing.T) {
	t.Parallel()
	daily := comm.ProviderLimits{RatePerDay: 1}
	a, b := comm.ID{1}, comm.ID{2}
	if got := Daily([]comm.ProviderConfig{{Limits: daily}, {App: a}, {App: a, Limits: daily}, {App: a, Limits: daily}, {App: b}}); !slices.Equal(got, []comm.ID{{}, a}) {
		t.Errorf("%v", got)
	}
}
