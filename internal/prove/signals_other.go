//go:build !unix

package prove

import "syscall"

// Elsewhere a process can be killed and nothing else; these are never sent.
const (
	holdUp = syscall.Signal(0x101)
	goOn   = syscall.Signal(0x102)

	signals = false
)
