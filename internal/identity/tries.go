package identity

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/httpserver"
)

// How often an account may be tried from an address, and how often any account from it, before that has to wait.
// They are counted by each node: a password of twelve characters that nobody tries first is not found by as many times more.
const (
	triesOfAccount = 10
	triesOfAddress = 100
	triesWindow    = 15 * time.Minute
	maxTried       = 50_000 // that are counted at one moment
)

// tries counts them.
type tries struct {
	mu     sync.Mutex
	counts map[tried]*count
	noted  map[netip.Addr]time.Time
}

// tried is an account, by the digest of its name, as tried from an address; zero for any account.
type tried struct {
	from    netip.Addr
	account [32]byte
}

// count is of a window of time, which begins with its first try.
type count struct {
	n     int
	until time.Time
}

func newTries() *tries { return &tries{counts: map[tried]*count{}, noted: map[netip.Addr]time.Time{}} }

// take counts a try and answers 0, or how many seconds to wait; then nothing may be tried. What has to wait is not counted and what
// is taken back leaves nothing behind, so that no flood of either, which costs no password's time, pushes out what is counted.
func (t *tries) take(from netip.Addr, account string, now time.Time) (wait int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := keysOf(from, account)
	for _, key := range keys {
		if c := t.of(key, now); c != nil && c.n >= key.most() {
			wait = max(wait, int(c.until.Sub(now)/time.Second)+1)
		}
	}
	if wait == 0 {
		t.makeRoom(now) // before either is counted, or the one would make room for the other
		for _, key := range keys {
			t.count(key, now)
		}
	}
	return wait
}

// good takes back what was counted for somebody who was let in.
func (t *tries) good(from netip.Addr, account string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := keysOf(from, account)
	delete(t.counts, keys[0])
	t.less(keys[1], now)
}

// back takes one try back, which told nobody anything.
func (t *tries) back(from netip.Addr, account string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keysOf(from, account) {
		t.less(key, now)
	}
}

// keysOf are what a try counts for: the account as tried from the address, and the address.
func keysOf(from netip.Addr, account string) [2]tried {
	from = httpserver.Client(from)
	return [2]tried{{from, digest("account " + account)}, {from: from}}
}

func (k tried) most() int {
	if k == (tried{from: k.from}) {
		return triesOfAddress
	}
	return triesOfAccount
}

// of is what was counted in the window that still runs; nil: nothing.
func (t *tries) of(key tried, now time.Time) *count {
	if c := t.counts[key]; c != nil && now.Before(c.until) {
		return c
	}
	return nil
}

func (t *tries) less(key tried, now time.Time) {
	if c := t.of(key, now); c != nil {
		if c.n--; c.n <= 0 {
			delete(t.counts, key)
		}
	}
}

func (t *tries) count(key tried, now time.Time) {
	c := t.of(key, now)
	if c == nil {
		c = &count{until: now.Add(triesWindow)}
		t.counts[key] = c
	}
	c.n++
}

// makeRoom forgets what is over when too much is counted, and if that is not enough whoever does not have to wait yet. That many
// who have to, each after tries that take a password's time, do not come about in one window; if they did all would be counted anew.
func (t *tries) makeRoom(now time.Time) {
	if len(t.counts) < maxTried {
		return
	}
	maps.DeleteFunc(t.counts, func(_ tried, c *count) bool { return !now.Before(c.until) })
	if len(t.counts) < maxTried {
		return
	}
	maps.DeleteFunc(t.counts, func(k tried, c *count) bool { return c.n < k.most() })
	if len(t.counts) >= maxTried {
		clear(t.counts)
	}
}

// notedEvery is how often it is noted that an address tries too much.
const notedEvery = time.Hour

// note says whether it is to be noted now that an address tried too much.
func (t *tries) note(from netip.Addr, now time.Time) bool {
	from = httpserver.Client(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, known := t.noted[from]; known && now.Sub(at) < notedEvery {
		return false
	}
	if len(t.noted) >= maxTried {
		clear(t.noted)
	}
	t.noted[from] = now
	return true
}
