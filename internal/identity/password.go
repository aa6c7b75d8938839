package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/commserver/commserver/internal/comm"
)

// How long a password may be, in characters. Nothing of it is cut off: what is longer is refused.
const (
	minPassword = 12
	maxPassword = 256
)

// The cost of a hash, as OWASP recommends it for argon2id: 19 MiB, two passes, one lane.
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	hashLanes  = 1
	hashSize   = 32
	saltSize   = 16
)

// What limits hashing in this process: a hash takes 19 MiB and some 30 ms of a processor, and anybody may ask for one.
const (
	hashesAtOnce = 2
	hashesWait   = 32
	hashPatience = 5 * time.Second
)

// hasher makes and compares hashes, a few at a time.
type hasher struct {
	places  chan struct{}
	waiting chan struct{}
}

func newHasher() *hasher {
	return &hasher{places: make(chan struct{}, hashesAtOnce), waiting: make(chan struct{}, hashesAtOnce+hashesWait)}
}

func busy() error {
	e := comm.E("unavailable", "Too many are signing in at once; try again.")
	e.RetryAfter = 1
	return e
}

// enter waits for a place, for a time.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, busy()
	}
	timer := time.NewTimer(hashPatience)
	defer timer.Stop()
	select {
	case h.places <- struct{}{}:
		return func() { <-h.places; <-h.waiting }, nil
	case <-timer.C:
		<-h.waiting
		return nil, busy()
	case <-ctx.Done():
		<-h.waiting
		return nil, context.Cause(ctx)
	}
}

// hash makes the hash of a password, as a PHC string.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := random(saltSize)
	return phc(hashMemory, hashPasses, hashLanes, salt, argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashLanes, hashSize)), nil
}

func phc(memory, passes uint32, lanes uint8, salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// nobodysHash costs what a real one does to compare with, and fits no password.
func nobodysHash() string {
	return phc(hashMemory, hashPasses, hashLanes, random(saltSize), random(hashSize))
}

var errHash = errors.New("a stored password hash cannot be read")

// fits says whether a password has the hash. old: with a cost that is not today's any more.
func (h *hasher) fits(ctx context.Context, password, hash string) (fits, old bool, err error) {
	var version int
	var memory, passes uint32
	var lanes uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, false, errHash
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil || version != argon2.Version || memory > 1<<20 || passes < 1 || passes > 100 || lanes < 1 {
		return false, false, errHash
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, false, errHash
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 {
		return false, false, errHash
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, memory != hashMemory || passes != hashPasses || lanes != hashLanes, nil
}

// checkPassword notes what is wrong with a new password of the user of this name. It never says what it is like.
func checkPassword(e *comm.Error, field, password, name string) {
	n := utf8.RuneCountInString(password)
	switch {
	case n < minPassword || n > maxPassword:
		e.Field(field, fmt.Sprintf("must be %d to %d characters, of any sort", minPassword, maxPassword))
	case isCommon(password, name):
		e.Field(field, "is too easy to guess: it is, or is made of, what everybody tries first")
	}
}

//go:embed common.txt
var commonText string

// commonWords are what passwords are commonly made of, as letters and digits.
var commonWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if word := strings.TrimSpace(line); word != "" && word[0] != '#' {
			words[word] = true
		}
	}
	return words
})

// isCommon says whether a password is one of those that are tried first: a known word, the user's name, years, runs and repetitions,
// or any of these behind one another, however they are spelt.
func isCommon(password, name string) bool {
	lower := strings.ToLower(password)
	for _, spelt := range []string{lower, unleet.Replace(lower)} {
		if covered(spelt, plain(name)) {
			return true
		}
		// Signs between letters do not help, unless most of it is signs.
		if letters := plain(spelt); 2*utf8.RuneCountInString(letters) >= utf8.RuneCountInString(spelt) && covered(letters, plain(name)) {
			return true
		}
	}
	return false
}

// unleet puts letters in the place of what stands for them.
var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// plain is the letters and digits of a text.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// longestWord is how long a word is that is looked for.
const longestWord = 32

// loose is how many characters may stand between words without making the whole harder to guess.
const loose = 3

// covered says whether a text is words and runs but for a few characters: best[i] is how few of the first i are neither.
func covered(text, name string) bool {
	runes := []rune(text)
	best := make([]int, len(runes)+1)
	for i := 1; i <= len(runes); i++ {
		best[i] = best[i-1] + 1
		for from := max(0, i-longestWord); from < i-2; from++ { // of three characters at least
			part := runes[from:i]
			if best[from] < best[i] && (isRun(part) || commonWords()[string(part)] || commonWords()[unleet.Replace(string(part))] || name != "" && string(part) == name) {
				best[i] = best[from]
			}
		}
	}
	return best[len(runes)] <= loose
}

// keyboards are what fingers walk along.
const keyboards = "qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm azertyuiop qsdfghjklm wxcvbn 1234567890 1qaz2wsx3edc4rfv5tgb6yhn7ujm qazwsxedcrfvtgbyhnujm"

// isRun says whether characters are one again and again, follow one another, or lie side by side on a keyboard.
func isRun(part []rune) bool {
	up, down, same := true, true, true
	for i := 1; i < len(part); i++ {
		step := part[i] - part[i-1]
		up, down, same = up && step == 1, down && step == -1, same && step == 0
	}
	if up || down || same {
		return true
	}
	text := string(part)
	return strings.Contains(keyboards, text) || strings.Contains(keyboards, reversed(part))
}

func reversed(part []rune) string {
	out := make([]rune, len(part))
	for i, r := range part {
		out[len(part)-1-i] = r
	}
	return string(out)
}

// digest is what is stored of something long that was drawn at random.
func digest(text string) [32]byte { return sha256.Sum256([]byte(text)) }
