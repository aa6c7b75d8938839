package scale

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a running `commserver serve`.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	log     string // file
	url     string
	started time.Time
	ready   time.Duration // from the start of the process to its first 200 on /readyz
	exited  chan struct{}
}

var readyLine = regexp.MustCompile(`"msg":"ready","url":"([^"]+)"`)

// web is one client for all tests: its connections are kept.
var web = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
	MaxIdleConns: 1024, MaxIdleConnsPerHost: 512, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}}

// serve starts a process on the world's database and waits until it is ready.
func (w *world) serve(env ...string) *process {
	w.t.Helper()
	p, err := w.launch(env...)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// launch is serve for goroutines other than the test's own.
func (w *world) launch(env ...string) (*process, error) {
	path, err := product.Path()
	if err != nil {
		return nil, err
	}
	n := w.processes.Add(1)
	log, err := os.Create(filepath.Join(w.dir, fmt.Sprintf("process-%d.log", n)))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{t: w.t, cmd: exec.Command(path, "serve"), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = w.dir, log, log
	p.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir}, w.env...), env...)
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = p.cmd.Wait(); close(p.exited) }()
	w.t.Cleanup(p.kill)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if m := readyLine.FindStringSubmatch(p.logged()); m != nil {
			p.url = m[1]
			if resp, err := web.Get(p.url + "/readyz"); err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					p.ready = time.Since(p.started)
					return p, nil
				}
			}
		}
		select {
		case <-p.exited:
			return nil, fmt.Errorf("serve ended:\n%s", p.logged())
		default:
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("not ready after a minute:\n%s", p.logged())
		}
	}
}

// logged is the beginning of the process's log.
func (p *process) logged() string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(b)
}

// complaints are the log lines of level WARN and ERROR, at most the first ten.
func (p *process) complaints() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if (strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`)) && len(out) < 10 {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill ends the process at once, if it runs. A stopped one is ended, too.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// stop sends SIGTERM and answers the exit code and how long the process took. A
// process that outlives the limit is killed and counts as -1.
func (p *process) stop(limit time.Duration) (code int, took time.Duration) {
	at := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), time.Since(at)
	case <-time.After(limit):
		p.kill()
		return -1, time.Since(at)
	}
}

// end stops the process and wants that to go well.
func (p *process) end() {
	p.t.Helper()
	if code, took := p.stop(40 * time.Second); code != 0 {
		p.t.Errorf("SIGTERM: exit code %d after %s\n%s", code, took, p.complaints())
	}
}

// resident is the process's resident memory in MiB, now and at its highest.
func (p *process) resident() (now, peak float64) {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	read := func(name string) float64 {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				kib, err := strconv.Atoi(strings.Fields(rest)[0])
				if err != nil {
					p.t.Fatal(err)
				}
				return float64(kib) / 1024
			}
		}
		p.t.Fatalf("no %s in the process's status", name)
		return 0
	}
	return read("VmRSS"), read("VmHWM")
}

// mail is the request for a message to a recipient of the sink.
func mail(local, lane, key string, more string) []byte {
	return fmt.Appendf(nil, `{"channel":"EMAIL","to":"%s@%s","subject":"Scale %s","body":"<p>A message for %s.</p>","lane":"%s","idempotencyKey":"%s"%s}`,
		local, domain, local, local, lane, key, more)
}

// post sends one message for the tenant.
func post(base string, who tenant, body []byte) (status int, id string, answer []byte, err error) {
	status, answer, err = call(base, who, http.MethodPost, "/api/v1/messages", body)
	if err != nil {
		return 0, "", nil, err
	}
	var got struct{ ID string }
	if status < 300 {
		err = json.Unmarshal(answer, &got)
	}
	return status, got.ID, answer, err
}

// call makes one request and reads the whole answer.
func call(base string, who tenant, method, path string, body []byte) (int, []byte, error) {
	var payload io.Reader
	if body != nil {
		payload = bytes.NewReader(body)
	}
	req, err := http.NewRequest(method, base+path, payload)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/api/admin/") {
		req.Header.Set("X-Admin-Key", adminKey)
	} else {
		req.Header.Set("X-App-ID", who.app.Slug)
		req.Header.Set("X-API-Key", who.key)
	}
	resp, err := web.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
