package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	// Every row passes files >= 0: it names the partial index.
	appOfSQL     = `SELECT w.app_id FROM content w WHERE w.files >= 0 AND w.id = $1 LIMIT 1`
	newestSQL    = `SELECT w.app_id, w.id FROM content w WHERE w.files >= 0 AND w.id >= $1::uuid AND w.id < $2::uuid ORDER BY w.id DESC ` + byList + ` LIMIT $3::bigint`
	ofRecipient  = `w.recipient <> '' AND w.recipient = $1::text`
	inTheirOrder = ` ORDER BY w.recipient, w.app_id, w.id NULLS FIRST LIMIT 1`
	// toHeadsSQL steps from app to app of those that wrote to a recipient, and answers the newest message of each within
	// the span. The steps hold no equality, so that their order is that of the recipients' index and of no other one.
	toHeadsSQL = `
WITH RECURSIVE u AS (
  (SELECT w.recipient, w.app_id FROM content w WHERE w.recipient <> '' AND w.recipient >= $1::text` + inTheirOrder + `)
  UNION ALL
  SELECT n.recipient, n.app_id FROM u CROSS JOIN LATERAL (
    SELECT w.recipient, w.app_id FROM content w WHERE w.recipient <> '' AND (w.recipient, w.app_id) > (u.recipient, u.app_id)` + inTheirOrder + `) n
  WHERE u.recipient = $1::text)
SELECT a.app_id, n.id FROM (SELECT u.app_id FROM u WHERE u.recipient = $1::text LIMIT $4::bigint) a LEFT JOIN LATERAL (
  SELECT w.id FROM content w WHERE ` + ofRecipient + ` AND w.app_id = a.app_id AND w.id >= $2::uuid AND w.id < $3::uuid ORDER BY w.id DESC ` + byList + ` LIMIT 1) n ON true`
	// writersSQL steps from app to app likewise, behind one of them, and answers of each whether a message went through a
	// configuration, and how many were looked at.
	writersSQL = `
WITH RECURSIVE u AS (
  (SELECT w.recipient, w.app_id FROM content w WHERE w.recipient <> '' AND (w.recipient, w.app_id) > ($1::text, $2::uuid)` + inTheirOrder + `)
  UNION ALL
  SELECT n.recipient, n.app_id FROM u CROSS JOIN LATERAL (
    SELECT w.recipient, w.app_id FROM content w WHERE w.recipient <> '' AND (w.recipient, w.app_id) > (u.recipient, u.app_id)` + inTheirOrder + `) n
  WHERE u.recipient = $1::text)
SELECT a.app_id, EXISTS (SELECT FROM apps p WHERE p.id = a.app_id AND p.deleted_at = 0) AND (n.through OR n.looked >= $5::bigint)
FROM (SELECT u.app_id FROM u WHERE u.recipient = $1::text LIMIT $3::bigint) a CROSS JOIN LATERAL (
  SELECT count(*) AS looked, coalesce(bool_or(s.provider_id = $4::uuid), false) AS through FROM (
    SELECT w.app_id, w.id FROM content w WHERE ` + ofRecipient + ` AND w.app_id = a.app_id ORDER BY w.id DESC ` + byList + ` LIMIT $5::bigint) w
  CROSS JOIN LATERAL (SELECT s.provider_id FROM state s WHERE s.app_id = w.app_id AND s.id = w.id OFFSET 0) s) n`
	// toIDsSQL reads the newest messages of each of some apps to a recipient.
	toIDsSQL = `
SELECT l.app_id, n.id FROM unnest($5::uuid[]) AS l (app_id) CROSS JOIN LATERAL (
  SELECT w.id FROM content w WHERE ` + ofRecipient + ` AND w.app_id = l.app_id AND w.id >= $2::uuid AND w.id < $3::uuid ORDER BY w.id DESC ` + byList + ` LIMIT $4::bigint) n`
)

// AppOf implements store.Everywhere.
func (s *Store) AppOf(ctx context.Context, message comm.ID) (app comm.ID, err error) {
	found := false
	err = s.read(ctx, "look up a message's app", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, appOfSQL, sqlstore.UUID(message))
		return each(rows, err, func(r *reader) { app, found = r.id(), true })
	})
	if err == nil && !found {
		err = comm.E("not_found")
	}
	return app, err
}

// AllMessages implements store.Everywhere: the ids first, then the rows of the page.
func (s *Store) AllMessages(ctx context.Context, f store.Filter) (store.Found, error) {
	if f.Limit <= 0 || len(f.Terms) > 0 {
		return store.Found{}, nil
	}
	x := sqlstore.SpanOf(f, idsAhead)
	budget := sqlstore.AllBudget(f, x.Timed)
	refs, err := s.newest(ctx, f, x, budget)
	if err != nil || len(refs) == 0 {
		return store.Found{}, err
	}
	var end comm.ID
	if len(refs) >= budget {
		end = refs[len(refs)-1].ID
	}
	sql, args := allPageSQL(f, x, refs, f.Limit+1)
	out, err := s.page(ctx, "list all messages", sql, args)
	if err != nil {
		return store.Found{}, err
	}
	return sqlstore.PageOf(out, f, end), nil
}

// newest answers the newest ids within the span, of the recipient if there is one.
func (s *Store) newest(ctx context.Context, f store.Filter, x sqlstore.Span, budget int) (refs []sqlstore.Ref, err error) {
	low, high := sqlstore.UUID(x.Low), sqlstore.UUID(x.High)
	if f.Recipient == "" {
		return s.refs(ctx, newestSQL, low, high, budget)
	}
	heads, err := s.refs(ctx, toHeadsSQL, f.Recipient, low, high, store.AllApps+1)
	if err != nil {
		return nil, err
	}
	if len(heads) > store.AllApps {
		return nil, comm.E("too_many_apps")
	}
	// The newest so many messages are of no more apps than that, those whose newest ones are.
	apps := uuids(budget)
	for _, head := range sqlstore.NewestRefs(heads, budget) {
		if !head.ID.IsZero() {
			apps.id(head.App)
		}
	}
	if refs, err = s.refs(ctx, toIDsSQL, f.Recipient, low, high, budget, apps); err != nil {
		return nil, err
	}
	return sqlstore.NewestRefs(refs, budget), nil
}

// refs runs a statement that answers apps and ids.
func (s *Store) refs(ctx context.Context, sql string, args ...any) (out []sqlstore.Ref, err error) {
	err = s.read(ctx, "look for messages of all apps", func(c *pgx.Conn) error {
		b := &pgx.Batch{}
		b.Queue(sql, args...)
		return s.batch(ctx, &session{Conn: c}, readSettings(), b, func(r pgx.BatchResults) error {
			out = out[:0]
			rows, err := r.Query()
			return each(rows, err, func(r *reader) { out = append(out, sqlstore.Ref{App: r.id(), ID: r.id()}) })
		})
	})
	return out, err
}

// allPageSQL reads the first limit messages of refs whose rows pass every filter and whose app is not deleted.
func allPageSQL(f store.Filter, x sqlstore.Span, refs []sqlstore.Ref, limit int) (string, []any) {
	p := &pageArgs{}
	apps, ids := uuids(len(refs)), uuids(len(refs))
	for _, ref := range refs {
		apps.id(ref.App)
		ids.id(ref.ID)
	}
	from := `unnest(` + p.add(apps, "uuid[]") + `, ` + p.add(ids, "uuid[]") + `) AS l (app_id, id)`
	where := p.rowFilter(f, x)
	// The ids are in order already, and a scan of arrays keeps it: it ends with the page.
	return pageSQL(fmt.Sprintf(`SELECT l.app_id, l.id FROM %s WHERE (SELECT true FROM state s WHERE s.app_id = l.app_id AND s.id = l.id%s)
  AND (SELECT true FROM apps a WHERE a.id = l.app_id AND a.deleted_at = 0) LIMIT %s`, from, where, p.add(limit, "bigint")), "p.app_id"), p.args
}

// Writers implements store.Receipts.
func (s *Store) Writers(ctx context.Context, config comm.ID, address string, after comm.ID, limit int) (apps []comm.ID, next comm.ID, err error) {
	stepped := 0
	err = s.read(ctx, "look for who wrote to an address", func(c *pgx.Conn) error {
		apps, next, stepped = nil, comm.ID{}, 0
		b := &pgx.Batch{}
		b.Queue(writersSQL, address, sqlstore.UUID(after), limit, sqlstore.UUID(config), store.WriterDepth)
		return s.batch(ctx, &session{Conn: c}, readSettings(), b, func(r pgx.BatchResults) error {
			rows, err := r.Query()
			return each(rows, err, func(r *reader) {
				stepped++
				app := r.id()
				if next = app; r.flag() {
					apps = append(apps, app)
				}
			})
		})
	})
	if stepped < limit {
		next = comm.ID{}
	}
	return apps, next, err
}
