// Package apikey mints API keys and judges their form.
//
// A key is "cs_test_" or "cs_live_", 30 characters drawn at random from
// A-Z a-z 0-9 (178 bits), and a checksum of 6 such characters: the CRC-32 (IEEE)
// of everything before it. The checksum lets a mistyped or invented key be
// refused without a look-up, and lets secret scanners recognise a real one.
//
// It promises that only the hash and the display parts need to be stored, and
// that they do not give the key away: 130 of its bits stay unknown. A plain
// SHA-256 is enough for that (no guessing attack reaches 2^130).
//
// It does not know whether a key exists, what it may do, or when it ends.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"hash/crc32"
	"strings"
)

const (
	testPrefix = "cs_test_"
	livePrefix = "cs_live_"

	prefixSize = len(testPrefix)
	randomSize = 30
	sumSize    = 6

	// Size is the length of every key, in characters.
	Size = prefixSize + randomSize + sumSize

	shownSize = prefixSize + 4

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Hash is the SHA-256 of a key: what is stored and looked up by.
type Hash [sha256.Size]byte

// Equal compares in constant time.
func (h Hash) Equal(other Hash) bool {
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// Minted is a new key. Text exists nowhere else; show it once and keep the rest.
type Minted struct {
	// Text is the key itself. It is the secret.
	Text string
	// Hash is what to store for looking the key up.
	Hash Hash
	// Prefix is the beginning of the key and Last4 its end, for people to tell
	// keys apart; both may be stored and shown.
	Prefix, Last4 string
	// Live tells a cs_live_ key from a cs_test_ one.
	Live bool
}

// String hides the key, so that a Minted that is printed gives nothing away.
func (m Minted) String() string { return m.Prefix + "…" + m.Last4 }

// GoString is String: %#v must not print the key either.
func (m Minted) GoString() string { return m.String() }

// Mint draws a new key from crypto/rand.
func Mint(live bool) Minted {
	var text strings.Builder
	text.Grow(Size)
	if live {
		text.WriteString(livePrefix)
	} else {
		text.WriteString(testPrefix)
	}
	for range randomSize {
		text.WriteByte(randomChar())
	}
	sum := checksum(text.String())
	text.Write(sum[:])
	key := text.String()
	return Minted{
		Text: key, Hash: hash(key), Live: live,
		Prefix: key[:shownSize], Last4: key[Size-4:],
	}
}

// randomChar draws evenly: bytes beyond the last whole multiple of the alphabet
// are drawn again.
func randomChar() byte {
	const limit = 256 / len(alphabet) * len(alphabet)
	for {
		var b [1]byte
		rand.Read(b[:])
		if int(b[0]) < limit {
			return alphabet[int(b[0])%len(alphabet)]
		}
	}
}

// checksum writes the CRC-32 in base 62, most significant digit first.
func checksum(s string) [sumSize]byte {
	sum := uint32(0xFFFFFFFF)
	for i := 0; i < len(s); i++ {
		// The table's update for one byte; ChecksumIEEE would copy the string.
		sum = crc32.IEEETable[byte(sum)^s[i]] ^ sum>>8
	}
	sum = ^sum
	var out [sumSize]byte
	for i := sumSize - 1; i >= 0; i-- {
		out[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return out
}

// Parsed is what the text of a key tells by itself.
type Parsed struct {
	// Hash is what to look the key up by.
	Hash Hash
	// Live tells a cs_live_ key from a cs_test_ one.
	Live bool
}

// Parse reads a key as it was presented. ok is false if it was never minted
// here: wrong form or wrong checksum. A true ok does not mean that the key is
// known. It does not allocate.
func Parse(text string) (key Parsed, ok bool) {
	if !Valid(text) {
		return Parsed{}, false
	}
	return Parsed{Hash: hash(text), Live: text[:prefixSize] == livePrefix}, true
}

// Valid tells whether text has the form and the checksum of a key, as Parse does
// but without hashing.
func Valid(text string) bool {
	if len(text) != Size {
		return false
	}
	if prefix := text[:prefixSize]; prefix != testPrefix && prefix != livePrefix {
		return false
	}
	for i := prefixSize; i < Size; i++ {
		c := text[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	sum := checksum(text[:Size-sumSize])
	return string(sum[:]) == text[Size-sumSize:]
}

// hash copies the key to the stack, because converting a string of this size
// would allocate.
func hash(key string) Hash {
	var buffer [Size]byte
	copy(buffer[:], key)
	return sha256.Sum256(buffer[:])
}
