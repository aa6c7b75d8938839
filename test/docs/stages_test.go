package docs

import (
	"encoding/json"
	"fmt"
	"net"
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

	"github.com/commserver/commserver/internal/simulate"
)

// The pages call things so; each has what its stage says.
const (
	anID  = "cmr0123456789abcdefghijkl"
	anApp = "flowbase"
)

// stage is what must be so for a page's commands to do what the page says.
type stage struct {
	begin  func(t *testing.T, r *reader)              // before the first command
	before func(t *testing.T, r *reader, text string) // before each sample of commands
	end    func(t *testing.T, r *reader)              // what they must have done
}

func stages() map[string]stage {
	return map[string]stage{
		"first-minute.md":                   {begin: func(t *testing.T, r *reader) { t.Helper(); r.send(t, "SMS", "233241234567", "") }},
		"sandbox.md":                        {before: bounced},
		"retention.md":                      {begin: func(_ *testing.T, r *reader) { r.types = "y\n" }, before: toAma, end: exported},
		"admin.md":                          {begin: func(_ *testing.T, r *reader) { r.types = strings.Repeat("begin-with-this-one\n", 2) }, end: userMade},
		"guide/go-live.md":                  {begin: goLive, before: configured, end: arrived},
		"operate/install.md":                {begin: install, end: installed},
		"operate/upgrade.md":                {end: migrated},
		"metrics.md":                        {begin: rules, end: ledElsewhere},
		"operate/backup.md":                 {begin: backup, end: released},
		"incidents/app_without_provider.md": {begin: unprovided, end: provided},
		"incidents/endpoint_failing.md":     {begin: endpointFails, before: endpointIsMended, end: replayed},
		"incidents/key_expiring.md":         {begin: keyEnds, end: keyReplaced},
		"incidents/messages_waiting.md":     {begin: messagesWait, end: cancelled},
		"incidents/provider_down.md":        {begin: providerIsDown, before: providerComesBack, end: switchedOff},
		"incidents/storage_low.md":          {begin: diskIsFull},
	}
}

// exception is a sample of commands that one machine, or one test, cannot carry out.
type exception struct{ page, has, why string }

// unrun is all of them; their syntax is checked.
func unrun() []exception {
	return []exception{
		{"README.md", "git clone", "fetches the repository over the network, and builds what is built here already"},
		{"sdk/README.md", "npm ci", "fetches packages over the network; test/sdk packs and installs the client where they are there"},
		{"operate/install.md", "systemctl", "makes a service of the machine, as root; test/deploy has systemd itself judge the unit"},
		{"operate/install.md", "docker compose", "needs a container engine; test/deploy checks the files, and image is a target of the release"},
		{"operate/backup.md", "docker compose", "needs a container engine, too; what is run there is run on this machine by the page's first sample"},
		{"operate/failover.md", "commserver prove --nodes", "kills nodes for minutes, on an empty PostgreSQL of its own; test/prove does so"},
		{"operate/sizing.md", "commserver bench", "loads the machine for minutes; internal/bench and test/scale do so"},
	}
}

func excepted(page, text string) (exception, bool) {
	all := unrun()
	i := slices.IndexFunc(all, func(e exception) bool { return e.page == page && strings.Contains(text, e.has) })
	if i < 0 {
		return exception{}, false
	}
	return all[i], true
}

// must makes a request with the reader's key, or as the administrator below /api/admin, and reads the answer into.
func (r *reader) must(t *testing.T, method, path string, body, into any) {
	t.Helper()
	headers := r.headers()
	if strings.HasPrefix(path, "/api/admin/") {
		headers = map[string]string{"X-Admin-Key": adminKey}
	}
	raw := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	status, answer, _ := r.ask(t, method, path, raw, headers)
	if status > 299 {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
}

type fields = map[string]any

// made is the id of something that the answer describes.
type made struct{ ID string }

func (r *reader) send(t *testing.T, channel, to, lane string) string {
	t.Helper()
	m := fields{"channel": channel, "to": to, "body": "Akwaaba"}
	if channel == "EMAIL" {
		m["subject"] = "Akwaaba"
	}
	if lane != "" {
		m["lane"] = lane
	}
	var sent made
	r.must(t, "POST", "/api/v1/messages", m, &sent)
	return sent.ID
}

// until waits for what the server does by itself.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(8 * time.Minute); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within eight minutes", what)
		}
	}
}

// alert waits until the page's alert about a subject is in a state.
func (r *reader) alert(t *testing.T, subject, state string) {
	t.Helper()
	kind := strings.TrimSuffix(filepath.Base(r.page), ".md")
	until(t, kind+" "+state, func() bool {
		var list struct {
			Data []struct{ Alert, State, Subject string }
		}
		r.must(t, "GET", "/api/admin/alerts", nil, &list)
		for _, a := range list.Data {
			if a.Alert == kind && a.Subject == subject {
				return a.State == state
			}
		}
		return false
	})
}

func (r *reader) becomes(t *testing.T, message, want string) {
	t.Helper()
	until(t, "the message is "+want, func() bool {
		var m struct{ Status string }
		r.must(t, "GET", "/api/v1/messages/"+message, nil, &m)
		return m.Status == want
	})
}

// app is the id of the reader's app.
func (r *reader) app(t *testing.T) string {
	t.Helper()
	var a made
	r.must(t, "GET", "/api/v1/app", nil, &a)
	return a.ID
}

func (r *reader) live(t *testing.T) {
	t.Helper()
	r.must(t, "PATCH", "/api/v1/app", fields{"sandboxMode": false}, nil)
}

func (r *reader) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// simulator stands in for providers, of this reader alone.
func (r *reader) simulator(t *testing.T) (sim *simulate.Server, port int) {
	t.Helper()
	sim, err := simulate.Start(t.Context(), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	_, last, err := net.SplitHostPort(sim.Relays()[0])
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(last); err != nil {
		t.Fatal(err)
	}
	return sim, port
}

// relay stores a configuration for mail, and answers its id.
func (r *reader) relay(t *testing.T, port int, active bool) string {
	t.Helper()
	var c made
	r.must(t, "POST", "/api/v1/provider-configs", fields{"providerType": "SMTP", "name": "Relay", "isActive": active,
		"config": fields{"host": "127.0.0.1", "port": port, "username": "mailer", "password": "of-before", "from": "Shop <no-reply@example.com>"}}, &c)
	return c.ID
}

// bounced puts the number onto the opt-out list again, for each of the two ways off it.
func bounced(t *testing.T, r *reader, text string) {
	t.Helper()
	if strings.Contains(text, "suppression") {
		r.must(t, "POST", "/api/v1/suppressions", fields{"channel": "SMS", "address": "233000000003"}, nil)
	}
}

// toAma sends a message, and waits until a search for its recipient finds it: that is written behind what is accepted.
func toAma(t *testing.T, r *reader, _ string) {
	t.Helper()
	id := r.send(t, "EMAIL", "ama@example.com", "")
	until(t, "the message is found", func() bool {
		var list struct{ Data []made }
		r.must(t, "GET", "/api/v1/messages?to=ama@example.com", nil, &list)
		return slices.Contains(list.Data, made{id})
	})
}

// exported wants of the export the one message that came after the erasure.
func exported(t *testing.T, r *reader) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "ama.jsonl"))
	if err != nil || !strings.Contains(string(b), `{"kind":"end","messages":1}`) {
		t.Errorf("%v: %s", err, b)
	}
}

func userMade(t *testing.T, r *reader) {
	t.Helper()
	var list struct{ Data []struct{ Name, Role string } }
	r.must(t, "GET", "/api/admin/users", nil, &list)
	if len(list.Data) != 1 || list.Data[0].Name != "ama" || list.Data[0].Role != "OPERATOR" {
		t.Errorf("%+v", list.Data)
	}
}

func goLive(t *testing.T, r *reader) {
	t.Helper()
	sim, port := r.simulator(t)
	r.sim, r.values = sim, []string{`"mail.example.com"`, `"127.0.0.1"`, `587`, strconv.Itoa(port)}
}

// configured gives the commands the id of the configuration that an earlier one made.
func configured(t *testing.T, r *reader, _ string) {
	t.Helper()
	var list struct{ Data []made }
	if r.must(t, "GET", "/api/v1/provider-configs", nil, &list); len(list.Data) > 0 {
		r.env = []string{"CONFIG_ID=" + list.Data[0].ID}
	}
}

func arrived(t *testing.T, r *reader) {
	t.Helper()
	if got := r.sim.Copies(simulate.Filter{Recipient: "you@example.com"}); len(got) != 1 || got[0].Copies != 1 {
		t.Errorf("the test reached its recipient so: %+v", got)
	}
}

// install lays a release beside the reader, signed by a key of its own.
func install(t *testing.T, r *reader) {
	t.Helper()
	r.without = []string{"COMMS_ADMIN_KEY", "COMMS_APP_ID", "COMMS_API_KEY"}
	r.file(t, "commserver-1.0.0-linux-amd64.tar.gz", "an archive")
	for _, command := range []string{
		"sha256sum *.tar.gz > SHA256SUMS",
		"ssh-keygen -q -t ed25519 -N '' -f release-key",
		"ssh-keygen -q -Y sign -n commserver-release -f release-key SHA256SUMS",
		`echo "release $(cat release-key.pub)" > allowed_signers`,
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", command)
		cmd.Dir = r.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
}

func (r *reader) has(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(r.dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func installed(t *testing.T, r *reader) {
	t.Helper()
	r.has(t, "data/commserver.db", "data/encryption-keys", "data/admin-key")
}

// rules gives the commands the rules for Prometheus.
func rules(t *testing.T, r *reader) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	r.file(t, "alerts.yml", string(text))
}

func ledElsewhere(t *testing.T, r *reader) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "alerts.yml"))
	all, led := strings.Count(string(text), "runbook_url:"), len(regexp.MustCompile(`runbook_url: "?https?://[^/ ]+/docs/runbook#`).FindAll(text, -1))
	if err != nil || all == 0 || led != all {
		t.Errorf("%d of %d rules lead to the server's own pages, %v", led, all, err)
	}
}

func migrated(t *testing.T, r *reader) {
	t.Helper()
	r.has(t, "data/commserver.db")
}

// backup gives the commands a folder for backups, and another machine's data folder with the key ring in it.
func backup(t *testing.T, r *reader) {
	t.Helper()
	r.values = []string{"/backups/", r.dir + "/", "$(date +%F)", "2026-11-30"}
	r.env, r.types = []string{"COMMS_DATA_DIR=" + filepath.Join(r.dir, "restored")}, "y\n"
	r.must(t, "POST", "/api/admin/queue", fields{"action": "PAUSE", "app": r.slug}, nil)
	r.live(t)
	r.send(t, "SMS", "233241234567", "")
	ring, err := os.ReadFile(filepath.Join(r.data, "encryption-keys"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.dir, "restored"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.file(t, "restored/encryption-keys", string(ring))
}

// released wants that the restored server was held, and that letting it go ended the message that waited: it may have been sent.
func released(t *testing.T, r *reader) {
	t.Helper()
	for _, want := range []string{`Hold\W[^\n]*HELD`, `Hold\W[^\n]*RELEASED`, `Ended by the release[^\n]* [1-9]`} {
		if !regexp.MustCompile(want).MatchString(r.said) {
			t.Errorf("the commands do not say %q:\n%s", want, r.said)
		}
	}
	r.has(t, "comms-2026-11-30.backup", "restored/commserver.db")
}

func unprovided(t *testing.T, r *reader) {
	t.Helper()
	_, port := r.simulator(t)
	r.config = r.relay(t, port, false)
	r.values = []string{anID, r.config, anApp, r.slug}
	r.file(t, "password.txt", "of-the-relay")
	r.live(t)
	r.alert(t, r.app(t), "raised")
}

func provided(t *testing.T, r *reader) {
	t.Helper()
	r.alert(t, r.app(t), "cleared")
	var app struct{ SandboxMode bool }
	var config struct{ IsActive bool }
	var list struct{ Data []struct{ Config fields } }
	r.must(t, "GET", "/api/v1/app", nil, &app)
	r.must(t, "GET", "/api/v1/provider-configs/"+r.config, nil, &config)
	r.must(t, "GET", "/api/admin/provider-configs", nil, &list)
	if !app.SandboxMode || !config.IsActive || len(list.Data) != 1 || list.Data[0].Config["host"] != "mail.example.com" {
		t.Errorf("%+v %+v %+v", app, config, list)
	}
}

// endpointFails is an app whose receiver says that it is gone.
func endpointFails(t *testing.T, r *reader) {
	t.Helper()
	r.posts = make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !r.mended.Load() {
			w.WriteHeader(http.StatusGone)
			return
		}
		select {
		case r.posts <- req.Header.Get("webhook-id"):
		default:
		}
	}))
	t.Cleanup(hook.Close)
	var endpoint made
	r.must(t, "POST", "/api/v1/webhooks", fields{"name": "crm", "url": hook.URL}, &endpoint)
	r.values, r.types = []string{anID, endpoint.ID, anApp, r.slug}, "y\n"
	r.send(t, "SMS", "233241234567", "")
	r.alert(t, endpoint.ID, "raised")
}

func endpointIsMended(_ *testing.T, r *reader, text string) {
	r.mended.Store(strings.Contains(text, "webhook update") || r.mended.Load())
}

// replayed wants the test, and what had been given up.
func replayed(t *testing.T, r *reader) {
	t.Helper()
	r.alert(t, r.values[1], "cleared")
	ids := map[string]bool{}
	until(t, "two posts", func() bool {
		select {
		case id := <-r.posts:
			ids[id] = true
		default:
		}
		return len(ids) > 1
	})
}

// keyEnds is an app with a key that ends soon. The alert comes in the last quarter of such a key's life, which is days away.
func keyEnds(t *testing.T, r *reader) {
	t.Helper()
	var issued struct{ ID, APIKey string }
	r.must(t, "POST", "/api/admin/apps/"+r.slug+"/keys", fields{"name": "Old", "scopes": []string{"SEND", "READ"}, "expiresAt": time.Now().Add(72 * time.Hour).UTC().Format(time.RFC3339)}, &issued)
	r.values, r.types, r.old = []string{anID, issued.ID, anApp, r.slug}, "y\n", issued.APIKey
}

func keyReplaced(t *testing.T, r *reader) {
	t.Helper()
	issued, err := os.ReadFile(filepath.Join(r.dir, r.slug+".key"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{r.old: http.StatusUnauthorized, strings.TrimSpace(string(issued)): http.StatusOK} {
		if status, body, _ := r.ask(t, "GET", "/api/v1/messages", "", map[string]string{"X-App-ID": r.slug, "X-API-Key": key}); status != want {
			t.Errorf("%d %s, want %d", status, body, want)
		}
	}
}

// messagesWait is a live app whose only provider is switched off.
func messagesWait(t *testing.T, r *reader) {
	t.Helper()
	r.must(t, "POST", "/api/v1/provider-configs", fields{"providerType": "ARKESEL", "name": "Off", "isActive": false, "config": fields{"apiKey": "of-a-test", "senderId": "MyApp"}}, nil)
	r.live(t)
	r.message = r.send(t, "SMS", "233241234567", "BULK")
	r.values, r.types = []string{anApp, r.slug}, "y\n"
	r.alert(t, r.app(t), "raised")
}

func cancelled(t *testing.T, r *reader) {
	t.Helper()
	r.becomes(t, r.message, "CANCELLED")
	r.alert(t, r.app(t), "cleared")
}

// providerIsDown is a live app whose relay has closed its port.
func providerIsDown(t *testing.T, r *reader) {
	t.Helper()
	sim, port := r.simulator(t)
	if _, err := sim.Add(simulate.Rule{ID: "down", Type: simulate.SMTP, Fault: simulate.Down}); err != nil {
		t.Fatal(err)
	}
	r.sim, r.config = sim, r.relay(t, port, true)
	r.values = []string{anID, r.config, anApp, r.slug}
	r.file(t, "new.txt", "of-now")
	r.live(t)
	for n := range 3 {
		r.message = r.send(t, "EMAIL", fmt.Sprintf("ama+%d@example.com", n), "")
	}
	r.alert(t, r.config, "raised")
}

// providerComesBack lets the relay answer when it is to be verified, and what waited go out before it is switched off.
func providerComesBack(t *testing.T, r *reader, text string) {
	t.Helper()
	if strings.Contains(text, "provider verify") {
		r.sim.Remove("down")
	}
	if strings.Contains(text, "--active=false") {
		r.becomes(t, r.message, "SENT")
		r.alert(t, r.config, "cleared")
	}
}

func switchedOff(t *testing.T, r *reader) {
	t.Helper()
	var config struct{ IsActive bool }
	if r.must(t, "GET", "/api/v1/provider-configs/"+r.config, nil, &config); config.IsActive {
		t.Error("it is not switched off")
	}
}

// diskIsFull is so from the start of this server, which wants more room than any disk has.
func diskIsFull(t *testing.T, r *reader) {
	t.Helper()
	r.values = []string{"/var/lib/commserver", r.data}
	r.alert(t, "storage", "raised")
}
