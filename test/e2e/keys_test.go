package e2e

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/keyring"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/test/pgtest"
)

// loginServer takes mail from whoever knows the password of a user: password(user). What it counts proves that secrets were opened.
type loginServer struct {
	host string
	port int

	mu     sync.Mutex
	taken  map[string]int // mails by user
	denied int
}

func password(user string) string { return "hidden-password-of-" + user }

func newLoginServer(t *testing.T) *loginServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := l.Addr().(*net.TCPAddr)
	s := &loginServer{host: a.IP.String(), port: a.Port, taken: map[string]int{}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.session(c)
		}
	}()
	return s
}

func (s *loginServer) session(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewScanner(c)
	answer := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	answer("220 mail.example.com ESMTP")
	user := ""
	for body := false; in.Scan(); {
		line := in.Text()
		switch {
		case body && line != ".":
		case body:
			body = false
			s.mu.Lock()
			s.taken[user]++
			s.mu.Unlock()
			answer("250 2.0.0 taken")
		case strings.HasPrefix(line, "EHLO"):
			answer("250-mail.example.com\r\n250 AUTH PLAIN")
		case strings.HasPrefix(line, "AUTH PLAIN "):
			raw, _ := base64.StdEncoding.DecodeString(line[len("AUTH PLAIN "):])
			parts := strings.Split(string(raw), "\x00")
			if len(parts) != 3 || parts[2] != password(parts[1]) {
				s.mu.Lock()
				s.denied++
				s.mu.Unlock()
				answer("535 5.7.8 no")
				continue
			}
			user = parts[1]
			answer("235 2.7.0 ok")
		case line == "DATA":
			body = true
			answer("354 go ahead")
		case line == "QUIT":
			answer("221 2.0.0 bye")
			return
		case user == "" && line != "RSET":
			answer("530 5.7.0 log in first")
		default:
			answer("250 2.0.0 OK")
		}
	}
}

func (s *loginServer) config(user string) map[string]any {
	return map[string]any{"host": s.host, "port": float64(s.port), "username": user, "password": password(user), "from": "shop@example.com"}
}

// newKeys makes a ring of one new key for each id.
func newKeys(t *testing.T, ids ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, id := range ids {
		text, err := seal.GenerateRing(id)
		if err != nil {
			t.Fatal(err)
		}
		out[id] = text.Reveal()
	}
	return out
}

// commserver runs a command of the program to its end.
func commserver(t *testing.T, dir string, env []string, args ...string) (out string, code int) {
	t.Helper()
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = dir, append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

const rotated = 1000 // apps, each with a provider configuration of its own

// seeded makes the apps with their configurations, sealed by the ring.
func seeded(t *testing.T, url string, ring seal.Secret, mail *loginServer) (*postgres.Store, []tenant, []comm.ID) {
	t.Helper()
	ctx := t.Context()
	s, err := postgres.Open(ctx, postgres.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.ParseRing(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Prove(ctx, s, keys, false); err != nil {
		t.Fatal(err)
	}
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	reg := registry.New(registry.Config{Apps: s, Keys: s, Providers: s, Endpoints: s, Adapters: all.Adapters(), Ring: keys, Mail: &guard.Dialer{Allow: here, Ports: guard.SMTPPorts()},
		Web: &guard.Dialer{Allow: here}, Log: slog.New(slog.DiscardHandler)})
	apps, ids, kind := make([]tenant, rotated), make([]comm.ID, rotated), "SMTP"
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < rotated; i += 8 {
				now, slug := comm.At(time.Now()), fmt.Sprintf("app-%d", i)
				app := registry.NewApp(slug, slug, now)
				app.Sandbox, app.RatePerMinute = false, 1_000_000
				m := apikey.Mint(true)
				if _, err := s.CreateApp(ctx, app, &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: m.Hash, Prefix: m.Prefix, LastFour: m.Last4, Scopes: comm.AllScopes, CreatedAt: now}); err != nil {
					t.Error(err)
				}
				if _, err := reg.CreateProvider(ctx, app.ID, registry.ProviderChange{Type: &kind, Config: mail.config(slug)}); err != nil {
					t.Error(err)
				}
				apps[i], ids[i] = tenant{id: slug, key: m.Text}, app.ID
			}
		})
	}
	wg.Wait()
	return s, apps, ids
}

// allSent waits until every message of the apps has left, each in its first attempt.
func allSent(t *testing.T, s *postgres.Store, apps []comm.ID, want int) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		sent, open := 0, 0
		for _, app := range apps {
			list, err := s.List(t.Context(), app, store.Filter{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list {
				switch {
				case m.Status == comm.Sent && m.Attempts == 1:
					sent++
				case m.Status == comm.Queued && m.Attempts == 0, m.Status == comm.Sending && m.Attempts == 1:
					open++
				default:
					t.Fatalf("%s: %s after %d attempts: %s", m.ID, m.Status, m.Attempts, m.ErrorText)
				}
			}
		}
		if open == 0 && sent == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sent, %d open, want %d", sent, open, want)
		}
	}
}

// Keys are rotated beside a node that sends: nothing fails, also when the rotation is killed in the middle, and
// afterwards the old key can be removed.
func TestKeysRotateBesideANodeThatSends(t *testing.T) {
	mail, url, keys := newLoginServer(t), pgtest.Database(t), newKeys(t, "k1", "k2")
	s, apps, ids := seeded(t, url, seal.Secret(keys["k1"]), mail)
	env := func(ring string) []string {
		return []string{"COMMS_DATABASE_URL=" + url, "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_ENCRYPTION_KEYS=" + ring}
	}
	dir, both := t.TempDir(), env(keys["k2"]+","+keys["k1"])
	p := serve(t, dir, both...)
	stop, sent := make(chan struct{}), 0
	var sending sync.WaitGroup
	sending.Go(func() {
		for ; ; sent++ {
			select {
			case <-stop:
				return
			default:
				p.mail(apps[sent%rotated], "ama@example.org")
			}
		}
	})

	killed := exec.CommandContext(t.Context(), program(t), "rotate-keys", "--pause", "500ms") // so that it is met in the middle
	killed.Dir, killed.Env = dir, append([]string{"HOME=" + dir}, both...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); under(t, s, "k2") < 250; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is sealed again")
		}
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	out, code := commserver(t, dir, both, "rotate-keys", "--dry-run")
	if code != 1 || !strings.Contains(out, `Values under key "k1": `) || !strings.Contains(out, `Values under key "k2": `) || !strings.Contains(out, "Keep key k1") {
		t.Errorf("in the middle: exit code %d\n%s", code, out)
	}
	if out, code = commserver(t, dir, append(env(keys["k2"]), "COMMS_ADDR=localhost:0"), "serve"); code != 1 || !strings.Contains(out, `lacks key "k1"`) || !strings.Contains(out, "rotate-keys") {
		t.Errorf("a start without the old key: exit code %d\n%s", code, out)
	}
	out, code = commserver(t, dir, both, "rotate-keys") // the accounts, and the key of erased addresses
	if code != 0 || !strings.Contains(out, fmt.Sprintf(`Values under key "k2": %d`, rotated+1)) || strings.Contains(out, `under key "k1"`) || !strings.Contains(out, "can be removed") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for end := time.Now().Add(30 * time.Second); sent < rotated && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	close(stop)
	sending.Wait()
	allSent(t, s, ids, sent)
	p.stop()

	p = serve(t, dir, env(keys["k2"])...)
	for _, a := range apps {
		p.mail(a, "kofi@example.org")
	}
	allSent(t, s, ids, sent+rotated)
	mail.mu.Lock()
	defer mail.mu.Unlock()
	if len(mail.taken) != rotated || mail.denied != 0 {
		t.Errorf("%d of %d accounts were used, %d logins refused", len(mail.taken), rotated, mail.denied)
	}
	t.Logf("%d messages while keys were rotated, %d after", sent, rotated)
}

// under counts the accounts whose secrets are under a key.
func under(t *testing.T, s *postgres.Store, key string) (n int) {
	t.Helper()
	all, err := s.SealedAfter(t.Context(), store.ProviderSecrets(), comm.ID{}, comm.ID{}, rotated+1)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Value.KeyID == key {
			n++
		}
	}
	return n
}

func program(t *testing.T) string {
	t.Helper()
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// On SQLite the ring lies in the data folder and the server is stopped meanwhile. One value that cannot be opened holds
// its own messages and nothing else, is named by the rotation, and is mended by sending the secret again.
func TestOneValueThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	mail, dir := newLoginServer(t), t.TempDir()
	p := serveMail(t, dir)
	a, b := p.account("one", mail), p.account("two", mail)
	for _, x := range []tenant{a, b} {
		if m := p.ended(x, p.mail(x, "ama@example.org")); m["status"] != "SENT" {
			t.Fatal(m)
		}
	}
	if out, code := commserver(t, dir, nil, "rotate-keys"); code != 1 || !strings.Contains(out, "in use") {
		t.Errorf("beside the server: %d %s", code, out)
	}
	p.stop()
	damage(t, filepath.Join(dir, "data", "commserver.db"), "one")

	ringFile := filepath.Join(dir, "data", "encryption-keys")
	old, err := os.ReadFile(ringFile)
	if err != nil {
		t.Fatal(err)
	}
	added := newKeys(t, "k2")["k2"]
	write := func(ring string) {
		if err := os.WriteFile(ringFile, []byte(ring+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(added + "," + strings.TrimSpace(string(old)))
	out, code := commserver(t, dir, nil, "rotate-keys")
	if code != 1 || strings.Count(out, "cannot be opened: app ") != 1 || !strings.Contains(out, `Values under key "k1": 1`) || !strings.Contains(out, `Values under key "k2": 2`) || strings.Contains(out, "hidden") {
		t.Errorf("%d %s", code, out)
	}
	p = serveMail(t, dir)
	held := p.mail(a, "ama@example.org")
	p.waits(a, held, "credentials_unavailable")
	if m := p.ended(b, p.mail(b, "ama@example.org")); m["status"] != "SENT" {
		t.Error(m)
	}
	config := p.call(a, nil, http.MethodGet, "/api/v1/provider-configs", nil)["data"].([]any)[0].(map[string]any)
	path := "/api/v1/provider-configs/" + config["id"].(string)
	if v := p.call(a, nil, http.MethodPost, path+"/verify", struct{}{}); v["ok"] != false {
		t.Errorf("%v", v)
	}
	p.call(a, nil, http.MethodPatch, path, map[string]any{"config": map[string]any{"password": password("one")}})
	if m := p.ended(a, held); m["status"] != "SENT" || m["attempts"] != 1.0 {
		t.Error(m)
	}
	if v := p.call(a, nil, http.MethodPost, path+"/verify", struct{}{}); v["ok"] != true {
		t.Errorf("%v", v)
	}
	if v := p.call(a, nil, http.MethodPost, path+"/test", map[string]any{"to": "esi@example.org"}); v["ok"] != true || v["class"] != "accepted" {
		t.Errorf("%v", v)
	}
	p.stop()
	if out, code := commserver(t, dir, nil, "rotate-keys"); code != 0 || !strings.Contains(out, "can be removed") {
		t.Errorf("%d %s", code, out)
	}
	write(added)
	p = serveMail(t, dir)
	for _, x := range []tenant{a, b} {
		if m := p.ended(x, p.mail(x, "ama@example.org")); m["status"] != "SENT" {
			t.Error(m)
		}
	}
	if mail.denied != 0 {
		t.Errorf("%d logins refused", mail.denied)
	}
}

// account makes a live app that logs in to the mail server by the name of the app.
func (p *process) account(slug string, s *loginServer) tenant {
	p.t.Helper()
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": slug, "slug": slug, "scopes": []string{"SEND", "READ", "PROVIDERS"}})
	a := tenant{id: slug, key: fmt.Sprint(made["apiKey"])}
	p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "SMTP", "config": s.config(slug)})
	p.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
	return a
}

// damage changes a bit of the app's stored secret.
func damage(t *testing.T, file, slug string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const of = ` WHERE app_id = (SELECT id FROM apps WHERE slug = ?)`
	var box []byte
	if err := db.QueryRowContext(t.Context(), `SELECT secrets FROM provider_configs`+of, slug).Scan(&box); err != nil {
		t.Fatal(err)
	}
	box[len(box)-1] ^= 1
	if _, err := db.ExecContext(t.Context(), `UPDATE provider_configs SET secrets = ?`+of, box, slug); err != nil {
		t.Fatal(err)
	}
}
