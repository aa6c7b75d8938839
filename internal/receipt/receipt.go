// Package receipt takes what providers report of messages, and makes of messages what
// it says.
//
// It promises that a request is stored before it is acknowledged, so that nothing that
// was acknowledged is lost by a crash; that what it says is applied once, whatever the
// order in which reports come and however often, also before the send's own answer is
// stored; that a report concerns none but messages that were sent through the
// configuration whose callback URL it came to; and that a request without the token of
// a configuration, or without the signature that its provider gives, stores nothing.
//
// It decides nothing about states: comm.Tell does, on the locked row. It sends nothing;
// to providers that report only when they are asked it puts questions, at a pace.
package receipt

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/batch"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// Store is what receipts are kept in, and what is known of messages.
type Store interface {
	store.Receipts
	// AppOf answers which app a message belongs to; not_found without it.
	AppOf(ctx context.Context, message comm.ID) (comm.ID, error)
	// Now is the database's clock.
	Now(ctx context.Context) (comm.Micros, error)
}

// Lists is the opt-out lists.
type Lists interface {
	// Wish does what a person said to an app's sender; see store.Receipts.
	Wish(ctx context.Context, w store.Wish) (changed bool, err error)
}

// Config is what a Service needs.
type Config struct {
	Store    Store
	Lists    Lists
	Adapters []provider.Adapter
	// Sandbox reads what Rehearse is given. It is none of the Adapters: no callback URL leads to it, and what it took is never unconfirmed.
	Sandbox provider.Adapter
	// OpenSecrets opens the sealed part of a configuration.
	OpenSecrets func(*comm.ProviderConfig) (map[string]string, error)
	// Recipient normalises an address, as opt-outs are kept by it.
	Recipient func(ch comm.Channel, address string) (string, error)
	Env       provider.Env // for senders that ask, and the base of callback URLs
	// Leads says whether this node does what one of all nodes should; nil: it does not.
	Leads func() bool
	Node  string
	// Patience is after how long without a report a message counts as unconfirmed.
	Patience time.Duration
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger
}

// What bounds the work.
const (
	// groupMost and groupBytes bound the requests that are stored in one transaction.
	groupMost, groupBytes = 200, 1 << 20
	// heldBytes is how much of stored requests waits in memory to be applied; what is over waits in the database.
	heldBytes = 16 << 20
	// applyMost is how many reports one transaction applies: a few milliseconds of SQLite's writer.
	applyMost = 100
	// leftAfter is how old a stored request is before the leader takes it for one that a crash left. Where its node is alive and
	// merely slow, both apply it, and one of them in vain.
	leftAfter = 2 * time.Second
	// poll is how often the leader looks for what is due.
	poll = 250 * time.Millisecond
	// drain is how long what is in memory is still applied when the process stops.
	drain = 2 * time.Second
)

// Counts is what has happened in this process since it started.
type Counts struct {
	Stored     int64 // requests
	Forged     int64 // requests without the signature that they should have
	Unreadable int64 // requests that nobody could read
	Moved      int64 // reports that brought a message to another status
	Logged     int64 // reports that left an event
	Known      int64 // reports that said nothing new
	Parked     int64 // reports put aside, each time
	Dropped    int64 // reports that found no message for 72 hours, or that could not be applied
	Asked      int64 // questions to providers
}

// Service takes reports and applies them. It is safe for concurrent use.
type Service struct {
	cfg      Config
	adapters map[string]*provider.Adapter // by type in lower case
	names    map[string]bool              // of types that report, in lower case
	accounts accounts
	group    *batch.Group[store.Receipt, struct{}]
	held     held
	// troubles are requests that the store refuses.
	troublesMu sync.Mutex
	troubles   map[comm.ID]trouble
	left       left // of the loop that leads alone
	askers     askers
	failing    outage.Report
	looking    outage.Report
	odd        outage.Spaced
	// unmatched spaces the lines about reports that find no message.
	unmatched outage.Spaced
	// refusals spaces the lines about reports that the store refuses.
	refusals outage.Spaced
	// strange spaces the lines about words of persons to whom nobody has written.
	strange outage.Spaced
	// trimmed is when what persons said long ago was forgotten last.
	trimmed time.Time

	stored, forged, unreadable, moved, logged, known, parked, dropped, asked atomic.Int64
}

// New makes a Service; nothing is stored before Run.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Leads == nil {
		cfg.Leads = func() bool { return false }
	}
	s := &Service{cfg: cfg, adapters: map[string]*provider.Adapter{}, names: map[string]bool{}, troubles: map[comm.ID]trouble{}}
	for i := range cfg.Adapters {
		a := &cfg.Adapters[i]
		s.adapters[strings.ToLower(a.Type)] = a
		if a.Reporting != nil && a.Reporting.Read != nil {
			s.names[strings.ToLower(a.Type)] = true
		}
	}
	s.accounts.init()
	s.unmatched.Every, s.refusals.Every = time.Hour, time.Minute
	s.held.wake = make(chan struct{}, 1)
	s.group = batch.New(batch.Config[store.Receipt, struct{}]{Commit: s.commit, Size: size, MaxItems: groupMost, MaxBytes: groupBytes})
	s.failing = outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "reports of providers are stored and cannot be applied yet", Works: "reports of providers are applied again"}
	s.looking = outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "what providers are to be asked, or have reported, cannot be read", Works: "reports of providers can be read again"}
	return s
}

func size(x store.Receipt) int { return len(x.Query) + len(x.Header) + len(x.Body) }

// Run stores and applies until ctx ends; then it stores what waits, and applies what is in memory for a
// moment. What is left then is applied by whoever leads next.
func (s *Service) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { s.applyLoop(ctx) })
	loops.Go(func() { s.lead(ctx) })
	err := s.group.Run(ctx)
	loops.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	s.applyHeld(last)
	s.askers.close()
	return err
}

// Counts says what has happened here.
func (s *Service) Counts() Counts {
	return Counts{Stored: s.stored.Load(), Forged: s.forged.Load(), Unreadable: s.unreadable.Load(), Moved: s.moved.Load(), Logged: s.logged.Load(),
		Known: s.known.Load(), Parked: s.parked.Load(), Dropped: s.dropped.Load(), Asked: s.asked.Load()}
}

// Unconfirmed says of a message that its provider took it, should have reported by now, and has not.
func (s *Service) Unconfirmed(m *comm.State, now comm.Micros) bool {
	return m.Status == comm.Sent && m.SentAt != 0 && s.names[m.Provider] && now.Sub(m.SentAt) >= s.cfg.Patience
}

// held is stored requests that wait in memory to be applied, or are being applied.
type held struct {
	wake  chan struct{}
	mu    sync.Mutex
	list  []store.Receipt
	ids   map[comm.ID]bool
	bytes int
}

func (h *held) put(x store.Receipt) {
	h.mu.Lock()
	if n := size(x); h.bytes+n <= heldBytes {
		if h.ids == nil {
			h.ids = map[comm.ID]bool{}
		}
		h.list, h.bytes, h.ids[x.ID] = append(h.list, x), h.bytes+n, true
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *held) take(most int) []store.Receipt {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(most, len(h.list))
	out := append([]store.Receipt(nil), h.list[:n]...)
	for i := range out {
		h.bytes -= size(out[i])
	}
	rest := copy(h.list, h.list[n:])
	clear(h.list[rest:])
	h.list = h.list[:rest]
	return out
}

// done says that requests were applied, or that this node leaves them to whoever leads.
func (h *held) done(all []store.Receipt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range all {
		delete(h.ids, all[i].ID)
	}
}

// others leaves out those that this node is about to apply.
func (h *held) others(all []store.Receipt) []store.Receipt {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(all, func(x store.Receipt) bool { return h.ids[x.ID] })
}
