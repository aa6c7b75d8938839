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

// TestTheOrderToClearIsNotRepeated: the first call, which is the order, is made once; those that go on are repeated as any other,
// and if they fail it is told what was cancelled before.
func TestTheOrderToClearIsNotRepeated(t *testing.T) {
	t.Parallel()
	const app, queue = "GET /api/admin/apps/flow", "POST /api/admin/queue"
	const away = `503 {"error":"away","details":{"code":"unavailable"}}`
	for _, c := range []struct {
		first string
		posts int
		out   string
	}{{away, 1, ""}, {`200 {"app":{"slug":"flow"},"queueState":"RUNNING","cancelled":2,"mayHaveBeenSent":1,"remaining":0,"atLeast":false,"nextCursor":"more"}`, 3, "Cancelled              2\nEnded as perhaps sent  1\n"}} {
		r := startRecorder(t, map[string]string{app: `200 {"id":"c1","slug":"flow"}`, queue: c.first})
		posts := 0
		r.seen = func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.asked[len(r.asked)-1].method != "POST" {
				return
			}
			if posts++; posts > 1 {
				r.answers = map[string]string{queue: away}
			}
		}
		got := run(t, []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=the-admin-key"}, nil, "queue", "cancel", "flow", "--yes")
		if got.code == exitOK || posts < c.posts || c.posts == 1 && posts != 1 || c.out == "" && got.out != "" || !strings.HasPrefix(got.out, c.out) || !strings.Contains(got.err, "away") {
			t.Errorf("%d posts, %+v", posts, got)
		}
	}
}

// TestClearingWhatWaitedThen: a time goes along as it was given, and one that is none is refused before anything is asked for.
func TestClearingWhatWaitedThen(t *testing.T) {
	r := startRecorder(t, map[string]string{"GET /api/admin/apps/flow": `200 {"id":"c1","slug":"flow"}`, "POST /api/admin/queue": `200 {"app":{"slug":"flow"},"queueState":"RUNNING","cancelled":2,"nextCursor":null}`})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=the-admin-key"}
	if got := run(t, env, nil, "queue", "cancel", "flow", "--yes", "--before", "soonish"); got.code != exitUsage || !strings.Contains(got.err, "--before") || len(r.asked) != 0 {
		t.Errorf("%+v %v", got, r.asked)
	}
	if got := run(t, env, nil, "queue", "cancel", "flow", "--yes", "--before", "2026-07-03T10:00:00Z"); got.code != exitOK || r.last(t).body != `{"action":"CANCEL","app":"c1","confirm":"flow","createdBefore":"2026-07-03T10:00:00Z"}` {
		t.Errorf("%+v %+v", got, r.last(t))
	}
}
