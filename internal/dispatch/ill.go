package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// Troubles is told which provider configurations do not work for a node, and how calls go; store.Alerts is one. A trouble outlives the
// node that has it: it ends when a call by whoever sends with the configuration succeeds.
type Troubles interface {
	SetProviderStrains(ctx context.Context, node string, list []store.ProviderStrain) error
	SetProviderTroubles(ctx context.Context, node string, list, left []store.ProviderTrouble) error
	LeftTroubles(ctx context.Context, limit int) ([]store.ProviderTrouble, error)
	DropTroubles(ctx context.Context, list []store.ProviderTrouble) error
}

// illAfter is how many calls in a row fail before it is told. A breaker wants more results than an app that sends little
// ever makes in its window, and would not open for it.
const illAfter = 2

// trouble is why the account does not work, a word of chain.WaitReasons with the last answer's code; "" when it does.
func (a *account) trouble(now time.Time) (reason, code string) {
	switch {
	case a.broken != "":
		return a.broken, ""
	case a.failures >= illAfter || a.breaker.State(now) != pace.Closed && !a.passed:
		return chain.WaitDown, a.failure
	}
	return "", ""
}

// result notes how a call ended.
func (a *account) result(now time.Time, of pace.Result, r *result) {
	a.ended.Add(now, of == pace.Failure)
	switch of {
	case pace.Success:
		a.failures, a.failure, a.said, a.class = 0, "", "", ""
		a.worked, a.passed = now, false
	case pace.Failure:
		a.failures++
		a.failure, a.said, a.class = "", "", ""
		if r.answer != nil {
			a.failure, a.said, a.class = r.answer.Code, clip(r.answer.Text), r.class().Rule().Code
		}
	case pace.Neutral:
	}
}

// ills are the configurations that do not work, each with since when.
type ills map[comm.ID]ill

type ill struct {
	app     comm.ID
	since   comm.Micros
	until   time.Time   // when its breaker lets a probe through, as it was told
	next    comm.Micros // the same by the database's clock, which moves a little against this node's
	carried map[comm.ID]int64
}

// examine remembers an account that does not work. Whether it still does not is looked at when it is told.
func (s *scheduler) examine(a *account, now time.Time) {
	if a == s.logger {
		return
	}
	if reason, _ := a.trouble(now); reason == "" {
		return
	}
	if _, known := s.ill[a.config.ID]; !known {
		s.ill[a.config.ID] = ill{app: a.config.App, since: s.clock.dbAt(now), carried: map[comm.ID]int64{}}
	}
}

// carry counts a message that an account took for each one before it in the chain that does not work.
func (s *scheduler) carry(by *account, now time.Time) {
	if len(s.ill) == 0 || by == s.logger {
		return
	}
	e := s.dir.entries[by.config.App]
	if e == nil {
		return
	}
	for id, a := range e.accounts {
		x, is := s.ill[id]
		if !is || id == by.config.ID || a.config.Channel != by.config.Channel || chain.Compare(&a.config, &by.config) > 0 {
			continue
		}
		if reason, _ := a.trouble(now); reason != "" {
			x.carried[by.config.ID]++
		}
	}
}

// tell is a trouble as it is now, and what the operator asks next of it.
func (s *scheduler) tell(id comm.ID, a *account, t *store.ProviderTrouble, now time.Time) {
	x := s.ill[id]
	if a.broken == "" {
		t.Breaker, t.Text, t.Class = a.breaker.State(now).String(), a.said, a.class
		if at, wait, forever := a.breaker.Next(now); t.Breaker == pace.Open.String() && wait && !forever {
			if at != x.until {
				x.until, x.next = at, s.clock.dbAt(at)
				s.ill[id] = x
			}
			t.NextAt = x.next
		}
	}
	var all []health.Carrier
	for by, n := range x.carried {
		c := health.Carrier{ID: by, Messages: n}
		if e := s.dir.entries[x.app]; e != nil && e.accounts[by] != nil {
			c.Name = e.accounts[by].config.Name
		}
		all = append(all, c)
	}
	var err error
	if t.Carried, err = health.EncodeCarriers(all); err != nil {
		s.log.Error("what other providers took meanwhile cannot be told", "provider", id.String(), "err", err)
	}
}

// maxIlls bounds what is told at once.
const maxIlls = 1000

// troubles is what does not work now of what this node sends with, and what it has just left to others.
func (s *scheduler) troubles(now time.Time) (out map[comm.ID]store.ProviderTrouble, left []store.ProviderTrouble) {
	out = map[comm.ID]store.ProviderTrouble{}
	for id, x := range s.ill {
		e := s.dir.entries[x.app]
		t := store.ProviderTrouble{App: x.app, ID: id, Since: x.since}
		if e != nil && e.accounts[id] != nil {
			if t.Reason, t.Code = e.accounts[id].trouble(now); t.Reason != "" {
				s.tell(id, e.accounts[id], &t, now)
			}
		}
		switch {
		case t.Reason == "":
			delete(s.ill, id)
		case !s.sendsFor(e):
			delete(s.ill, id)
			left = append(left, t)
		case len(out) < maxIlls:
			out[id] = t
		}
	}
	return out, left
}

// over says whether a trouble that nobody answers for is over, as a call of this node has shown, or is now this node's own
// and was told so. Until then it stays: that it is not known to fail here means nothing.
func (s *scheduler) over(t *store.ProviderTrouble, told map[comm.ID]store.ProviderTrouble) bool {
	e := s.dir.entries[t.App]
	if e == nil && t.Reason != chain.WaitDown {
		s.reload(s.dir.entry(t.App)) // to see whether it can be opened here
	}
	if e == nil || !e.read || !e.missing && !s.sendsFor(e) {
		return false
	}
	a := e.accounts[t.ID]
	if a == nil || !a.config.Active || t.Reason != chain.WaitDown && a.broken == "" || !a.worked.IsZero() && s.clock.dbAt(a.worked) > t.Since {
		return true
	}
	x, is := s.ill[t.ID]
	if is && t.Since < x.since {
		x.since = t.Since
		s.ill[t.ID] = x
	}
	said, is := told[t.ID]
	return is && said.Since <= t.Since
}

// sendsFor says whether this node owns a shard that the entry's configurations are used for.
func (s *scheduler) sendsFor(e *entry) bool {
	owns := func(sh *shard) bool { return sh != nil && sh.active }
	if e.id.IsZero() {
		return slices.ContainsFunc(s.shards[:], owns)
	}
	return slices.ContainsFunc(comm.ShardsOf(e.id, e.app.ShardSpread), func(id comm.Shard) bool { return owns(s.shards[id]) })
}

// tellTroubles tells the store which configurations do not work, when that changed.
func (p *poller) tellTroubles(ctx context.Context) {
	s := p.d.sched
	now := s.clock.now()
	if p.d.cfg.Troubles == nil || now.Sub(p.untold) < readRetry {
		return
	}
	s.mu.Lock()
	fresh, left := s.troubles(now)
	node := s.node
	s.mu.Unlock()
	if node != p.teller {
		p.teller, p.told = node, nil
	}
	if p.left = append(p.left, left...); len(p.left) > maxIlls {
		p.left = p.left[:maxIlls]
	}
	if len(p.left) == 0 && !p.news(fresh, now) {
		return
	}
	if err := p.d.cfg.Troubles.SetProviderTroubles(ctx, node, slices.Collect(maps.Values(fresh)), p.left); err != nil {
		p.untold = now
		failedToTell(ctx, &p.d.outages.troubles, err)
		return
	}
	p.d.outages.troubles.Worked()
	p.told, p.left, p.counted = fresh, nil, now
}

// figuresEvery is how often only that is told which changes with each message, or with each try.
const figuresEvery = 5 * time.Second

// news says whether there is something to tell.
func (p *poller) news(fresh map[comm.ID]store.ProviderTrouble, now time.Time) bool {
	if maps.Equal(fresh, p.told) {
		return false
	}
	but := func(a, b store.ProviderTrouble) bool {
		a.Text, a.Carried, a.Breaker, a.NextAt = b.Text, b.Carried, b.Breaker, b.NextAt
		return a == b
	}
	return now.Sub(p.counted) >= figuresEvery || !maps.EqualFunc(fresh, p.told, but)
}

// failedToTell reports a failure, unless the node is stopping.
func failedToTell(ctx context.Context, of *outage.Report, err error) {
	if ctx.Err() == nil {
		of.Failed(err)
	}
}

// leftEvery is how often a node looks for troubles that nobody answers for.
const leftEvery = 10 * time.Second

// settleLeft drops what nodes that are gone have said, once it is known what is so now.
func (p *poller) settleLeft(ctx context.Context) {
	s := p.d.sched
	now := s.clock.now()
	if p.d.cfg.Troubles == nil || now.Sub(p.settled) < leftEvery {
		return
	}
	p.settled = now
	left, err := p.d.cfg.Troubles.LeftTroubles(ctx, maxIlls)
	if err != nil {
		failedToTell(ctx, &p.d.outages.left, err)
		return
	}
	s.mu.Lock()
	over := slices.DeleteFunc(left, func(t store.ProviderTrouble) bool { return !s.over(&t, p.told) })
	s.mu.Unlock()
	if len(over) > 0 {
		if err := p.d.cfg.Troubles.DropTroubles(ctx, over); err != nil {
			failedToTell(ctx, &p.d.outages.left, err)
			return
		}
	}
	p.d.outages.left.Worked()
}
