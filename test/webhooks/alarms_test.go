package webhooks

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/test/pgserver"
)

const (
	adminKey = "admin-key-of-these-tests-0123456789abcdef"
	onCall   = "oncall@example.com"
)

var root = map[string]string{"X-Admin-Key": adminKey}

// alarmed is the environment of a server whose alerts go to a pager, soon.
func alarmed(p *pager, path string, more ...string) []string {
	return append(more, "COMMS_ADMIN_KEY="+adminKey, "COMMS_ALERT_WEBHOOK_URL="+p.URL+path, "COMMS_ALERT_WEBHOOK_SECRET="+secret, "COMMS_ALERT_PATIENCE=1s", "COMMS_ALERT_WAITING=10s")
}

// told wants exactly these notes of a kind, as they are within a while and still are a moment later.
func (p *pager) told(t *testing.T, kind, subject string, states ...string) (notes []note) {
	t.Helper()
	read := func() (all []string) {
		notes = nil
		for _, n := range p.got() {
			if n.Alert == kind && (subject == "" || strings.Contains(n.Text, subject)) {
				all, notes = append(all, n.State), append(notes, n)
			}
		}
		return all
	}
	for end := time.Now().Add(45 * time.Second); len(read()) < len(states); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s of %q: %q, want %q; all: %+v", kind, subject, read(), states, p.got())
		}
	}
	time.Sleep(200 * time.Millisecond)
	if got := read(); !slices.Equal(got, states) {
		t.Fatalf("%s of %q: %q, want %q", kind, subject, got, states)
	}
	return notes
}

func (s *server) must(method, path string, body any) []byte {
	s.t.Helper()
	status, out := s.call(method, path, root, body)
	if status < 200 || status > 299 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, out)
	}
	return out
}

// relay adds a provider configuration for mail, of the server level or of an app's.
func (s *server) relay(a *app, addr, name string, more map[string]any) {
	s.t.Helper()
	port, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
	if err != nil {
		s.t.Fatal(err)
	}
	body := map[string]any{"providerType": "SMTP", "name": name, "config": map[string]any{"host": "127.0.0.1", "port": port, "from": "Shop <no-reply@example.com>"}}
	maps.Copy(body, more)
	path, head := "/api/admin/provider-configs", root
	if a != nil {
		path, head = "/api/v1/provider-configs", a.head
	}
	if status, out := s.call("POST", path, head, body); status != http.StatusCreated {
		s.t.Fatalf("%d %s", status, out)
	}
}

func (s *server) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("log-%d", s.starts)))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// TestAlarms: what is told of apps, keys and endpoints, by webhook and by mail through the server's own relay.
func TestAlarms(t *testing.T) {
	t.Parallel()
	sim, err := simulate.Start(t.Context(), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	page := newPager(t)
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(failing.Close)
	s := newServer(t, alarmed(page, "/in", "COMMS_ALERT_EMAIL="+onCall)...)

	// A live app without a provider; the server's relay ends that, and from then on mails go out.
	bare := s.app("bare", "")
	var key struct{ APIKey string }
	if err := json.Unmarshal(s.must("POST", "/api/admin/apps/bare/keys", map[string]any{"scopes": []string{"SEND", "READ", "PROVIDERS"}}), &key); err != nil || key.APIKey == "" {
		t.Fatalf("%v %+v", err, key)
	}
	bare.head["X-API-Key"] = key.APIKey
	s.must("PATCH", "/api/admin/apps/bare", map[string]any{"sandboxMode": false})
	page.told(t, "app_without_provider", "bare", "raised")
	s.relay(nil, sim.Relays()[0], "the server's relay", nil)
	page.told(t, "app_without_provider", "bare", "raised", "cleared")

	// A webhook endpoint that fails, and a provider whose day is full: the second message waits.
	hooked := s.app("hooked", failing.URL+"/hook")
	for n := range 5 {
		hooked.send(n)
	}
	s.relay(bare, sim.Relays()[0], "one a day", map[string]any{"ratePerDay": 1})
	for n := range 2 {
		if status, out := s.call("POST", "/api/v1/messages", bare.head, map[string]any{"channel": "EMAIL", "to": fmt.Sprintf("ama%d@example.com", n), "subject": "Hello", "body": "<p>Hello</p>"}); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, out)
		}
	}
	n := page.told(t, "endpoint_failing", "hooked", "raised")[0]
	mailed := func(title string) func() bool {
		return func() bool {
			return len(sim.Entries(simulate.Filter{Type: simulate.SMTP, Recipient: onCall})) > 0 && strings.Contains(s.alerts(), title)
		}
	}
	eventually(t, "the alert is mailed", mailed(`"email":"raised"`))
	if n.Do == "" || n.Since == "" {
		t.Errorf("%+v", n)
	}
	// The receiver is told to go: nothing uses it any more.
	s.must("PATCH", "/api/admin/apps/hooked", map[string]any{"webhookUrl": nil})
	page.told(t, "endpoint_failing", "hooked", "raised", "cleared")
	eventually(t, "the all-clear is mailed", mailed(`"email":"cleared"`))
	page.told(t, "messages_waiting", "bare", "raised")

	// The relay itself is what is down: the webhook still comes, the log says that the mail does not.
	if _, err := sim.Add(simulate.Rule{ID: "dead", Type: simulate.SMTP, Fault: "down"}); err != nil {
		t.Fatal(err)
	}
	before := len(sim.Entries(simulate.Filter{Type: simulate.SMTP, Recipient: onCall, Outcome: "accepted"}))
	status, out := s.call("POST", "/api/admin/apps/hooked/keys", root, map[string]any{"name": "till soon", "expiresAt": time.Now().Add(72 * time.Hour).UTC().Format(time.RFC3339)})
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, out)
	}
	s.kill()
	s.age("till soon", 30*24*time.Hour)
	s.start()
	page.told(t, "key_expiring", "till soon", "raised")
	eventually(t, "the log says that it was not mailed", func() bool {
		return strings.Contains(s.log(), "an alert could not be told") && strings.Contains(s.log(), `"way":"email","alert":"key_expiring"`)
	})
	if !sim.Remove("dead") {
		t.Fatal("no rule")
	}
	eventually(t, "it is mailed once the relay is back", func() bool {
		return len(sim.Entries(simulate.Filter{Type: simulate.SMTP, Recipient: onCall, Outcome: "accepted"})) > before
	})
	page.told(t, "messages_waiting", "bare", "raised") // it was told before the server was killed
	if len(page.wrong) > 0 {
		t.Errorf("%q", page.wrong)
	}
	alertsAreAbout(t, s.alerts(), map[string]string{"app_without_provider": "app bare", "endpoint_failing": "webhook hooked", "messages_waiting": "app bare", "key_expiring": "key hooked"})
}

// alertsAreAbout wants the list to say of each kind which sort of thing of which app it is about.
func alertsAreAbout(t *testing.T, list string, want map[string]string) {
	t.Helper()
	var all struct {
		Data []struct{ Alert, State, SubjectKind, App string }
	}
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, a := range all.Data {
		got[a.Alert] = a.SubjectKind + " " + a.App
	}
	if !maps.Equal(got, want) {
		t.Errorf("the alerts are about %q, want %q", got, want)
	}
}

// owned is how many shards the node owns.
func (s *server) owned() (n int) {
	s.t.Helper()
	if m := ownedShards.FindSubmatch(s.must("GET", "/metrics", nil)); m != nil {
		n, _ = strconv.Atoi(string(m[1]))
	}
	return n
}

var ownedShards = regexp.MustCompile(`(?m)^commserver_shards_owned ([0-9]+)$`)

func (s *server) alerts() string { return string(s.must("GET", "/api/admin/alerts", nil)) }

// age makes a key of a server that is not running older than it is.
func (s *server) age(name string, by time.Duration) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "data", "commserver.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	r, err := db.ExecContext(s.t.Context(), `UPDATE api_keys SET created_at = created_at - ? WHERE name = ?`, by.Microseconds(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		s.t.Fatalf("%d keys, %v", n, err)
	}
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(45 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 45 s", what)
		}
	}
}

// TestTheDiskIsFull: the alert comes while nothing can be written, and its end when there is room again.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("a disk of its own needs root: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
	page := newPager(t)
	s := newServer(t, alarmed(page, "/in", "COMMS_DATABASE_URL=sqlite://"+disk+"/comm.db", "COMMS_ALERT_FREE_SPACE=100MiB")...)
	t.Cleanup(s.kill) // before the disk goes
	a := s.app("shop", "")
	a.send(1)
	big := filepath.Join(disk, "big")
	fill := func(mib int) {
		t.Helper()
		if err := os.WriteFile(big, make([]byte, mib<<20), 0o600); err != nil && mib < 120 {
			t.Fatal(err)
		}
	}
	fill(40)
	page.told(t, "storage_low", "", "raised")
	fill(200) // what fits
	page.told(t, "storage_failing", "", "raised")
	if status, out := s.call("POST", "/api/v1/messages", a.head, map[string]any{"channel": "SMS", "to": "233241234567", "body": "Hello"}); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, out)
	}
	if err := os.Remove(big); err != nil {
		t.Fatal(err)
	}
	page.told(t, "storage_failing", "", "raised", "cleared")
	page.told(t, "storage_low", "", "raised", "cleared")
	a.send(2)
	eventually(t, "the outage is listed", func() bool { return strings.Contains(s.alerts(), "storage_failing") })
}

// TestTwoNodesTellOnce: two nodes on PostgreSQL tell an alert and an all-clear once between them, also when the one that told is
// killed in between; and while PostgreSQL itself is away.
func TestTwoNodesTellOnce(t *testing.T) {
	t.Parallel()
	pg, err := pgserver.Start(t.Context(), pgserver.Hasty())
	if err != nil {
		t.Skipf("no PostgreSQL: %v", err)
	}
	t.Cleanup(func() { _ = pg.Stop(t.Context()) })
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	page := newPager(t)
	shared := []string{"COMMS_DATABASE_URL=" + pg.URL("postgres"), "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()}
	nodes := map[string]*server{}
	for _, path := range []string{"/a", "/b"} {
		nodes[path] = newServer(t, alarmed(page, path, shared...)...)
	}
	other := map[string]string{"/a": "/b", "/b": "/a"}

	// PostgreSQL is away: one node tells it, and that it is back.
	eventually(t, "the shards have owners", func() bool {
		owned := 0
		for _, s := range nodes {
			owned += s.owned()
		}
		return owned == int(comm.ShardCount)
	})
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	page.told(t, "storage_failing", "", "raised")
	time.Sleep(3 * time.Second)
	if err := pg.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	page.told(t, "storage_failing", "", "raised", "cleared")

	// The node that told of an app is killed: the other one tells its end.
	nodes["/a"].app("bare", "")
	nodes["/a"].must("PATCH", "/api/admin/apps/bare", map[string]any{"sandboxMode": false})
	first := page.told(t, "app_without_provider", "bare", "raised")[0]
	nodes[first.path].kill()
	left := nodes[other[first.path]]
	left.relay(nil, "127.0.0.1:2525", "a relay", nil)
	both := page.told(t, "app_without_provider", "bare", "raised", "cleared")
	if both[1].path == first.path || both[1].Since != first.Since || len(page.wrong) > 0 {
		t.Errorf("%+v; wrong: %q", both, page.wrong)
	}
	t.Logf("the other node told the end %s after the first was killed", both[1].at.Sub(first.at).Round(time.Second))
}
