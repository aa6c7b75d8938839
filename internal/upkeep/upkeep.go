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
	"errors"
	"fmt"
	"log/slog"
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
	Message(ctx context.Context, app, id comm.ID) (*comm.Message, error)
	Search(ctx context.Context, app comm.ID, f store.Filter) (store.Found, error)
	Cancel(ctx context.Context, app, id comm.ID, actor string) (comm.State, comm.CancelResult, error)
	AppList(ctx context.Context, after comm.ID, limit int) ([]comm.App, error)
	DeletedApps(ctx context.Context, after comm.ID, limit int) ([]comm.ID, error)
	Note(ctx context.Context, notes []store.AuditEntry) error
	Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error)
}

// Book is the opt-outs with the hashes of those who were erased.
type Book interface {
	Hash(app comm.ID, ch comm.Channel, address string) []byte
	Forget(app comm.ID)
	Return(ctx context.Context, app comm.ID, ch comm.Channel, address string) error
	Suppressed(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error)
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
	// late is how much younger than its retention a message may be to be looked at: an id is
	// minted before its row is stored, by another node's clock.
	late = 2 * time.Minute
)

// Service does the work and answers what is asked about it. It is safe for concurrent use.
type Service struct {
	cfg     Config
	sealer  *seal.Sealer
	slice   pace.Slice // of Run's goroutine, as are the two times
	since   time.Time  // when the work under way began
	latest  time.Time  // when its last transaction and the rest after it were over
	wake    chan struct{}
	failing outage.Report
	began   atomic.Int64          // of the round under way, for Status; 0 without one
	again   map[comm.ID]time.Time // when an erasure that waits is looked at again; of Run's goroutine
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
	s := &Service{cfg: cfg, wake: make(chan struct{}, 1), again: map[comm.ID]time.Time{}, sealer: cfg.Ring.For(store.ErasedAddresses().Purpose),
		slice: pace.Slice{Aim: cfg.Gentle.Aim, Share: cfg.Gentle.Share, Least: least, Most: store.UpkeepMost}}
	s.failing.Log, s.failing.Level = cfg.Log, slog.LevelWarn
	s.failing.Failing, s.failing.Works = "what was kept long enough is not removed yet", "what was kept long enough is removed again"
	return s
}

// Run works until ctx ends. An error of the store ends a round, never the process.
func (s *Service) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		if s.cfg.Leads() {
			// An erasure that fails must not keep retention from its round, nor the other way round.
			err := s.erasures(ctx)
			if ctx.Err() == nil && !time.Now().Before(next) {
				err = errors.Join(err, s.Round(ctx))
				next = time.Now().Add(s.cfg.Every)
			}
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				s.failing.Failed(err)
			default:
				s.failing.Worked()
			}
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

// rest leaves the time after a transaction to others, and says when to stop.
func (s *Service) rest(ctx context.Context, n int, took time.Duration) error {
	s.hurry(time.Now())
	s.slice.Took(n, took)
	if s.cfg.TransactionDone != nil {
		s.cfg.TransactionDone(took)
	}
	return s.pause(ctx, s.slice.Pause(took))
}

// pause waits, and says when to stop.
func (s *Service) pause(ctx context.Context, d time.Duration) error {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	s.latest = time.Now()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.cfg.Leads() {
		return errNotLeading
	}
	return nil
}
