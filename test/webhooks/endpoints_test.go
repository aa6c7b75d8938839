package webhooks

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// managed is an app with whoever manages its endpoints: itself, or the administrator for it.
type managed struct {
	*app
	inbox *inbox
	admin map[string]string
}

// as calls the API about the app's endpoints and wants a status; out is filled unless it is nil.
func (m *managed) as(t *testing.T, head map[string]string, method, path string, body any, want int, out any) {
	t.Helper()
	status, raw := m.s.call(method, "/api/v1/webhooks"+path, head, body)
	if status != want {
		t.Fatalf("%s %s: %d %s", method, path, status, raw)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

// made creates an endpoint at the inbox's path of its name, with further fields.
func (m *managed) made(t *testing.T, head map[string]string, name string, more map[string]any) (id string) {
	t.Helper()
	body := map[string]any{"name": name, "url": m.inbox.URL + "/" + name, "secret": secret}
	maps.Copy(body, more)
	var made struct{ ID string }
	m.as(t, head, "POST", "", body, http.StatusCreated, &made)
	return made.ID
}

// TestEndpoints: what an app and the administrator make of its endpoints holds for what is posted, on both stores.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, env ...string) {
		t.Parallel()
		const key = "the-key-of-the-admin-0123456789abc"
		s := newServer(t, append(env, "COMMS_ADMIN_KEY="+key)...)
		each := func(name string, run func(t *testing.T, m *managed)) {
			m := &managed{app: s.app(name, ""), inbox: newInbox(t), admin: map[string]string{"X-Admin-Key": key, "X-App-ID": name}}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, m)
			})
		}
		each("filters", endpointFilters)
		each("rotation", endpointRotation)
		each("replay", endpointReplay)
		each("anew", endpointAnew)
		read := consoleOf(t, s, key)
		each("off", func(t *testing.T, m *managed) { endpointOff(t, m, read) })
	})
}

// endpointFilters: each endpoint gets what its filter chooses, once, whoever made or changed it.
func endpointFilters(t *testing.T, m *managed) {
	chosen := map[string]func(channel, tag, status string) bool{
		"all":      func(string, string, string) bool { return true },
		"failures": func(_, _, status string) bool { return status == "FAILED" },
		"mails":    func(channel, _, _ string) bool { return channel == "EMAIL" },
		"codes":    func(_, tag, _ string) bool { return tag == "otp" },
		"narrow":   func(channel, tag, status string) bool { return channel == "SMS" && tag == "otp" && status == "SENT" },
		"off":      func(string, string, string) bool { return false },
	}
	m.made(t, m.head, "all", nil)
	m.made(t, m.admin, "failures", map[string]any{"statuses": []string{"FAILED"}})
	mails := m.made(t, m.head, "mails", map[string]any{"channels": []string{"SMS"}})
	codes := m.made(t, m.admin, "codes", nil)
	m.made(t, m.head, "narrow", map[string]any{"statuses": []string{"SENT"}, "channels": []string{"SMS"}, "tags": []string{"otp", "another"}})
	m.made(t, m.admin, "off", map[string]any{"isActive": false})
	m.as(t, m.admin, "PATCH", "/"+mails, map[string]any{"channels": []string{"EMAIL"}}, http.StatusOK, nil)
	m.as(t, m.head, "PATCH", "/"+codes, map[string]any{"tags": []string{"otp"}}, http.StatusOK, nil)
	var lists [2]struct{ Data []struct{ Name string } }
	m.as(t, m.head, "GET", "", nil, http.StatusOK, &lists[0])
	m.as(t, m.admin, "GET", "", nil, http.StatusOK, &lists[1])
	if !slices.Equal(lists[0].Data, lists[1].Data) || len(lists[0].Data) != len(chosen) {
		t.Fatalf("%+v", lists)
	}
	want := map[string][]string{}
	for _, x := range []struct{ channel, to, tag, status string }{
		{"SMS", "233241234567", "", "SENT"}, {"SMS", "233241234568", "otp", "SENT"}, {"SMS", "233000000002", "otp", "FAILED"},
		{"EMAIL", "ama@example.com", "news", "SENT"}, {"EMAIL", "kofi@example.com", "otp", "SENT"}, {"EMAIL", "failed@sandbox.commserver.test", "", "FAILED"},
	} {
		body := map[string]any{"channel": x.channel, "to": x.to, "subject": "Hello", "body": "Hello", "tags": []string{x.tag}}
		if x.tag == "" {
			delete(body, "tags")
		}
		if x.channel == "SMS" {
			delete(body, "subject")
		}
		status, out := m.s.call("POST", "/api/v1/messages", m.head, body)
		var got struct{ ID string }
		if err := json.Unmarshal(out, &got); err != nil || status != http.StatusAccepted {
			t.Fatalf("%d %s %v", status, out, err)
		}
		for name, chooses := range chosen {
			if chooses(x.channel, x.tag, x.status) {
				want[name] = append(want[name], got.ID+" "+x.status)
			}
		}
	}
	for name := range chosen {
		m.inbox.until(t, "/"+name, len(want[name]))
	}
	time.Sleep(500 * time.Millisecond) // for what should not come
	for name := range chosen {
		var got []string
		for _, p := range m.inbox.got("/" + name) {
			p.signed(t, secret)
			got = append(got, p.Message.ID+" "+p.Message.Status)
		}
		slices.Sort(got)
		slices.Sort(want[name])
		if !slices.Equal(got, want[name]) {
			t.Errorf("%s got %q, want %q", name, got, want[name])
		}
	}
}

// endpointRotation: from the rotation on the new secret signs, while it lasts the old one too; whoever began it.
func endpointRotation(t *testing.T, m *managed) {
	id, old, n := m.made(t, m.head, "one", nil), secret, 0
	for _, by := range []map[string]string{m.head, m.admin} {
		var made struct {
			Secret               string
			PreviousSecretEndsAt time.Time
		}
		m.as(t, by, "POST", "/"+id+"/rotate-secret", map[string]any{"overlapSeconds": 8}, http.StatusOK, &made)
		if !strings.HasPrefix(made.Secret, "whsec_") || made.PreviousSecretEndsAt.Before(time.Now()) {
			t.Fatalf("%+v", made)
		}
		both, alone := 0, 0
		eventually(t, "the overlap ends", func() bool {
			n++
			m.send(n)
			posts := m.inbox.until(t, "/one", n)
			p := posts[n-1]
			at := p.at
			switch strings.Count(p.head.Get("Webhook-Signature"), "v1,") {
			case 2:
				p.signed(t, made.Secret, old)
				both++
				if at.After(made.PreviousSecretEndsAt.Add(10 * time.Second)) {
					t.Errorf("the old secret signs %s after its end", at.Sub(made.PreviousSecretEndsAt))
				}
			case 1:
				p.signed(t, made.Secret)
				alone++
				if at.Before(made.PreviousSecretEndsAt.Add(-2 * time.Second)) {
					t.Errorf("the old secret does not sign %s before its end", made.PreviousSecretEndsAt.Sub(at))
				}
			}
			return alone >= 3
		})
		if both == 0 {
			t.Error("nothing was signed by both secrets")
		}
		old = made.Secret
	}
}

// endpointReplay: the log tells of every call, to the administrator what was answered too; one delivery and a range are posted again as they were, and a test is an event.
func endpointReplay(t *testing.T, m *managed) {
	const n = 5
	id := m.made(t, m.head, "one", nil)
	m.inbox.answer("/one", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("thank you")) })
	began := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	for k := range n {
		m.send(k)
	}
	first := m.inbox.until(t, "/one", n)
	var all []delivery
	eventually(t, "all is delivered", func() bool {
		all = m.deliveries(id)
		return len(all) == n && !slices.ContainsFunc(all, func(d delivery) bool { return d.State != "delivered" })
	})
	for _, d := range all {
		if d.Attempts != 1 || len(d.AttemptLog) != 1 || d.AttemptLog[0].Status != 200 || d.AttemptLog[0].Fault != "" {
			t.Errorf("%s", d)
		}
		for head, want := range map[*map[string]string]bool{&m.head: false, &m.admin: true} {
			_, out := m.s.call("GET", "/api/v1/webhooks/"+id+"/deliveries/"+d.ID, *head, nil)
			if strings.Contains(string(out), `"answer":"thank you"`) != want {
				t.Errorf("what was answered is shown: %t: %s", !want, out)
			}
		}
	}
	m.as(t, m.head, "POST", "/"+id+"/deliveries/"+all[2].ID+"/replay", nil, http.StatusAccepted, nil)
	again := m.inbox.until(t, "/one", n+1)[n:]
	if again[0].EventID != all[2].EventID {
		t.Errorf("%s was replayed, not %s", again[0].EventID, all[2].EventID)
	}
	eventually(t, "the replay is recorded", func() bool { return m.deliveries(id)[2].State == "delivered" })
	span := map[string]any{"createdAfter": began, "createdBefore": time.Now().UTC().Add(time.Minute).Format(time.RFC3339), "state": "delivered"}
	var out struct{ Replayed int }
	m.as(t, m.admin, "POST", "/"+id+"/replay", span, http.StatusAccepted, &out)
	if out.Replayed != n {
		t.Errorf("%d of %d were replayed", out.Replayed, n)
	}
	again = append(again, m.inbox.until(t, "/one", 2*n+1)[n+1:]...)
	bodies := map[string]string{}
	for _, p := range first {
		bodies[p.EventID] = p.body
	}
	seen := map[string]int{}
	for _, p := range again {
		p.signed(t, secret)
		if seen[p.EventID]++; p.body != bodies[p.EventID] {
			t.Errorf("%s is replayed with another body: %s", p.EventID, p.body)
		}
	}
	if len(seen) != n || seen[all[2].EventID] != 2 {
		t.Errorf("%v", seen)
	}
	m.as(t, m.head, "POST", "/"+id+"/test", nil, http.StatusAccepted, nil)
	last := m.inbox.until(t, "/one", 2*n+2)[2*n+1]
	if last.signed(t, secret); last.Event != "webhook.test" {
		t.Errorf("%s", last.body)
	}
}

// endpointAnew: an app's webhook that is deleted, or set to null, while events wait for it, and set again, gets what happens from then on and nothing else.
func endpointAnew(t *testing.T, m *managed) {
	set := func(url any) {
		t.Helper()
		if status, out := m.s.call("PATCH", "/api/v1/app", m.head, map[string]any{"webhookUrl": url}); status != http.StatusOK {
			t.Fatalf("%d %s", status, out)
		}
	}
	const n = 6
	sent := 0
	for round, remove := range []func(){func() { m.as(t, m.head, "DELETE", "/"+m.id, nil, http.StatusNoContent, nil) }, func() { set(nil) }} {
		old, fresh := "/old", "/fresh"
		if round > 0 {
			old, fresh = "/older", "/fresher"
		}
		m.inbox.answer(old, status(http.StatusInternalServerError))
		set(m.inbox.URL + old)
		for range n {
			sent++
			m.send(sent)
		}
		eventually(t, "all events wait", func() bool { return len(m.deliveries(m.id)) == n+round })
		m.inbox.until(t, old, 1)
		remove()
		set(m.inbox.URL + fresh)
		sent++
		id := m.send(sent)
		m.inbox.until(t, fresh, 1)
		time.Sleep(7 * time.Second) // the others would have had their second try
		if got := m.inbox.got(fresh); len(got) != 1 || got[0].Message.ID != id {
			t.Errorf("the webhook that was set anew got %d events, the first of %s, not %s", len(got), got[0].Message.ID, id)
		}
		if all := m.deliveries(m.id); len(all) != 1 || all[0].State != "delivered" {
			t.Errorf("%d deliveries are shown: %v", len(all), all)
		}
	}
}
