package comm

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReplace(t *testing.T) {
	const now = Micros(1_800_000_000_000_000)
	old := func(secret string, in time.Duration) Replaced[string] { return Replaced[string]{secret, now.Add(in)} }
	for name, c := range map[string]struct {
		list    []Replaced[string]
		overlap time.Duration
		want    []string // nil and full: it is refused
		full    time.Duration
	}{
		"the first":                      {nil, time.Hour, []string{"current"}, 0},
		"the second":                     {[]Replaced[string]{old("a", time.Hour)}, time.Minute, []string{"current", "a"}, 0},
		"one more":                       {[]Replaced[string]{old("b", time.Hour), old("a", time.Minute)}, time.Hour, nil, time.Minute},
		"one more, the newer ends first": {[]Replaced[string]{old("b", time.Minute), old("a", time.Hour)}, time.Hour, nil, time.Minute},
		"one ends now":                   {[]Replaced[string]{old("b", 0), old("a", time.Hour)}, time.Hour, []string{"current", "a"}, 0},
		"both have ended":                {[]Replaced[string]{old("b", -1), old("a", -time.Hour)}, time.Hour, []string{"current"}, 0},
		"without an overlap":             {[]Replaced[string]{old("b", time.Minute), old("a", time.Hour)}, 0, []string{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			kept := slices.Clone(c.list)
			got, err := Replace(c.list, "current", c.overlap, now)
			if (err != nil) != (c.want == nil) || err != nil && (!IsKind(err, Conflict) || !strings.Contains(err.Error(), now.Add(c.full).String())) {
				t.Fatalf("%+v, %v", got, err)
			}
			if !slices.Equal(c.list, kept) {
				t.Errorf("the list that was given is %+v", c.list)
			}
			words := []string{}
			for _, r := range got {
				words = append(words, r.Secret)
				if want := now.Add(c.overlap); r.Secret == "current" && r.Until != want {
					t.Errorf("it ends at %s, want %s", r.Until, want)
				}
			}
			if !slices.Equal(words, c.want) && err == nil {
				t.Errorf("%q hold, want %q", words, c.want)
			}
		})
	}
}
