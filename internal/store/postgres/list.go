package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Lists are read from ranges of indexes, newest first, each at most as long as the
// page, and merged. The conditions are row comparisons on the whole key of the
// index that is meant: no other index can serve them, whatever statistics say,
// so that a page costs the same in a history of any length.

// pageArgs gathers parameters; add answers a parameter's name.
type pageArgs struct{ args []any }

func (p *pageArgs) add(v any, cast string) string {
	p.args = append(p.args, v)
	return fmt.Sprintf("$%d::%s", len(p.args), cast)
}

// between are the ids that a filter admits: from lowest (inclusive) to before (exclusive).
// A time filter is a range of ids, for an id begins with its message's creation in milliseconds.
func between(f store.Filter) (lowest, before comm.ID) {
	for i := range before {
		before[i] = 0xFF
	}
	if !f.Before.IsZero() {
		before = f.Before
	}
	if f.CreatedBefore != 0 {
		if b := comm.FirstID(comm.Micros((int64(f.CreatedBefore) + 999) / 1000 * 1000)); b.Compare(before) < 0 {
			before = b
		}
	}
	if f.CreatedAfter != 0 {
		lowest = comm.FirstID(comm.Micros((f.CreatedAfter.Millis() + 1) * 1000))
	}
	return lowest, before
}

// listSQL is the statement of a page of List.
func listSQL(app comm.ID, f store.Filter) (string, []any) {
	p := &pageArgs{}
	lo, hi := between(f)
	a, low, high, limit := p.add(sqlstore.UUID(app), "uuid"), p.add(sqlstore.UUID(lo), "uuid"), p.add(sqlstore.UUID(hi), "uuid"), p.add(f.Limit, "bigint")
	if f.Status == comm.None && f.Channel == 0 {
		ids := `SELECT s.id FROM state s WHERE (s.app_id, s.id) >= (` + a + `, ` + low + `) AND (s.app_id, s.id) < (` + a + `, ` + high + `) ORDER BY s.app_id DESC, s.id DESC LIMIT ` + limit
		return pageSQL(ids, a), p.args
	}
	statuses, channels := comm.Statuses(), comm.Channels()
	if f.Status != comm.None {
		statuses = []comm.Status{f.Status}
	}
	if f.Channel != 0 {
		channels = []comm.Channel{f.Channel}
	}
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	var ranges []string
	for _, st := range statuses {
		for _, ch := range channels {
			if st == comm.Sending {
				// Attempts under way are kept by shard, and there are never many.
				key := fmt.Sprintf("%s, %d::smallint", a, ch)
				ranges = append(ranges, `(SELECT u.id FROM unnest(`+p.add(shardList(shards), "smallint[]")+`) AS l (shard) CROSS JOIN LATERAL (
    SELECT s.id FROM state s WHERE s.status = 2
    AND (s.shard, s.app_id, s.channel, s.id) >= (l.shard, `+key+`, `+low+`) AND (s.shard, s.app_id, s.channel, s.id) < (l.shard, `+key+`, `+high+`)
    ORDER BY s.shard DESC, s.app_id DESC, s.channel DESC, s.id DESC LIMIT `+limit+`) u)`)
				continue
			}
			key := fmt.Sprintf("%d::smallint, %d::smallint, %s", st, ch, a)
			ranges = append(ranges, `(SELECT s.id FROM state s WHERE s.status <> 2
    AND (s.status, s.channel, s.app_id, s.id) >= (`+key+`, `+low+`) AND (s.status, s.channel, s.app_id, s.id) < (`+key+`, `+high+`)
    ORDER BY s.status DESC, s.channel DESC, s.app_id DESC, s.id DESC LIMIT `+limit+`)`)
		}
	}
	return pageSQL(merged(ranges, limit), a), p.args
}

// capturesSQL is the statement of a page of Captures.
func capturesSQL(app comm.ID, f store.Filter) (string, []any) {
	p := &pageArgs{}
	lo, hi := between(f)
	a, low, high, limit := p.add(sqlstore.UUID(app), "uuid"), p.add(sqlstore.UUID(lo), "uuid"), p.add(sqlstore.UUID(hi), "uuid"), p.add(f.Limit, "bigint")
	status := ""
	if f.Status != comm.None {
		status = ` AND s.status + 0 = ` + p.add(int16(f.Status), "smallint") // not a reason to choose the index on statuses
	}
	channels := comm.Channels()
	if f.Channel != 0 {
		channels = []comm.Channel{f.Channel}
	}
	var ranges []string
	for _, ch := range channels {
		key := fmt.Sprintf("%d::smallint, %s", ch, a)
		ranges = append(ranges, `(SELECT s.id FROM state s WHERE s.provider = 'sandbox' AND s.sent_at <> 0
    AND (s.channel, s.app_id, s.id) >= (`+key+`, `+low+`) AND (s.channel, s.app_id, s.id) < (`+key+`, `+high+`)`+status+`
    ORDER BY s.channel DESC, s.app_id DESC, s.id DESC LIMIT `+limit+`)`)
	}
	return pageSQL(merged(ranges, limit), a), p.args
}

func merged(ranges []string, limit string) string {
	return "SELECT r.id FROM (\n  " + strings.Join(ranges, "\n  UNION ALL ") + ") r ORDER BY r.id DESC LIMIT " + limit
}

// pageSQL reads the messages of the ids that a page has. LIMIT keeps the planner
// from joining, which in small tables it would do by reading the whole app.
func pageSQL(ids, app string) string {
	return `WITH p AS MATERIALIZED (` + ids + `)
SELECT ` + stateOf + `, c.recipient, c.payload FROM p
CROSS JOIN LATERAL (SELECT * FROM state s WHERE s.app_id = ` + app + ` AND s.id = p.id LIMIT 1) s
CROSS JOIN LATERAL (SELECT * FROM content c WHERE c.app_id = ` + app + ` AND c.id = p.id LIMIT 1) c ORDER BY p.id DESC`
}

// List implements store.Messages. Bodies are left out.
func (s *Store) List(ctx context.Context, app comm.ID, f store.Filter) ([]comm.Message, error) {
	sql, args := listSQL(app, f)
	out, err := s.page(ctx, "list messages", sql, args)
	for i := range out {
		out[i].Body, out[i].Text = "", ""
	}
	return out, err
}

// Captures implements store.Messages.
func (s *Store) Captures(ctx context.Context, app comm.ID, f store.Filter) ([]comm.Message, error) {
	sql, args := capturesSQL(app, f)
	return s.page(ctx, "list captures", sql, args)
}

func (s *Store) page(ctx context.Context, what, sql string, args []any) (out []comm.Message, err error) {
	err = s.read(ctx, what, func(c *pgx.Conn) error {
		out = out[:0]
		var bad error
		rows, err := c.Query(ctx, sql, args...)
		err = each(rows, err, func(r *reader) {
			var m comm.Message
			if err := readMessage(r, &m); err != nil {
				bad = err
			}
			out = append(out, m)
		})
		if err != nil {
			return err
		}
		return bad
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
