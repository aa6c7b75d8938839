package feed

import (
	"context"
	"errors"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
)

// inOrder puts rows so that a message's events come in the order of their sequences: a transaction that had to wait for
// another one may have begun before it.
func inOrder(rows []store.Listed) []store.Listed {
	type name struct {
		message  comm.ID
		sequence int
	}
	place := make(map[name]int, len(rows))
	for i := range rows {
		for _, e := range rows[i].Events {
			place[name{e.Message, e.Sequence}] = i
		}
	}
	out, taken := make([]store.Listed, 0, len(rows)), make([]bool, len(rows))
	var take func(i int)
	take = func(i int) {
		if taken[i] {
			return
		}
		taken[i] = true
		for _, e := range rows[i].Events {
			if before, there := place[name{e.Message, e.Sequence - 1}]; there {
				take(before)
			}
		}
		out = append(out, rows[i])
	}
	for i := range rows {
		take(i)
	}
	return out
}

// parts cuts rows into what one transaction stamps.
func parts(rows []store.Listed) (out [][]store.Listed) {
	events, first := 0, 0
	for i := range rows {
		if n := len(rows[i].Events); events > 0 && events+n > eventsAtOnce {
			out, events, first = append(out, rows[first:i]), 0, i
		}
		events += len(rows[i].Events)
	}
	if first < len(rows) {
		out = append(out, rows[first:])
	}
	return out
}

// told is an event that is to be stamped: of which row, and with which position.
type told struct {
	store.EventRef
	row      int
	position int64
}

// stamp gives the events of some rows their places and makes their deliveries: in one transaction, or in several where endpoints
// are to get much of them. It answers how many events it has stamped.
func (s *Service) stamp(ctx context.Context, node string, leases []store.Lease, rows []store.Listed) (stamped int, err error) {
	for len(rows) > 0 {
		n, rest, err := s.stampSome(ctx, node, leases, rows)
		if err != nil {
			return stamped, err
		}
		stamped += n
		rows = rest
	}
	return stamped, nil
}

// stampSome does so with the first of these events, as many as one transaction takes, and answers the rows that are left.
func (s *Service) stampSome(ctx context.Context, node string, leases []store.Lease, rows []store.Listed) (n int, rest []store.Listed, err error) {
	events, apps := s.first(rows)
	heads, err := s.cfg.Store.Heads(ctx, apps)
	if err != nil {
		return 0, nil, err
	}
	last := make(map[comm.ID]int64, len(apps))
	for i, app := range apps {
		last[app] = heads[i]
	}
	for i := range events {
		last[events[i].App]++
		events[i].position = last[events[i].App]
	}
	made, about, n, err := s.deliveries(ctx, apps, events)
	if err != nil {
		return 0, nil, err
	}
	st, rest := stamping(node, leases, rows, events[:n])
	st.Made, st.Told = made, about
	left, err := s.write(ctx, &st)
	if err != nil {
		if lost, _ := errors.AsType[*store.LostShards](err); lost == nil && !errors.Is(err, store.ErrStamped) && !errors.Is(err, store.ErrErased) {
			s.most, s.calm = max(1, n/2), 0 // if it was too much, less of it is not
		}
		return 0, nil, err
	}
	if s.calm++; s.calm%calmFor == 0 {
		s.most = min(2*s.most, eventsAtOnce)
	}
	if st.Split > 0 {
		rest[0].Key = left
	}
	if len(st.Made) > 0 {
		s.cfg.Made(st.Made)
	}
	s.cfg.Stamped(st.Runs)
	return n, rest, nil
}

// write stores a stamping.
func (s *Service) write(ctx context.Context, st *store.Stamping) (left store.RowKey, err error) {
	if plant.Active(plant.DeliveryAfterCommit) {
		return s.writeTwice(ctx, st)
	}
	return s.cfg.Store.Stamp(ctx, *st)
}

// writeTwice is a planted bug: whoever ends between the two loses the deliveries. The second comes later, as by way of
// another service.
func (s *Service) writeTwice(ctx context.Context, st *store.Stamping) (left store.RowKey, err error) {
	late := store.Stamping{Node: st.Node, Leases: st.Leases, Made: st.Made}
	st.Made, st.Told = nil, nil
	if left, err = s.cfg.Store.Stamp(ctx, *st); err != nil || len(late.Made) == 0 {
		return left, err
	}
	time.AfterFunc(2*time.Second, func() {
		if _, err := s.cfg.Store.Stamp(ctx, late); err == nil {
			s.cfg.Made(late.Made)
		}
	})
	return left, nil
}

// first are the events of rows in their order, as many as are tried at once, and their apps.
func (s *Service) first(rows []store.Listed) (events []told, apps []comm.ID) {
	known := map[comm.ID]bool{}
	for i := range rows {
		for _, e := range rows[i].Events {
			if len(events) >= s.most {
				return events, apps
			}
			if events = append(events, told{EventRef: e, row: i}); !known[e.App] {
				known[e.App] = true
				apps = append(apps, e.App)
			}
		}
	}
	return events, apps
}

// stamping is what stamps these events, the first of the rows, and which rows are left then; the first of them may be a part of one.
func stamping(node string, leases []store.Lease, rows []store.Listed, events []told) (st store.Stamping, rest []store.Listed) {
	st.Node = node
	var apps []comm.ID
	runs := map[comm.ID]*store.Run{}
	touched := [comm.ShardCount]bool{}
	for i := range events {
		e := &events[i]
		run := runs[e.App]
		if run == nil {
			run = &store.Run{App: e.App}
			runs[e.App] = run
			apps = append(apps, e.App)
			touched[comm.ShardOf(e.App, comm.ID{}, 1)] = true
		}
		run.At = max(run.At, rows[e.row].At)
		run.Events, run.Last = append(run.Events, e.EventRef), e.position
	}
	for _, app := range apps {
		st.Runs = append(st.Runs, *runs[app])
	}
	for _, l := range leases {
		if touched[l.Shard] {
			st.Leases = append(st.Leases, l)
		}
	}
	end := events[len(events)-1].row
	for i := range rows[:end+1] {
		st.Rows = append(st.Rows, rows[i].Key)
	}
	used := 0 // of the last row
	for i := len(events) - 1; i >= 0 && events[i].row == end; i-- {
		used++
	}
	if used == len(rows[end].Events) {
		return st, rows[end+1:]
	}
	st.Split = used
	rest = append(rest, rows[end:]...)
	rest[0].Events = rest[0].Events[used:]
	return st, rest
}

// deliveries makes what endpoints are to get of events of these apps, names the messages that it tells of, as they were
// read, and answers of how many events it is: of all, or of as many as bring enough.
func (s *Service) deliveries(ctx context.Context, apps []comm.ID, events []told) (out []store.Delivery, about []store.EventRef, n int, err error) {
	byApp, err := s.endpoints(ctx, apps)
	if err != nil || len(byApp) == 0 {
		return nil, nil, len(events), err
	}
	s.quick = time.Now().Add(waited)
	now, err := s.cfg.Now(ctx)
	if err != nil {
		return nil, nil, 0, err
	}
	named := map[comm.ID]bool{}
	var (
		wanted []store.EventRef // of apps with endpoints
		at     []int            // where they are among the events
		bytes  int
	)
	for i := range events {
		if byApp[events[i].App] != nil {
			wanted, at = append(wanted, events[i].EventRef), append(at, i)
		}
	}
	n = len(events)
	err = s.tell(ctx, wanted, func(k int, m *comm.Message, e *comm.Event) bool {
		if len(out) >= madeAtOnce || bytes >= bytesAtOnce {
			n = at[k]
			return false
		}
		var body []byte
		for _, to := range byApp[m.App] {
			if !to.Wants(e, m.Channel, m.Tags) {
				continue
			}
			if body == nil {
				var ok bool
				if body, ok = s.body(m, e.Sequence); !ok {
					break
				}
				if !named[e.Message] {
					named[e.Message] = true
					about = append(about, store.EventRef{App: m.App, Message: e.Message, Sequence: m.Sequence})
				}
			}
			bytes += len(body)
			x := &events[at[k]]
			out = append(out, store.Delivery{EventRef: x.EventRef, Endpoint: to.ID, ID: comm.NewID(now), Shard: comm.ShardOf(m.App, comm.ID{}, 1), Status: e.To,
				Position: x.position, State: store.DeliveryWaiting, Due: now, CreatedAt: now, MadeFor: to.CreatedAt, EventAt: e.At, Body: body})
		}
		return true
	})
	return out, about, n, err
}

// endpoints are those of apps that are on, by app.
func (s *Service) endpoints(ctx context.Context, apps []comm.ID) (map[comm.ID][]*comm.Endpoint, error) {
	all, err := s.cfg.Endpoints.EndpointsOf(ctx, apps)
	if err != nil {
		return nil, err
	}
	byApp := map[comm.ID][]*comm.Endpoint{}
	for i := range all {
		switch e := &all[i]; {
		case e.Unreadable != "":
			if s.unread.First(unread{e.ID, e.Version}) {
				s.cfg.Log.Warn("a webhook endpoint cannot be read; until it can, or is changed, events are in the feed alone", "app", e.App.String(), "endpoint", e.ID.String(), "why", e.Unreadable)
			}
		case e.Active:
			byApp[e.App] = append(byApp[e.App], e)
		}
	}
	return byApp, nil
}
