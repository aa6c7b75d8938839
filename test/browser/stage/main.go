// Command stage starts a server with a past, in a folder of its own that is removed at the end, and says where it is:
//
//	go run ./test/browser/stage
//
// With a command it runs that, with STAGED_WORLD naming a file that describes the server, and ends with it:
//
//	go run ./test/browser/stage node test/browser/walk.mjs docs
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/commserver/commserver/test/browser/staged"
	"github.com/commserver/commserver/test/build"
)

func main() {
	program := flag.String("program", "", "a commserver that is built already; else it is built")
	addr := flag.String("addr", "localhost:0", "where the server listens")
	past := flag.Bool("past", false, "a day of messages that went well lies behind the server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, staged.Options{Program: *program, Addr: *addr, Past: *past}, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o staged.Options, command []string) (err error) {
	if o.Program == "" {
		var program build.Program
		defer program.Remove()
		if o.Program, err = program.Path(); err != nil {
			return err
		}
	}
	if o.Dir, err = os.MkdirTemp("", "commserver-staged-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(o.Dir) }()
	w, err := staged.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Stop()) }()
	if len(command) == 0 {
		fmt.Printf("The console is at %s/console, the simulator at %s.\nAdministrator's key: %s\nCtrl-C ends both.\n\n", w.URL, w.Simulator, w.AdminKey)
		for _, s := range w.Stories {
			fmt.Printf("%-22s %s  %s\n", s.Name, s.Message, s.Happened)
		}
		<-ctx.Done()
		return nil
	}
	described, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("describe the server: %w", err)
	}
	file := filepath.Join(o.Dir, "world.json")
	if err := os.WriteFile(file, described, 0o600); err != nil {
		return fmt.Errorf("describe the server: %w", err)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "STAGED_WORLD="+file)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", command[0], err)
	}
	return nil
}
