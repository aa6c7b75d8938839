package dispatch

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// directory caches what the scheduler must know of apps and their provider
// configurations, with senders opened once per version. The scheduler's lock
// guards it; reads happen outside.
type directory struct {
	entries  map[comm.ID]*entry // the zero id: the server-level chain
	version  int64              // +1 at every change that was heard of
	remote   int64              // the store's configuration version as last seen
	changed  time.Time
	share    int   // live workers: server-level limits are split over them
	rank     int   // this node's place among them
	owned    int64 // +1 whenever this node takes shards
	adapters map[string]provider.Adapter
	unable   func(kind string) bool // types that are known without a sender
	env      provider.Env
	secrets  func(*comm.ProviderConfig) (map[string]string, error)
}

// entry is one app with its configurations.
type entry struct {
	company
	id       comm.ID
	app      comm.App
	missing  bool // the app was deleted
	configs  []comm.ProviderConfig
	accounts map[comm.ID]*account
	version  int64 // of the directory when it was read
	fresh    int64 // the version that it must have been read at before it is used
	owned    int64 // the directory's count of take-overs when it was read
	read     bool  // it was read at least once
	force    bool  // must be read again before it is used
	loading  bool
	waiting  []*unit
	// asking are jobs and heads that need an answer younger than themselves; asked are those the read under way will answer.
	asking, asked questions
	used          time.Time
}

// questions are what only a fresh read can answer.
type questions struct {
	verify []*job    // live messages about to go to the logger
	modes  []suspect // heads whose mode was not as believed
}

type suspect struct {
	shard *shard
	id    comm.ID
}

func (d *directory) entry(id comm.ID) *entry {
	e := d.entries[id]
	if e == nil {
		e = &entry{id: id, force: true}
		d.entries[id] = e
	}
	return e
}

// outdated makes every entry be read again at its next use.
func (s *scheduler) outdated() {
	s.dir.version++
	s.dir.changed = s.clock.now()
	for _, e := range s.dir.entries {
		if s.concerns(e) {
			s.reload(e)
		}
	}
	s.poke()
}

// changed sees to it that no attempt of the app starts by what was known of it before.
func (s *scheduler) changed(app comm.ID) {
	s.outdated()
	if e := s.dir.entries[app]; e != nil {
		e.fresh = s.dir.version
	}
}

// concerns says whether a change of the entry could free something that waits now.
func (s *scheduler) concerns(e *entry) bool {
	if e.id.IsZero() {
		return true
	}
	t := s.tenants[e.id]
	if t == nil {
		return false
	}
	for _, u := range t.units {
		if u.phase == held {
			return true
		}
	}
	return false
}

// usable says whether the entry may be used now, and sees to it that it will be.
func (s *scheduler) usable(e *entry, now time.Time) bool {
	e.used = now
	known := e.daysKnown(s.dir.owned)
	if e.read && !e.force && known && e.version == s.dir.version {
		return true
	}
	if !e.loading {
		s.reload(e)
	}
	return e.read && !e.force && e.version >= e.fresh && known && now.Sub(s.dir.changed) < staleConfig
}

func (s *scheduler) reload(e *entry) {
	if e.loading {
		return
	}
	e.loading = true
	s.reads.entries.push(e)
	s.pump()
}

// loaded is what a read of an entry brought.
type loaded struct {
	app     comm.App
	missing bool
	configs []comm.ProviderConfig
	opened  map[comm.ID]*account // made outside the lock; those in use stay as they are
	days    []store.DayUse
	version int64
	owned   int64
}

// snapshot is what a read must know of the present.
type snapshot struct {
	version  int64
	owned    int64
	accounts map[comm.ID]*account
}

func (s *scheduler) beginLoads(entries []*entry) []snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]snapshot, len(entries))
	for i, e := range entries {
		out[i] = snapshot{version: s.dir.version, owned: s.dir.owned, accounts: maps.Clone(e.accounts)}
		for _, a := range e.accounts {
			a.days.ask()
		}
		e.asked, e.asking = e.asking, questions{}
	}
	return out
}

// refresh reads entries anew and answers what is to be closed and called. It holds no lock.
func (d *Dispatcher) refresh(ctx context.Context, entries []*entry) (closed []provider.Sender, calls []*job) {
	s := d.sched
	loads, err := d.load(ctx, entries, s.beginLoads(entries))
	switch {
	case err == nil:
		d.outages.settings.Worked()
	case ctx.Err() == nil:
		d.outages.settings.Failed(err, "apps", len(entries))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads.ended(err)
	for i, e := range entries {
		e.readEnded(len(entries), &s.reads, err)
		var l loaded
		if err == nil {
			l = loads[i]
		}
		old, freed := s.install(e, l, err)
		closed, calls = append(closed, old...), append(calls, freed...)
	}
	s.reads.loads--
	s.pump()
	s.poke()
	return closed, calls
}

// load reads entries and opens new senders.
func (d *Dispatcher) load(ctx context.Context, entries []*entry, snaps []snapshot) ([]loaded, error) {
	ids := make([]comm.ID, len(entries))
	at := make(map[comm.ID]*loaded, len(entries))
	out := make([]loaded, len(entries))
	for i, e := range entries {
		ids[i] = e.id
		out[i] = loaded{version: snaps[i].version, owned: snaps[i].owned, missing: !e.id.IsZero(), opened: map[comm.ID]*account{}}
		at[e.id] = &out[i]
	}
	apps, err := d.cfg.Apps.AppsByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read apps: %w", err)
	}
	for i := range apps {
		if l := at[apps[i].ID]; l != nil {
			l.app, l.missing = apps[i], false
		}
	}
	configs, err := d.cfg.Providers.ProviderConfigs(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("read provider configurations: %w", err)
	}
	for i := range configs {
		if l := at[configs[i].App]; l != nil && !l.missing {
			l.configs = append(l.configs, configs[i])
		}
	}
	if err := d.loadDays(ctx, configs, at); err != nil {
		return nil, err
	}
	for i := range out {
		d.openAll(&out[i], snaps[i].accounts)
	}
	return out, nil
}

// loadDays reads what the configurations with a limit per day have used of it.
func (d *Dispatcher) loadDays(ctx context.Context, configs []comm.ProviderConfig, at map[comm.ID]*loaded) error {
	limited := health.Daily(configs)
	if len(limited) == 0 {
		return nil
	}
	days, err := d.cfg.Providers.DaysUsed(ctx, limited...)
	if err != nil {
		return fmt.Errorf("read what provider configurations have used of their day: %w", err)
	}
	for i := range days {
		if l := at[days[i].App]; l != nil {
			l.days = append(l.days, days[i])
		}
	}
	return nil
}

// openAll opens the senders of configurations that are new or were changed.
func (d *Dispatcher) openAll(l *loaded, have map[comm.ID]*account) {
	for i := range l.configs {
		c := &l.configs[i]
		if a := have[c.ID]; a != nil && a.config.Version == c.Version && a.broken == "" {
			l.opened[c.ID] = a
			continue
		}
		l.opened[c.ID] = d.open(c)
	}
}

// open makes an account; one that cannot be opened says why in broken.
func (d *Dispatcher) open(c *comm.ProviderConfig) *account {
	a := newAccount(*c, 1)
	a.name = strings.ToLower(c.Type)
	adapter, ok := d.sched.dir.adapters[c.Type]
	if !ok {
		a.broken = chain.WaitAdapter
		return a
	}
	if adapter.Open == nil {
		a.broken = chain.WaitCannotSend
		return a
	}
	a.reports = adapter.Reporting
	a.timeout = callTimeout(&adapter)
	var secrets map[string]string
	if c.Secrets != nil {
		var err error
		if secrets, err = d.sched.dir.secrets(c); err != nil {
			a.broken = chain.WaitCredentials
			d.log.Warn("credentials of a provider configuration cannot be opened; its messages wait", "provider", c.ID.String(), "err", err)
			return a
		}
	}
	sender, err := adapter.OpenConfig(c, secrets, brisk(d.sched.dir.env))
	if err != nil {
		a.broken = chain.WaitAdapter
		d.log.Warn("a provider configuration cannot be opened; its messages wait", "provider", c.ID.String(), "err", err)
		return a
	}
	a.sender = sender
	return a
}

// install takes what a read brought, frees what waited for it and answers what is to be closed and called.
func (s *scheduler) install(e *entry, l loaded, err error) (closed []provider.Sender, calls []*job) {
	e.loading = false
	asked := e.asked
	e.asked = questions{}
	if err == nil {
		closed = s.replace(e, l)
		calls = s.resolve(e, asked)
	} else {
		for _, j := range asked.verify {
			s.undo(j)
		}
	}
	waiting := e.waiting
	e.waiting = nil
	for _, u := range waiting {
		if err != nil && !u.dead && u.phase == loading {
			s.later(u, readRetry)
			continue
		}
		s.free(u)
	}
	if len(e.asking.verify)+len(e.asking.modes) > 0 {
		s.reload(e)
	}
	s.poke()
	return closed, calls
}

func (s *scheduler) replace(e *entry, l loaded) (closed []provider.Sender) {
	old := e.accounts
	e.app, e.missing, e.configs, e.version, e.owned = l.app, l.missing, l.configs, l.version, l.owned
	e.read, e.force = true, false
	e.accounts = l.opened
	for id, a := range e.accounts {
		if was := old[id]; was != nil && was != a {
			a.inherit(was, s.clock.now())
		}
		s.spread(e, a)
		s.examine(a, s.clock.now())
	}
	s.used(e, l.days)
	for id, a := range old {
		if e.accounts[id] == a {
			continue
		}
		if a.sender != nil {
			closed = append(closed, a.sender)
		}
		s.alarms.drop(&a.alarm)
		s.alarms.drop(&a.silence)
		for class := range a.lines {
			for a.lines[class].len() > 0 {
				if w := a.lines[class].pop(); w.unit.turn == w.turn {
					s.free(w.unit)
				}
			}
		}
	}
	if t := s.tenants[e.id]; t != nil {
		for _, u := range append([]*unit(nil), t.units...) {
			if u.phase == held {
				s.free(u)
			}
		}
	}
	return closed
}

// spread splits the limits of the server-level chain over the live nodes, and
// those of an app that is spread over shards likewise.
func (s *scheduler) spread(e *entry, a *account) {
	nodes := 1
	if e.id.IsZero() || e.app.ShardSpread > 1 {
		nodes = max(1, s.dir.share)
	}
	a.split(nodes)
	a.rank = s.dir.rank % nodes
}

// resolve answers the questions that waited for a fresh read of the app.
func (s *scheduler) resolve(e *entry, asked questions) (calls []*job) {
	for _, q := range asked.modes {
		if !q.shard.lost && e.app.Active && !e.app.Sandbox {
			q.shard.modes[q.id] = comm.Sandbox // the app is live: it is the message that is not
		}
	}
	server := s.dir.entry(comm.ID{})
	for _, j := range asked.verify {
		app := s.dir.entry(j.unit.key.App)
		c := s.chain(app, server, j.unit, comm.Live, nil, s.clock.now())
		if c.Logger && !app.app.Sandbox && e != server {
			server.asking.verify = append(server.asking.verify, j) // nothing of its own: ask for the server's chain too
			s.reload(server)
			continue
		}
		if c.Logger {
			calls = append(calls, j)
			continue
		}
		j.shard.modes[j.head.ID] = comm.Live
		s.undo(j)
	}
	return calls
}

// undo returns a started attempt whose call is not to be made.
func (s *scheduler) undo(j *job) {
	j.answered, j.result = true, result{}
	s.results = append(s.results, j)
}

// doubt asks for a fresh read of the job's app before a live message goes to the logger.
func (s *scheduler) doubt(j *job) {
	e := s.dir.entry(j.unit.key.App)
	e.asking.verify = append(e.asking.verify, j)
	s.reload(e)
}
