//go:build unix

package prove

import "syscall"

// The signals that hold a process up and let it go on.
const (
	holdUp = syscall.SIGSTOP
	goOn   = syscall.SIGCONT

	signals = true // a process can be sent every one of them
)
