package alert

import (
	"context"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// bare is a store with apps that lack providers: what it lists of them, in order.
type bare struct {
	Store
	all   []store.Unprovided
	reads int
}

func (b *bare) Unprovided(_ context.Context, behind store.Unprovided, limit int) ([]store.Unprovided, error) {
	b.reads++
	from := 0
	if behind.Slug != "" {
		from = slices.Index(b.all, behind) + 1
	}
	return b.all[from:min(from+limit, len(b.all))], nil
}

func (b *bare) Shares(_ context.Context, apps []comm.ID, _ comm.Micros) ([][]store.Period, error) {
	return make([][]store.Period, len(apps)), nil
}

// An app of which the end of a page would leave one channel to the next is judged as a whole, wherever the page ends: so it is told of once,
// and not told and cleared as the apps before it come and go.
func TestNoAppIsCutInTwo(t *testing.T) {
	apps := func(single, both int) (all []store.Unprovided) {
		for i := range single + both {
			id := comm.FirstID(comm.Micros(1+i) * 1e6)
			if i >= single {
				all = append(all, store.Unprovided{App: id, Slug: id.String(), Channel: comm.Email})
			}
			all = append(all, store.Unprovided{App: id, Slug: id.String(), Channel: comm.SMS})
		}
		return all
	}
	for _, tc := range []struct{ single, both, want, reads int }{{0, 0, 0, 1}, {0, 250, 250, 2}, {1, 249, 249, 1}, {1, 250, 250, 2}, {499, 1, 1, 2}, {498, 1, 1, 2}, {1, 400, 400, 2}, {3, 499, 499, 3}, {3, 500, 500, 3}} {
		s := &bare{all: apps(tc.single, tc.both)}
		got, err := unprovided(t.Context(), s, 1e12)
		if err != nil || len(got.All) != tc.want || got.More || s.reads > tc.reads {
			t.Errorf("%+v: %d found, more %v, %d readings, %v", tc, len(got.All), got.More, s.reads, err)
		}
	}
	if got, err := unprovided(t.Context(), &bare{all: apps(0, 501)}, 1e12); err != nil || len(got.All) != mostFound || !got.More {
		t.Errorf("%d found, more %v, %v", len(got.All), got.More, err)
	}
}
