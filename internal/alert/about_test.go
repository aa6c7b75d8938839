package alert

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// anInstant is 2026-12-01 11:11:14 UTC, and a bit.
const anInstant comm.Micros = 1_796_123_474_212_000

// ill has one of everything that the store knows to be wrong, of the app shop.
type ill struct{ bare }

func (*ill) ProviderTroubles(context.Context, int) ([]store.ProviderTrouble, error) {
	return []store.ProviderTrouble{{ID: comm.ID{1}, Slug: "shop"}}, nil
}

func (*ill) EndpointTroubles(context.Context, comm.Micros, int) ([]store.EndpointTrouble, error) {
	return []store.EndpointTrouble{{ID: comm.ID{2}, Slug: "shop", Since: anInstant}}, nil
}

func (*ill) KeysEnding(context.Context, comm.Micros, time.Duration, time.Duration, int) ([]store.EndingKey, error) {
	return []store.EndingKey{{ID: comm.ID{3}, Slug: "shop", EndsAt: anInstant}}, nil
}

func (*ill) Unprovided(_ context.Context, behind store.Unprovided, _ int) (out []store.Unprovided, err error) {
	if behind.App.IsZero() {
		for _, c := range comm.Channels() {
			out = append(out, store.Unprovided{App: comm.ID{4}, Slug: "shop", Channel: c})
		}
	}
	return out, nil
}

func (*ill) Shares(_ context.Context, apps []comm.ID, _ comm.Micros) ([][]store.Period, error) {
	return make([][]store.Period, len(apps)), nil
}

// TestLooksNameTheApp: whatever is of an app is found with the app's slug, and instants are written as people read them.
func TestLooksNameTheApp(t *testing.T) {
	t.Parallel()
	looks := append(Looks(&ill{}, 0), WaitingLook(time.Minute, func(context.Context, comm.Micros) ([]Waiting, bool, error) {
		return []Waiting{{App: comm.ID{4}, Slug: "shop", Since: anInstant}}, false, nil
	}))
	for _, l := range looks {
		found, err := l.Find(t.Context(), comm.At(time.Now()))
		if err != nil || len(found.All) != 1 || found.All[0].App != "shop" {
			t.Errorf("%v: %+v %v", l.Kinds, found.All, err)
			continue
		}
		want := map[string]string{EndpointFailing: " has failed since 2026-12-01 11:11:14 UTC; its", MessagesWaiting: " has been due since 2026-12-01 11:11:14 UTC and", KeyEnding: " at 2026-12-01 11:11:14 UTC."}[l.Kinds[0]]
		if text := found.All[0].Text; !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

// TestTheListSaysWhatAlertsAreAbout: of which app, and which sort of thing; and still when it is over.
func TestTheListSaysWhatAlertsAreAbout(t *testing.T) {
	play(t, 1, func(w *world) {
		for _, wrong := range []bool{true, false} {
			w.set(func() { w.wrong["a"], w.other = wrong, wrong })
			time.Sleep(5 * time.Minute)
			all, err := New(Config{Store: w.shelf, Pages: "http://localhost:3008/docs/incidents"}).List(t.Context())
			if err != nil || len(all) != 2 {
				t.Fatalf("%+v %v", all, err)
			}
			for _, a := range all {
				app, of := "shop", OfProvider
				if a.Alert == KeyEnding {
					app, of = "", OfKey
				}
				page := ""
				if wrong {
					page = "http://localhost:3008/docs/incidents/" + a.Alert
				}
				if a.Page != page {
					t.Errorf("%s is %s: its page is %q", a.Alert, a.State, a.Page)
				}
				if a.App != app || a.Of != of {
					t.Errorf("%s is %s: about the %s of %q", a.Alert, a.State, a.Of, a.App)
				}
			}
		}
	})
}
