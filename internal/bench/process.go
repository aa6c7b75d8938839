package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a child of this run. It is stopped by its owner, whatever happens.
type process struct {
	addr  string
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}
	ready time.Duration // from the start until it said that it is ready
	web   *http.Transport

	internal string // where profiles are served; "" = nowhere
}

// launch starts the program and waits until GET path on addr is answered with 200.
func (b *bench) launch(ctx context.Context, addr, path string, env []string, args ...string) (_ *process, err error) {
	log, err := os.Create(b.path(b.name() + ".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), b.cfg.Binary, args...)
	cmd.Dir = b.dir
	cmd.Env = append(withoutSettings(os.Environ()), env...)
	cmd.Stdout, cmd.Stderr = log, log
	p := &process{addr: addr, cmd: cmd, log: log, ended: make(chan struct{}), web: newTransport()}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", strings.Join(args, " "), err), log.Close())
	}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	if err := p.await(ctx, path, started); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not become ready: %w", strings.Join(args, " "), err), p.stop())
	}
	return p, nil
}

func newTransport() *http.Transport { return &http.Transport{MaxIdleConnsPerHost: 4} }

// withoutSettings drops COMMS_ variables: what the user has set is not what is measured.
func withoutSettings(env []string) (out []string) {
	for _, e := range env {
		if !strings.HasPrefix(e, "COMMS_") {
			out = append(out, e)
		}
	}
	return out
}

const readyLimit = 60 * time.Second

func (p *process) await(ctx context.Context, path string, started time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		status, _, err := p.call(ctx, http.MethodGet, path, nil, nil)
		if err == nil && status == http.StatusOK {
			p.ready = time.Since(started)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			text, _ := os.ReadFile(p.log.Name())
			return fmt.Errorf("it ended: %s", lastLine(text))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// call makes one request and reads the whole answer.
func (p *process) call(ctx context.Context, method, path string, header http.Header, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.addr+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(req.Header, header)
	resp, err := p.web.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, out, err
}

// stop ends the process: politely, and after a while for certain.
func (p *process) stop() error {
	p.web.CloseIdleConnections()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		_ = p.cmd.Process.Kill() // it is gone, or the system has no such signal
	}
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.log.Close()
}

// used is the process's processor time so far; false where /proc does not say.
func (p *process) used() (time.Duration, bool) {
	info, ok := readProcess(p.cmd.Process.Pid)
	return info.used, ok
}
