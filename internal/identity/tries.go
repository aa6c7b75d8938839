package identity

import (
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
	maxTried       = 50_000 // that are counted at one moment; past it all are counted anew
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

// take counts a try and answers 0, or how many seconds to wait; then nothing may be tried.
func (t *tries) take(from netip.Addr, account string, now time.Time) (wait int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of, all := t.places(from, account, now)
	for _, one := range []struct {
		c    *count
		most int
	}{{of, triesOfAccount}, {all, triesOfAddress}} {
		if one.c.n >= one.most {
			wait = max(wait, int(one.c.until.Sub(now)/time.Second)+1)
		}
	}
	if wait == 0 {
		of.n++
		all.n++
	}
	return wait
}

// good takes back what was counted for somebody who was let in.
func (t *tries) good(from netip.Addr, account string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of, all := t.places(from, account, now)
	of.n = 0
	all.n = max(0, all.n-1)
}

// back takes one try back, which told nobody anything.
func (t *tries) back(from netip.Addr, account string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of, all := t.places(from, account, now)
	of.n, all.n = max(0, of.n-1), max(0, all.n-1)
}

func (t *tries) places(from netip.Addr, account string, now time.Time) (of, all *count) {
	from = httpserver.Client(from)
	key := tried{from, digest("account " + account)}
	if len(t.counts) >= maxTried { // by so many addresses that these counts hold nobody up
		clear(t.counts)
	}
	return t.place(key, now), t.place(tried{from: from}, now)
}

func (t *tries) place(key tried, now time.Time) *count {
	c := t.counts[key]
	if c == nil || !now.Before(c.until) {
		c = &count{until: now.Add(triesWindow)}
		t.counts[key] = c
	}
	return c
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
