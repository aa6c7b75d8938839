package sqlite

import (
	"errors"
	"fmt"

	lite "zombiezen.com/go/sqlite"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Primary result codes of SQLite (https://www.sqlite.org/rescode.html) that the store treats on their own.
const (
	codeIOErr   = 10
	codeCorrupt = 11
	codeFull    = 13
	codeNotADB  = 26
	primaryMask = 0xff
)

// errBroken is what everything gets after a commit whose flush failed. The
// flush is never repeated: the system may have dropped the pages that it could
// not write and would call the second flush a success.
var errBroken = errors.New("the disk refused to flush a commit; the server must be restarted")

// errClosed is what everything gets after Close.
var errClosed = errors.New("the store is closed")

// primary is the primary result code of an error of SQLite, 0 for any other.
func primary(err error) int {
	var c interface{ Code() int } // of database/sql's driver
	if errors.As(err, &c) {
		return c.Code() & primaryMask
	}
	if c := lite.ErrCode(err); c != lite.ResultError { // what it says of foreign errors, too
		return int(c.ToPrimary())
	}
	return 0
}

// readable says of an error of a file that is damaged, or no database, what to do.
func readable(err error, path string) error {
	if code := primary(err); code == codeCorrupt || code == codeNotADB {
		return fmt.Errorf("%s is damaged, or no database at all; put it and its -wal file aside and restore a backup into its place (`commserver restore`): %w", path, err)
	}
	return err
}

// refuse turns an error that means "cannot be stored now" into one that clients may see.
func refuse(err error) error {
	if err == nil {
		return nil
	}
	if primary(err) == codeFull { // there may be room for smaller ones
		return comm.E("unavailable").Because(&store.RolledBack{Cause: err})
	}
	if errors.Is(err, errBroken) || errors.Is(err, errReplaced) || errors.Is(err, errClosed) || errors.Is(err, errLowSpace) {
		return comm.E("unavailable").Because(err)
	}
	return err
}

// uncertain is a commit that nobody can tell the outcome of.
func uncertain(err error) error { return fmt.Errorf("%w: %w", store.ErrUncertain, err) }

// refusal is an operation's answer that has written nothing: its neighbours in
// the transaction need not be undone.
type refusal struct{ err error }

func (r refusal) Error() string { return r.err.Error() }

func (r refusal) Unwrap() error { return r.err }
