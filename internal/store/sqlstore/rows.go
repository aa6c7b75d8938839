package sqlstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/commserver/commserver/internal/comm"
)

// Row is a *sql.Row or *sql.Rows.
type Row interface{ Scan(dest ...any) error }

// ID makes an id a destination for Scan, whichever way the database stores it.
type ID comm.ID

// Scan implements sql.Scanner for 16 raw bytes and for PostgreSQL's uuid as text.
func (id *ID) Scan(src any) error {
	switch v := src.(type) {
	case []byte:
		if len(v) == len(id) {
			copy(id[:], v)
			return nil
		}
		return id.parse(string(v))
	case string:
		return id.parse(v)
	case [16]byte:
		*id = v
		return nil
	}
	return fmt.Errorf("an id cannot be read from %T", src)
}

// small makes a number of one byte a destination for Scan. A number that a byte does not hold, which no version has written, is read as 255, which no version
// knows: the rows beside it are read all the same.
type small[T ~uint8] struct{ to *T }

// Scan implements sql.Scanner.
func (s small[T]) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a number cannot be read from %T", src)
	}
	if n < 0 || n > math.MaxUint8 {
		n = math.MaxUint8
	}
	*s.to = T(n)
	return nil
}

var errBadUUID = errors.New("a stored id is neither 16 bytes nor a uuid")

func (id *ID) parse(s string) error {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return errBadUUID
	}
	b, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36])
	if err != nil {
		return errBadUUID
	}
	copy(id[:], b)
	return nil
}

// StateColumns are the columns of table state in the order in which the stores read and write them.
const StateColumns = `app_id, id, shard, channel, lane, mode, on_unknown, status, created_at, updated_at, scheduled_at, due, ` +
	`expires_at, generation, attempts, round, round_since, sequence, epoch, flags, provider, provider_id, provider_ref, ` +
	`error_code, error_text, sent_at, delivered_at, bytes`

// EventColumns are the columns of table events in the order in which the stores read and write them.
const EventColumns = `app_id, message_id, sequence, type, from_status, to_status, at, generation, attempt, epoch, node, actor, ` +
	`provider, provider_id, ref, error_code, detail, error_text`
