package webhooks

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// consoleOf signs in to the server's console by the admin key and answers what reads its pages.
func consoleOf(t *testing.T, s *server, key string) (read func(path string) string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	res, err := browser.Post(s.url+"/api/admin/session", "application/json", strings.NewReader(`{"adminKey":"`+key+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return func(path string) string {
		t.Helper()
		res, err := browser.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		page, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, res.StatusCode, page, err)
		}
		return string(page)
	}
}

var aPoint = regexp.MustCompile(`<li>([^<]+)</li>`)

// points are what a page that asks before something is done says of it.
func points(page string) (out []string) {
	_, list, _ := strings.Cut(page, `<ul class="points">`)
	list, _, _ = strings.Cut(list, `</ul>`)
	for _, one := range aPoint.FindAllStringSubmatch(list, -1) {
		out = append(out, html.UnescapeString(one[1]))
	}
	return out
}

// endpointOff: what the console says of switching a webhook off and on is what the server does. Who changes the words here changes what is checked below them.
func endpointOff(t *testing.T, m *managed, read func(path string) string) {
	m.inbox.answer("/waits", func(w http.ResponseWriter, _ *http.Request) {
		m.inbox.answer("/waits", status(http.StatusNoContent))
		var list struct{ Data []struct{ ID, Name string } }
		_, out := m.s.call("GET", "/api/v1/webhooks", m.head, nil)
		_ = json.Unmarshal(out, &list)
		for _, e := range list.Data {
			if e.Name == "waits" { // before it is tried again
				if status, out := m.s.call("PATCH", "/api/v1/webhooks/"+e.ID, m.head, map[string]any{"isActive": false}); status != http.StatusOK {
					t.Errorf("switched off: %d %s", status, out)
				}
			}
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	m.inbox.answer("/fails", status(http.StatusGone))
	sent := map[string]any{"statuses": []string{"SENT"}}
	waits, fails := m.made(t, m.head, "waits", sent), m.made(t, m.head, "fails", sent)
	said := func(id, act string) []string {
		return points(read("/console/webhooks/" + m.head["X-App-ID"] + "/" + id + "/do/" + act))
	}
	states := func(id string) string {
		var all []string
		for _, d := range m.deliveries(id) {
			all = append(all, d.State)
		}
		return strings.Join(all, ", ")
	}
	if got, want := said(waits, "off"), []string{"What already waits for it stays, and is posted when it is switched on again.",
		"What happens while it is off is never posted to it, and cannot be replayed: it is in the feed."}; !slices.Equal(got, want) {
		t.Errorf("of switching it off the console says %q, want %q", got, want)
	}
	before := m.send(0)
	eventually(t, "one waits and one is given up, and both endpoints are off", func() bool {
		var list struct{ Data []struct{ IsActive bool } }
		m.as(t, m.head, "GET", "", nil, http.StatusOK, &list)
		return states(waits) == "waiting" && states(fails) == "failed" && !list.Data[0].IsActive && !list.Data[1].IsActive
	})
	cursor, _ := m.until(t, "", before)
	_, events := m.until(t, cursor, m.send(1))
	if len(events) == 0 || states(waits) != "waiting" || states(fails) != "failed" { // deliveries are made with the place in the feed
		t.Errorf("while they are off: %d events in the feed, deliveries that are %s and %s", len(events), states(waits), states(fails))
	}
	if got, want := said(fails, "on"), []string{"What waits for it is posted, too.", "What failed for good is not: replay it.",
		"What happened while it was off is not, and cannot be replayed: it is in the feed."}; !slices.Equal(got, want) {
		t.Errorf("of switching it on the console says %q, want %q", got, want)
	}
	m.inbox.answer("/fails", status(http.StatusNoContent))
	for _, id := range []string{waits, fails} {
		m.as(t, m.head, "PATCH", "/"+id, map[string]any{"isActive": true}, http.StatusOK, nil)
	}
	m.inbox.until(t, "/waits", 2)
	span := map[string]any{"createdAfter": "2026-01-01T00:00:00Z", "createdBefore": "2126-01-01T00:00:00Z"}
	for id, failed := range map[string]int{waits: 0, fails: 1} {
		var out struct{ Replayed int }
		if m.as(t, m.head, "POST", "/"+id+"/replay", span, http.StatusAccepted, &out); out.Replayed != failed {
			t.Errorf("%d are replayed, want %d", out.Replayed, failed)
		}
	}
	after := m.send(2)
	for _, path := range []string{"/waits", "/fails"} {
		got := map[string]int{}
		for _, p := range m.inbox.until(t, path, 3) {
			got[p.Message.ID]++
		}
		if len(got) != 2 || got[before] != 2 || got[after] != 1 {
			t.Errorf("%s got %v", path, got)
		}
	}
}
