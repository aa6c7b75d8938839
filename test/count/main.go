// Command count runs `go test -json` commands one after the other, prints a line
// for each package and the output of each test that fails, names the slowest, and ends with the line
// "N passed, N failed". It exits with 1 when a test failed, a package did not build
// or no test ran at all.
//
//	go run ./test/count -- go test -json ./internal/... -- go test -json ./test/...
//
// A command that follows ++ in place of -- runs beside the one before it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
	}
	if !ok || err != nil {
		stop()
		os.Exit(1)
	}
}

// run runs every command, also after one has failed, and reports whether all is well.
func run(ctx context.Context, args []string, out io.Writer) (ok bool, err error) {
	steps := split(args)
	if len(steps) == 0 {
		return false, errors.New("name the commands to run, each after --, or after ++ to run it beside the one before")
	}
	out = &shared{w: out}
	c := newCounter(out)
	ok = true
	for _, step := range steps {
		// Each has a counter of its own: the end of a package says that all of its tests have ended.
		parts, clean, errs := make([]*counter, len(step)), make([]bool, len(step)), make([]error, len(step))
		var wg sync.WaitGroup
		for i, command := range step {
			parts[i] = newCounter(out)
			wg.Go(func() { clean[i], errs[i] = parts[i].runOne(ctx, command) })
		}
		wg.Wait()
		for i := range step {
			c.take(parts[i])
			ok = ok && clean[i]
		}
		err = errors.Join(err, errors.Join(errs...))
	}
	c.showSlowest()
	passed, failed, skipped := c.totals()
	// A command may fail without naming a test, for example by a wrong flag.
	if !ok && failed == 0 {
		failed = 1
	}
	line := fmt.Sprintf("%d passed, %d failed", passed, failed)
	if skipped > 0 {
		line += fmt.Sprintf(", %d skipped", skipped)
	}
	if _, printErr := fmt.Fprintln(out, line); printErr != nil {
		err = errors.Join(err, printErr)
	}
	return ok && failed == 0 && passed > 0, err
}

// runOne runs one command and reports whether it exited with 0.
func (c *counter) runOne(ctx context.Context, command []string) (clean bool, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("run tests: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("run tests: %w", err)
	}
	readErr := c.read(stdout)
	waitErr := cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](waitErr); exited {
		return false, readErr
	}
	return waitErr == nil, errors.Join(readErr, waitErr)
}

// shared is written to by the commands that run beside each other.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// split cuts the arguments at each "--" into steps, and a step at each "++" into the commands that run at once.
func split(args []string) (steps [][][]string) {
	var one []string
	beside := false
	for _, a := range append(args, "--") {
		if a != "--" && a != "++" {
			one = append(one, a)
			continue
		}
		switch last := len(steps) - 1; {
		case len(one) == 0:
		case beside && last >= 0:
			steps[last] = append(steps[last], one)
		default:
			steps = append(steps, [][]string{one})
		}
		one, beside = nil, a == "++"
	}
	return steps
}
