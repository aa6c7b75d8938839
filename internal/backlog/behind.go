package backlog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// Rules are the server's, which say with what a message would be sent.
type Rules struct {
	Fallback   chain.Fallback
	CannotSend func(kind string) bool // see chain.Input; nil: there is no such type
	Reserve    int                    // percent of the day of a configuration that only CRITICAL messages use
}

// A message belongs to no provider before its attempt. What waits behind a configuration is what would be tried there first now: the messages that
// are due, of the apps that nobody stopped, whose chain has it at its head; and where every configuration of a chain is out, the one that is
// expected back first. It is a figure of the whole queue, whatever page of it is looked at.
const (
	// BehindMost is how many messages of the queue are counted for it: 1 to 2 µs each. That something waits, and since when, is known however
	// long the queue is, by a seek for each unit. Where 2000 apps wait in 4000 units, half of them with chains of their own, a look takes 50 to 100 ms.
	BehindMost = 10_000
	// behindFor is how long it is remembered, in microseconds: the page that shows it is fetched every few seconds by everybody who looks.
	behindFor = 2_000_000
	// healthMost bounds what is read of the health of providers.
	healthMost = 1_000
)

// Calls is how many attempts of a provider configuration are under way, and what waits behind it.
type Calls struct {
	Config  *comm.ProviderConfig // nil for the logger, and for one that is deleted
	Type    string               // lower case
	Sending int
	Due     int         // messages that would be tried there first now
	More    bool        // there are more than Due
	Oldest  comm.Micros // since when the first of them is due; 0 when none is
}

// caller is who is asked to send: a configuration, or by its type alone the sandbox or one that is deleted.
type caller struct {
	id   comm.ID
	kind string // lower case
}

// behind is what waits behind a caller.
type behind struct {
	config *comm.ProviderConfig // nil for the sandbox
	due    int
	more   bool        // there are more than due
	oldest comm.Micros // since when the first of them is due
}

// waitsBehind is what waits behind each caller, as it was found not long ago.
func (s *Service) waitsBehind(ctx context.Context, underWay []store.UnderWay, now comm.Micros) (map[caller]behind, error) {
	select { // who comes while somebody looks takes what that finds
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if old := now - s.behindAt; s.behind != nil && -behindFor < old && old < behindFor {
		return s.behind, nil
	}
	fresh, err := s.findBehind(ctx, sendingOf(underWay), now)
	if err != nil {
		return nil, err
	}
	s.behind, s.behindAt = fresh, now
	return fresh, nil
}

func (s *Service) findBehind(ctx context.Context, sending map[comm.Unit]map[comm.ID]bool, now comm.Micros) (map[caller]behind, error) {
	due, err := s.dueUnits(ctx, sending, now)
	if err != nil {
		return nil, err
	}
	apps, err := s.appsOf(ctx, due)
	if err != nil {
		return nil, err
	}
	due = slices.DeleteFunc(due, func(d dueUnit) bool { a := apps[d.unit.App]; return a == nil || chain.Stopped(a) != "" })
	pick, err := s.heads(ctx, apps, now)
	if err != nil {
		return nil, err
	}
	out, heads := map[caller]behind{}, map[lineOf]*head{}
	for _, d := range due {
		line := lineOf{d.unit.App, d.unit.Channel, d.unit.Lane == comm.Critical}
		h, known := heads[line]
		if !known {
			h = pick(apps[line.app], line.channel, line.critical)
			heads[line] = h
		}
		if h == nil {
			continue // no provider's
		}
		b := out[h.caller]
		b.config, b.due, b.more, b.oldest = h.config, b.due+d.n, b.more || d.more, earlier(b.oldest, d.oldest)
		out[h.caller] = b
	}
	return out, nil
}

// lineOf is what has one chain.
type lineOf struct {
	app      comm.ID
	channel  comm.Channel
	critical bool // a part of the day of a configuration is for these alone
}

// dueUnit is a unit with messages that wait and are due.
type dueUnit struct {
	unit   comm.Unit
	n      int
	more   bool // there may be more than n
	oldest comm.Micros
}

// dueUnits lists every unit in which a message that is not under way is due.
func (s *Service) dueUnits(ctx context.Context, sending map[comm.Unit]map[comm.ID]bool, now comm.Micros) ([]dueUnit, error) {
	firsts, err := s.firsts(ctx, now)
	if err != nil || len(firsts) == 0 {
		return nil, err
	}
	counted, more, err := s.store.UnitDepths(ctx, now, BehindMost)
	if err != nil {
		return nil, err
	}
	counts := make(map[comm.Unit]int, len(counted))
	for _, d := range counted {
		counts[d.Unit] = d.Due
	}
	depths := make([]store.Depth, len(firsts))
	for i, w := range firsts {
		depths[i] = store.Depth{Unit: w.Unit, OldestDue: w.Due}
	}
	oldest, err := s.oldest(ctx, depths, sending, now)
	if err != nil {
		return nil, err
	}
	out := make([]dueUnit, 0, len(firsts))
	for i, w := range firsts {
		d := dueUnit{w.Unit, counts[w.Unit] - len(sending[w.Unit]), more, oldest[i]}
		if d.n <= 0 && d.oldest != 0 { // it was not counted, not to its end, or what was under way has ended since
			d.n, d.more = 1, true
		}
		if d.n > 0 {
			out = append(out, d)
		}
	}
	return out, nil
}

// appsOf reads the apps of units.
func (s *Service) appsOf(ctx context.Context, due []dueUnit) (map[comm.ID]*comm.App, error) {
	units := make([]comm.Unit, len(due))
	for i := range due {
		units[i] = due[i].unit
	}
	apps := map[comm.ID]*comm.App{}
	for some := range slices.Chunk(units, unitsAtOnce) {
		if err := s.learn(ctx, some, apps); err != nil {
			return nil, err
		}
	}
	return apps, nil
}

// head is who would be called first.
type head struct {
	caller
	config *comm.ProviderConfig
}

// heads reads what the chains of apps depend on, and answers who would be called first of an app's channel, for CRITICAL or the others; nil where
// nobody would.
func (s *Service) heads(ctx context.Context, apps map[comm.ID]*comm.App, now comm.Micros) (func(a *comm.App, ch comm.Channel, critical bool) *head, error) {
	ids := []comm.ID{{}} // the server's own
	for id, a := range apps {
		if a != nil && !a.Sandbox && chain.Stopped(a) == "" {
			ids = append(ids, id)
		}
	}
	own, told := map[comm.ID][]comm.ProviderConfig{}, health.Told{}
	for some := range slices.Chunk(ids, unitsAtOnce) {
		list, err := s.store.ProviderConfigs(ctx, some...)
		if err != nil {
			return nil, fmt.Errorf("read provider configurations: %w", err)
		}
		for _, c := range list {
			own[c.App] = append(own[c.App], c)
		}
		if daily := health.Daily(list); len(daily) > 0 {
			days, err := s.store.DaysUsed(ctx, daily...)
			if err != nil {
				return nil, err
			}
			told.Days = append(told.Days, days...)
		}
	}
	var err error
	if told.Troubles, err = s.store.ProviderTroubles(ctx, healthMost); err != nil {
		return nil, err
	}
	if told.Strains, err = s.store.ProviderStrains(ctx, healthMost); err != nil {
		return nil, err
	}
	known := told.Known(now, s.rules.Reserve)
	return func(a *comm.App, ch comm.Channel, critical bool) *head {
		condition := func(c *comm.ProviderConfig) chain.Condition { return chain.Known(known(c, critical)).Condition() }
		c := chain.Pick(chain.Input{App: a, Channel: ch, Own: own[a.ID], Server: own[comm.ID{}], Fallback: s.rules.Fallback, CannotSend: s.rules.CannotSend, Condition: condition})
		if c.Logger {
			return &head{caller: caller{kind: chain.Sandbox}}
		}
		first := c.First()
		if first == nil {
			return nil
		}
		return &head{caller{first.ID, strings.ToLower(first.Type)}, first}
	}, nil
}

// calls counts attempts under way, and what waits, by configuration: the busiest first.
func (s *Service) calls(ctx context.Context, underWay []store.UnderWay, now comm.Micros) ([]Calls, error) {
	waits, err := s.waitsBehind(ctx, underWay, now)
	if err != nil {
		return nil, fmt.Errorf("find what waits behind each provider: %w", err)
	}
	all, apps := map[caller]*Calls{}, map[comm.ID]bool{}
	of := func(k caller) *Calls {
		if all[k] == nil {
			all[k] = &Calls{Type: k.kind}
		}
		return all[k]
	}
	for k, b := range waits {
		c := of(k)
		c.Config, c.Due, c.More, c.Oldest = b.config, b.due, b.more, b.oldest
	}
	for i := range underWay {
		c := of(caller{underWay[i].ProviderID, underWay[i].Provider})
		if c.Sending++; c.Config == nil {
			apps[comm.ID{}], apps[underWay[i].Unit.App] = true, true // it is one of the server's own, or of the app's
		}
	}
	if len(apps) > 0 {
		list, err := s.store.ProviderConfigs(ctx, slices.Collect(maps.Keys(apps))...)
		if err != nil {
			return nil, fmt.Errorf("read provider configurations: %w", err)
		}
		for i := range list {
			if c := all[caller{list[i].ID, strings.ToLower(list[i].Type)}]; c != nil && c.Config == nil {
				c.Config = &list[i]
			}
		}
	}
	out := make([]Calls, 0, len(all))
	for _, c := range all {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Calls) int {
		return cmp.Or(b.Sending-a.Sending, b.Due-a.Due, cmp.Compare(a.Type, b.Type), a.id().Compare(b.id()))
	})
	return out, nil
}

func (c Calls) id() (id comm.ID) {
	if c.Config != nil {
		id = c.Config.ID
	}
	return id
}
