package comm

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/bits"
	"time"
)

// ID names an app, a message, a provider configuration or a node.
//
// Its text form is "c" and 24 lower-case base-36 digits: 8 digits of Unix
// milliseconds, then 16 random ones. The stored form is the same number in 16
// big-endian bytes, so texts, bytes and creation times all sort alike. An ID is
// hard to guess but is never authority: every look-up names the app too.
type ID [16]byte

const (
	idTextLen    = 25
	idTimeDigits = 8
	idRandDigits = 16
	base36       = 36
	digits36     = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// pow36x16 is 36^16, the number of values that the random half can take.
var pow36x16hi, pow36x16lo = pow36(idRandDigits)

func pow36(n int) (hi, lo uint64) {
	lo = 1
	for range n {
		hi, lo = mulAdd(hi, lo, base36, 0)
	}
	return hi, lo
}

// mulAdd answers (hi,lo)*m + a, dropping overflow beyond 128 bits.
func mulAdd(hi, lo, m, a uint64) (uint64, uint64) {
	h, l := bits.Mul64(lo, m)
	l, c := bits.Add64(l, a, 0)
	return hi*m + h + c, l
}

// NewID mints an ID for the instant at. It is safe for concurrent use.
func NewID(at Micros) ID {
	var b [16]byte
	for {
		_, _ = rand.Read(b[:]) // crypto/rand.Read never fails (Go 1.24)
		hi := binary.BigEndian.Uint64(b[:8]) >> 45
		lo := binary.BigEndian.Uint64(b[8:])
		// 36^16 is about 2^82.7: draw 83 bits and reject what lies above, so that every value is equally likely.
		if hi > pow36x16hi || hi == pow36x16hi && lo >= pow36x16lo {
			continue
		}
		return compose(uint64(at.Millis()), hi, lo)
	}
}

// IDSlack is more than a message's id and the message lie apart: the id is minted by the clock of the node that
// takes the message, and the message created by the database's, when its transaction comes. Who passes by what
// is younger or older for good goes by it. Lists allow less, which each of their pages pays for.
const IDSlack = 2 * time.Minute

// FirstID is the smallest ID of the millisecond of at: the bound that turns a
// time filter into a range of ids.
func FirstID(at Micros) ID { return compose(uint64(max(at.Millis(), 0)), 0, 0) }

func compose(ms, randHi, randLo uint64) (id ID) {
	// ms * 36^16 + rand in 128 bits; ms is below 36^8 until the year 2059.
	h1, l1 := bits.Mul64(ms, pow36x16lo)
	hi := h1 + ms*pow36x16hi
	lo, c := bits.Add64(l1, randLo, 0)
	hi += randHi + c
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id
}

// Time is the creation time that the ID carries, to the millisecond.
func (id ID) Time() Micros {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for range idRandDigits {
		hi, lo = div36(hi, lo)
	}
	return Micros(lo) * 1000
}

func div36(hi, lo uint64) (uint64, uint64) {
	q1, r := hi/base36, hi%base36
	q0, _ := bits.Div64(r, lo, base36)
	return q1, q0
}

// IsZero says whether the ID is not set.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders ids by age, then by their random half.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// String is the text form, 25 characters.
func (id ID) String() string { return string(id.appendText(make([]byte, 0, idTextLen))) }

// AppendText appends the text form. It implements encoding.TextAppender.
func (id ID) AppendText(b []byte) ([]byte, error) { return id.appendText(b), nil }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return id.appendText(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

func (id ID) appendText(b []byte) []byte {
	var d [idTextLen]byte
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for i := idTextLen - 1; i > 0; i-- {
		r := hi % base36
		hi /= base36
		q, m := bits.Div64(r, lo, base36)
		lo = q
		d[i] = digits36[m]
	}
	d[0] = 'c'
	return append(b, d[:]...)
}

// ErrBadID is answered for a text that is no ID.
var ErrBadID = errors.New("not an id: want \"c\" and 24 digits or lower-case letters")

// ParseID reads the text form. Exactly one text stands for an ID.
func ParseID(s string) (id ID, err error) {
	if len(s) != idTextLen || s[0] != 'c' {
		return id, ErrBadID
	}
	var hi, lo uint64
	for i := 1; i < idTextLen; i++ {
		var d uint64
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			d = uint64(c - '0')
		case c >= 'a' && c <= 'z':
			d = uint64(c-'a') + 10
		default:
			return ID{}, ErrBadID
		}
		hi, lo = mulAdd(hi, lo, base36, d)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}
