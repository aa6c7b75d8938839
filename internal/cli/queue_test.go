package cli

import (
	"strings"
	"testing"
)

// TestClearingAQueueIsAskedForAndGoesOn: it asks, sums up what the calls did, and draws on a terminal only.
func TestClearingAQueueIsAskedForAndGoesOn(t *testing.T) {
	t.Parallel()
	const app = "GET /api/admin/apps/flow"
	answers := func(next string) map[string]string {
		return map[string]string{app: `200 {"id":"c1","slug":"flow"}`, "POST /api/admin/queue": `200 {"app":{"slug":"flow"},"queueState":"RUNNING","cancelled":2,"mayHaveBeenSent":1,"remaining":0,"atLeast":false,"nextCursor":` + next + `}`}
	}
	env := func(r *recorder) []string { return []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=the-admin-key"} }
	r := startRecorder(t, answers("null"))
	if got := run(t, env(r), nil, "queue", "cancel", "flow"); got.code != exitUsage || !strings.Contains(got.err, "Cancel everything that waits of the app flow") || r.last(t).path != "/api/admin/apps/flow" {
		t.Errorf("%+v", got)
	}
	no := func(s *Streams) { s.In, s.Terminal = strings.NewReader("n\n"), &Terminal{In: true, Err: true} }
	if got := run(t, env(r), no, "queue", "cancel", "flow", "--lane", "BULK"); got.code != exitFailed || !strings.Contains(got.err, ", lane BULK? [y/N]") || r.last(t).method != "GET" {
		t.Errorf("%+v", got)
	}
	// The second call is told by its cursor, and is answered that there is no more.
	r = startRecorder(t, answers(`"more"`))
	calls := func() (bodies []string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, q := range r.asked {
			if q.method == "POST" {
				bodies = append(bodies, q.body)
			}
			if len(bodies) == 2 {
				r.answers = answers("null")
			}
		}
		return bodies
	}
	r.seen = func() { calls() }
	drawn := func(s *Streams) { s.Terminal = &Terminal{Err: true} }
	got := run(t, env(r), drawn, "queue", "cancel", "flow", "--yes", "--channel", "SMS", "--json")
	if got.code != exitOK || !strings.Contains(got.out, `"cancelled":4,`) || !strings.Contains(got.out, `"mayHaveBeenSent":2,`) || !strings.Contains(got.err, "cancelled") {
		t.Errorf("%+v", got)
	}
	bodies := calls()
	if len(bodies) != 2 || bodies[0] != `{"action":"CANCEL","app":"c1","channel":"SMS","confirm":"flow"}` || bodies[1] != `{"action":"CANCEL","app":"c1","channel":"SMS","confirm":"flow","cursor":"more"}` {
		t.Errorf("%v", bodies)
	}
	silent := startRecorder(t, answers("null"))
	if got := run(t, env(silent), nil, "queue", "cancel", "flow", "--yes"); got.code != exitOK || got.err != "" || !strings.Contains(got.out, "Cancelled              2") {
		t.Errorf("%+v", got)
	}
}
