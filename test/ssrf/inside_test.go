//go:build linux

package ssrf

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/commserver/commserver/test/build"
)

// Of the process that runs inside: where the program is, and what says that it is the one inside.
const (
	insideEnv  = "COMMS_TEST_INSIDE"
	programEnv = "COMMS_TEST_PROGRAM"
	// cannot is how it ends when the network cannot be set up.
	cannot = 97
)

// outside says why these tests cannot run on this machine.
var outside string

// TestMain runs the tests in another process, which has a network and mounts of its own.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(cannot)
		}
		os.Exit(m.Run())
	}
	var product build.Program
	path, err := product.Path()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := within(path)
	product.Remove()
	if code == cannot {
		outside = "this machine does not let us make a network of our own (Linux, iproute2, and root or user namespaces)"
		code = m.Run()
	}
	os.Exit(code)
}

// within runs this test program inside, as root or as one of a namespace of users.
func within(program string) (code int) {
	const own = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	as := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	for _, attr := range []*syscall.SysProcAttr{
		{Cloneflags: own, Pdeathsig: syscall.SIGKILL},
		{Cloneflags: own | syscall.CLONE_NEWUSER, UidMappings: as(os.Getuid()), GidMappings: as(os.Getgid()), Pdeathsig: syscall.SIGKILL},
	} {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), insideEnv+"=1", programEnv+"="+program)
		cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdout, os.Stderr, attr
		err := cmd.Run()
		ended, ran := errors.AsType[*exec.ExitError](err)
		switch {
		case err == nil:
			return 0
		case !ran:
			fmt.Fprintln(os.Stderr, err)
		case ended.ExitCode() != cannot:
			return max(1, ended.ExitCode())
		}
	}
	return cannot
}

// settle makes every address of IPv4 and IPv6 one of this machine's, and us the server that answers for names.
func settle() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep our mounts to ourselves: %w", err)
	}
	file, err := os.CreateTemp("", "resolv.conf-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // the mount keeps it
	_, err = fmt.Fprintln(file, "nameserver "+nameServer+"\noptions timeout:2 attempts:2")
	if err := errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return err
	}
	if err := syscall.Mount(file.Name(), target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("put %s in place: %w", target, err)
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"route", "add", "local", "default", "dev", "lo"}, {"-6", "route", "add", "local", "default", "dev", "lo"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %q: %w: %s", args, err, out)
		}
	}
	return nil
}
