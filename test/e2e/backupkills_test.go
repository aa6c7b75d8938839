package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The server, or the command, is killed while a backup is made under load, at many moments. Then the server starts, everything that was accepted is there and comes
// to its end, what there is of the backup is refused, and nothing is left lying.
func TestKillsDuringABackup(t *testing.T) {
	for name, postgres := range map[string]bool{"SQLite": false, "PostgreSQL": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); killBackups(t, postgres) })
	}
}

// killing is a server that is killed while backups of it are made.
type killing struct {
	*testing.T
	at       place
	postgres bool
	p        *process
	app      tenant
	dir      string // of backups
	accepted []string
	under    map[string]int // kills while a backup was made
}

func killBackups(t *testing.T, postgres bool) {
	at, _ := places(t, postgres)
	at.env = append(at.env, "COMMS_LEASE=3s", "COMMS_HEARTBEAT=1s")
	k := &killing{T: t, at: at, postgres: postgres, dir: t.TempDir(), under: map[string]int{}}
	k.p = serveMail(t, at.dir, at.env...)
	k.app = k.live("shop")
	k.fill()
	began := time.Now()
	if out, code := k.run("whole.backup").wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	whole := time.Since(began)
	rounds := 6
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		rounds = 60
	}
	// At all moments of a backup; then, where none met what is being written, as soon as something of it is.
	for n := 0; n < rounds || n < 4*rounds && (k.under["server"] == 0 || k.under["command"] == 0); n++ {
		at := func(*command) { time.Sleep(whole * time.Duration(n+1) / time.Duration(rounds+1)) }
		if n >= rounds {
			at = k.written
		}
		if n%2 == 0 {
			k.killServer(n, at)
		} else {
			k.killCommand(n, at)
		}
		k.looksClean()
	}
	k.direct()
	if k.under["server"] == 0 || k.under["command"] == 0 {
		t.Errorf("no kill met a backup: %v, which takes %v", k.under, whole)
	}
	k.p.allSent(k.app)
	for _, id := range k.accepted {
		if m := k.p.call(k.app, nil, http.MethodGet, "/api/v1/messages/"+id, nil); m["status"] != "SENT" && m["mayHaveBeenSent"] != true {
			t.Errorf("%v", m)
		}
	}
	if out, code := k.run("last.backup").wait(); code != 0 {
		t.Errorf("after the kills: exit code %d: %s", code, out)
	}
	if left, _ := filepath.Glob(filepath.Join(k.dir, "*.part")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	t.Logf("%d messages accepted; a backup takes %v; killed under way: %v", len(k.accepted), whole, k.under)
}

// live makes a live app that may send much.
func (k *killing) live(slug string) tenant {
	k.Helper()
	a := k.p.live(slug, newMailServer(k.T, nil), nil)
	k.p.call(tenant{}, http.Header{"X-Admin-Key": {backupAdmin}}, http.MethodPatch, "/api/admin/apps/"+slug, map[string]any{"ratePerMinute": 100_000})
	return a
}

// fill gives the database some megabytes that are not easily compressed, so that a backup takes its time.
func (k *killing) fill() {
	k.Helper()
	ballast := k.live("ballast")
	k.p.queue("ballast", "PAUSE")
	for range 2 {
		var all []map[string]any
		for i := range 250 {
			noise := make([]byte, 6<<10)
			_, _ = rand.Read(noise) // never fails
			all = append(all, map[string]any{"channel": "EMAIL", "to": fmt.Sprintf("b%d@example.com", i), "subject": "Ballast", "body": base64.StdEncoding.EncodeToString(noise)})
		}
		k.p.call(ballast, nil, http.MethodPost, "/api/v1/messages/batch", map[string]any{"messages": all})
	}
}

// command is a backup that is being made.
type command struct {
	name string
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
}

func (k *killing) run(name string, more ...string) *command {
	k.Helper()
	c := &command{name: name, done: make(chan struct{})}
	c.cmd = exec.CommandContext(k.Context(), program(k.T), append([]string{"backup", filepath.Join(k.dir, name)}, more...)...)
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = k.at.dir, &c.out, &c.out
	c.cmd.Env = append([]string{"HOME=" + k.at.dir, "PATH=" + os.Getenv("PATH"), "COMMS_URL=" + k.p.url}, k.at.env...)
	if err := c.cmd.Start(); err != nil {
		k.Fatal(err)
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	return c
}

// wait answers what the command says and its exit code.
func (c *command) wait() (out string, code int) {
	<-c.done
	return c.out.String(), c.cmd.ProcessState.ExitCode()
}

func (c *command) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// load sends messages until it is stopped, or nobody answers.
func (k *killing) load() (stop func()) {
	k.Helper()
	url, ended := k.p.url, make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			default:
			}
			body := fmt.Sprintf(`{"channel":"EMAIL","to":"n%d@example.com","subject":"Hello","body":"<p>Hello</p>"}`, n)
			req, err := http.NewRequestWithContext(k.Context(), http.MethodPost, url+"/api/v1/messages", strings.NewReader(body))
			if err != nil {
				k.Error(err)
				return
			}
			req.Header = http.Header{"X-App-Id": {k.app.id}, "X-Api-Key": {k.app.key}, "Content-Type": {"application/json"}}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return // it was killed
			}
			var made struct{ ID string }
			err = json.NewDecoder(res.Body).Decode(&made)
			_ = res.Body.Close()
			if err == nil && res.StatusCode == http.StatusAccepted {
				k.accepted = append(k.accepted, made.ID)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	return func() { close(ended); sending.Wait() }
}

// written waits until something of a backup stands in its unfinished file, or the command is over.
func (k *killing) written(c *command) {
	k.Helper()
	for !k.isWritten(c) && !c.over() {
		time.Sleep(time.Millisecond)
	}
}

func (k *killing) isWritten(c *command) bool {
	k.Helper()
	left, _ := filepath.Glob(filepath.Join(k.dir, c.name+".*.part")) // of this one: what a killed command has left is there until the next has begun
	for _, file := range left {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// killServer kills the server at a moment of a backup, and starts it again.
func (k *killing) killServer(n int, at func(*command)) {
	k.Helper()
	stop, name := k.load(), fmt.Sprintf("server%d.backup", n)
	c := k.run(name)
	at(c)
	met := k.isWritten(c)
	_ = k.p.cmd.Process.Kill()
	<-k.p.exited
	stop()
	out, code := c.wait()
	k.judge(name, code, out)
	if code != 0 && met {
		k.under["server"]++
	}
	if left, _ := filepath.Glob(filepath.Join(k.dir, "*.part")); len(left) > 0 {
		k.Errorf("a command that was not killed leaves %q", left)
	}
	k.p = serveMail(k.T, k.at.dir, k.at.env...)
}

// killCommand kills the command at a moment.
func (k *killing) killCommand(n int, at func(*command)) {
	k.Helper()
	stop, name := k.load(), fmt.Sprintf("command%d.backup", n)
	var more []string
	if k.postgres && n%4 == 3 {
		more = []string{"--direct"}
	}
	c := k.run(name, more...)
	at(c)
	met := k.isWritten(c)
	_ = c.cmd.Process.Kill()
	out, code := c.wait()
	if stop(); code < 0 && met { // by the signal
		k.under["command"]++
	}
	k.judge(name, code, out)
}

// judge wants a file of that name to be whole, whatever became of the command, and one that has none to be refused, unless it is whole.
func (k *killing) judge(name string, code int, out string) {
	k.Helper()
	check := func(file string) (string, int) {
		return commserver(k.T, k.TempDir(), k.at.env, "restore", "--check", file)
	}
	file := filepath.Join(k.dir, name)
	if _, err := os.Stat(file); err == nil {
		if said, code := check(file); code != 0 {
			k.Errorf("%s is not whole: %s", name, said)
		}
	} else if code == 0 {
		k.Errorf("exit code 0, and there is no %s: %s", name, out)
	}
	left, _ := filepath.Glob(filepath.Join(k.dir, "*.part"))
	if len(left) > 1 {
		k.Errorf("left: %q", left)
	}
	for _, part := range left {
		if said, code := check(part); code != 0 && !strings.Contains(said, "use another one") {
			k.Errorf("%s: exit code %d: %s", part, code, said)
		}
	}
}

// looksClean wants no copy beside the database of a server that runs and makes no backup.
func (k *killing) looksClean() {
	k.Helper()
	var left []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if left, _ = filepath.Glob(filepath.Join(k.at.dir, "data", "*.copying*")); len(left) == 0 {
			return
		}
	}
	k.Errorf("left: %q", left)
}

// direct kills a command that reads SQLite's file itself, while no server runs.
func (k *killing) direct() {
	if k.postgres {
		return
	}
	k.Helper()
	k.p.stop()
	c := k.run("direct.backup", "--direct")
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline) && !c.over(); time.Sleep(time.Millisecond) {
		if left, _ := filepath.Glob(filepath.Join(k.at.dir, "data", "*.copying*")); len(left) > 0 {
			break
		}
	}
	_ = c.cmd.Process.Kill()
	out, code := c.wait()
	k.judge("direct.backup", code, out)
	k.p = serveMail(k.T, k.at.dir, k.at.env...)
	k.looksClean()
}
