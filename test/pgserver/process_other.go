//go:build !unix

package pgserver

import (
	"errors"
	"os/exec"
)

// Elsewhere no server is started: its programs are looked for where Unix has them. This lets vet read what uses it.
type credential struct{ Uid, Gid uint32 }

func (owner) runs(*exec.Cmd) {}

func apart(*exec.Cmd) {}

func kill(int) error { return errors.New("not on this system") }
