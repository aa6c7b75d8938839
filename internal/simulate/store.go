package simulate

import (
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How much is remembered of what was taken. What came first is forgotten first.
const (
	maxMessages = 50_000
	maxTries    = 200_000
	maxKeys     = 100_000
	maxKeptText = 1 << 10
	// keyTime is how long an idempotency key answers (resend.com/docs/dashboard/emails/idempotency-keys).
	keyTime = 24 * time.Hour
)

// message is one message to one recipient, as a provider knows it.
type message struct {
	kind     string
	port     int
	id       string // the provider's
	from, to string
	subject  string
	text     string // at most maxKeptText once it is kept
	parts    int    // short messages that the text takes
	callback string // where its reports go; empty: where its type's go
	secret   string // what its reports are signed with, if not the target's; never shown
	account  string
	batch    string
	tags     map[string]string
	taken    time.Time
	steps    []step // what becomes of it, in time
}

// step is a status and when the provider knows it.
type step struct {
	status string
	at     time.Time
}

// status is what the provider knows of a message at a time.
func (m *message) status(now time.Time) string {
	s := "sent"
	for _, one := range m.steps {
		if !now.Before(one.at) {
			s = one.status
		}
	}
	return s
}

// key is what was remembered of a request with an idempotency key.
type key struct {
	hash    [32]byte
	running bool
	ids     []string
	at      time.Time
}

// store remembers messages, idempotency keys and tries.
type store struct {
	seed     uint64
	mu       sync.Mutex
	messages *recent[string, *message] // by type and id
	keys     *recent[string, *key]
	tries    *recent[string, int]
	requests int64
}

func newStore(seed uint64) *store {
	s := &store{seed: seed}
	s.forget()
	return s
}

func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages, s.keys, s.tries = newRecent[string, *message](maxMessages), newRecent[string, *key](maxKeys), newRecent[string, int](maxTries)
}

// try counts a request for a recipient and answers how many there were, this one included.
func (s *store) try(kind string, port int, to string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := kind + "\x00" + strconv.Itoa(port) + "\x00" + plain(to)
	n, _ := s.tries.get(k)
	s.tries.put(k, n+1)
	return n + 1
}

// request numbers a request.
func (s *store) request() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return s.requests
}

// name gives a message an id that no other one has.
func (s *store) name(m *message, nth int, form func([32]byte) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for salt := 0; ; salt++ {
		m.id = form(draw(s.seed, "id", m.kind, plain(m.to), strconv.Itoa(nth), strconv.Itoa(salt)))
		if _, known := s.messages.get(m.kind + m.id); !known {
			break
		}
	}
	s.messages.put(m.kind+m.id, nil)
}

// keep remembers a message that has its id, without most of a long text, and answers
// what it remembers. Nobody changes that from now on.
func (s *store) keep(m *message) *message {
	kept := *m
	if len(kept.text) > maxKeptText {
		kept.text = strings.ToValidUTF8(strings.Clone(kept.text[:maxKeptText]), "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages.put(m.kind+m.id, &kept)
	return &kept
}

// message finds a message of a type by its id; nil when there is none.
func (s *store) message(kind, id string) *message {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _ := s.messages.get(kind + id)
	return m
}

// those are messages of a type that match, oldest first, at most limit.
func (s *store) those(kind string, limit int, match func(*message) bool) (out []*message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages.each(func(_ string, m *message) bool {
		if m != nil && m.kind == kind && match(m) {
			out = append(out, m)
		}
		return len(out) < limit
	})
	return out
}

// claim begins a request under an idempotency key. When there was one before, it answers that.
func (s *store) claim(name string, hash [32]byte, now time.Time) (before key, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, found := s.keys.get(name); found && k != nil && now.Sub(k.at) < keyTime {
		return *k, true
	}
	s.keys.put(name, &key{hash: hash, running: true, at: now})
	return key{}, false
}

// settle ends what claim began: with the ids of what was taken, or with nothing.
func (s *store) settle(name string, ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, found := s.keys.get(name)
	switch {
	case !found || k == nil:
	case ids == nil:
		s.keys.put(name, nil)
	default:
		k.running, k.ids = false, ids
	}
}

// uuid writes a draw as an id in the form of RFC 9562, version 4.
func uuid(d [32]byte) string {
	d[6], d[8] = d[6]&0x0f|0x40, d[8]&0x3f|0x80
	h := hex.EncodeToString(d[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// itoa is for numbers in texts.
func itoa(n int) string { return strconv.Itoa(n) }
