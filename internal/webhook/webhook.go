// Package webhook posts events to endpoints: signed, in the bytes that were stored, until an endpoint answers 2xx or three days
// of tries are over.
//
// It promises that every delivery is called at least once, after any end of a process too; that one attempt is one request; that
// redirects are not followed and nothing goes past the guard; that an endpoint which is slow, down or gone takes no
// more than its few places from the others; and that every attempt is recorded, or made again. Deliveries are made by
// others: it finds them in the store, and is handed those that were made just now.
package webhook

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

// Endpoints reads endpoints, and switches them off.
type Endpoints interface {
	// EndpointsOf lists the endpoints of apps, those that are off too.
	EndpointsOf(ctx context.Context, apps []comm.ID) ([]comm.Endpoint, error)
	// SwitchOff switches an endpoint off for a reason of comm.EndpointEnds, if it is still of that version.
	SwitchOff(ctx context.Context, e *comm.Endpoint, why string) error
}

// Config is what a Service needs. Zero numbers and durations take the defaults in brackets.
type Config struct {
	Store     store.Deliveries
	Endpoints Endpoints
	// Owned is what the node owns now.
	Owned func() (node string, leases []store.Lease)
	// Now is the database's clock.
	Now func(context.Context) (comm.Micros, error)
	// Secrets opens an endpoint's secrets: the current one, and then those that it replaced.
	Secrets func(*comm.Endpoint) ([]string, error)
	// Dial connects for https, DialPlain for plain http [refused].
	Dial, DialPlain Dial

	// Meter is told what happens, for metrics [nobody is].
	Meter Meter

	Version     string
	Slots       int           // calls at once, but for those that take long: twice as many beside them [256]
	PerEndpoint int           // of one endpoint [4]
	Timeout     time.Duration // of a call, in all [15 s]
	Patience    pace.Backoff  // [Patience()]
	Poll        time.Duration // between two looks at what is due [500 ms]
	Drain       time.Duration // how long calls may go on after the stop [15 s]
	Clock       func() time.Time
	Rand        func() float64 // in [0,1), safe for concurrent use [math/rand/v2]
	Log         *slog.Logger
}

const usualTimeout = 15 * time.Second

func (c *Config) defaults() {
	c.Slots = orElse(c.Slots, 256)
	c.PerEndpoint = orElse(c.PerEndpoint, 4)
	c.Timeout = orElse(c.Timeout, usualTimeout)
	c.Poll = orElse(c.Poll, 500*time.Millisecond)
	c.Drain = orElse(c.Drain, 15*time.Second)
	if len(c.Patience.Steps) == 0 {
		c.Patience = Patience()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Meter == nil {
		c.Meter = unmetered{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func orElse[T int | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

// Service delivers. Its methods are safe for concurrent use.
type Service struct {
	cfg     Config
	policy  policy
	client  *http.Client
	loading outage.Report
	saving  outage.Report
	results chan done
	wake    chan struct{}
	calls   sync.WaitGroup

	mu       sync.Mutex
	targets  map[comm.ID]*target // by endpoint
	order    []*target           // whose turn it is
	turn     int
	inflight int // calls that have begun and whose results are not handed over
	long     int // of them, those under way for longer than longAfter
	late     int // of them, those of endpoints that were late
	queued   int // deliveries in queues, and bytes of their bodies
	bytes    int
	stopping bool
	ended    ended
	unknown  bool          // something was made for an endpoint that is not among the targets
	changes  int           // how often Changed was called
	ahead    time.Duration // of the database's clock over this node's
	waits    waits
}

// done is a call that has ended.
type done struct {
	t       *target
	d       store.Delivery // without its body
	a       answer
	version int // of the endpoint that was called
}

// Lag is how long after a delivery was removed from the store its body may still be on its way, with the usual Timeout: it was read just before, waited
// for its call, and the call takes its time.
const Lag = believed + usualTimeout

// Recording is how long after the end of a call it may take until what it came to is stored, while the store answers: what is being stored then goes first.
const Recording = 2 * recordFor

// New makes a Service; Run delivers.
func New(cfg Config) *Service {
	cfg.defaults()
	s := &Service{cfg: cfg, policy: policy{cfg.Patience, cfg.Rand}, client: newClient(cfg.Dial, cfg.DialPlain, cfg.PerEndpoint), results: make(chan done, cfg.Slots),
		wake: make(chan struct{}, 1), targets: map[comm.ID]*target{}}
	s.loading = outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "webhooks that are due cannot be read; they come later", Works: "webhooks are delivered again"}
	s.saving = outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "what became of webhooks cannot be stored yet", Works: "what became of webhooks is stored again"}
	return s
}

// Run delivers what belongs to this node until ctx ends; then calls under way may end, and what they came to is stored.
func (s *Service) Run(ctx context.Context) error {
	// Calls outlast ctx by the drain, and what they came to outlasts the calls.
	calls, stopCalls := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopCalls(nil)
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		s.save(context.WithoutCancel(ctx), ctx.Done())
	}()
	s.load(ctx, calls)
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	late := time.AfterFunc(s.cfg.Drain, func() { stopCalls(errStopping) })
	s.calls.Wait()
	late.Stop()
	close(s.results)
	<-saved
	s.client.CloseIdleConnections()
	return nil
}

// Made hands over deliveries that were stored just now and are due. It never blocks.
func (s *Service) Made(all []store.Delivery) {
	s.mu.Lock()
	now := s.cfg.Clock()
	for i := range all {
		// What was read long ago may have been changed: it is read again before it is called.
		if t := s.targets[all[i].Endpoint]; t != nil && !t.more && t.recent(now) && t.gets(&all[i]) && s.room(t) {
			s.push(t, all[i])
		} else if t != nil {
			t.more = true
		} else {
			s.unknown = true
		}
	}
	s.mu.Unlock()
	s.stir()
}

// Stir makes it look at once for what is due: after a replay or a test.
func (s *Service) Stir() {
	s.mu.Lock()
	s.unknown = true
	s.mu.Unlock()
	s.stir()
}

// Changed says that an app's endpoints may be other ones than they were: they are read again before anything is posted to them.
// What nobody says is seen when what was read is old. It never blocks.
func (s *Service) Changed(app comm.ID) {
	s.mu.Lock()
	s.changes++
	for _, t := range s.targets {
		if t.endpoint.App == app {
			t.changed = s.changes
			s.empty(t)
		}
	}
	s.mu.Unlock()
	s.stir()
}

// stir makes the loader go round.
func (s *Service) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// now is the database's clock, as far as this node knows it.
func (s *Service) now() comm.Micros { return comm.At(s.cfg.Clock().Add(s.ahead)) }
