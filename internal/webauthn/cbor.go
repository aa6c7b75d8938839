package webauthn

import (
	"encoding/binary"
	"math"
)

// reader reads CBOR (RFC 8949) as keys write it: of definite length, and nested no deeper than CTAP allows.
type reader struct{ b []byte }

// deepest is how far things are nested: CTAP 2.1, section 8.
const deepest = 4

// The major types that keys use.
const (
	unsigned = iota
	negative
	byteString
	textString
	list
	mapping
	tagged
	simple
)

// head reads what the next thing is: its type and its number, length or count.
func (r *reader) head() (kind byte, n uint64, err error) {
	if len(r.b) == 0 {
		return 0, 0, ErrMalformed
	}
	kind, low := r.b[0]>>5, r.b[0]&31
	r.b = r.b[1:]
	if low < 24 {
		return kind, uint64(low), nil
	}
	size := 0
	if low <= 27 {
		size = 1 << (low - 24)
	}
	if size == 0 || len(r.b) < size { // lengths that are not said before are for streams
		return 0, 0, ErrMalformed
	}
	var whole [8]byte
	copy(whole[8-size:], r.b)
	r.b = r.b[size:]
	return kind, binary.BigEndian.Uint64(whole[:]), nil
}

// take takes n bytes.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.b)) {
		return nil, ErrMalformed
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out, nil
}

// item takes a whole thing.
func (r *reader) item() ([]byte, error) {
	all := r.b
	if err := r.skip(deepest); err != nil {
		return nil, err
	}
	return all[:len(all)-len(r.b)], nil
}

func (r *reader) skip(deep int) error {
	kind, n, err := r.head()
	if err != nil {
		return err
	}
	switch kind {
	case unsigned, negative, simple:
		return nil
	case byteString, textString:
		_, err = r.take(n)
		return err
	case tagged:
		return ErrMalformed
	case mapping:
		if n > math.MaxUint64/2 {
			return ErrMalformed
		}
		n *= 2
	}
	if deep == 0 || n > uint64(len(r.b)) { // each has a byte at least
		return ErrMalformed
	}
	for range n {
		if err := r.skip(deep - 1); err != nil {
			return err
		}
	}
	return nil
}

// number reads a whole number that fits.
func (r *reader) number() (int64, error) {
	kind, n, err := r.head()
	switch {
	case err != nil:
		return 0, err
	case n > math.MaxInt64 || kind != unsigned && kind != negative:
		return 0, ErrMalformed
	case kind == negative:
		return -1 - int64(n), nil
	}
	return int64(n), nil
}

// octets reads bytes, or a text.
func (r *reader) octets(kind byte) ([]byte, error) {
	is, n, err := r.head()
	if err != nil || is != kind {
		return nil, ErrMalformed
	}
	return r.take(n)
}

// fields reads how many pairs a mapping has.
func (r *reader) fields() (uint64, error) {
	kind, n, err := r.head()
	if err != nil || kind != mapping || n > uint64(len(r.b)) {
		return 0, ErrMalformed
	}
	return n, nil
}

// authData finds what a new key says of itself in what it answers: an attestation object, section 6.5.
func authData(object []byte) ([]byte, error) {
	r := reader{object}
	n, err := r.fields()
	if err != nil {
		return nil, err
	}
	var data []byte
	for range n {
		name, err := r.octets(textString)
		if err != nil {
			return nil, err
		}
		if string(name) != "authData" {
			if err := r.skip(deepest); err != nil {
				return nil, err
			}
			continue
		}
		if data != nil {
			return nil, ErrMalformed
		}
		if data, err = r.octets(byteString); err != nil {
			return nil, err
		}
	}
	if len(r.b) > 0 || data == nil {
		return nil, ErrMalformed
	}
	return data, nil
}
