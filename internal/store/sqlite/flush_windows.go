package sqlite

import "os"

// flush makes a file durable; folders cannot be flushed on this system.
func flush(path string) error {
	if st, err := os.Stat(path); err != nil || st.IsDir() {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
