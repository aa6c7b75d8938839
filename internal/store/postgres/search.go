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

// searchSource is a statement that answers ids which pass a filter, newest first.
type searchSource struct {
	sql  string
	args []any
}

// searchSources are the sources of a search; each answers at most budget ids.
func searchSources(app comm.ID, f store.Filter) (sources []searchSource, budget int) {
	x := sqlstore.SpanOf(f, idsAhead)
	budget, states := sqlstore.Sources(f, x.Timed)
	span := func(p *pageArgs) string {
		return ` AND w.id >= ` + p.add(sqlstore.UUID(x.Low), "uuid") + ` AND w.id < ` + p.add(sqlstore.UUID(x.High), "uuid") + ` ORDER BY w.id DESC `
	}
	if f.Recipient != "" {
		p := &pageArgs{}
		// The index holds no content without a recipient: a kept plan takes it only for a statement that says so.
		sql := `SELECT w.id FROM content w WHERE w.recipient <> '' AND w.app_id = ` + p.add(sqlstore.UUID(app), "uuid") + ` AND w.recipient = ` + p.add(f.Recipient, "text") +
			span(p) + byList + ` LIMIT ` + p.add(budget, "bigint")
		sources = append(sources, searchSource{sql, p.args})
	}
	for _, term := range f.Terms {
		p := &pageArgs{}
		sql := `SELECT w.id FROM terms w WHERE w.app_id = ` + p.add(sqlstore.UUID(app), "uuid") + ` AND w.kind = ` + p.add(int16(term.Kind), "smallint") +
			` AND w.value = ` + p.add(term.Value, "text") + span(p) + byPrimaryKey + ` LIMIT ` + p.add(budget, "bigint")
		sources = append(sources, searchSource{sql, p.args})
	}
	if states {
		p := &pageArgs{}
		a, limit := p.add(sqlstore.UUID(app), "uuid"), p.add(budget, "bigint")
		low, high := p.add(sqlstore.UUID(x.Low), "uuid"), p.add(sqlstore.UUID(x.High), "uuid")
		// By the ids' span alone: created_at is not in the index, and where few of a
		// busy minute are in time, all its rows would be read for the budget.
		sources = append(sources, searchSource{p.states(f, a, low, high, "", limit), p.args})
	}
	return sources, budget
}

// rowFilter is what a filter asks of a candidate's state row.
func (p *pageArgs) rowFilter(f store.Filter, x sqlstore.Span) (where string) {
	if f.Status != comm.None {
		where += ` AND s.status + 0 = ` + p.add(int16(f.Status), "smallint") // not a reason to choose the index on statuses
	}
	if f.Channel != 0 {
		where += ` AND s.channel + 0 = ` + p.add(int16(f.Channel), "smallint")
	}
	if f.Captured {
		where += ` AND s.provider || '' = 'sandbox' AND s.sent_at + 0 <> 0` // nor that on captures
	}
	if x.Timed {
		where += ` AND s.created_at >= ` + p.add(int64(x.From), "bigint") + ` AND s.created_at < ` + p.add(int64(x.To), "bigint")
	}
	return where
}

// foundSQL reads the first limit messages of the candidates whose rows pass every filter.
func foundSQL(app comm.ID, f store.Filter, candidates []comm.ID, limit int) (string, []any) {
	p := &pageArgs{}
	a := p.add(sqlstore.UUID(app), "uuid")
	ids := uuids(len(candidates))
	for _, id := range candidates {
		ids.id(id)
	}
	where := p.rowFilter(f, sqlstore.SpanOf(f, idsAhead))
	var sql strings.Builder
	sql.WriteString(`SELECT l.id FROM unnest(` + p.add(ids, "uuid[]") + `) AS l (id) WHERE (SELECT true FROM state s WHERE s.app_id = ` + a + ` AND s.id = l.id` + where + `)`)
	if f.Recipient != "" {
		sql.WriteString(` AND (SELECT c.recipient FROM content c WHERE c.app_id = ` + a + ` AND c.id = l.id) = ` + p.add(f.Recipient, "text"))
	}
	for _, term := range f.Terms {
		sql.WriteString(` AND (SELECT true FROM terms w WHERE w.app_id = ` + a + ` AND w.kind = ` + p.add(int16(term.Kind), "smallint") + ` AND w.value = ` + p.add(term.Value, "text") + ` AND w.id = l.id)`)
	}
	// The candidates are in order already, and a scan of an array keeps it: it ends with the page.
	return pageSQL(sql.String()+` LIMIT `+p.add(limit, "bigint"), a), p.args
}

// Search implements store.Messages: the ids of every source in one round trip,
// the page in another. A message that changes its status in between is left out.
func (s *Store) Search(ctx context.Context, app comm.ID, f store.Filter) (store.Found, error) {
	if f.Limit <= 0 || f.Recipient == "" && len(f.Terms) == 0 {
		return store.Found{}, nil
	}
	sources, budget := searchSources(app, f)
	lists := make([][]comm.ID, len(sources))
	err := s.read(ctx, "search messages", func(c *pgx.Conn) error {
		b := &pgx.Batch{}
		for _, x := range sources {
			b.Queue(x.sql, x.args...)
		}
		return s.batch(ctx, &session{Conn: c}, readSettings(), b, func(r pgx.BatchResults) error {
			for i := range sources {
				lists[i] = lists[i][:0]
				rows, err := r.Query()
				if err := each(rows, err, func(r *reader) { lists[i] = append(lists[i], r.id()) }); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return store.Found{}, err
	}
	candidates, end := sqlstore.Candidates(lists, budget)
	if len(candidates) == 0 {
		return store.Found{Before: end}, nil
	}
	sql, args := foundSQL(app, f, candidates, f.Limit+1)
	out, err := s.page(ctx, "search messages", sql, args)
	if err != nil {
		return store.Found{}, fmt.Errorf("read a page: %w", err)
	}
	return sqlstore.PageOf(out, f, end), nil
}
