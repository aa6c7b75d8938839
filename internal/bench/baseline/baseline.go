// Package baseline is a bare program that keeps the laws of CommServer's
// storage and does nothing else: the yardstick that the product is measured
// beside, on the same machine, store and minute.
//
// For each message it commits content, state, queue row, idempotency row and
// event in one durable transaction before it answers 202; it stores that an
// attempt starts, after a look at the suppressions, before it calls the
// (instant, in-process) provider, and the outcome with its event after it. All
// three writes are committed in groups, the end of one group of attempts
// together with the start of the next, under an epoch of 64 shards.
//
// It does not validate, limit rates, retry, recover after a crash, share shards
// between processes or show anything: it is no server, only a figure.
package baseline

import (
	"context"
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/bench/load"
)

// Apps is how many applications the baseline knows, named App(0) and so on.
const Apps = 100

const (
	shards       = 64
	acceptGroup  = 1000 // messages of one accept transaction
	turnGroup    = 500  // attempts begun by one transaction
	windowSize   = 1000
	suppressions = 100 // for each app
	keyWidth     = 44  // as long as a key of the product
)

// App is the name and key of an application.
func App(i int) (name, key string) {
	n := strconv.Itoa(i)
	return "bench-" + n, "bl_" + strings.Repeat("0", keyWidth-3-len(n)) + n
}

// unit is one app's messages of a channel and lane inside a shard.
type unit struct {
	shard, app, channel, lane int64
}

func shardOf(app int64) int64 { return int64(uint32(app) * 0x9e3779b1 >> 26) }

// message is one on its way.
type message struct {
	unit
	id, due   int64 // due in microseconds
	recipient string
	body, key []byte // key: hash of the idempotency key
	ref       string
	arrived   time.Time
	answer    chan error
}

func keyHash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:16]
}

func now() int64 { return time.Now().UnixMicro() }

// store is what the baseline needs of a database.
type store interface {
	// accept stores a group. Messages whose key exists are left out silently.
	accept(ctx context.Context, group []*message) error
	// own takes all shards under a new epoch. It is called once, before turn.
	own(ctx context.Context) error
	// pipes gives n independent ways to take turns; SQLite gives one.
	pipes(ctx context.Context, n int) ([]pipe, error)
	close(ctx context.Context) error
}

// pipe takes turns for the shards it was given. It belongs to one goroutine.
type pipe interface {
	// units lists those that have queue rows.
	units(ctx context.Context) ([]unit, error)
	// window reads the next heads of a unit in order.
	window(ctx context.Context, u unit, afterDue, afterID int64, limit int) ([]*message, error)
	// turn finishes and starts in one transaction, and answers what really started.
	turn(ctx context.Context, finish, start []*message) ([]*message, error)
	// mine says whether the pipe is in charge of a shard.
	mine(shard int64) bool
}

// stats counts what happened. It is safe for concurrent use.
type stats struct {
	accepted, started, finished atomic.Int64
	first, last                 atomic.Int64 // nanoseconds: the first start, the last finish

	mu    sync.Mutex
	calls load.Histogram // from the arrival of a request to the call of the provider
}

// called notes a group of provider calls.
func (s *stats) called(group []*message) {
	at := time.Now()
	s.started.Add(int64(len(group)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range group {
		if !m.arrived.IsZero() {
			s.calls.Add(at.Sub(m.arrived))
		}
	}
}

func (s *stats) ended(n int) {
	s.finished.Add(int64(n))
	s.last.Store(time.Now().UnixNano())
}
