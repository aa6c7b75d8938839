// Command count runs `go test -json` commands one after the other, prints a line
// for each package and the output of each test that fails, names the slowest, and ends with the line
// "N passed, N failed". It exits with 1 when a test failed, a package did not build
// or no test ran at all.
//
//	go run ./test/count -- go test -json ./internal/... -- go test -json ./test/...
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
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
	commands := split(args)
	if len(commands) == 0 {
		return false, errors.New("name the commands to run, each after --")
	}
	c := newCounter(out)
	ok = true
	for _, command := range commands {
		clean, runErr := c.runOne(ctx, command)
		ok = ok && clean
		err = errors.Join(err, runErr)
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

// split cuts the arguments at each "--".
func split(args []string) [][]string {
	var all [][]string
	var one []string
	for _, a := range append(args, "--") {
		if a != "--" {
			one = append(one, a)
			continue
		}
		if len(one) > 0 {
			all = append(all, one)
		}
		one = nil
	}
	return all
}
