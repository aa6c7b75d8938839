package alert

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
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
