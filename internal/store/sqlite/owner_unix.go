//go:build unix

package sqlite

import (
	"fmt"
	"os"
	"syscall"
)

// owner is whose a folder is, where what is made in it would be somebody else's; nil: nobody needs to be given anything.
type owner struct{ uid, gid int }

// ownerOf is the owner of a folder in which root makes what is not root's: a service that runs as that user could not open it otherwise.
func ownerOf(dir string) (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil, nil
	}
	return &owner{uid: int(st.Uid), gid: int(st.Gid)}, nil
}

// give gives the owner what this process has just made. It takes the open file: under its name the folder's owner could have put another one meanwhile.
func (o *owner) give(f *os.File) error {
	if o == nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// Some shares make everything one user's by themselves, and let nobody change it.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == o.uid {
		return nil
	}
	if err := f.Chown(o.uid, o.gid); err != nil {
		return fmt.Errorf("give it to user %d, whose folder it is in: %w; run the command as that user", o.uid, err)
	}
	return nil
}
