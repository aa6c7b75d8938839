// Command withpg runs another command with a throw-away PostgreSQL, whose address
// it puts into COMMS_TEST_DATABASE_URL. It gives the command's exit code. When the
// variable is set already, it only runs the command.
//
//	go run ./test/withpg go test ./internal/store/...
//
// With -hasty first, the server flushes nothing to its disk, and both its files and the temporary
// ones of the command are kept in memory where there is room and no TMPDIR says otherwise. Only a
// machine that loses its power tells the difference, and many small databases are made and removed
// in a fraction of the time. What is measured must be measured without it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/commserver/commserver/test/memory"
	"github.com/commserver/commserver/test/pgserver"
)

const variable = "COMMS_TEST_DATABASE_URL"

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
	}
	os.Exit(code)
}

// run returns the exit code; an error is about withpg itself.
func run(args []string) (code int, err error) {
	options, env := pgserver.Options{}, os.Environ()
	if len(args) > 0 && args[0] == "-hasty" {
		options, args = pgserver.Hasty(), args[1:]
		more, giveBack, borrowErr := inMemory()
		if borrowErr != nil {
			return 1, borrowErr
		}
		defer func() {
			if backErr := giveBack(); backErr != nil && err == nil {
				code, err = 1, backErr
			}
		}()
		env = append(env, more...)
	}
	if len(args) == 0 {
		return 2, errors.New("no command to run was named, such as: go test ./internal/store/sqlite")
	}
	// A signal to the group reaches the command as well, which then ends by itself.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(variable) == "" {
		server, err := pgserver.Start(ctx, options)
		if err != nil {
			return 1, err
		}
		defer func() {
			// The context may be over by now, and the server must go all the same.
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if stopErr := server.Stop(ctx); stopErr != nil && err == nil {
				code, err = 1, stopErr
			}
		}()
		env = append(env, variable+"="+server.URL("postgres"))
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// inMemory is where the command's temporary files go, if there is room in memory; the compiler's,
// which are large and flushed by nobody, stay where they are.
func inMemory() (env []string, giveBack func() error, err error) {
	if _, ok := memory.Root(); !ok {
		return nil, func() error { return nil }, nil
	}
	folder, err := memory.Borrow()
	if err != nil {
		return nil, nil, err
	}
	env = []string{"TMPDIR=" + folder.Path}
	if os.Getenv("GOTMPDIR") == "" {
		env = append(env, "GOTMPDIR="+os.TempDir())
	}
	return env, folder.GiveBack, nil
}
