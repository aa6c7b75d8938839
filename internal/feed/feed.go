// Package feed gives every event its place in its app's one order, makes what endpoints are to get of it, and reads the order.
//
// It promises that an app's positions have no repeat, and no gap but where a restore leaves some out, whatever ends a node; that a message's events keep their
// order, also of transactions that wait for each other; that a transaction which stays open brings its own events later and holds nobody's else up; and that an event
// is told in the same words wherever it is read, with what its message showed when it happened. It takes no part in
// sending, calls nobody and knows no endpoint but by what it is handed.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
)

// Endpoints reads the endpoints of apps.
type Endpoints interface {
	EndpointsOf(ctx context.Context, apps []comm.ID) ([]comm.Endpoint, error)
}

// Config is what a Service needs.
type Config struct {
	Store     store.Feed
	Endpoints Endpoints
	// Owned is what the node owns now, and under which name.
	Owned func() (node string, leases []store.Lease)
	// Now is the database's clock.
	Now func(context.Context) (comm.Micros, error)
	// Made is told of deliveries that are due now [nobody is].
	Made func([]store.Delivery)
	// Stamped is told which events have their places now; it must not block [nobody is].
	Stamped func([]store.Run)
	Log     *slog.Logger
}

// Service stamps and reads. Page is safe for concurrent use.
type Service struct {
	cfg      Config
	stamping outage.Report
	progress progress
	unread   outage.Once[unread]

	// Run's goroutine's:
	seen  store.Seen
	owned []store.Lease
	quick time.Time // until when somebody waits for events
	most  int       // how many events are stamped at once now
	calm  int       // stampings since the last one that failed
	anew  time.Time // when everything is looked for again
}

// unread is something that this version cannot read: an endpoint of a version, or a message.
type unread struct {
	id      comm.ID
	version int
}

// New makes a Service; Run stamps.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Made == nil {
		cfg.Made = func([]store.Delivery) {}
	}
	if cfg.Stamped == nil {
		cfg.Stamped = func([]store.Run) {}
	}
	return &Service{cfg: cfg, most: eventsAtOnce, stamping: outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "events get no place in the feed and no webhook; none is lost",
		Works: "events get their places again"}}
}

const (
	// shortest and longest pause between two looks: a look that found nothing doubles it. Where nobody
	// waits for what is stamped, rows are larger and fewer.
	shortest = 25 * time.Millisecond
	longest  = 200 * time.Millisecond
	// waited is how long events are stamped at once after there was an endpoint for one.
	waited = time.Minute
	// restTimes is how many times as long as a stamping took others have the store before the next one.
	restTimes = 1
	// anewEvery is how often everything is looked for, whatever was seen: a database that was set back without a sign may number
	// transactions again that were seen.
	anewEvery = time.Minute
	// rowsAtOnce and looksAtOnce bound what is read before it is stamped, eventsAtOnce what one transaction stamps.
	// A row holds the events of one transaction, hundreds of them under load: looks end when they have brought enough.
	rowsAtOnce   = 500
	looksAtOnce  = 8
	enough       = 2000
	eventsAtOnce = 500
	// madeAtOnce and bytesAtOnce bound what one transaction makes for endpoints, but for what is made of one event: an app
	// with many of them and much metadata must not be what everybody else waits for.
	madeAtOnce  = 1000
	bytesAtOnce = 4 << 20
	// calmFor is after how many stampings without a failure more is tried again.
	calmFor = 16
	// storiesAtOnce is how many messages are held with their contents.
	storiesAtOnce = 32
)

// Run stamps what belongs to this node until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	pause := shortest
	for {
		began := time.Now()
		n, err := s.Step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.stamping.Failed(err)
			pause = longest
		default:
			s.stamping.Worked()
			switch {
			case n == 0:
				pause = min(2*pause, longest)
			case began.Before(s.quick):
				pause = shortest
			default:
				pause = longest
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(pause, restTimes*time.Since(began))):
		}
	}
}

// Step stamps what is in the outbox now, and answers how many events that was.
func (s *Service) Step(ctx context.Context) (stamped int, err error) {
	node, leases := s.cfg.Owned()
	if now := time.Now(); !slices.Equal(leases, s.owned) || now.After(s.anew) {
		s.owned, s.seen = leases, store.Seen{} // of a shard that is new everything is new
		s.anew = now.Add(anewEvery)
	}
	if len(leases) == 0 {
		s.progress.oldest.Store(0)
		return 0, nil
	}
	shards := make([]comm.Shard, len(leases))
	for i, l := range leases {
		shards[i] = l.Shard
	}
	var rows []store.Listed
	var unread []store.RowKey
	known, events := map[store.RowKey]bool{}, 0
	for range looksAtOnce {
		look, err := s.cfg.Store.Outbox(ctx, shards, s.seen, rowsAtOnce)
		if err != nil {
			s.seen = store.Seen{} // what the looks before it found is found again
			return 0, err
		}
		s.seen = look.Seen
		fresh := false
		for _, k := range look.Unread {
			if !known[k] {
				known[k], unread = true, append(unread, k)
			}
		}
		for _, r := range look.Rows {
			if !known[r.Key] { // a store that remembers no place (SQLite) answers with the same rows until they are stamped
				known[r.Key], fresh = true, true
				rows, events = append(rows, r), events+len(r.Events)
			}
		}
		if !look.More || !fresh || events >= enough {
			break
		}
	}
	s.progress.found(rows)
	aside := s.setAside(ctx, unread)
	for _, part := range parts(inOrder(rows)) {
		n, err := s.stamp(ctx, node, leases, part)
		s.progress.stamped.Add(uint64(n))
		if stamped += n; err != nil {
			s.seen = store.Seen{} // whatever was not stamped is found again
			if lost, ok := errors.AsType[*store.LostShards](err); ok {
				s.cfg.Log.Debug("shards are another node's now", "shards", len(lost.Shards))
				return stamped, nil
			}
			if errors.Is(err, store.ErrStamped) || errors.Is(err, store.ErrErased) {
				return stamped, nil
			}
			return stamped, err
		}
	}
	s.progress.oldest.Store(0)
	return stamped, aside
}

// setAside keeps rows that cannot be read from being met again, and says once that they are there.
func (s *Service) setAside(ctx context.Context, unread []store.RowKey) error {
	if len(unread) == 0 {
		return nil
	}
	if err := s.cfg.Store.SetAside(ctx, unread); err != nil {
		return err
	}
	s.cfg.Log.Error("a transaction's list of events cannot be read; it is set aside in the database, and those events get no place in the feed and no webhook", "rows", len(unread))
	return nil
}

// tell calls fn for every event with its message, in order, as long as it wants to go on; what is gone is left out.
func (s *Service) tell(ctx context.Context, events []store.EventRef, fn func(i int, m *comm.Message, e *comm.Event) (on bool)) error {
	for from := 0; from < len(events); from += storiesAtOnce {
		part := events[from:min(from+storiesAtOnce, len(events))]
		stories, err := s.cfg.Store.Stories(ctx, once(part))
		if err != nil {
			return err
		}
		byID := make(map[comm.ID]*comm.Message, len(stories))
		for i := range stories {
			m := &stories[i]
			if byID[m.State.ID] = m; m.ContentUnread && s.unread.First(unread{id: m.State.ID}) {
				s.cfg.Log.Warn("a message's content cannot be read; its events are told without metadata, and not to endpoints that choose by tags", "app", m.App.String(), "message", m.State.ID.String())
			}
		}
		for i, ref := range part {
			if ref.Message.IsZero() && s.unread.First(unread{id: ref.App}) {
				s.cfg.Log.Error("a row of an app's feed cannot be read; its events are passed over", "app", ref.App.String())
			}
			m := byID[ref.Message]
			if m == nil || ref.Sequence < 1 || ref.Sequence > len(m.Events) || m.Events[ref.Sequence-1].Sequence != ref.Sequence {
				continue
			}
			if !fn(from+i, m, &m.Events[ref.Sequence-1]) {
				return nil
			}
		}
	}
	return nil
}

// body writes an event; what cannot be written is said once, and keeps nothing else from being told.
func (s *Service) body(m *comm.Message, sequence int) (out []byte, ok bool) {
	out, ok, err := Body(m, sequence)
	if err != nil && s.unread.First(unread{id: m.State.ID}) {
		s.cfg.Log.Warn("events of a message cannot be written; they are left out", "app", m.App.String(), "message", m.State.ID.String())
	}
	return out, ok && err == nil
}

// once leaves out messages that were named before.
func once(events []store.EventRef) (out []store.EventRef) {
	seen := map[comm.ID]bool{}
	for _, e := range events {
		if !seen[e.Message] {
			seen[e.Message] = true
			out = append(out, e)
		}
	}
	return out
}

// Item is an event as it is told, with its position.
type Item struct {
	Position int64
	Body     []byte
}

// Page reads the events of an app behind a position, at most limit of them, as they are told. next is the position to
// go on behind, which is the one given when there is nothing. Events of messages that are gone are passed over, so that a page may
// hold fewer, or none, although next has moved. A position that nothing of this database has reached is of one that was set back to
// an earlier time: next is the end, so that whoever goes on gets what comes.
func (s *Service) Page(ctx context.Context, app comm.ID, after int64, limit int) (items []Item, next int64, err error) {
	places, err := s.cfg.Store.Places(ctx, app, after, limit)
	if err != nil {
		return nil, after, err
	}
	if len(places) == 0 {
		heads, err := s.cfg.Store.Heads(ctx, []comm.ID{app})
		if err != nil {
			return nil, after, err
		}
		return nil, min(after, heads[0]), nil
	}
	next = places[len(places)-1].Position
	if places = slices.DeleteFunc(places, func(p store.Place) bool { return p.Gap }); len(places) == 0 {
		return s.Page(ctx, app, next, limit)
	}
	refs := make([]store.EventRef, len(places))
	for i := range places {
		refs[i] = places[i].EventRef
	}
	err = s.tell(ctx, refs, func(i int, m *comm.Message, e *comm.Event) bool {
		if b, ok := s.body(m, e.Sequence); ok {
			items = append(items, Item{places[i].Position, b})
		}
		return true
	})
	return items, next, err
}
