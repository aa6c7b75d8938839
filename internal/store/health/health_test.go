package health

import (
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

func said(node string, since comm.Micros, breaker pace.State, code string, next comm.Micros) store.ProviderTrouble {
	return store.ProviderTrouble{Node: node, Reason: comm.WarnDown, Since: since, Breaker: breaker.String(), Code: code, Text: "said " + code, NextAt: next}
}

func unusable(node string, since comm.Micros, reason string) store.ProviderTrouble {
	return store.ProviderTrouble{Node: node, Reason: reason, Since: since}
}

// TestTogether: what nodes say that disagree, in every order.
func TestTogether(t *testing.T) {
	t.Parallel()
	by, other := comm.ID{2}, comm.ID{3}
	carried := func(one store.ProviderTrouble, all ...Carrier) store.ProviderTrouble {
		t.Helper()
		var err error
		if one.Carried, err = EncodeCarriers(all); err != nil {
			t.Fatal(err)
		}
		return one
	}
	broken := said("d", 8, pace.Open, "535", 80)
	broken.Carried = "{"
	for name, c := range map[string]struct {
		all     []store.ProviderTrouble
		want    Said
		carried []Carrier
	}{
		"nobody says anything": {nil, Said{State: Works}, nil},
		"one":                  {[]store.ProviderTrouble{said("a", 5, pace.Open, "535", 50)}, Said{Down, 5, comm.WarnDown, "535", "said 535", 50}, nil},
		"a breaker of which nothing is told is open": {[]store.ProviderTrouble{{Reason: comm.WarnDown, Since: 5}}, Said{Down, 5, comm.WarnDown, "", "", 0}, nil},
		"the first to say so is not the worst": {[]store.ProviderTrouble{said("a", 5, pace.Closed, "451", 0), said("b", 9, pace.Open, "535", 90)},
			Said{Down, 5, comm.WarnDown, "535", "said 535", 0}, nil},
		"of the worst the one for longest": {[]store.ProviderTrouble{said("a", 9, pace.Open, "451", 90), said("b", 7, pace.Open, "535", 95), said("c", 5, pace.HalfOpen, "timeout", 0)},
			Said{Down, 5, comm.WarnDown, "535", "said 535", 0}, nil},
		"the earliest try":                           {[]store.ProviderTrouble{said("a", 5, pace.Open, "451", 90), said("b", 7, pace.Open, "535", 70)}, Said{Down, 5, comm.WarnDown, "451", "said 451", 70}, nil},
		"who cannot use it tries it never":           {[]store.ProviderTrouble{unusable("a", 9, comm.WarnCredentials), said("b", 7, pace.Open, "535", 70)}, Said{Unusable, 7, comm.WarnCredentials, "", "", 70}, nil},
		"nobody can use it":                          {[]store.ProviderTrouble{unusable("a", 9, comm.WarnCredentials), unusable("b", 7, comm.WarnUnsupported)}, Said{Unusable, 7, comm.WarnUnsupported, "", "", 0}, nil},
		"at the same time the first by name":         {[]store.ProviderTrouble{said("b", 5, pace.Open, "451", 50), said("a", 5, pace.Open, "535", 50)}, Said{Down, 5, comm.WarnDown, "535", "said 535", 50}, nil},
		"and where both are gone, by what they said": {[]store.ProviderTrouble{said("", 5, pace.Open, "535", 50), said("", 5, pace.Open, "451", 50)}, Said{Down, 5, comm.WarnDown, "451", "said 451", 50}, nil},
		"others took for all of them, and what cannot be read is left out": {
			[]store.ProviderTrouble{carried(said("a", 5, pace.Open, "535", 50), Carrier{ID: by, Name: "x", Messages: 3}),
				carried(said("b", 6, pace.Closed, "451", 0), Carrier{ID: by, Name: "x", Messages: 2}, Carrier{ID: other, Name: "y", Messages: 9}), broken},
			Said{Down, 5, comm.WarnDown, "535", "said 535", 0}, []Carrier{{ID: other, Name: "y", Messages: 9}, {ID: by, Name: "x", Messages: 5}}},
	} {
		for _, all := range orders(c.all) {
			if got := Together(all); got.Said != c.want || !slices.Equal(got.Carried, c.carried) {
				t.Errorf("%s: %+v\nis put together as %+v, want %+v %+v", name, all, got, c.want, c.carried)
			}
		}
	}
}

// orders is every order of a list.
func orders[T any](all []T) (out [][]T) {
	if len(all) < 2 {
		return [][]T{all}
	}
	for i := range all {
		for _, rest := range orders(slices.Delete(slices.Clone(all), i, i+1)) {
			out = append(out, append([]T{all[i]}, rest...))
		}
	}
	return out
}

func TestEveryStateHasAWord(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for s := Off; s <= Unusable; s++ {
		if s.String() == "" || seen[s.String()] {
			t.Errorf("state %d is called %q", s, s)
		}
		seen[s.String()] = true
	}
}

func TestByConfig(t *testing.T) {
	t.Parallel()
	a, b := comm.ID{1}, comm.ID{2}
	got := ByConfig([]store.ProviderTrouble{{ID: a, Since: 9}, {ID: b, Since: 8}, {ID: a, Since: 7}})
	if len(got) != 2 || len(got[a]) != 2 || got[a][0].Since != 9 || got[a][1].Since != 7 || len(got[b]) != 1 || got[b][0].Since != 8 {
		t.Errorf("%+v", got)
	}
}

func TestOfLate(t *testing.T) {
	t.Parallel()
	if got := OfLate(nil); got != (Lately{}) {
		t.Errorf("of nothing said: %+v", got)
	}
	all := []store.ProviderStrain{{ThrottledUntil: 5, Calls: 3}, {Calls: 40, Failed: 12}, {ThrottledUntil: 9, Calls: 2, Failed: 1}}
	for _, said := range orders(all) {
		if got, want := OfLate(said), (Lately{9, 45, 13}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
