//go:build unix

package sqlite

import "os"

// flush makes a file or a folder's entries durable.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
