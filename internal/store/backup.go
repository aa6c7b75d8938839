package store

import (
	"context"
	"errors"
	"io"

	"github.com/commserver/commserver/internal/comm"
)

// Backups is copying everything that is stored, as of one instant, beside whatever is accepted and sent meanwhile.
type Backups interface {
	// Backup writes a consistent copy to to: its head, then its parts. Nobody waits for it. On SQLite a second
	// file of the database's size stands beside it for that time, and one backup is made at once; on PostgreSQL
	// a transaction stays open, so that dead rows are kept, and a change of the schema waits for it.
	// Errors: unavailable where another one is under way or the disk has no room, those of to as they are.
	Backup(ctx context.Context, to BackupTo) error
}

// BackupTo takes a backup.
type BackupTo interface {
	// Head takes what is known at the beginning. It is called once, before any part.
	Head(h BackupHead) error
	// Part takes one part, which write writes; write answers how many rows of which tables it has written.
	Part(name string, write func(w io.Writer) (rows map[string]int64, err error)) error
}

// BackupFrom is a backup as it is read.
type BackupFrom interface {
	Head() *BackupHead
	// Next answers the next part, which is read to its end before the next call; io.EOF behind the last one.
	Next() (name string, part io.Reader, err error)
	// End answers the rows of each table once Next has answered io.EOF. An error says that what was read is not what was written.
	End() (rows map[string]int64, err error)
}

// BackupHead is what a backup says of itself at its beginning.
type BackupHead struct {
	Store   string       `json:"store"` // "sqlite", "postgresql": the one that it can be restored into
	TakenAt comm.Micros  `json:"takenAt"`
	Schema  []SchemaStep `json:"schema"`
	Canary  string       `json:"canary"` // as the setting CanarySetting: which keys of the ring its secrets are sealed under
	Feed    int64        `json:"feed"`   // the highest position that any app's event had
	// Columns is every table's columns, where parts are read by them.
	Columns map[string]string `json:"columns,omitempty"`
}

// Newest is the last step of the schema that the database had. Error: the backup names none, so that nothing can be made of it.
func (h *BackupHead) Newest() (string, error) {
	if len(h.Schema) == 0 {
		return "", errors.New("the backup names no schema, so that no database can be made of it: it was not written by `commserver backup`; use another one")
	}
	return h.Schema[len(h.Schema)-1].Name, nil
}

// SchemaStep is a migration that the database had.
type SchemaStep struct {
	Name string `json:"name"`
	Sum  string `json:"sum"`
}

// HoldSetting is the setting that keeps a restored database from sending: a Hold as package hold writes it.
const HoldSetting = "hold"

// Doubts is how many messages of a restored database may have been sent since its backup.
type Doubts struct {
	Queued  int64 // they were not scheduled for later: marked as possible duplicates
	Sending int64 // their attempts were under way
}

// Restoring is what a database that is being restored is told.
type Restoring struct {
	From BackupFrom
	// Hold is the setting HoldSetting, written with everything else.
	Hold func(now comm.Micros, d Doubts) (string, error)
	// Progress is told how many bytes were taken; nil: nobody.
	Progress func(bytes int64)
}
