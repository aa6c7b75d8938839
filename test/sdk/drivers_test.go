package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// language is a client with the program that drives it.
type language struct {
	name    string
	command []string
	env     []string
	missing string   // why it cannot run here; "": it can
	cannot  []string // what its client does not offer: calls, or "abort"
	brief   bool     // leaves the faults of every single operation to full sizes
}

// pool is how many processes of a driver share the vectors: they mostly wait.
const pool = 3

// languages are the clients of this repository, and what they run on beside the usual.
func languages(t *testing.T) []language {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := absolute(t, "drivers/driver.mjs")
	compiled := "COMMS_SDK_CLIENT=file://" + absolute(t, "../../sdk/dist/comms-client.js")
	out := []language{
		{name: "go", command: []string{self}, env: []string{"COMMS_SDK_DRIVER=go"}},
		{name: "typescript", command: []string{"node", script}, env: []string{compiled}, missing: unbuilt(t)},
	}
	for name, program := range map[string]string{"python": "python3", "php": "php"} {
		script := absolute(t, "drivers/driver."+map[string]string{"python": "py", "php": "php"}[name])
		one := language{name: name, command: []string{program, script}, cannot: []string{"abort", "waitForDelivery along the stream"}, brief: true}
		if _, err := exec.LookPath(program); err != nil {
			one.missing = program + " is not installed; run: make setup"
		}
		out = append(out, one)
	}
	// Other runtimes, if somebody names their programs.
	for variable, arguments := range map[string][]string{"NODE18": {script}, "BUN": {"run", script}, "DENO": {"run", "--allow-all", script}, "WORKERD": nil} {
		program := os.Getenv("COMMS_SDK_" + variable)
		if program == "" {
			continue
		}
		command := append([]string{program}, arguments...)
		if variable == "WORKERD" { // has no stdin: a program of Node's hands it the steps
			command = []string{"node", absolute(t, "drivers/workerd.mjs")}
		}
		out = append(out, language{name: "typescript-" + variable, command: command, env: []string{compiled}, missing: unbuilt(t)})
	}
	return out
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	out, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// driver is a running driver program, which one vector has at a time.
type driver struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	nextID int
}

// answered is what a driver says of a step.
type answered struct {
	ID     int            `json:"id"`
	Result any            `json:"result"`
	Error  map[string]any `json:"error"`
}

// drivers starts processes of a language as they are needed.
type drivers struct {
	t    *testing.T
	of   language
	free chan *driver
	mu   sync.Mutex
	all  []*driver
}

func newDrivers(t *testing.T, of language) *drivers {
	t.Helper()
	d := &drivers{t: t, of: of, free: make(chan *driver, pool)}
	for range pool {
		d.free <- nil
	}
	t.Cleanup(d.stop)
	return d
}

// take lends a driver; give it back.
func (d *drivers) take(ctx context.Context) (*driver, error) {
	one := <-d.free
	if one != nil {
		return one, nil
	}
	// The process outlives the test that starts it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), d.of.command[0], d.of.command[1:]...)
	cmd.Env = append(os.Environ(), d.of.env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	one = &driver{cmd: cmd, in: in, out: bufio.NewReader(out)}
	d.mu.Lock()
	d.all = append(d.all, one)
	d.mu.Unlock()
	return one, nil
}

func (d *drivers) stop() {
	for _, one := range d.all {
		_ = one.in.Close() // which ends it
		if err := one.cmd.Wait(); err != nil && !d.t.Failed() {
			d.t.Errorf("the driver of %s: %v", d.of.name, err)
		}
	}
}

// answerTime is how long a driver may take for a step; the slowest wait for seconds, by themselves.
const answerTime = 3 * time.Minute

// do has a step done and waits for what the driver says of it.
func (d *driver) do(step map[string]any) (*answered, error) {
	d.nextID++
	step["id"] = d.nextID
	line, err := json.Marshal(step)
	if err != nil {
		return nil, err
	}
	hung := time.AfterFunc(answerTime, func() { _ = d.cmd.Process.Kill() })
	defer hung.Stop()
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("tell the driver: %w", err)
	}
	text, err := d.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the driver ended, or did not answer in %s: %w", answerTime, err)
	}
	out := &answered{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("the driver said %q: %w", text, err)
	}
	if out.ID != d.nextID {
		return nil, errors.New("the driver answers another step")
	}
	return out, nil
}

// TestMain is also the driver of the Go client, which needs no program of its own.
func TestMain(m *testing.M) {
	if os.Getenv("COMMS_SDK_DRIVER") == "go" {
		driveGo(os.Stdin, os.Stdout)
		os.Exit(0)
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the server:", err)
		code = 1
	}
	product.Remove()
	os.Exit(code)
}
