package postgres

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// reader takes a row's columns apart in their order. All statements of this
// package answer in binary, so there is nothing to convert.
type reader struct {
	columns [][]byte
	at      int
}

func rowOf(rows pgx.Rows) reader { return reader{columns: rows.RawValues()} }

func (r *reader) next() []byte {
	v := r.columns[r.at]
	r.at++
	return v
}

// The accessors answer zero for NULL.

func (r *reader) i16() int16 {
	if v := r.next(); len(v) == 2 {
		return int16(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (r *reader) i32() int {
	if v := r.next(); len(v) == 4 {
		return int(int32(binary.BigEndian.Uint32(v)))
	}
	return 0
}

func (r *reader) i64() int64 {
	if v := r.next(); len(v) == 8 {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (r *reader) micros() comm.Micros { return comm.Micros(r.i64()) }

func (r *reader) flag() bool {
	v := r.next()
	return len(v) == 1 && v[0] == 1
}

func (r *reader) id() (id comm.ID) {
	copy(id[:], r.next())
	return id
}

func (r *reader) text() string { return string(r.next()) }

// bytes answers a copy: the row's memory is used again for the next one.
func (r *reader) bytes() []byte {
	v := r.next()
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// state reads the columns of stateColumns.
func (r *reader) state(s *comm.State) {
	s.App, s.ID = r.id(), r.id()
	s.Shard, s.Channel, s.Lane, s.Mode = comm.Shard(r.i16()), comm.Channel(r.i16()), comm.Lane(r.i16()), comm.Mode(r.i16())
	s.OnUnknown, s.Status = comm.UnknownPolicy(r.i16()), comm.Status(r.i16())
	s.CreatedAt, s.UpdatedAt, s.ScheduledAt, s.Due, s.ExpiresAt = r.micros(), r.micros(), r.micros(), r.micros(), r.micros()
	s.Generation, s.Attempts, s.Round = r.i32(), r.i32(), r.i32()
	s.RoundSince, s.Sequence, s.Epoch, s.Flags = r.micros(), r.i32(), r.i64(), comm.Flags(r.i32())
	s.Provider, s.ProviderID, s.ProviderRef = r.text(), r.id(), r.text()
	s.ErrorCode, s.ErrorText = r.text(), r.text()
	s.SentAt, s.DeliveredAt, s.Bytes = r.micros(), r.micros(), r.i64()
	if s.Status.Final() {
		s.Due = 0 // the column keeps the last queue key
	}
}

// event reads the columns of sqlstore.EventColumns.
func (r *reader) event(e *comm.Event) {
	e.App, e.Message, e.Sequence, e.Type = r.id(), r.id(), r.i32(), comm.Cause(r.i16())
	e.From, e.To, e.At = comm.Status(r.i16()), comm.Status(r.i16()), r.micros()
	e.Generation, e.Attempt, e.Epoch = r.i32(), r.i32(), r.i64()
	e.Node, e.Actor, e.Provider, e.ProviderID = r.text(), r.text(), r.text(), r.id()
	e.Ref, e.ErrorCode, e.Detail, e.ErrorText = r.text(), r.text(), r.text(), r.text()
}

// each calls fn for every row and closes rows.
func each(rows pgx.Rows, err error, fn func(r *reader)) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r := rowOf(rows)
		fn(&r)
	}
	return rows.Err()
}

// stateOf are the columns of table state under an alias, in the order that reader.state reads.
const stateOf = `s.app_id, s.id, s.shard, s.channel, s.lane, s.mode, s.on_unknown, s.status, s.created_at, s.updated_at, s.scheduled_at, s.due, ` +
	`s.expires_at, s.generation, s.attempts, s.round, s.round_since, s.sequence, s.epoch, s.flags, s.provider, s.provider_id, s.provider_ref, ` +
	`s.error_code, s.error_text, s.sent_at, s.delivered_at, s.bytes`

const (
	stateColumns = sqlstore.StateColumns
	eventColumns = sqlstore.EventColumns
)

// int4sOf reads an array of integer that has one dimension and no nulls.
func int4sOf(b []byte) []int32 {
	const head, dimension = 12, 8
	if len(b) < head+dimension {
		return []int32{}
	}
	out := make([]int32, 0, len(b)/8)
	for b = b[head+dimension:]; len(b) >= 8; b = b[8:] {
		out = append(out, int32(binary.BigEndian.Uint32(b[4:])))
	}
	return out
}
