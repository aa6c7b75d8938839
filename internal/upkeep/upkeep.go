// Package upkeep removes what has been kept long enough: the content of messages
// some time after their end, whole messages later, everything of deleted apps, and
// everything of a person who asks to be forgotten.
//
// It promises that a message that is not final is never purged; that its work is cut
// into single short transactions, sized by measured time, with pauses between, so that
// accepting is not held up; that it goes on where it stopped, whatever stopped it; and
// that of several nodes one does it. What it does can be read (Status).
//
// It does not make files smaller: a database keeps the room for later.
package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Store is what upkeep works on.
type Store interface {
	store.Upkeep
	store.Persons
	Now(ctx context.Context) (comm.Micros, error)
	Search(ctx context.Context, app comm.ID, f store.Filter) (store.Found, error)
	Cancel(ctx context.Context, app, id comm.ID, actor string) (comm.State, comm.CancelResult, error)
	AppList(ctx context.Context, after comm.ID, limit int) ([]comm.App, error)
	DeletedApps(ctx context.Context, after comm.ID, limit int) ([]comm.ID, error)
	Note(ctx context.Context, notes []store.AuditEntry) error
	Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error)
	TrimDeliveries(ctx context.Context, before, waiting comm.Micros, limit int) (removed int, err error)
	TrimEndpoints(ctx context.Context, after store.EndpointKey, limit int) (store.Trimmed, error)
	TrimSessions(ctx context.Context, idle, now comm.Micros, limit int) (int, error)
	TrimFeed(ctx context.Context, after comm.ID, before comm.Micros, limit int) (removed int, next comm.ID, err error)
}

// Book is the opt-outs with the hashes of those who were erased.
type Book interface {
	Hash(app comm.ID, ch comm.Channel, address string) []byte
	Forget(app comm.ID)
	Return(ctx context.Context, app comm.ID, ch comm.Channel, address string) error
	Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error)
}

// Config is what a Service needs. Zero durations take the defaults in brackets.
type Config struct {
	Store Store
	Book  Book
	Ring  *seal.Ring
	// Leads says whether this node does the work now; one of all nodes should.
	Leads           func() bool
	Content         time.Duration // how long content is kept after the final state
	Messages        time.Duration // how long messages are kept
	Gentle          Pace          // of work that ends soon [2 ms, 0.03]
	Hurried         Pace          // of work that has gone on for longer than Patience [4 ms, 0.2]
	Patience        time.Duration // [15 min]
	Every           time.Duration // between two rounds [1 min]
	Grace           time.Duration // how long a deleted app's rows are left alone [15 min]
	Settle          time.Duration // how long an erasure waits for what was on its way [15 s]
	Recording       time.Duration // how much later than that an event is told without the person: a call from before is recorded by then [0]
	Log             *slog.Logger
	TransactionDone func(time.Duration) // told of each [nobody is]
}

// Pace is how much of the database's time work may take.
type Pace struct {
	Aim   time.Duration // of a transaction
	Share float64       // of the time that transactions may take, between 0 and 1
}

// The usual work is gentle enough that accepting does not notice it. What is not done
// after the patience is more than gentle work can keep up with, and goes faster.
var (
	gentle  = Pace{2 * time.Millisecond, 0.03}
	hurried = Pace{4 * time.Millisecond, 0.2}
)

const (
	patience = 15 * time.Minute
	// calm without a transaction is the end of the work under way.
	calm = 30 * time.Second

	every  = time.Minute
	grace  = 15 * time.Minute
	settle = 15 * time.Second
	// least is how many messages a transaction is about at least: it costs what it costs to make one durable.
	least = 4
	// poll is how often somebody looks whether there is an erasure to do.
	poll = time.Second
)

// Service does the work and answers what is asked about it. It is safe for concurrent use.
type Service struct {
	cfg                Config
	sealer             *seal.Sealer
	retaining, erasing hand
	slice              pace.Slice  // of whichever hand has its turn, as are the two times
	since              time.Time   // when the work under way began
	latest             time.Time   // when its last step and the rest after it were over
	swept              comm.Micros // when what deleted endpoints left was looked for last
	trimmed            comm.Micros // how far feeds were, when a round was last through with all
	desk               *desk
	wake               chan struct{}
	roundsFail         outage.Report
	erasuresFail       outage.Report
	began              atomic.Int64 // of the round under way, for Status; 0 without one
}

// New makes a Service. Nothing is done before Run.
func New(cfg Config) *Service {
	if cfg.Every == 0 {
		cfg.Every = every
	}
	if cfg.Grace == 0 {
		cfg.Grace = grace
	}
	if cfg.Settle == 0 {
		cfg.Settle = settle
	}
	if cfg.Gentle == (Pace{}) {
		cfg.Gentle = gentle
	}
	if cfg.Hurried == (Pace{}) {
		cfg.Hurried = hurried
	}
	if cfg.Patience == 0 {
		cfg.Patience = patience
	}
	if cfg.Leads == nil {
		cfg.Leads = func() bool { return true }
	}
	s := &Service{cfg: cfg, wake: make(chan struct{}, 1), desk: newDesk(), sealer: cfg.Ring.For(store.ErasedAddresses().Purpose),
		slice: pace.Slice{Aim: cfg.Gentle.Aim, Share: cfg.Gentle.Share, Least: least, Most: store.UpkeepMost}}
	s.retaining, s.erasing = hands(s)
	for r, text := range map[*outage.Report][2]string{
		&s.roundsFail:   {"what was kept long enough is not removed yet", "what was kept long enough is removed again"},
		&s.erasuresFail: {"a person is not erased yet", "persons are erased again"},
	} {
		r.Log, r.Level, r.Failing, r.Works = cfg.Log, slog.LevelWarn, text[0], text[1]
	}
	return s
}

// Run works until ctx ends. An error of the store ends a round or an erasure, never the process.
func (s *Service) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { s.retain(ctx) })
	loops.Go(func() { s.loop(ctx, s.wake, func() { s.reportErasures(ctx, s.beginErasures(ctx)) }) })
	loops.Wait()
	s.desk.working.Wait()
	return nil
}

// retain does the rounds.
func (s *Service) retain(ctx context.Context) {
	var next time.Time
	s.loop(ctx, nil, func() {
		if time.Now().Before(next) {
			return
		}
		err := s.Round(ctx)
		next = time.Now().Add(s.cfg.Every)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.roundsFail.Failed(err)
		default:
			s.roundsFail.Worked()
		}
	})
}

// loop calls do from time to time, and when woken, while this node leads.
func (s *Service) loop(ctx context.Context, wake <-chan struct{}, do func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		if s.cfg.Leads() {
			do()
		}
		timer.Reset(poll)
	}
}

// stir makes Run look for work now.
func (s *Service) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// errNotLeading ends a round early: another node does the work now.
var errNotLeading = fmt.Errorf("another node does the work: %w", context.Canceled)

// hurry chooses the pace by how long the work under way has lasted.
func (s *Service) hurry(now time.Time) {
	if now.Sub(s.latest) > calm {
		s.since = now
	}
	p := s.cfg.Gentle
	if now.Sub(s.since) > s.cfg.Patience {
		p = s.cfg.Hurried
	}
	s.slice.Aim, s.slice.Share = p.Aim, p.Share
}
