package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/httpserver"
)

// maxPairs bounds how many (address, app) pairs are counted in one minute.
// Past it new pairs of an address share one count.
const maxPairs = 50_000

// limiter counts tries in fixed minutes.
type limiter struct {
	perMinute int
	seed      maphash.Seed

	mu     sync.Mutex
	minute int64
	counts map[pair]int
}

type pair struct {
	from netip.Addr
	app  uint64 // hash of the name as it was sent
}

func newLimiter(perMinute int) *limiter {
	return &limiter{perMinute: perMinute, seed: maphash.MakeSeed(), counts: map[pair]int{}}
}

// take counts one try and answers 0, or when the limit is passed the seconds until the next minute.
func (l *limiter) take(from netip.Addr, app string, now time.Time) (wait int) {
	key := pair{from: httpserver.Client(from), app: maphash.String(l.seed, app)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Unix() / 60; minute != l.minute {
		l.minute = minute
		clear(l.counts)
	}
	if _, known := l.counts[key]; !known && len(l.counts) >= maxPairs {
		key.app = 0
	}
	l.counts[key]++
	if l.counts[key] <= l.perMinute {
		return 0
	}
	return 60 - int(now.Unix()%60)
}
