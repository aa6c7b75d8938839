//go:build unix

package pgserver

import (
	"os/exec"
	"syscall"
)

type credential = syscall.Credential

// runs makes a command the owner's.
func (o owner) runs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.credential}
}

// apart gives a command that is the owner's a group of its own, so that Ctrl-C ends the tests first and the server after them.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr.Setpgid = true }

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }
