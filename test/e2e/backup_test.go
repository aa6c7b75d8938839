package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/test/pgtest"
)

const backupAdmin = "the-key-of-the-admin-0123456789abc"

// place is where a server keeps everything, old or new.
type place struct {
	dir string
	env []string
}

// places are two empty ones of a kind, with the same keys.
func places(t *testing.T, postgres bool) (from, to place) {
	ring := newKeys(t, "k1")["k1"]
	one := func() place {
		p := place{dir: t.TempDir(), env: []string{"COMMS_ADMIN_KEY=" + backupAdmin, "COMMS_ENCRYPTION_KEYS=" + ring}}
		if postgres {
			p.env = append(p.env, "COMMS_DATABASE_URL="+pgtest.Database(t))
		}
		return p
	}
	return one(), one()
}

func (p *process) admin() *client.Admin {
	p.t.Helper()
	a, err := client.NewAdmin(client.Options{BaseURL: p.url, AdminKey: backupAdmin})
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// A backup is taken while a server accepts and sends; the old server sends on, also what waits in the backup. What is restored from it
// sends nothing until it is released, and then nothing a second time; what was accepted meanwhile is sent.
func TestABackupUnderLoadIsRestoredAndNothingIsSentTwice(t *testing.T) {
	for name, postgres := range map[string]bool{"SQLite": false, "PostgreSQL": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); backupAndRestore(t, postgres) })
	}
}

func backupAndRestore(t *testing.T, postgres bool) {
	from, to := places(t, postgres)
	mail := newMailServer(t, nil)
	old := serveMail(t, from.dir, from.env...)
	shop, waiting := old.live("shop", mail, nil), old.live("waiting", mail, nil)
	ctx := t.Context()
	old.queue("waiting", "PAUSE")
	var ids []string
	to5 := func(i int) string { return fmt.Sprintf("waiting%d@example.com", i) }
	for i := range 5 {
		ids = append(ids, old.mail(waiting, to5(i)))
	}
	// The load goes on before, during and after the backup.
	stop, sent := make(chan struct{}), 0
	var load sync.WaitGroup
	load.Go(func() {
		for ; ; sent++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				old.mail(shop, fmt.Sprintf("shop%d@example.com", sent))
			}
		}
	})
	file := filepath.Join(t.TempDir(), "comms.backup")
	out, code := commserver(t, from.dir, []string{"COMMS_URL=" + old.url, "COMMS_ADMIN_KEY=" + backupAdmin}, "backup", "--json", file)
	var made struct {
		Messages, Queued, Bytes int64
		Keys                    []string
		Store                   string
	}
	if code != 0 || json.Unmarshal([]byte(out), &made) != nil || made.Queued < 5 || !slices.Equal(made.Keys, []string{"k1"}) {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() != made.Bytes {
		t.Errorf("%v %v", info, err)
	}
	close(stop)
	load.Wait()
	old.queue("waiting", "RESUME")
	for _, id := range ids {
		if m := old.ended(waiting, id); m["status"] != "SENT" {
			t.Fatalf("%v", m)
		}
	}
	old.allSent(shop)
	old.stop()
	before := mail.all()

	if out, code := commserver(t, to.dir, to.env, "restore", "--check", file); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	out, code = commserver(t, to.dir, to.env, "restore", file)
	if code != 0 || !strings.Contains(out, "queue release") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if out, code := commserver(t, to.dir, to.env, "restore", file); code == 0 {
		t.Errorf("over a database that is there: %s", out)
	}
	p := serveMail(t, to.dir, to.env...)
	admin := p.admin()
	h, err := admin.Hold(ctx)
	if err != nil || h.State != "HELD" || h.MayHaveBeenSent < 5 || h.Waiting < 5 {
		t.Fatalf("%+v %v", h, err)
	}
	if out, code := commserver(t, to.dir, nil, "health", "--url", p.url); code != 0 || !strings.Contains(out, "held") {
		t.Errorf("health while held: exit code %d: %s", code, out)
	}
	p.queue("waiting", "RESUME")
	fresh := p.mail(shop, "fresh@example.com")
	m := p.call(shop, nil, http.MethodGet, "/api/v1/messages/"+fresh, nil)
	if m["status"] != "QUEUED" || m["waitingFor"] != "held" {
		t.Errorf("while held: %v", m)
	}
	time.Sleep(time.Second) // what should not happen would take milliseconds
	if now := mail.all(); len(now) != len(before) {
		t.Fatalf("%d recipients got mail while everything was held, %d before", len(now), len(before))
	}
	cli := []string{"COMMS_URL=" + p.url, "COMMS_ADMIN_KEY=" + backupAdmin}
	if out, code := commserver(t, to.dir, cli, "queue", "release", "--yes"); code != 2 {
		t.Errorf("without a choice: exit code %d: %s", code, out)
	}
	if out, code := commserver(t, to.dir, cli, "queue", "release", "--doubtful", "fail", "--yes"); code != 0 || !strings.Contains(out, "RELEASED") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if m := p.ended(shop, fresh); m["status"] != "SENT" {
		t.Errorf("accepted while held: %v", m)
	}
	for _, id := range ids {
		if m := p.ended(waiting, id); m["status"] != "FAILED" || m["errorCode"] != "outcome_unknown" || m["mayHaveBeenSent"] != true {
			t.Errorf("what may have been sent: %v", m)
		}
	}
	p.allSent(shop)
	for to, n := range mail.all() {
		if n != 1 {
			t.Errorf("%s got %d mails", to, n)
		}
	}
	if out, code := commserver(t, to.dir, nil, "health", "--url", p.url); code != 0 || out != "ready\n" {
		t.Errorf("health after the release: exit code %d: %s", code, out)
	}
	if v, err := admin.VerifyAudit(ctx, nil); err != nil || !v.OK {
		t.Errorf("the audit log after restoring: %+v %v", v, err)
	}
	if _, err := admin.Release(ctx, client.ReleaseSend); err == nil {
		t.Error("another choice is taken after the release")
	}
}

// allSent waits until nothing of the app waits, and sees that every message ended.
func (p *process) allSent(a tenant) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		open := 0
		// Twice for those that wait: one that goes back into the queue between the first two answers is in neither.
		for _, status := range []string{"QUEUED", "SENDING", "QUEUED"} {
			open += len(p.call(a, nil, http.MethodGet, "/api/v1/messages?limit=1&status="+status, nil)["data"].([]any))
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal("messages wait")
		}
	}
}

// all is how many mails each recipient got.
func (s *mailServer) all() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.rcpts)
}

// What cannot be restored is refused before anything is written, with the reason; and a command that is killed leaves no half.
func TestBackupsThatCannotBeRestored(t *testing.T) {
	from, _ := places(t, false)
	p := serve(t, from.dir, from.env...)
	key, err := p.admin().CreateKey(t.Context(), "demo", client.NewKey{Name: "backup"})
	if err != nil {
		t.Fatal(err)
	}
	p.mail(tenant{id: "demo", key: key.APIKey}, "ama@example.com")
	dir := t.TempDir()
	file := filepath.Join(dir, "good.backup")
	if out, code := commserver(t, from.dir, []string{"COMMS_URL=" + p.url, "COMMS_ADMIN_KEY=" + backupAdmin}, "backup", file); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if out, code := commserver(t, from.dir, from.env, "backup", "--direct", filepath.Join(dir, "direct.backup")); code == 0 || !strings.Contains(out, "in use") {
		t.Errorf("directly, beside a server: exit code %d: %s", code, out)
	}
	if out, code := commserver(t, from.dir, []string{"COMMS_URL=" + p.url, "COMMS_ADMIN_KEY=" + backupAdmin}, "backup", file); code == 0 || !strings.Contains(out, "never written over") {
		t.Errorf("over another one: exit code %d: %s", code, out)
	}
	p.stop()
	if out, code := commserver(t, from.dir, from.env, "backup", "--direct", filepath.Join(dir, "direct.backup")); code != 0 {
		t.Errorf("directly: exit code %d: %s", code, out)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(good)
	damaged[len(damaged)/2] ^= 0x55
	other := newKeys(t, "k1")["k1"]
	for name, c := range map[string]struct {
		content []byte
		env     []string
		want    string
	}{
		"damaged":          {damaged, from.env, "damaged"},
		"cut off":          {good[:len(good)-20], from.env, "damaged or was cut off"},
		"no backup":        {[]byte("hello"), from.env, "no backup"},
		"another ring":     {good, []string{"COMMS_ENCRYPTION_KEYS=" + other}, "does not open"},
		"no ring":          {good, nil, "encryption-keys"},
		"another database": {good, append([]string{"COMMS_DATABASE_URL=postgres://127.0.0.1:1/none"}, from.env...), "postgresql"},
	} {
		bad, into := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")), t.TempDir()
		if err := os.WriteFile(bad, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := commserver(t, into, c.env, "restore", bad); code == 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d: %s", name, code, out)
		}
		if left, _ := filepath.Glob(filepath.Join(into, "data", "*.db*")); len(left) > 0 {
			t.Errorf("%s leaves %q", name, left)
		}
	}
	killed(t, from.env, file)
}

// killed kills restores at many moments: what has the database's name is whole and held.
func killed(t *testing.T, env []string, file string) {
	into := t.TempDir()
	database := filepath.Join(into, "data", "commserver.db")
	path := program(t)
	for i := range 40 {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "restore", file)
		cmd.Dir, cmd.Env = into, append([]string{"HOME=" + into, "PATH=" + os.Getenv("PATH")}, env...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+i*5) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if _, err := os.Stat(database); err == nil {
			break
		}
	}
	if _, err := os.Stat(database); err != nil {
		if out, code := commserver(t, into, env, "restore", file); code != 0 { // what was left is in nobody's way
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	p := serve(t, into, env...)
	if h, err := p.admin().Hold(t.Context()); err != nil || h.State != "HELD" {
		t.Errorf("%+v %v", h, err)
	}
}
