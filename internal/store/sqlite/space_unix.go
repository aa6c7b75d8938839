//go:build linux || darwin || freebsd

package sqlite

import "syscall"

// freeBytes is what an unprivileged process may still write; ok is false when nobody can tell.
func freeBytes(dir string) (n uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), true //nolint:unconvert // the types differ between systems
}
