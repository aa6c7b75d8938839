package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qShards  = &query{`SELECT shard, owner, epoch FROM shards`}
	qContent = &query{`SELECT c.recipient, c.payload, c.files, ` + stateColumns + ` FROM state s JOIN content c ON c.id = s.id AND c.app_id = s.app_id
		WHERE s.id = ? AND s.app_id = ?`}
	qFiles      = &query{`SELECT filename, content_type, content FROM files WHERE id = ? AND app_id = ? ORDER BY n`}
	qSuppressed = &query{`SELECT 1 FROM suppressions WHERE app_id = ? AND channel = ? AND address = ?`}
	qAppMode    = &query{`SELECT active, sandbox FROM apps WHERE id = ?`}
)

// Turn implements store.Queue. Content and rows are read beside the writer: what
// a row becomes is computed from that reading and written only if the row is
// still the same; if not, it is read again inside the transaction.
func (s *Store) Turn(ctx context.Context, t store.Turn) (store.TurnResult, error) {
	g := turnGroup{t: &t, known: make([]comm.State, len(t.Finishes)), content: make([]content, len(t.Starts))}
	s.flights.take(t.Finishes, g.known)
	s.recent.take(t.Starts, g.content)
	if slices.ContainsFunc(g.content, func(c content) bool { return !c.found }) {
		if err := s.readers.with(ctx, g.read); err != nil {
			return store.TurnResult{}, fmt.Errorf("turn: %w", err)
		}
	}
	if err := s.w.hot(ctx, len(t.Finishes)+len(t.Starts), func(r *raw) error { return g.run(r, s.now()) }); err != nil {
		return store.TurnResult{}, fmt.Errorf("turn: %w", err)
	}
	s.flights.put(g.result.Started)
	return g.result, nil
}

// turnGroup is one call of Turn. It may run twice: everything but what was read beside the writer is assigned anew.
type turnGroup struct {
	t       *store.Turn
	known   []comm.State // rows of the finishes as they were last seen; zero when not
	content []content    // of the starts
	result  store.TurnResult
	epochs  [comm.ShardCount]int64 // of the leases; -1 without one
	apps    map[comm.ID]appMode
}

// content is what a start sends, and its row as it was last seen.
type content struct {
	recipient string
	payload   []byte
	files     []comm.Attachment
	found     bool
	state     comm.State // zero when there is none
}

// appMode is what attempt start wants to know of an app.
type appMode struct{ known, active, sandbox bool }

// read reads what is not known of the starts, from one snapshot. It does so in
// the order of the ids, which is that of the rows: a connection begins with an
// empty cache after each commit of the writer, and starts come unit by unit.
func (g *turnGroup) read(r *raw) error {
	unknown := make([]int, 0, len(g.content))
	for i := range g.content {
		if !g.content[i].found {
			unknown = append(unknown, i)
		}
	}
	slices.SortFunc(unknown, func(a, b int) int { return g.t.Starts[a].Head.ID.Compare(g.t.Starts[b].Head.ID) })
	return r.snapshot(len(unknown), func(k int) error {
		i := unknown[k]
		return g.content[i].read(r, g.t.Starts[i].Unit.App, g.t.Starts[i].Head.ID)
	})
}

func (c *content) read(r *raw, app, id comm.ID) error {
	*c = content{}
	row, err := r.one(qContent, id[:], app[:])
	if err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	if row == nil {
		return nil
	}
	files := num(row[2])
	c.recipient, c.payload, c.found, c.state = text(row[0]), blob(row[1]), row[1] != nil, stateRow(app, id, row[3:])
	if files > 0 {
		c.files, err = filesOf(r, app, id)
	}
	return err
}

func (g *turnGroup) run(r *raw, now comm.Micros) error {
	t := g.t
	if err := g.fence(r); err != nil {
		return err
	}
	g.apps = make(map[comm.ID]appMode, 8)
	g.result = store.TurnResult{Now: now, Finished: make([]bool, len(t.Finishes)), Started: make([]store.Started, len(t.Starts))}
	for i := range t.Finishes {
		ok, err := g.finish(r, &t.Finishes[i], g.known[i], now)
		if err != nil {
			return fmt.Errorf("finish: %w", err)
		}
		g.result.Finished[i] = ok
	}
	for i := range t.Starts {
		if err := g.start(r, &t.Starts[i], &g.content[i], &g.result.Started[i], now); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	return g.count(r, now)
}

// fence is all or nothing: every lease is owned as it says, or nobody has written anything.
func (g *turnGroup) fence(r *raw) error {
	var held [comm.ShardCount]int64
	err := r.each(qShards, nil, func(v []value) error {
		if shard := num(v[0]); text(v[1]) == g.t.Node && shard < comm.ShardCount {
			held[shard] = num(v[2])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read shards: %w", err)
	}
	for i := range g.epochs {
		g.epochs[i] = -1
	}
	var lost []comm.Shard
	for _, l := range g.t.Leases {
		if int(l.Shard) >= len(held) || (held[l.Shard] != l.Epoch || l.Epoch == 0) && !plant.Active(plant.NoFence) {
			lost = append(lost, l.Shard)
			continue
		}
		g.epochs[l.Shard] = l.Epoch
	}
	if lost != nil {
		return refusal{&store.LostShards{Shards: lost}}
	}
	return g.covered()
}

// covered wants a lease for the shard of every item.
func (g *turnGroup) covered() error {
	for i := range g.t.Finishes {
		if sh := g.t.Finishes[i].Unit.Shard; int(sh) >= len(g.epochs) || g.epochs[sh] < 0 {
			return refusal{fmt.Errorf("a finish of shard %d has no lease in its turn", sh)}
		}
	}
	for i := range g.t.Starts {
		if sh := g.t.Starts[i].Unit.Shard; int(sh) >= len(g.epochs) || g.epochs[sh] < 0 {
			return refusal{fmt.Errorf("a start of shard %d has no lease in its turn", sh)}
		}
	}
	return nil
}

func (g *turnGroup) finish(r *raw, f *store.Finish, known comm.State, now comm.Micros) (bool, error) {
	if known.App == f.App && known.ID == f.ID {
		if c, ok := g.finished(&known, f, now); ok {
			if err := write(r, &c); !errors.Is(err, errMoved) {
				return err == nil, err
			}
		}
	}
	st, ok, err := stateOf(r, f.App, f.ID)
	if err != nil || !ok {
		return false, err
	}
	c, ok := g.finished(&st, f, now)
	if !ok {
		return false, nil
	}
	return true, write(r, &c)
}

func (g *turnGroup) finished(s *comm.State, f *store.Finish, now comm.Micros) (sqlstore.Change, bool) {
	if s.Shard != f.Unit.Shard {
		return sqlstore.Change{}, false
	}
	return sqlstore.Finish(s, f, g.t.Node, now)
}

func (g *turnGroup) start(r *raw, st *store.Start, c *content, out *store.Started, now comm.Micros) error {
	*out = store.Started{}
	if st.Attempt == 0 && inUnit(&c.state, st) {
		change, err := g.begin(r, st, c, out, now, false)
		if err != nil {
			return err
		}
		if out.Verdict == store.Go {
			if written, err := writeStart(r, &change, c.recipient); written || err != nil {
				return err
			}
		}
	}
	// Not as it was read beside the writer, or not to be started: look again before saying so.
	*out = store.Started{Verdict: store.Gone}
	if err := c.read(r, st.Unit.App, st.Head.ID); err != nil {
		return err
	}
	if !inUnit(&c.state, st) {
		return g.removeHead(r, st)
	}
	listed, err := suppressed(r, st.Unit.App, st.Unit.Channel, c.recipient)
	if err != nil {
		return err
	}
	change, err := g.begin(r, st, c, out, now, listed)
	if err != nil {
		return err
	}
	if out.Verdict == store.Gone && sqlstore.Stale(&c.state, st.Head) {
		return g.removeHead(r, st)
	}
	return write(r, &change)
}

// inUnit says whether the row is the message that the start means.
func inUnit(s *comm.State, st *store.Start) bool {
	return s.ID == st.Head.ID && s.App == st.Unit.App && s.Shard == st.Unit.Shard && s.Channel == st.Unit.Channel && s.Lane == st.Unit.Lane
}

// begin computes what a start makes of the row as it was read, and the answer if that is written.
func (g *turnGroup) begin(r *raw, st *store.Start, c *content, out *store.Started, now comm.Micros, listed bool) (sqlstore.Change, error) {
	mode, err := g.mode(r, st.Unit.App)
	if err != nil {
		return sqlstore.Change{}, err
	}
	change, verdict := sqlstore.Start(&c.state, st, sqlstore.Begin{
		Node: g.t.Node, Epoch: g.epochs[st.Unit.Shard], Now: now, Suppressed: listed, ContentGone: !c.found,
		Refused: mode.known && !mode.active || st.Live && (!mode.known || mode.sandbox),
	})
	*out = store.Started{Verdict: verdict, State: change.After}
	if verdict == store.Go {
		out.Payload, out.Files = c.payload, c.files
	}
	return change, nil
}

// removeHead deletes the queue row that a start was made from: its message is elsewhere.
func (g *turnGroup) removeHead(r *raw, st *store.Start) error {
	u := st.Unit
	_, err := r.run(qQueueDelete, int64(u.Shard), u.App[:], int64(u.Channel), int64(u.Lane), int64(st.Head.Due), st.Head.ID[:])
	return err
}

// mode reads an app once per turn.
func (g *turnGroup) mode(r *raw, app comm.ID) (appMode, error) {
	if m, ok := g.apps[app]; ok {
		return m, nil
	}
	row, err := r.one(qAppMode, app[:])
	if err != nil {
		return appMode{}, fmt.Errorf("read app: %w", err)
	}
	var m appMode
	if row != nil {
		m = appMode{known: true, active: num(row[0]) != 0, sandbox: num(row[1]) != 0}
	}
	g.apps[app] = m
	return m, nil
}

func suppressed(r *raw, app comm.ID, ch comm.Channel, address string) (bool, error) {
	row, err := r.one(qSuppressed, app[:], int64(ch), address)
	if err != nil {
		return false, fmt.Errorf("look up suppression: %w", err)
	}
	return row != nil, nil
}

func filesOf(r *raw, app, id comm.ID) (out []comm.Attachment, err error) {
	err = r.each(qFiles, []value{id[:], app[:]}, func(v []value) error {
		out = append(out, comm.Attachment{Filename: text(v[0]), ContentType: text(v[1]), Content: blob(v[2])})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read files: %w", err)
	}
	return out, nil
}
