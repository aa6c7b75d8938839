package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Lists are read from ranges of indexes, newest first, each at most as long as the
// page, and merged, so that a page costs the same in a history of any length.

// pageArgs gathers parameters; add answers a parameter's name.
type pageArgs struct{ args []any }

func (p *pageArgs) add(v any, cast string) string {
	p.args = append(p.args, v)
	return fmt.Sprintf("$%d::%s", len(p.args), cast)
}

// idsAhead is how far a node's clock may be ahead of the database's. A list up to an instant misses what is further ahead: comm.IDSlack would be
// read and left out with each page.
const idsAhead = 2 * time.Second

// span adds what a filter's times and cursor admit: ids from low to high, and the
// condition on when messages were created, if there is one.
func (p *pageArgs) span(f store.Filter) (low, high, created string) {
	x := sqlstore.SpanOf(f, idsAhead)
	low, high = p.add(sqlstore.UUID(x.Low), "uuid"), p.add(sqlstore.UUID(x.High), "uuid")
	if x.Timed {
		created = ` AND s.created_at >= ` + p.add(int64(x.From), "bigint") + ` AND s.created_at < ` + p.add(int64(x.To), "bigint")
	}
	return low, high, created
}

// listSQL is the statement of a page of List.
func listSQL(app comm.ID, f store.Filter) (string, []any) {
	p := &pageArgs{}
	a, limit := p.add(sqlstore.UUID(app), "uuid"), p.add(f.Limit, "bigint")
	low, high, created := p.span(f)
	if f.Status == comm.None && f.Channel == 0 {
		return pageSQL(rangeSQL("true"+created, []string{"app_id"}, []string{a}, low, high, byPrimaryKey, limit), a), p.args
	}
	return pageSQL(p.states(f, a, low, high, created, limit), a), p.args
}

// states reads ids by status, channel or both.
func (p *pageArgs) states(f store.Filter, a, low, high, created, limit string) string {
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
				ranges = append(ranges, `(SELECT u.id FROM unnest(`+p.add(shardList(shards), "smallint[]")+`) AS l (shard) CROSS JOIN LATERAL (`+
					rangeSQL(`s.status = 2`+created, []string{"shard", "app_id", "channel"}, []string{"l.shard", a, small(ch)}, low, high, byList, limit)+`) u)`)
				continue
			}
			ranges = append(ranges, `(`+
				rangeSQL(`s.status <> 2`+created, []string{"status", "channel", "app_id"}, []string{small(st), small(ch), a}, low, high, byList, limit)+`)`)
		}
	}
	return merged(ranges, limit)
}

// capturesSQL is the statement of a page of Captures.
func capturesSQL(app comm.ID, f store.Filter) (string, []any) {
	p := &pageArgs{}
	a, limit := p.add(sqlstore.UUID(app), "uuid"), p.add(f.Limit, "bigint")
	low, high, created := p.span(f)
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
		ranges = append(ranges, `(`+
			rangeSQL(`s.provider = 'sandbox' AND s.sent_at <> 0`+status+created, []string{"channel", "app_id"}, []string{small(ch), a}, low, high, byList, limit)+`)`)
	}
	return pageSQL(merged(ranges, limit), a), p.args
}

// Orders of a range name its index: no id is NULL, but an index on id NULLS FIRST
// answers backwards with NULLS LAST and the primary key with NULLS FIRST, and
// readSettings make anything dear that would have to sort.
const (
	byList       = "NULLS LAST"
	byPrimaryKey = "NULLS FIRST"
)

// rangeSQL reads ids from low to high where the columns, which with the id are the
// key of an index, have the values given. They are plain equalities: a scan ends
// where one of them ends to hold, while a row comparison ends it only where its
// first column does, after reading whatever other apps have there.
func rangeSQL(where string, columns, values []string, low, high, order, limit string) string {
	var b strings.Builder
	b.WriteString("SELECT s.id FROM state s WHERE " + where)
	for i, c := range columns {
		b.WriteString(" AND s." + c + " = " + values[i])
	}
	b.WriteString(" AND s.id >= " + low + " AND s.id < " + high + " ORDER BY s.id DESC " + order + " LIMIT " + limit)
	return b.String()
}

func small[T ~uint8](v T) string { return fmt.Sprintf("%d::smallint", v) }

func merged(ranges []string, limit string) string {
	return "SELECT r.id FROM (\n  " + strings.Join(ranges, "\n  UNION ALL ") + ") r ORDER BY r.id DESC " + byList + " LIMIT " + limit
}

// pageSQL reads the messages of the ids that a page has. LIMIT keeps the planner
// from joining, which in small tables it would do by reading the whole app.
func pageSQL(ids, app string) string {
	return `WITH p AS MATERIALIZED (` + ids + `)
SELECT ` + stateOf + `, CASE WHEN c.shown <> '' THEN c.shown ELSE c.recipient END, c.payload FROM p
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
		b := &pgx.Batch{}
		b.Queue(sql, args...)
		return s.batch(ctx, &session{Conn: c}, readSettings(), b, func(r pgx.BatchResults) error {
			rows, err := r.Query()
			return each(rows, err, func(r *reader) {
				var m comm.Message
				readMessage(r, &m)
				out = append(out, m)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
