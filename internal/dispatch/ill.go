package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

// Troubles is told which provider configurations do not work for a node; store.Alerts is one. A trouble outlives the node that
// has it: it ends when a call by whoever sends with the configuration succeeds.
type Troubles interface {
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
	switch of {
	case pace.Success:
		a.failures, a.failure = 0, ""
		a.worked, a.passed = now, false
	case pace.Failure:
		a.failures++
		a.failure = ""
		if r.answer != nil {
			a.failure = r.answer.Code
		}
	case pace.Neutral:
	}
}

// ills are the configurations that do not work, each with since when.
type ills map[comm.ID]ill

type ill struct {
	app   comm.ID
	since comm.Micros
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
		s.ill[a.config.ID] = ill{a.config.App, s.clock.dbAt(now)}
	}
}

// maxIlls bounds what is told at once.
const maxIlls = 1000

// troubles is what does not work now of what this node sends with, and what it has just left to others.
func (s *scheduler) troubles(now time.Time) (out map[comm.ID]store.ProviderTrouble, left []store.ProviderTrouble) {
	out = map[comm.ID]store.ProviderTrouble{}
	for id, x := range s.ill {
		var reason, code string
		e := s.dir.entries[x.app]
		if e != nil && e.accounts[id] != nil {
			reason, code = e.accounts[id].trouble(now)
		}
		t := store.ProviderTrouble{App: x.app, ID: id, Reason: reason, Code: code, Since: x.since}
		switch {
		case reason == "":
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
	if len(p.left) == 0 && maps.Equal(fresh, p.told) {
		return
	}
	if err := p.d.cfg.Troubles.SetProviderTroubles(ctx, node, slices.Collect(maps.Values(fresh)), p.left); err != nil {
		p.untold = now
		p.failedToTell(ctx, err)
		return
	}
	p.d.outages.troubles.Worked()
	p.told, p.left = fresh, nil
}

func (p *poller) failedToTell(ctx context.Context, err error) {
	if ctx.Err() == nil {
		p.d.outages.troubles.Failed(err)
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
		p.failedToTell(ctx, err)
		return
	}
	s.mu.Lock()
	over := slices.DeleteFunc(left, func(t store.ProviderTrouble) bool { return !s.over(&t, p.told) })
	s.mu.Unlock()
	if len(over) == 0 {
		return
	}
	if err := p.d.cfg.Troubles.DropTroubles(ctx, over); err != nil {
		p.failedToTell(ctx, err)
	}
}
