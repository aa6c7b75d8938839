//go:build !unix

package memory

import (
	"errors"
	"os"
)

// Elsewhere nothing is kept in memory (roomy), so nobody locks.
var errNoLocks = errors.New("lock a folder in memory: not on this system")

func (*Folder) share() error { return errNoLocks }

func (*Folder) claim() (alone bool, err error) { return false, errNoLocks }

func ours(os.FileInfo) bool { return false }
