// Package sqlstore is the SQL that both stores share: the cold tables (apps,
// keys, provider configurations, suppressions, settings, templates, the audit log), the migration runner
// and the reading of rows.
//
// It promises the same answers on SQLite and on PostgreSQL through database/sql
// and knows the difference between them only as a Dialect. It opens no
// connection, holds no state and has nothing to do with the hot tables' writes:
// those belong to each store.
package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
)

// Querier is what a connection, a transaction and a pool have in common.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is how the shared SQL reaches a store's database. It is safe for concurrent use.
type DB interface {
	// Read calls fn with something that sees committed rows. fn must not write.
	Read(ctx context.Context, fn func(Querier) error) error
	// Write calls fn in one transaction and commits it durably when fn answers
	// nil. It may call fn again after a rollback: fn assigns what it computes
	// instead of adding to it. Errors: fn's own, store.ErrUncertain when nobody
	// can tell whether the commit happened, anything else means nothing was stored.
	Write(ctx context.Context, fn func(Querier) error) error
}

// Dialect is the difference between the databases as far as the shared SQL meets it.
type Dialect struct {
	// ID is what binds an id as a parameter, IDs is what binds any number of them.
	ID  func(comm.ID) any
	IDs func([]comm.ID) any
	// Among is the condition that the column before it is among the ids bound to $1.
	Among string
	// Lock is run first in each migration's transaction, so that runners wait
	// for each other; "" when beginning the transaction does that already.
	Lock string
	// Hold follows a SELECT whose row nobody else may change until the transaction ends; ""
	// when the transaction keeps all others out.
	Hold string
	// Unfolded is run before rows of statistics go with their app: until the transaction ends nobody folds any, who would
	// still see the app and bring them back. "" as for Lock.
	Unfolded string
	// Untold is run before deliveries are erased with what they tell: until the transaction ends nobody stores more of the shard
	// $1. "" as for Lock.
	Untold string
	// Now is the database's clock as an expression, in microseconds.
	Now string
	// IDType and BytesType are what a parameter is cast to where its type cannot be told from its place.
	IDType, BytesType string
	// Text makes a text of a column of bytes.
	Text func(column string) string
	// Find is where in a text another one begins, 0 for nowhere.
	Find func(text, part string) string
	// By follows a table that is to be read by an index, where that can be said.
	By func(index string) string
	// Outbox lists events: $1 the time, $2 AppendRef of each, $3 the shard where the table has one.
	Outbox string
	// OneLane says that the rows of messages are in the order of their ids, whatever the app.
	OneLane bool
}

// SQLite keeps ids as blobs of 16 bytes. Its write transactions exclude each other.
func SQLite() Dialect {
	return Dialect{
		ID: func(id comm.ID) any { return id[:] },
		IDs: func(ids []comm.ID) any {
			return `[` + texts(ids, `"`, func(id comm.ID) string { return hex.EncodeToString(id[:]) }) + `]`
		},
		Among: `IN (SELECT unhex(value) FROM json_each($1))`,
		Now:   `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,

		IDType: "blob", BytesType: "blob", OneLane: true,
		Text:   func(column string) string { return `CAST(` + column + ` AS TEXT)` },
		By:     func(index string) string { return ` INDEXED BY ` + index },
		Outbox: `INSERT INTO outbox (at, items) VALUES ($1, $2)`,
		Find:   func(text, part string) string { return `instr(` + text + `, ` + part + `)` },
	}
}

// FoldLock is the number of the lock that PostgreSQL's node holds that folds statistics.
const FoldLock = `7307216202`

// ToldLock is the first number of the locks of shards, on PostgreSQL, that who makes deliveries shares and who erases takes alone.
const ToldLock = `73072`

// CurrentXID is the transaction under way as PostgreSQL numbers it.
const CurrentXID = `pg_current_xact_id()::text::bigint`

// PostgreSQL keeps ids as uuid. Its runners wait for each other by a lock of the transaction.
func PostgreSQL() Dialect {
	return Dialect{
		ID:       func(id comm.ID) any { return UUID(id) },
		IDs:      func(ids []comm.ID) any { return `{` + texts(ids, ``, UUID) + `}` },
		Among:    `= ANY ($1::uuid[])`,
		Now:      `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`,
		Lock:     `SELECT pg_advisory_xact_lock(7307216201)`,
		Unfolded: `SELECT pg_advisory_xact_lock(` + FoldLock + `)`,
		Hold:     ` FOR UPDATE`,
		Untold:   `SELECT pg_advisory_xact_lock(` + ToldLock + `, $1::integer)`,

		IDType: "uuid", BytesType: "bytea",
		Text:   func(column string) string { return `convert_from(` + column + `, 'UTF8')` },
		By:     func(string) string { return `` },
		Outbox: `INSERT INTO outbox (xid, shard, at, items) VALUES (` + CurrentXID + `, $3, $1, $2)`,
		Find:   func(text, part string) string { return `strpos(` + text + `, ` + part + `)` },
	}
}

// texts is the ids as texts with commas between them.
func texts(ids []comm.ID, quote string, text func(comm.ID) string) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote + text(id) + quote)
	}
	return b.String()
}

// UUID is the id's bytes in the text form of PostgreSQL's uuid.
func UUID(id comm.ID) string {
	var b [36]byte
	hex.Encode(b[0:], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:], id[10:16])
	return string(b[:])
}

// Cold is the roles store.Apps, store.Keys, store.Providers, store.Endpoints, store.Suppressions,
// store.Settings, store.Templates, store.Audit, store.Alerts, store.Sealed, store.Upkeep, store.Persons, store.Users and store.Sessions on a DB. Stores embed it. It is safe for concurrent use.
type Cold struct {
	db     DB
	d      Dialect
	canary atomic.Pointer[seal.Sealed] // of the key that this process seals under; nil: none was told
}

// NewCold makes the cold roles of a store.
func NewCold(db DB, d Dialect) *Cold { return &Cold{db: db, d: d} }

// affected runs a statement and answers how many rows it changed.
func affected(ctx context.Context, q Querier, query string, args ...any) (int64, error) {
	r, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
