//go:build !linux

package cli

// toJournal is false: systemd's journal is Linux's.
func (s Streams) toJournal() bool { return false }
