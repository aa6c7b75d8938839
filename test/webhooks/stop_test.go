package webhooks

import (
	"net/http"
	"testing"
	"time"
)

// A stop cuts a call off, twice. The event is posted again at once by the next process, the same, and has all its tries before it:
// the wait after the first answer is the first of the schedule.
func TestAStopIsNoTry(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, env ...string) {
		t.Parallel()
		in := newInbox(t)
		s := newServer(t, append(env, "COMMS_DRAIN_TIMEOUT=1s")...)
		a := s.app("flowbase", "")
		in.answer("/slow", hang)
		id := a.endpoint("slow", in.URL+"/slow")
		a.send(1)
		const stops = 2
		for n := range stops {
			in.until(t, "/slow", n+1)
			s.stop()
			if n == stops-1 {
				in.answer("/slow", status(http.StatusInternalServerError))
			}
			s.start()
		}
		var d delivery
		eventually(t, "the stops and an answer are recorded", func() bool {
			if all := a.deliveries(id); len(all) == 1 {
				d = all[0]
			}
			return d.Attempts > stops
		})
		if d.State != "waiting" || len(d.AttemptLog) != stops+1 || d.AttemptLog[stops].Status != http.StatusInternalServerError {
			t.Fatalf("%s", d)
		}
		for _, l := range d.AttemptLog[:stops] {
			if l.Fault != "server_stopped" || l.Status != 0 {
				t.Errorf("%+v", l)
			}
		}
		if wait := d.NextAttemptAt.Sub(d.AttemptLog[stops].At); wait > 30*time.Second { // 5 s; the second is 5 min
			t.Errorf("the next try is %v after the first answer", wait)
		}
		for _, p := range in.until(t, "/slow", stops+1) {
			if p.signed(t, secret); p.EventID != d.EventID || p.body != in.got("/slow")[0].body {
				t.Errorf("%+v is another event than %s", p, d.EventID)
			}
		}
	})
}
