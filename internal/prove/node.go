package prove

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/commserver/commserver/internal/freeport"
)

// provisioningKey is the bootstrap secret of the processes of a run.
const provisioningKey = "prove-provisioning-key-0123456789abcdef"

// node is one place for a process: it is killed and started again at one address.
type node struct {
	run  *run
	name string
	addr string
	log  *os.File

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	paused bool
	down   bool // on purpose
}

func (r *run) startNodes(ctx context.Context) error {
	addrs, err := freeport.Addrs(r.cfg.Nodes)
	if err != nil {
		return err
	}
	for i, addr := range addrs {
		log, err := os.OpenFile(filepath.Join(r.cfg.Dir, fmt.Sprintf("node-%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		n := &node{run: r, name: fmt.Sprintf("node-%d", i), addr: addr, log: log}
		r.nodes = append(r.nodes, n)
		if err := n.start(); err != nil {
			return err
		}
		if err := n.ready(ctx, 30*time.Second); err != nil {
			return fmt.Errorf("%s did not become ready; see %s: %w", n.name, log.Name(), err)
		}
	}
	return nil
}

func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.CommandContext(context.Background(), n.run.cfg.Binary, "serve") // ended by signals, never by a context
	cmd.Dir = n.run.cfg.Dir
	cmd.Env = append(append(os.Environ(), n.run.cfg.Env...), "COMMS_ADDR="+n.addr, "COMMS_PROVISIONING_KEY="+provisioningKey,
		"COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_RETRY_SCHEDULE=300ms,600ms,1s", "COMMS_LOG_FORMAT=json")
	cmd.Stdout, cmd.Stderr = n.log, n.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	n.cmd, n.exited, n.paused, n.down = cmd, exited, false, false
	return nil
}

// ready waits until the node answers that it can accept.
func (n *node) ready(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if pause(ctx, 5*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (n *node) signal(sig syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(sig)
	}
	switch sig {
	case holdUp:
		n.paused = true
	case goOn:
		n.paused = false
	}
}

// wait waits for the process to be gone, killing it after the limit.
func (n *node) wait(limit time.Duration) (clean bool) {
	n.mu.Lock()
	exited, cmd := n.exited, n.cmd
	n.mu.Unlock()
	if exited == nil {
		return true
	}
	select {
	case <-exited:
		return cmd.ProcessState.ExitCode() == 0
	case <-time.After(limit):
		n.dump()
		<-exited
		return false
	}
}

// dump ends a process that hangs: SIGQUIT makes it write every goroutine's stack to its log.
func (n *node) dump() {
	n.signal(goOn)
	n.signal(syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(5 * time.Second):
		n.signal(syscall.SIGKILL)
	}
}

// crashed says whether the process ended although nobody asked it to.
func (n *node) crashed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.exited:
		return !n.down
	default:
		return false
	}
}

func (r *run) stopNodes() {
	for _, n := range r.nodes {
		n.signal(goOn)
		n.signal(syscall.SIGTERM)
	}
	for _, n := range r.nodes {
		n.wait(40 * time.Second)
		_ = n.log.Close()
	}
}

// heal brings every node back.
func (r *run) heal(ctx context.Context) error {
	for _, n := range r.nodes {
		n.signal(goOn)
		select {
		case <-n.exited:
			if err := n.start(); err != nil {
				return err
			}
		default:
		}
	}
	for _, n := range r.nodes {
		if err := n.ready(ctx, time.Minute); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}
