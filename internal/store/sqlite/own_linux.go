package sqlite

import "os"

// own keeps the file from processes that know it by another name (a hard link),
// for as long as f is open. On this system flock has nothing to do with the
// locks that SQLite takes itself.
func own(f *os.File) error { return flock(f) }
