// Package alert tells the operator what is wrong, and when it is well again: by a webhook, by mail and in a list.
//
// It promises one alert and one all-clear for each thing, however long it lasts and whichever node leads; that nothing is
// told that lasts for a moment only, and nothing called well that is so for a moment; and that what could not be told is tried
// again until it is, or is over. It finds nothing out by calling providers or endpoints: it reads what others have stored. A
// process that dies between a call and its record may tell twice, under the same id.
package alert

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
)

// Finding is something that is wrong now.
type Finding struct {
	Kind, Subject string
	Text          string // for people; neither secrets nor addresses of persons
	Since         comm.Micros
	Outage        *Outage // of a provider
	App           string  // slug of the app that it is of; "" where it is of none
}

// Found is what a look found.
type Found struct {
	All  []Finding
	More bool // it is not all: what is not among it may be wrong, too
}

// Look finds out what is wrong now of some kinds, the newest of very much. With an error nothing is said of them.
type Look struct {
	Kinds []string
	Every time.Duration
	Find  func(ctx context.Context, now comm.Micros) (Found, error)
}

// Teller hands a note over; an error means that it is tried again.
type Teller func(ctx context.Context, n *Note) error

// Config is what a Service needs. Zero values take the defaults in brackets.
type Config struct {
	Store store.Alerts
	Now   func(context.Context) (comm.Micros, error) // the database's clock
	// Leads says whether this node does the work now; one of all nodes should, and several may.
	Leads func() bool
	Looks []Look
	// Ping says whether the store takes writes. What it says is told by the node that led last, which needs no store for it.
	Ping func(context.Context) error
	// Tellers are the ways of telling by name [none: there is only the list].
	Tellers map[string]Teller
	// Pages is where each kind has a page that says what to do, without a slash at its end; "": nowhere.
	Pages string
	// Patience bounds how long something must last until it is told or over, whatever its kind says [unbounded].
	Patience time.Duration
	Poll     time.Duration // [2 s]
	Timeout  time.Duration // of a teller's call, and of a look [15 s]
	Log      *slog.Logger
}

const (
	// mostRaised is how many alerts of a kind are raised within raisedWithin: beyond it there is one cause, and nobody reads more. What was
	// raised before that and never ends, such as the endpoints of apps that nobody runs any more, does not count.
	mostRaised   = 50
	raisedWithin = time.Hour
	// keep is how long an alert is listed after its all-clear.
	keep = 30 * 24 * time.Hour
	// settle is how much longer an alert must be well of which a node learns that begins to lead.
	settle = 4 * time.Minute
	// Listed is how many alerts List shows, and the leader reads.
	Listed = 1000
)

// Service watches and tells. It is safe for concurrent use. No lock is held over a call of the store: when the store is what is
// in trouble, it must be told.
type Service struct {
	cfg    Config
	failed outage.Report
	pings  once   // of the store
	finds  []once // of each look

	// Of the loop that looks alone.
	next    []time.Time // of each look
	trimmed time.Time

	mu      sync.Mutex
	loaded  bool // the alerts of the store are known
	watches map[key]*watch
	up, led bool // the store takes writes; this node led when it did last
	been    bool // it has taken writes since the start
	storage watch
	ahead   time.Duration // of the database's clock
}

type key struct{ kind, subject string }

// New makes a Service. Nothing is done before Run.
func New(cfg Config) *Service {
	if cfg.Poll == 0 {
		cfg.Poll = 2 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, finds: make([]once, len(cfg.Looks)), next: make([]time.Time, len(cfg.Looks)), watches: map[key]*watch{}}
	s.storage.alert = stored{Alert: store.Alert{Kind: StorageFailing, Subject: "storage", ClearedAt: 1}}
	s.failed = outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "what the operator is to be told cannot be found out", Works: "alerts are watched again"}
	return s
}

// Run watches and tells until ctx ends. The store has loops of its own: whatever else hangs on it, that it hangs is found and told.
func (s *Service) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { s.loop(ctx, s.ping) })
	loops.Go(func() { s.loop(ctx, s.round) })
	for way := range s.cfg.Tellers {
		loops.Go(func() { s.loop(ctx, func(ctx context.Context) { s.tell(ctx, way, s.claimStorage) }) })
		loops.Go(func() { s.loop(ctx, func(ctx context.Context) { s.tell(ctx, way, s.claim) }) })
	}
	loops.Wait()
	return nil
}

func (s *Service) loop(ctx context.Context, do func(context.Context)) {
	timer := time.NewTimer(s.cfg.Poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		do(ctx)
		timer.Reset(s.cfg.Poll)
	}
}

// pingTime bounds one look at whether the store takes writes, and one write.
const pingTime = 5 * time.Second

// ping looks whether the store takes writes.
func (s *Service) ping(ctx context.Context) {
	_, down := within(ctx, &s.pings, pingTime, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.cfg.Ping(ctx) })
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	if s.up = down == nil; s.up || !s.been && !s.led { // where it has never taken any, whoever leads by what is there tells
		s.led = s.cfg.Leads()
	}
	s.been = s.been || s.up
	leads := s.led
	s.mu.Unlock()
	s.watchStorage(ctx, down, leads)
}

// round looks at everything once, while the store takes writes and this node leads.
func (s *Service) round(ctx context.Context) {
	s.mu.Lock()
	up, leads := s.up, s.led
	if up && !leads {
		s.loaded = false
		clear(s.watches)
	}
	s.mu.Unlock()
	if !up || !leads {
		return
	}
	switch err := s.look(ctx); {
	case err == nil:
		s.failed.Worked()
	case ctx.Err() == nil:
		s.failed.Failed(err)
	}
}

// look does the looks that are due and decides. One that fails or hangs keeps no other from being done.
func (s *Service) look(ctx context.Context) error {
	begin, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	now, err := s.cfg.Now(begin)
	if err != nil {
		return err
	}
	if err := s.load(begin, now); err != nil {
		return err
	}
	var failed []error
	for i, l := range s.cfg.Looks {
		at := time.Now()
		if at.Before(s.next[i]) {
			continue
		}
		found, err := within(ctx, &s.finds[i], s.cfg.Timeout, func(ctx context.Context) (Found, error) { return l.Find(ctx, now) })
		if err != nil {
			failed = append(failed, err)
			continue
		}
		s.next[i] = time.Now().Add(s.bounded(l.Every)) // from its end: two looks that are Hold apart are enough, and one that takes long rests as long
		for _, kind := range l.Kinds {
			failed = append(failed, s.decide(ctx, kindOf(kind), found, now))
		}
	}
	if at := time.Now(); at.Sub(s.trimmed) > time.Hour {
		s.trimmed = at
		trim, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
		failed = append(failed, s.cfg.Store.TrimAlerts(trim, now.Add(-keep)))
	}
	return errors.Join(failed...)
}

// load reads what was told before this node led.
func (s *Service) load(ctx context.Context, now comm.Micros) error {
	s.mu.Lock()
	s.ahead = time.Until(now.Time())
	loaded := s.loaded
	s.mu.Unlock()
	if loaded {
		return nil
	}
	all, err := s.cfg.Store.Alerts(ctx, Listed)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches = map[key]*watch{}
	for i := range all {
		a, err := read(&all[i])
		if err != nil {
			s.cfg.Log.Warn("a stored alert cannot be read", "kind", all[i].Kind, "err", err)
			continue
		}
		w := &watch{alert: a}
		if a.open() {
			// Who found it may be gone with what it knew: that nobody finds it now means little yet.
			w.since = time.Now().Add(s.bounded(settle))
		}
		if k := (key{a.Kind, a.Subject}); k != storageKey {
			s.watches[k] = w
		}
	}
	s.loaded = true
	clear(s.next)
	return nil
}

var storageKey = key{StorageFailing, "storage"}

// bounded is a wait that is no longer than the operator's patience.
func (s *Service) bounded(wait time.Duration) time.Duration {
	if s.cfg.Patience > 0 {
		return min(wait, s.cfg.Patience)
	}
	return wait
}

// change stores that an alert is raised or cleared. Where the store knows better, that is taken over, and the next look decides.
func (s *Service) change(ctx context.Context, p planned, now comm.Micros) error {
	s.mu.Lock()
	a := p.alert
	s.mu.Unlock()
	if a.Version == 0 { // it may have been told long ago
		if fresh, err := s.fresh(ctx, p.key); err != nil || fresh.Version != 0 && fresh.open() {
			s.adopt(p.watch, fresh)
			return err
		} else if fresh.Version != 0 {
			a = fresh
		}
	}
	if p.change == raise {
		a.begin(p.Finding, now)
	} else {
		a.outage = p.over
		a.end(now)
	}
	saved, err := s.save(ctx, &a)
	if err != nil {
		return err
	}
	if !saved {
		fresh, err := s.fresh(ctx, p.key)
		if err == nil && fresh.Version == 0 {
			s.forget(p.watch)
		}
		s.adopt(p.watch, fresh)
		return err
	}
	s.adopt(p.watch, a)
	s.cfg.Log.Warn("alert", "alert", a.Kind, "state", a.state(), "subject", a.Subject)
	return nil
}

// forget makes a watch anew whose alert was removed from the store, as an old one is: the next look raises it.
func (s *Service) forget(w *watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.alert = stored{Alert: store.Alert{Kind: w.alert.Kind, Subject: w.alert.Subject, ClearedAt: 1}}
}

// save writes an alert; it is not saved when somebody changed it meanwhile.
func (s *Service) save(ctx context.Context, a *stored) (saved bool, err error) {
	if err := a.pack(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	return s.cfg.Store.SaveAlert(ctx, &a.Alert)
}

// fresh reads an alert as it is stored now; Version 0: it is not.
func (s *Service) fresh(ctx context.Context, k key) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	a, err := s.cfg.Store.Alert(ctx, k.kind, k.subject)
	switch {
	case comm.IsKind(err, comm.Missing):
		return stored{}, nil
	case err != nil:
		return stored{}, err
	}
	out, err := read(a)
	if err != nil { // nobody can say what was told of it
		s.cfg.Log.Warn("a stored alert cannot be read", "kind", k.kind, "err", err)
		out.Alert, err = *a, nil
	}
	return out, err
}

// adopt takes a stored alert over, unless a later one is known.
func (s *Service) adopt(w *watch, a stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Version >= w.alert.Version && a.Version != 0 {
		w.alert = a
	}
}
