// Package seal encrypts stored secrets under a key ring: AES-256-GCM with a
// random nonce and a key per purpose, each value bound to the place where it is
// stored.
//
// It promises that a value opens only with a key of the ring that made it, for
// the same purpose and at the same place; that every key of the ring opens and
// the first one seals; and that neither errors nor printed values contain keys
// or contents.
//
// It does not store anything, does not hash passwords, and does not count seals
// across processes: see Sealer.Seal for the limit.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Errors of Open and CheckCanary, for errors.Is.
var (
	// ErrUnknownKey: the ring has no key of that id. It was removed too early, or
	// this process has an older ring than the one that sealed.
	ErrUnknownKey = errors.New("the key ring has no key with this id")
	// ErrCannotOpen: the key does not fit, or the value was changed or moved.
	ErrCannotOpen = errors.New("the sealed value cannot be opened with this key at this place")
	// ErrExhausted: this process sealed as many values with one key as is safe.
	ErrExhausted = errors.New("the key has sealed too many values: put a new key first in the ring")
)

// maxSeals is the number of random nonces after which one key is no longer safe
// (NIST SP 800-38D section 8.3).
const maxSeals = 1 << 32

// Place says where a sealed value is stored. A value opens only at its place, so
// copying it into another row, app or field is detected.
type Place struct {
	// App is the id of the app that owns the record; empty for the server's own.
	App string
	// Record is the id of the record.
	Record string
	// Field is the name of the field.
	Field string
}

// bytes writes the place so that no two places look alike: every part with its
// length before it.
func (p Place) bytes() []byte {
	out := make([]byte, 0, 12+len(p.App)+len(p.Record)+len(p.Field))
	for _, part := range []string{p.App, p.Record, p.Field} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// Sealed is an encrypted value as it is stored.
type Sealed struct {
	// KeyID names the key of the ring; store it beside the box.
	KeyID string
	// Box is nonce, ciphertext and tag: 28 bytes more than the content.
	Box []byte
}

// Pack writes the value and its key's id as one, for storing where there is one column.
func (s Sealed) Pack() []byte { return append(append([]byte(s.KeyID), '\n'), s.Box...) }

// Unpack reads what Pack wrote. What was not written by it is a value under no key,
// which does not open.
func Unpack(b []byte) Sealed {
	id, box, found := bytes.Cut(b, []byte{'\n'})
	if !found {
		return Sealed{Box: b}
	}
	return Sealed{KeyID: string(id), Box: box}
}

// Sealer seals and opens the values of one purpose. Get it from Ring.For. It is
// safe for concurrent use.
type Sealer struct {
	ring    *Ring
	purpose string

	mu   sync.Mutex
	keys map[string]*derived
}

// derived is the key of one ring entry for one purpose.
type derived struct {
	aead  cipher.AEAD
	seals atomic.Uint64
}

// Seal encrypts plain with the first key of the ring for storing at place. At
// most 2^32 values may be sealed per key and purpose, by all processes together;
// one process refuses to go on there with ErrExhausted.
func (s *Sealer) Seal(plain []byte, place Place) (Sealed, error) {
	id := s.ring.Primary()
	key, err := s.key(id)
	if err != nil {
		return Sealed{}, err
	}
	if key.seals.Add(1) > maxSeals {
		return Sealed{}, fmt.Errorf("seal with key %q: %w", id, ErrExhausted)
	}
	return Sealed{KeyID: id, Box: key.aead.Seal(nil, nil, plain, place.bytes())}, nil
}

// Open decrypts a value stored at place. The error wraps ErrUnknownKey or
// ErrCannotOpen.
func (s *Sealer) Open(sealed Sealed, place Place) ([]byte, error) {
	key, err := s.key(sealed.KeyID)
	if err != nil {
		return nil, fmt.Errorf("open with key %q: %w", printable(sealed.KeyID), err)
	}
	plain, err := key.aead.Open(nil, nil, sealed.Box, place.bytes())
	if err != nil {
		// The cause says nothing more, by design of the cipher.
		return nil, fmt.Errorf("open with key %q: %w", sealed.KeyID, ErrCannotOpen)
	}
	return plain, nil
}

// key returns the key of the ring entry for this purpose, deriving it on first
// use.
func (s *Sealer) key(id string) (*derived, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := s.keys[id]; key != nil {
		return key, nil
	}
	master, ok := s.ring.keys[id]
	if !ok {
		return nil, ErrUnknownKey
	}
	aead, err := derive(master(), s.purpose)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", s.purpose, err)
	}
	key := &derived{aead: aead}
	s.keys[id] = key
	return key, nil
}

// derive makes the purpose's own key by HKDF (RFC 5869), so that values of one
// purpose never open as another's.
func derive(master [keySize]byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, master[:], nil, "commserver/seal/v1/"+purpose, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
