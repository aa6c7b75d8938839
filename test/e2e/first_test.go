// Package e2e drives the built program from outside, as a newcomer, an
// application and an operator would: through its command line, its printed
// instructions and its API.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/test/build"
	"github.com/commserver/commserver/test/stalls"
)

// product is the binary that these tests drive.
var product build.Program

func TestMain(m *testing.M) {
	code := m.Run()
	product.Remove()
	os.Exit(code)
}

// process is a running `commserver serve`.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	exited chan struct{}
	url    string
}

var readyURL = regexp.MustCompile(`"msg":"ready","url":"([^"]+)"`)

// serve starts the program in dir and waits until it says that it is ready.
func serve(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(path, "serve"), exited: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, "COMMS_ADDR=localhost:0"), env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for _, x := range []struct {
		from io.Reader
		to   *bytes.Buffer
	}{{out, &p.stdout}, {errs, &p.stderr}} {
		readers.Go(func() {
			for sc := bufio.NewScanner(x.from); sc.Scan(); {
				p.mu.Lock()
				x.to.WriteString(sc.Text() + "\n")
				p.mu.Unlock()
			}
		})
	}
	go func() { readers.Wait(); _ = p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() { p.stop() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if m := readyURL.FindStringSubmatch(p.errors()); m != nil && isReady(m[1]) {
			p.url = m[1]
			return p
		}
		select {
		case <-p.exited:
			t.Fatalf("serve ended:\n%s", p.errors())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready:\n%s", p.errors())
		}
	}
}

func (p *process) output() string { p.mu.Lock(); defer p.mu.Unlock(); return p.stdout.String() }
func (p *process) errors() string { p.mu.Lock(); defer p.mu.Unlock(); return p.stderr.String() }

// stop ends the process as an operator would and answers its exit code.
func (p *process) stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.t.Error("SIGTERM did not end the process within 40 s")
	}
	return p.cmd.ProcessState.ExitCode()
}

func TestTheFirstMinute(t *testing.T) {
	dir, still := t.TempDir(), stalls.Watch(t)
	p := serve(t, dir)
	text := p.output()
	curls := regexp.MustCompile(`(?m)^  curl (?:[^\n]*\\\n)*[^\n]*$`).FindAllString(text, -1)
	if len(curls) != 2 {
		t.Fatalf("the first start prints %d curl commands:\n%s", len(curls), text)
	}
	var accepted struct{ ID, Status string }
	runCurl(t, curls[0]+` -s -w '\n%{http_code}'`, "202", &accepted)
	if accepted.Status != "QUEUED" || len(accepted.ID) != 25 {
		t.Fatalf("%+v", accepted)
	}
	var list struct {
		Data []struct {
			ID, Status, ToAddress, ProviderName string
			CreatedAt, SentAt                   time.Time
		}
	}
	for deadline := time.Now().Add(time.Minute); ; {
		runCurl(t, curls[1]+` -s -w '\n%{http_code}'`, "200", &list)
		if len(list.Data) == 1 && list.Data[0].Status == "SENT" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not SENT: %+v", list)
		}
	}
	// By the server's own times: a shell and curl take theirs.
	if m := list.Data[0]; m.SentAt.Sub(m.CreatedAt)-still.Between(m.CreatedAt, m.SentAt) > time.Second {
		t.Fatalf("not SENT within a second: %+v", m)
	}
	if m := list.Data[0]; m.ID != accepted.ID || m.ToAddress != "233241234567" || m.ProviderName != "sandbox" {
		t.Fatalf("%+v", m)
	}
	// The same request again is the same message.
	var again struct {
		ID           string
		Deduplicated bool
	}
	runCurl(t, curls[0]+` -s -w '\n%{http_code}'`, "200", &again)
	if again.ID != accepted.ID || !again.Deduplicated {
		t.Fatalf("%+v", again)
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.errors())
	}
	second := serve(t, dir)
	if out := second.output(); strings.Contains(out, "cs_test_") {
		t.Fatalf("the second start prints a key:\n%s", out)
	}
	runCurl(t, strings.ReplaceAll(curls[1], p.url, second.url)+` -s -w '\n%{http_code}'`, "200", &list)
	if len(list.Data) != 1 || list.Data[0].ID != accepted.ID {
		t.Fatalf("after a restart: %+v", list)
	}
	adminKey, err := os.ReadFile(filepath.Join(dir, "data", "admin-key"))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(adminKey))
	if !strings.Contains(text, key) || !strings.Contains(text, filepath.Join("data", "admin-key")) {
		t.Errorf("the first start does not print the admin key and where it is kept:\n%s", text)
	}
	for what, said := range map[string]string{"first start's log": p.errors(), "second start": second.output() + second.errors()} {
		if strings.Contains(said, key) {
			t.Errorf("the %s shows the admin key:\n%s", what, said)
		}
	}
	for _, name := range []string{"encryption-keys", "admin-key"} {
		info, err := os.Stat(filepath.Join(dir, "data", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

// isReady says whether the server takes work: it listens a moment before it owns its shards.
func isReady(url string) bool {
	resp, err := http.Get(url + "/readyz")
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func runCurl(t *testing.T, command, status string, into any) {
	t.Helper()
	out, err := exec.Command("bash", "-c", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	i := bytes.LastIndexByte(out, '\n')
	if got := string(out[i+1:]); got != status {
		t.Fatalf("status %s, want %s: %s", got, status, out[:i])
	}
	if err := json.Unmarshal(out[:i], into); err != nil {
		t.Fatalf("%v: %s", err, out[:i])
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"unknown variable":           {[]string{"COMMS_DATA_DIRECTORY=/tmp/x"}, nil, "COMMS_DATA_DIRECTORY"},
		"malformed value":            {[]string{"COMMS_LEASE=soon"}, nil, "COMMS_LEASE"},
		"unknown flag":               {nil, []string{"--data-directory", "x"}, "data-directory"},
		"role that SQLite cannot be": {[]string{"COMMS_ROLE=worker"}, nil, "COMMS_ROLE"},
		"PostgreSQL without keys":    {[]string{"COMMS_DATABASE_URL=postgres://localhost/x"}, nil, "COMMS_ENCRYPTION_KEYS"},
		"bad key ring":               {[]string{"COMMS_ENCRYPTION_KEYS=k1:short"}, nil, "COMMS_ENCRYPTION_KEYS"},
		"key of 16 bytes":            {[]string{"COMMS_ENCRYPTION_KEYS=k1:MDEyMzQ1Njc4OWFiY2RlZg=="}, nil, "COMMS_ENCRYPTION_KEYS"},
		"one byte as a key":          {[]string{"COMMS_ENCRYPTION_KEYS=k1:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}, nil, "COMMS_ENCRYPTION_KEYS"},
		"a sentence as a key":        {[]string{"COMMS_ENCRYPTION_KEYS=k1:YW4gZXhhbXBsZSBrZXkgb2YgMzIgY2hhcmFjdGVycyE="}, nil, "COMMS_ENCRYPTION_KEYS"},
		"counting as a key":          {[]string{"COMMS_ENCRYPTION_KEYS=k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}, nil, "COMMS_ENCRYPTION_KEYS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(path, append([]string{"serve"}, c.args...)...)
			cmd.Dir, cmd.Env = dir, append([]string{"COMMS_ADDR=localhost:0", "HOME=" + dir}, c.env...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 2 {
				t.Fatalf("exit code %d: %s", cmd.ProcessState.ExitCode(), out)
			}
			if !strings.Contains(string(out), c.want) {
				t.Fatalf("%s is not named: %s", c.want, out)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Fatalf("a refused start left %v", left)
			}
		})
	}
}

func TestAMissingKeyRingIsRefused(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir).stop()
	ring := filepath.Join(dir, "data", "encryption-keys")
	saved, err := os.ReadFile(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ring); err != nil {
		t.Fatal(err)
	}
	path, _ := product.Path()
	for name, env := range map[string]string{"missing": "", "another": "COMMS_ENCRYPTION_KEYS=k1:q8Yw0bJm3l0tq1mC4u0pGdV9xkq3n8e7s5ZtRr1aB2c="} {
		cmd := exec.Command(path, "serve")
		cmd.Dir, cmd.Env = dir, []string{"COMMS_ADDR=localhost:0", "HOME=" + dir}
		if env != "" {
			cmd.Env = append(cmd.Env, env)
		}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "COMMS_ENCRYPTION_KEYS") {
			t.Fatalf("%s ring: %v %s", name, err, out)
		}
	}
	if err := os.WriteFile(ring, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, dir)
	resp, err := http.Get(p.url + "/readyz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	resp.Body.Close()
}
