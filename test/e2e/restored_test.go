package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// told is an event as the feed tells it.
type told struct {
	EventID, Type string
	Sequence      int
	Message       struct{ ID, Status string }
}

// feedReader reads an app's feed as the guide says: page by page, each behind the last one's cursor.
type feedReader struct {
	app    tenant
	cursor string
	events []told
}

// on reads to the end for now, by pages of n.
func (f *feedReader) on(p *process, n int) {
	p.t.Helper()
	for {
		path := fmt.Sprintf("/api/v1/events?limit=%d", n)
		if f.cursor != "" {
			path += "&after=" + url.QueryEscape(f.cursor)
		}
		raw, err := json.Marshal(p.call(f.app, nil, http.MethodGet, path, nil))
		if err != nil {
			p.t.Fatal(err)
		}
		var page struct {
			Data       []told
			NextCursor string
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			p.t.Fatal(err)
		}
		f.events = append(f.events, page.Data...)
		if f.cursor = page.NextCursor; len(page.Data) == 0 {
			return
		}
	}
}

// until reads on until the feed has told a message's event of a status.
func (f *feedReader) until(p *process, n int, id, status string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		f.on(p, n)
		if slices.ContainsFunc(f.events, func(e told) bool { return e.Message.ID == id && e.Message.Status == status }) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not told to be %s: %+v", id, status, f.events)
		}
	}
}

func (p *process) queue(app, action string) {
	p.t.Helper()
	p.call(tenant{}, http.Header{"X-Admin-Key": {backupAdmin}}, http.MethodPost, "/api/admin/queue", map[string]string{"action": action, "app": app})
}

// backup writes one through the running server.
func (p *process) backup(dir string) (file string) {
	p.t.Helper()
	file = filepath.Join(p.t.TempDir(), "comms.backup")
	if out, code := commserver(p.t, dir, []string{"COMMS_URL=" + p.url, "COMMS_ADMIN_KEY=" + backupAdmin}, "backup", file); code != 0 {
		p.t.Fatalf("exit code %d: %s", code, out)
	}
	return file
}

func (p *process) release(choice string) {
	p.t.Helper()
	if out, code := commserver(p.t, p.t.TempDir(), []string{"COMMS_URL=" + p.url, "COMMS_ADMIN_KEY=" + backupAdmin}, "queue", "release", "--doubtful", choice, "--yes"); code != 0 {
		p.t.Fatalf("exit code %d: %s", code, out)
	}
}

// Who has read events that the backup does not know reads on in what was restored from it, from the old place: every event that comes there is told once, and no
// other one under an id that was told before. What waited in the backup has another history now, with the same sequences.
func TestReadersGoOnAfterARestore(t *testing.T) {
	for name, postgres := range map[string]bool{"SQLite": false, "PostgreSQL": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); readOn(t, postgres) })
	}
}

func readOn(t *testing.T, postgres bool) {
	from, to := places(t, postgres)
	mail := newMailServer(t, nil)
	old := serveMail(t, from.dir, from.env...)
	app := old.live("shop", mail, nil)
	old.ended(app, old.mail(app, "first@example.com"))
	old.queue("shop", "PAUSE")
	waiting := old.mail(app, "waiting@example.com")
	r := &feedReader{app: app}
	r.until(old, 100, waiting, "QUEUED")
	kept := len(r.events)
	file := old.backup(from.dir)
	old.queue("shop", "RESUME")
	old.ended(app, waiting)
	last := ""
	for i := range 5 {
		last = old.mail(app, fmt.Sprintf("lost%d@example.com", i))
		old.ended(app, last)
	}
	r.until(old, 100, last, "SENT")
	old.stop()
	before := r.events

	if out, code := commserver(t, to.dir, to.env, "restore", file); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	p := serveMail(t, to.dir, to.env...)
	r.events = nil
	r.on(p, 1) // while it is held there is nothing behind any place, and nobody is refused
	p.release("fail")
	p.queue("shop", "RESUME")
	fresh := p.mail(app, "fresh@example.com")
	if m := p.ended(app, fresh); m["status"] != "SENT" {
		t.Fatalf("%v", m)
	}
	r.until(p, 1, fresh, "SENT")
	r.until(p, 1, waiting, "FAILED")
	whole := &feedReader{app: app}
	whole.on(p, 2)
	if !slices.Equal(whole.events[:kept], before[:kept]) || !slices.Equal(whole.events[kept:], r.events) {
		t.Errorf("behind the old place come\n%+v\nof\n%+v\nand before it came\n%+v", r.events, whole.events, before)
	}
	next := map[string]int{}
	for _, e := range whole.events {
		if next[e.Message.ID]++; e.Sequence != next[e.Message.ID] {
			t.Errorf("%+v follows %d", e, next[e.Message.ID]-1)
		}
	}
	for _, e := range r.events {
		if slices.ContainsFunc(before, func(b told) bool { return b.EventID == e.EventID }) {
			t.Errorf("%+v has an id that was told before", e)
		}
	}
	if n := mail.all()["waiting@example.com"]; n != 1 || next[fresh] == 0 {
		t.Errorf("%d mails, %v", n, next)
	}
}
