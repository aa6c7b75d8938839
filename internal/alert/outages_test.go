package alert

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// TestOutagesAreKept: the last ones stay known with their begin, end and cause, whoever leads.
func TestOutagesAreKept(t *testing.T) {
	play(t, 2, func(w *world) {
		config := comm.NewID(comm.At(time.Now()))
		subject := config.String()
		s := New(Config{Store: w.shelf})
		outages := func() []Outage {
			synctest.Wait()
			all, err := s.OutagesOf(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		if all := outages(); len(all) != 0 {
			t.Fatalf("%+v", all)
		}
		down := func(messages int64, code string) {
			w.set(func() {
				w.wrong[subject], w.since[subject] = true, comm.At(time.Now())
				w.outage[subject] = &Outage{Reason: "provider_down", Code: code, Answer: "refused", Carried: []health.Carrier{{Name: "other", Messages: messages}}}
			})
		}
		w.set(func() { w.leader = 0 })
		began := comm.At(time.Now())
		down(1, "connect_failed")
		time.Sleep(time.Minute)
		if all := outages(); len(all) != 1 || all[0].Since != began || all[0].Until != 0 || all[0].Code != "connect_failed" || all[0].Answer != "refused" {
			t.Fatalf("%+v", all)
		}
		down(40, "timeout")
		time.Sleep(time.Minute)
		w.set(func() { w.leader = 1 })
		time.Sleep(time.Minute)
		down(2, "timeout") // who counted began anew
		time.Sleep(time.Minute)
		ended := comm.At(time.Now())
		w.set(func() { w.wrong[subject] = false })
		time.Sleep(10 * time.Minute)
		all := outages()
		if len(all) != 1 || all[0].Since != began || all[0].Until < ended || all[0].Until > ended.Add(5*time.Second) {
			t.Fatalf("%+v, want from %v to soon after %v", all, began, ended)
		}
		if all[0].Code != "timeout" || len(all[0].Carried) != 1 || all[0].Carried[0].Messages != 40 {
			t.Fatalf("%+v", all[0])
		}
		for range Outages + 3 {
			time.Sleep(time.Hour)
			down(7, "again")
			time.Sleep(time.Minute)
			w.set(func() { w.wrong[subject] = false })
			time.Sleep(10 * time.Minute)
		}
		all = outages()
		if len(all) != Outages {
			t.Fatalf("%d outages are kept", len(all))
		}
		for i, o := range all {
			if o.Code != "again" || o.Carried[0].Messages != 7 || o.Until <= o.Since || i > 0 && o.Since >= all[i-1].Since {
				t.Errorf("%d: %+v", i, o)
			}
		}
	})
}

// refusing has one provider that does not work.
type refusing struct {
	bare
	trouble store.ProviderTrouble
}

func (r *refusing) ProviderTroubles(context.Context, int) ([]store.ProviderTrouble, error) {
	return []store.ProviderTrouble{r.trouble}, nil
}

// TestWhatToDoFollowsTheCause: where it is known why a provider does not work, the alert begins with what mends that, and names the button of the
// page that it leads to; what another cause would want is not read at night.
func TestWhatToDoFollowsTheCause(t *testing.T) {
	t.Parallel()
	account := provider.Account.Rule()
	for name, c := range map[string]struct {
		trouble store.ProviderTrouble
		first   string
		again   bool // it is tried again by itself
	}{
		"the account is refused":     {store.ProviderTrouble{Reason: chain.WaitDown, Breaker: pace.Open.String(), Code: "403 invalid_api_key", Class: account.Code}, account.Remedy, true},
		"it cannot be reached":       {store.ProviderTrouble{Reason: chain.WaitDown, Code: "connect_failed", Class: "transient"}, unreached, true},
		"it does not answer":         {store.ProviderTrouble{Reason: chain.WaitDown, Code: "timeout", Class: "outcome_unknown"}, unreached, true},
		"it asks to be asked less":   {store.ProviderTrouble{Reason: chain.WaitDown, Code: "429", Class: "rate_limited"}, provider.Remedy("rate_limited"), true},
		"nothing opens the box":      {store.ProviderTrouble{Reason: chain.WaitCredentials}, chain.Remedy(chain.WaitCredentials), false},
		"its type is not known":      {store.ProviderTrouble{Reason: chain.WaitAdapter}, chain.Remedy(chain.WaitAdapter), false},
		"an older node says nothing": {store.ProviderTrouble{Reason: chain.WaitDown, Code: "535"}, "Look at the code in the text.", true},
		"a later one says more":      {store.ProviderTrouble{Reason: chain.WaitDown, Class: "of_tomorrow"}, "Look at the code in the text.", true},
	} {
		found, err := providers(t.Context(), &refusing{trouble: c.trouble})
		if err != nil || len(found.All) != 1 {
			t.Fatalf("%s: %+v %v", name, found, err)
		}
		a := stored{Alert: store.Alert{Kind: ProviderDown}}
		a.begin(&found.All[0], 7)
		if err := a.pack(); err != nil {
			t.Fatal(err)
		}
		kept, err := read(&a.Alert) // by another node
		if err != nil {
			t.Fatal(err)
		}
		do := kept.note().Do
		if c.first == "" || !strings.HasPrefix(do, c.first) || !strings.Contains(do, check) || strings.Contains(do, again) != c.again {
			t.Errorf("%s: %q", name, do)
		}
		if strings.HasPrefix(do, "Look at") != strings.Contains(do, "`connect_failed`") {
			t.Errorf("%s: it tells of other causes: %q", name, do)
		}
		kept.end(9)
		if do := kept.note().Do; do != "" {
			t.Errorf("%s is over, and there is to do: %q", name, do)
		}
	}
}
