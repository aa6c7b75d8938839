package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/commserver/commserver/internal/comm"
)

// Audit is the log of changes: append-only, each entry holding the hash of the
// one before. Every method that changes an app, a key, a provider configuration or
// a setting appends to it in its own transaction, by the actor of its context;
// the database refuses to change or remove an entry.
type Audit interface {
	// AuditList reads a page, newest first. What it looks at is bounded, so that a
	// page may hold fewer entries than f.Limit, or none, although there are more:
	// Before says where the next page begins, 0 when there is none.
	AuditList(ctx context.Context, f AuditFilter) (AuditPage, error)
	// AuditChain reads at most limit entries behind a sequence, oldest first.
	AuditChain(ctx context.Context, after int64, limit int) ([]AuditEntry, error)
	// AuditHead is the last entry's sequence and hash, kept apart from the entries; 0 and zeros without any.
	AuditHead(ctx context.Context) (sequence int64, hash [32]byte, err error)
	// Note appends what was seen at a door and changes nothing else: of each note
	// the actor, App, Action, Target and Detail count. At most 50 at once.
	Note(ctx context.Context, notes []AuditEntry) error
}

// AuditEntry is one line of the log.
type AuditEntry struct {
	Sequence int64 // from 1, without gaps
	At       comm.Micros
	Actor    comm.Actor
	App      comm.ID // zero: of no app
	Action   string  // a word of comm.AuditActions
	Target   string  // id of what was changed; the name of a setting
	// Detail is a JSON object of the fields that changed: {"name":{"from":…,"to":…}}. Of what is secret,
	// or an address, it says {"changed":true} only.
	Detail   string
	Previous [32]byte // hash of the entry before; zeros for the first
	Hash     [32]byte // Sum
}

// Sum is what the entry's hash must be: SHA-256 over the fields in the order in
// which they stand in AuditEntry, the actor's as kind, name, address and request, up
// to Previous. Numbers are decimal, ids as they are shown ("" for none), Previous is
// hex; each field is written as its length in bytes, a colon, the field and a comma.
func (e *AuditEntry) Sum() [32]byte {
	app := ""
	if !e.App.IsZero() {
		app = e.App.String()
	}
	var b []byte
	for _, field := range [...]string{
		strconv.FormatInt(e.Sequence, 10), strconv.FormatInt(int64(e.At), 10), e.Actor.Kind, e.Actor.Name, e.Actor.Address, e.Actor.Request,
		app, e.Action, e.Target, e.Detail, hex.EncodeToString(e.Previous[:]),
	} {
		b = strconv.AppendInt(b, int64(len(field)), 10)
		b = append(append(append(b, ':'), field...), ',')
	}
	return sha256.Sum256(b)
}

// AuditFilter narrows a list. Zero values do not filter.
type AuditFilter struct {
	App    comm.ID
	Actor  string // kind or name
	Action string
	Target string
	After  comm.Micros // exclusive
	Until  comm.Micros // exclusive
	Before int64       // keyset: only entries of a lower sequence
	Limit  int
}

// Fits says whether the entry passes the filter, but for Before and Limit.
func (f *AuditFilter) Fits(e *AuditEntry) bool {
	return (f.App.IsZero() || f.App == e.App) && (f.Actor == "" || f.Actor == e.Actor.Kind || f.Actor == e.Actor.Name) &&
		(f.Action == "" || f.Action == e.Action) && (f.Target == "" || f.Target == e.Target) &&
		(f.After == 0 || e.At > f.After) && (f.Until == 0 || e.At < f.Until)
}

// AuditPage is a page of AuditList.
type AuditPage struct {
	Entries []AuditEntry // newest first
	Before  int64        // AuditFilter.Before of the next page; 0 when there is none
}
