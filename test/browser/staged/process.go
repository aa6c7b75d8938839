package staged

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// process is a program that was started and has said where it listens.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	log    string // the file with what it says
	exited error  // once ended is closed
}

// start runs the program with words, in a folder of its own data, and waits until what it says matches ready; it
// answers what was said until then.
func start(ctx context.Context, o Options, name string, env []string, ready *regexp.Regexp, words ...string) (*process, []byte, error) {
	p := &process{ended: make(chan struct{}), log: filepath.Join(o.Dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), o.Program, words...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = o.Dir, log, log
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir}, env...)
	if err := p.cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.exited = p.cmd.Wait(); close(p.ended) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		said, _ := os.ReadFile(p.log)
		if ready.Match(said) {
			return p, said, nil
		}
		select {
		case <-p.ended:
			return nil, nil, fmt.Errorf("%s ended: %w\n%s", name, errors.Join(p.exited, ctx.Err()), said)
		default:
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			_ = p.stop()
			return nil, nil, fmt.Errorf("%s is not ready\n%s", name, said)
		}
	}
}

// stop asks it to end and waits until it has; a program that does not is ended.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	if p.exited != nil {
		said, _ := os.ReadFile(p.log)
		return fmt.Errorf("%v: %w\n%s", p.cmd.Args, p.exited, bytes.TrimSpace(said[max(0, len(said)-2000):]))
	}
	return nil
}
