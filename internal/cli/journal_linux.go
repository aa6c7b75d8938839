package cli

import (
	"fmt"
	"os"
	"syscall"
)

// toJournal says whether what is printed is kept by systemd's journal, which everybody in the group adm reads and backups take along. JOURNAL_STREAM
// names one stream of the two (systemd.exec(5)), standard error where they differ, and is inherited by what writes elsewhere: either may be it.
func (s Streams) toJournal() bool {
	stream := s.env("JOURNAL_STREAM")
	if stream == "" || s.terminal().Out {
		return false
	}
	for _, to := range []any{s.Out, s.Err} {
		f, ok := to.(*os.File)
		if !ok {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino) {
			return true
		}
	}
	return false
}
