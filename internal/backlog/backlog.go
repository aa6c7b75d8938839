// Package backlog shows the administrator what waits to be sent, and clears it.
//
// It promises that looking never holds anything up: what it counts is bounded,
// for a unit and for a page, and says so where there is more; and that clearing is
// done in short transactions with pauses between, can be stopped after any of
// them and goes on from there. It ends nothing that a provider is being asked to send.
//
// It does not schedule: what the dispatcher is about to start is the dispatcher's
// to know, and the reasons shown are those that it has stored.
package backlog

import (
	"context"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Store is what a Service reads and clears.
type Store interface {
	store.Backlog
	Units(ctx context.Context, shards []comm.Shard) ([]store.Wake, error)
	Windows(ctx context.Context, asks []store.Ask) ([][]store.Head, error)
	AppsByID(ctx context.Context, ids []comm.ID) ([]comm.App, error)
	ProviderConfigs(ctx context.Context, apps ...comm.ID) ([]comm.ProviderConfig, error)
	ProviderTroubles(ctx context.Context, limit int) ([]store.ProviderTrouble, error)
	ProviderStrains(ctx context.Context, limit int) ([]store.ProviderStrain, error)
	DaysUsed(ctx context.Context, apps ...comm.ID) ([]store.DayUse, error)
	Now(ctx context.Context) (comm.Micros, error)
	Note(ctx context.Context, notes []store.AuditEntry) error
}

// Service answers the administrator. It is safe for concurrent use.
type Service struct {
	store    Store
	rules    Rules
	pause    func(ctx context.Context, d time.Duration) // between two slices
	callTime time.Duration

	looking  chan struct{}     // held by who looks for these two
	behind   map[caller]behind // never changed; nil: it was not looked for yet
	behindAt comm.Micros       // when it was found
}

// New makes a Service.
func New(s Store, by Rules) *Service {
	return &Service{store: s, rules: by, pause: sleep, callTime: callTime, looking: make(chan struct{}, 1)}
}

// How much is counted.
const (
	// CountMost is how many messages of a unit are counted, those that are due and the others each. What a look costs follows what is counted, and a
	// page is looked at every few seconds: some 2 µs for each, of which PostgreSQL takes most to see whether a row is still there.
	CountMost  = 1_000
	countPage  = 2_000 // of a page, over all its units
	countLeast = 50    // of a unit on a full page
	// TotalMost is how many messages of all apps are counted.
	TotalMost = 2_000
	// LeftMost is how many messages of a unit Left counts, which is asked once for each act.
	LeftMost = 10_000
)

// countTo is how far each unit of a page of so many is counted: a round number, because people read it.
func countTo(units int) int {
	most := min(CountMost, max(countLeast, countPage/max(1, units)))
	for _, round := range []int{1000, 500, 200, 100} {
		if most >= round {
			return round
		}
	}
	return countLeast
}

// bounds are how far units are counted: to most each, beside those under way, which are counted with them.
func bounds(units []comm.Unit, most int, sending map[comm.Unit]map[comm.ID]bool) []int {
	out := make([]int, len(units))
	for i, u := range units {
		out[i] = most + min(len(sending[u]), oldestLooked)
	}
	return out
}

// Scope is a part of what waits. Zero values do not narrow it.
type Scope struct {
	App     *comm.App
	Channel comm.Channel
	Lane    *comm.Lane
	Before  comm.Micros // of what Cancel is about: accepted before; 0 is when it is ordered
}

func (s *Scope) holds(u comm.Unit) bool {
	return (s.Channel == 0 || u.Channel == s.Channel) && (s.Lane == nil || u.Lane == *s.Lane)
}

// Filter says which part of what waits is looked at.
type Filter struct {
	Scope
	After Place // the page begins behind it
	Apps  int   // how many apps a page shows
}

// Place is an app in the order of the view.
type Place struct {
	Shard comm.Shard
	App   comm.ID
}

// Unit is what waits of an app in a channel and a lane.
type Unit struct {
	App     *comm.App
	Channel comm.Channel
	Lane    comm.Lane
	Due     int  // they wait, and may start by their own time
	Later   int  // scheduled, or waiting for their next attempt
	Sending int  // exact
	More    bool // there are more than were counted
	Bytes   int64
	// OldestDue is since when the one that waits longest is due, NextDue when the next
	// one will be if none waits that is; 0 when there is none.
	OldestDue, NextDue comm.Micros
	// Next is that message, with what chain.WaitingFor asks of it, and Hold why its unit does not send.
	Next comm.State
	Hold store.Hold
}

// View is a page of what waits.
type View struct {
	Now       comm.Micros
	Units     []Unit // those of an app together
	Next      *Place // where the next page begins; nil when there is none
	Waiting   int    // of all apps, those under way too
	More      bool   // there are more than Waiting
	Sending   int    // of all apps
	Calls     []Calls
	CountedTo int // how far each unit of this page was counted
}

// View reads a page. It is not one picture: what moves while it is read may be missing or stand in two places.
func (s *Service) View(ctx context.Context, f Filter) (*View, error) {
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	v := &View{Now: now}
	if v.Waiting, err = s.store.QueueRows(ctx, TotalMost+1); err != nil {
		return nil, err
	}
	v.More, v.Waiting = v.Waiting > TotalMost, min(v.Waiting, TotalMost)
	underWay, err := s.store.UnderWay(ctx)
	if err != nil {
		return nil, err
	}
	v.Sending = len(underWay)
	if v.Calls, err = s.calls(ctx, underWay, now); err != nil {
		return nil, err
	}
	units, apps, next, err := s.units(ctx, f)
	if err != nil {
		return nil, err
	}
	v.Next = next
	units = slices.DeleteFunc(units, func(u comm.Unit) bool { return !f.holds(u) })
	v.CountedTo = countTo(len(units))
	v.Units, err = s.count(ctx, units, apps, underWay, now, v.CountedTo)
	return v, err
}

// unitsAtOnce is how many units are read in one look.
const unitsAtOnce = 200

// units lists those of the apps of a page, in the order of the view.
func (s *Service) units(ctx context.Context, f Filter) (units []comm.Unit, apps map[comm.ID]*comm.App, next *Place, err error) {
	if f.App != nil {
		units, err = s.unitsOf(ctx, f.App)
		return units, map[comm.ID]*comm.App{f.App.ID: f.App}, nil, err
	}
	apps = map[comm.ID]*comm.App{}
	after := comm.Unit{Shard: f.After.Shard, App: f.After.App}
	if !f.After.App.IsZero() {
		after.Channel, after.Lane = lastChannel, lastLane // behind all of it
	}
	var last Place
	for shown := 0; ; {
		found, err := s.store.UnitsAfter(ctx, after, unitsAtOnce)
		if err != nil {
			return nil, nil, nil, err
		}
		if err := s.learn(ctx, found, apps); err != nil {
			return nil, nil, nil, err
		}
		for i, u := range found {
			if i > 0 && found[i-1].App == u.App && found[i-1].Shard == u.Shard || after.App == u.App && after.Shard == u.Shard {
				continue // it was taken with the first of its units
			}
			all, err := s.firstOf(ctx, u, found[i:], apps[u.App])
			if err != nil {
				return nil, nil, nil, err
			}
			if len(all) == 0 {
				continue
			}
			if shown == f.Apps {
				return units, apps, &last, nil
			}
			shown++
			last = Place{u.Shard, u.App}
			units = append(units, all...)
		}
		if len(found) < unitsAtOnce {
			return units, apps, nil, nil
		}
		after = found[len(found)-1]
	}
}

const (
	lastChannel = comm.Channel(127)
	lastLane    = comm.Lane(126)
)

// learn reads the apps of units that are not known yet. Deleted ones are known as nil.
func (s *Service) learn(ctx context.Context, units []comm.Unit, apps map[comm.ID]*comm.App) error {
	var ids []comm.ID
	for _, u := range units {
		if _, known := apps[u.App]; !known {
			apps[u.App] = nil
			ids = append(ids, u.App)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	list, err := s.store.AppsByID(ctx, ids)
	for i := range list {
		apps[list[i].ID] = &list[i]
	}
	return err
}

// firstOf answers all units of an app that is met at its unit u, if it is to be shown
// there: an app that is spread is shown in the first of its shards that holds anything.
func (s *Service) firstOf(ctx context.Context, u comm.Unit, found []comm.Unit, app *comm.App) ([]comm.Unit, error) {
	if app == nil {
		return nil, nil
	}
	end := slices.IndexFunc(found, func(x comm.Unit) bool { return x.App != u.App || x.Shard != u.Shard })
	if app.ShardSpread <= 1 && end > 0 {
		return found[:end], nil
	}
	all, err := s.unitsOf(ctx, app)
	if err != nil || len(all) == 0 || all[0].Shard != u.Shard {
		return nil, err
	}
	return all, nil
}

// unitsOf lists an app's units that hold anything, by shard, channel and lane.
func (s *Service) unitsOf(ctx context.Context, app *comm.App) ([]comm.Unit, error) {
	return s.store.UnitsOf(ctx, app.ID, comm.ShardsOf(app.ID, app.ShardSpread))
}

// count counts units, those of one app, channel and lane in different shards together.
func (s *Service) count(ctx context.Context, units []comm.Unit, apps map[comm.ID]*comm.App, underWay []store.UnderWay, now comm.Micros, most int) (out []Unit, err error) {
	sending := sendingOf(underWay)
	to := bounds(units, most, sending)
	depths, err := s.store.Depths(ctx, units, now, to)
	if err != nil {
		return nil, err
	}
	oldest, err := s.oldest(ctx, depths, sending, now)
	if err != nil {
		return nil, err
	}
	places := map[comm.Unit]int{}
	for i := range depths {
		d := &depths[i]
		n := len(sending[d.Unit])
		if d.Due > n || d.Due == to[i] && d.More { // one that is due waits, or may: of calls under way no more are stepped over
			d.Next = comm.State{}
		}
		one := Unit{App: apps[d.Unit.App], Channel: d.Unit.Channel, Lane: d.Unit.Lane, Due: max(0, d.Due-n), Later: min(d.Later, most), Sending: n, More: d.More || d.Later > most,
			Bytes: d.Bytes, OldestDue: oldest[i], NextDue: d.Next.Due, Next: d.Next, Hold: d.Hold}
		key := comm.Unit{App: d.Unit.App, Channel: d.Unit.Channel, Lane: d.Unit.Lane}
		at, known := places[key]
		if !known {
			places[key] = len(out)
			out = append(out, one)
			continue
		}
		out[at].join(&one)
	}
	return out, nil
}

// sendingOf is which messages of each unit are under way.
func sendingOf(underWay []store.UnderWay) map[comm.Unit]map[comm.ID]bool {
	out := map[comm.Unit]map[comm.ID]bool{}
	for i := range underWay {
		u := underWay[i].Unit
		if out[u] == nil {
			out[u] = map[comm.ID]bool{}
		}
		out[u][underWay[i].ID] = true
	}
	return out
}

// join adds the same unit in another shard.
func (u *Unit) join(o *Unit) {
	u.Due, u.Later, u.Sending, u.Bytes, u.More = u.Due+o.Due, u.Later+o.Later, u.Sending+o.Sending, u.Bytes+o.Bytes, u.More || o.More
	u.OldestDue = earlier(u.OldestDue, o.OldestDue)
	if u.NextDue == 0 || o.NextDue != 0 && o.NextDue < u.NextDue {
		u.NextDue, u.Next = o.NextDue, o.Next
	}
	if u.Due > 0 {
		u.NextDue, u.Next = 0, comm.State{}
	}
	if u.Hold.Reason == "" {
		u.Hold = o.Hold
	}
}

func earlier(a, b comm.Micros) comm.Micros {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// oldestLooked bounds how many attempts under way are stepped over to find one that waits.
const oldestLooked = 500

// oldest answers since when the first message of each unit that is due, and not being sent, is so.
func (s *Service) oldest(ctx context.Context, depths []store.Depth, sending map[comm.Unit]map[comm.ID]bool, now comm.Micros) ([]comm.Micros, error) {
	var asks []store.Ask
	var places []int
	out := make([]comm.Micros, len(depths))
	for i := range depths {
		u := depths[i].Unit
		if len(sending[u]) == 0 {
			out[i] = depths[i].OldestDue // it has been read already
			continue
		}
		asks, places = append(asks, store.Ask{Unit: u, Limit: min(len(sending[u]), oldestLooked) + 1}), append(places, i)
	}
	if len(asks) == 0 {
		return out, nil
	}
	windows, err := s.store.Windows(ctx, asks)
	if err != nil {
		return nil, err
	}
	for n, heads := range windows {
		i := places[n]
		for _, h := range heads {
			if h.Due <= now && !sending[depths[i].Unit][h.ID] {
				out[i] = h.Due
				break
			}
		}
	}
	return out, nil
}
