//go:build !linux && !darwin && !freebsd

package sqlite

// freeBytes is not known here: a full disk is found when a commit fails.
func freeBytes(string) (n uint64, ok bool) { return 0, false }
