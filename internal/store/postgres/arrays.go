package postgres

import (
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/commserver/commserver/internal/comm"
)

// list is a parameter of an array type, built in PostgreSQL's binary form while
// the items are walked: groups of hundreds of messages are sent without one
// allocation per value.
type list struct {
	oid   uint32 // of the elements
	n     int
	nulls bool
	body  []byte
}

const (
	binaryFormat = pgtype.BinaryFormatCode
	nullLength   = 0xFFFFFFFF
)

func int2s(n int) *list  { return &list{oid: pgtype.Int2OID, body: make([]byte, 0, 6*n)} }
func int4s(n int) *list  { return &list{oid: pgtype.Int4OID, body: make([]byte, 0, 8*n)} }
func int8s(n int) *list  { return &list{oid: pgtype.Int8OID, body: make([]byte, 0, 12*n)} }
func uuids(n int) *list  { return &list{oid: pgtype.UUIDOID, body: make([]byte, 0, 20*n)} }
func texts(n int) *list  { return &list{oid: pgtype.TextOID, body: make([]byte, 0, 16*n)} }
func byteas(n int) *list { return &list{oid: pgtype.ByteaOID, body: make([]byte, 0, 20*n)} }

func (l *list) size(bytes int) {
	l.n++
	l.body = binary.BigEndian.AppendUint32(l.body, uint32(bytes))
}

// i16 adds an element to a list of smallint; i32, i64, id, text and bytes likewise to theirs.
func (l *list) i16(v int16) {
	l.size(2)
	l.body = binary.BigEndian.AppendUint16(l.body, uint16(v))
}

func (l *list) i32(v int32) {
	l.size(4)
	l.body = binary.BigEndian.AppendUint32(l.body, uint32(v))
}

func (l *list) i64(v int64) {
	l.size(8)
	l.body = binary.BigEndian.AppendUint64(l.body, uint64(v))
}

func (l *list) id(v comm.ID) {
	l.size(len(v))
	l.body = append(l.body, v[:]...)
}

func (l *list) text(v string) {
	l.size(len(v))
	l.body = append(l.body, v...)
}

func (l *list) bytes(v []byte) {
	l.size(len(v))
	l.body = append(l.body, v...)
}

func (l *list) null() {
	l.n++
	l.nulls = true
	l.body = binary.BigEndian.AppendUint32(l.body, nullLength)
}

// encode appends the whole array: dimensions, whether there are nulls, type,
// length and lower bound, then the elements.
func (l *list) encode(buf []byte) []byte {
	if l.n == 0 {
		buf = binary.BigEndian.AppendUint32(buf, 0)
		buf = binary.BigEndian.AppendUint32(buf, 0)
		return binary.BigEndian.AppendUint32(buf, l.oid)
	}
	buf = binary.BigEndian.AppendUint32(buf, 1)
	var nulls uint32
	if l.nulls {
		nulls = 1
	}
	buf = binary.BigEndian.AppendUint32(buf, nulls)
	buf = binary.BigEndian.AppendUint32(buf, l.oid)
	buf = binary.BigEndian.AppendUint32(buf, uint32(l.n))
	buf = binary.BigEndian.AppendUint32(buf, 1)
	return append(buf, l.body...)
}

// arrayCodec teaches a connection to send lists beside what it can send anyway.
type arrayCodec struct{ pgtype.Codec }

// PlanEncode implements pgtype.Codec.
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ours := value.(*list); !ours {
		return c.Codec.PlanEncode(m, oid, format, value)
	}
	if format != binaryFormat {
		return nil
	}
	return listPlan{}
}

type listPlan struct{}

// Encode implements pgtype.EncodePlan.
func (listPlan) Encode(value any, buf []byte) ([]byte, error) {
	l, ours := value.(*list)
	if !ours {
		return nil, fmt.Errorf("not a list: %T", value)
	}
	return l.encode(buf), nil
}

// learnLists makes a connection's type map understand lists.
func learnLists(m *pgtype.Map) {
	for _, oid := range []uint32{
		pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID,
		pgtype.UUIDArrayOID, pgtype.TextArrayOID, pgtype.ByteaArrayOID,
	} {
		if t, ok := m.TypeForOID(oid); ok {
			m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrayCodec{t.Codec}})
		}
	}
}

// shardList is shards without repeats.
func shardList(shards []comm.Shard) *list {
	l := int2s(len(shards))
	var seen [256]bool
	for _, s := range shards {
		if !seen[s] {
			seen[s] = true
			l.i16(int16(s))
		}
	}
	return l
}
