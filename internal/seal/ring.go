package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	keySize  = 32
	maxKeys  = 16
	maxKeyID = 32
	// minDistinct is how many different bytes a key has at least. Of random keys
	// fewer than one in 10^15 have less; typed and example keys usually do.
	minDistinct = 18
)

// Ring is a set of master keys with an order: the first seals, all open. It
// never changes; a new ring needs a new process or a new value. It is safe for
// concurrent use.
type Ring struct {
	first string
	ids   []string
	keys  map[string]master
}

// master gives out a master key. It is a function because fmt prints the bytes of
// every other kind when the ring is buried in another value's unexported fields.
type master func() [keySize]byte

// ParseRing reads "id:base64(32 bytes)[,id:base64…]". Ids are 1 to 32 letters,
// digits, - or _. Spaces and line ends around entries are ignored. Base64 may be
// the standard or the URL form, padded or not. Keys that nobody drew at random
// (all bytes alike, counting up, an example sentence) are refused. The error
// names the entry by its number and never shows it.
func ParseRing(text Secret) (*Ring, error) {
	ring := &Ring{keys: map[string]master{}}
	if strings.TrimSpace(text.Reveal()) == "" {
		return nil, errors.New("the key ring is empty: give it as id:base64 of 32 random bytes")
	}
	entries := strings.Split(text.Reveal(), ",")
	if len(entries) > maxKeys {
		return nil, fmt.Errorf("the key ring has %d entries, at most %d are allowed", len(entries), maxKeys)
	}
	for i, entry := range entries {
		id, key, err := parseEntry(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("key ring entry %d: %w", i+1, err)
		}
		if _, twice := ring.keys[id]; twice {
			return nil, fmt.Errorf("key ring entry %d: its id is used by an earlier entry", i+1)
		}
		for _, earlier := range ring.keys {
			other := earlier()
			if subtle.ConstantTimeCompare(other[:], key[:]) == 1 {
				return nil, fmt.Errorf("key ring entry %d: its key is that of an earlier entry", i+1)
			}
		}
		ring.keys[id] = func() [keySize]byte { return key }
		ring.ids = append(ring.ids, id)
	}
	ring.first = ring.ids[0]
	return ring, nil
}

func parseEntry(entry string) (id string, key [keySize]byte, err error) {
	id, encoded, found := strings.Cut(entry, ":")
	if !found {
		return "", key, errors.New("write it as id:base64 of 32 random bytes")
	}
	if !isKeyID(id) {
		return "", key, fmt.Errorf("the id before the colon has 1 to %d letters, digits, - or _", maxKeyID)
	}
	encoded = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(encoded), "=")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		// The cause would tell a position within the secret.
		return "", key, errors.New("the part after the colon is not base64")
	}
	if len(raw) != keySize {
		return "", key, fmt.Errorf("the key has %d bytes, it must have %d", len(raw), keySize)
	}
	if !looksRandom(raw) {
		return "", key, errors.New("the key is not random: make one with `openssl rand -base64 32`")
	}
	return id, [keySize]byte(raw), nil
}

func isKeyID(id string) bool {
	if id == "" || len(id) > maxKeyID {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// looksRandom refuses the keys that people type instead of drawing: few
// different bytes, an even progression, printable text.
func looksRandom(key []byte) bool {
	var seen [256]bool
	distinct, printable, even := 0, 0, true
	for i, c := range key {
		if !seen[c] {
			seen[c] = true
			distinct++
		}
		if c >= ' ' && c < 0x7F {
			printable++
		}
		if i >= 2 && c-key[i-1] != key[1]-key[0] {
			even = false
		}
	}
	return distinct >= minDistinct && printable < len(key) && !even
}

// printable keeps an id from storage, which may be damaged, fit for an error.
func printable(id string) string {
	if isKeyID(id) {
		return id
	}
	return "?"
}

// GenerateRing returns a ring of one new random key, in the form that ParseRing
// reads. The id must be a valid one, or an error is returned.
func GenerateRing(id string) (Secret, error) {
	if !isKeyID(id) {
		return "", fmt.Errorf("a key id has 1 to %d letters, digits, - or _", maxKeyID)
	}
	var key [keySize]byte
	rand.Read(key[:])
	return Secret(id + ":" + base64.StdEncoding.EncodeToString(key[:])), nil
}

// Primary returns the id of the key that seals. A value under another id should
// be opened and sealed again before that key is removed.
func (r *Ring) Primary() string { return r.first }

// IDs returns the ids of all keys, the sealing one first.
func (r *Ring) IDs() []string { return append([]string(nil), r.ids...) }

// String tells the ids, never the keys.
func (r Ring) String() string { return "key ring " + strings.Join(r.ids, ",") }

// Format prints String for every verb, so that none prints the keys.
func (r Ring) Format(f fmt.State, _ rune) {
	// The error of a fmt.State has nowhere to go.
	_, _ = io.WriteString(f, r.String())
}

// For returns the sealer of one purpose, such as "provider-config" or
// "webhook-secret". Sealers of the same ring and purpose open each other's
// values.
func (r *Ring) For(purpose string) *Sealer {
	return &Sealer{ring: r, purpose: purpose, keys: map[string]*derived{}}
}

// DeriveKey returns 32 bytes for a use that is no sealing (hashing addresses,
// signing sessions), from the key of the given id. Keys of different purposes
// tell nothing about each other. The error wraps ErrUnknownKey.
func (r *Ring) DeriveKey(id, purpose string) ([]byte, error) {
	master, ok := r.keys[id]
	if !ok {
		return nil, fmt.Errorf("derive a key for %s: %w", purpose, ErrUnknownKey)
	}
	key := master()
	return hkdf.Key(sha256.New, key[:], nil, "commserver/derive/v1/"+purpose, keySize)
}

// The canary is a known value sealed under the ring and kept in the database:
// a process whose ring cannot open it must not start.
const (
	canaryPurpose = "canary"
	canaryText    = "commserver key ring canary"
)

// Canary seals the canary with the first key.
func (r *Ring) Canary() (Sealed, error) {
	return r.For(canaryPurpose).Seal([]byte(canaryText), Place{Record: canaryPurpose})
}

// CheckCanary tells whether this ring belongs to the database that the canary
// came from. The error wraps ErrUnknownKey or ErrCannotOpen.
func (r *Ring) CheckCanary(canary Sealed) error {
	plain, err := r.For(canaryPurpose).Open(canary, Place{Record: canaryPurpose})
	if err != nil {
		return fmt.Errorf("check the key ring: %w", err)
	}
	if !bytes.Equal(plain, []byte(canaryText)) {
		return fmt.Errorf("check the key ring: %w", ErrCannotOpen)
	}
	return nil
}
