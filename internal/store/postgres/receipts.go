package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	receiveSQL = `
INSERT INTO receipts (id, app_id, provider_id, type, at, method, query, header, body)
SELECT x.id, x.app, x.provider, x.type, least(x.at, ` + wallClock + `), x.method, x.query, x.header, x.body
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[])
  AS x (id, app, provider, type, at, method, query, header, body) ON CONFLICT DO NOTHING`
	// receivedSQL passes those by that came a moment ago: few, as a rule.
	receivedSQL = `
SELECT id, app_id, provider_id, type, at, method, query, header, body FROM receipts
WHERE id > $1 AND (at < $2 OR at > ` + wallClock + `) ORDER BY id LIMIT $3`
	questionsSQL = `
SELECT r.provider_id, r.ref, r.app_id, r.message_id, r.attempt, r.at, r.asked, s.status
FROM (SELECT * FROM refs WHERE ask_at <> 0 AND ask_at <= ` + clock + ` ORDER BY ask_at LIMIT $1) r
LEFT JOIN LATERAL (SELECT s.status FROM state s WHERE s.app_id = r.app_id AND s.id = r.message_id OFFSET 0) s ON true`
	askSQL = `
UPDATE refs SET ask_at = CASE WHEN x.wait > 0 THEN x.now + x.wait ELSE 0 END, asked = x.asked
FROM (SELECT t.now, unnest($1::uuid[]) AS provider, unnest($2::text[]) AS ref, unnest($3::uuid[]) AS message, unnest($4::bigint[]) AS wait, unnest($5::integer[]) AS asked
  FROM (SELECT ` + clock + ` AS now OFFSET 0) t OFFSET 0) x
WHERE refs.provider_id = ANY (ARRAY[x.provider]) AND refs.ref = x.ref AND refs.message_id = x.message`
	parkedSQL = `SELECT ` + sqlstore.ParkedColumns + ` FROM parked WHERE due <= $1 ORDER BY due LIMIT $2`
)

// Receive implements store.Receipts: one statement, beside the turns.
func (s *Store) Receive(ctx context.Context, all []store.Receipt) error {
	if len(all) == 0 {
		return nil
	}
	n := len(all)
	id, owner, provider, kind, at, method := uuids(n), uuids(n), uuids(n), texts(n), int8s(n), texts(n)
	query, header, body := byteas(n), byteas(n), byteas(n)
	for i := range all {
		x := &all[i]
		id.id(x.ID)
		owner.id(x.Owner)
		provider.id(x.Provider)
		kind.text(x.Type)
		at.i64(int64(x.At))
		method.text(x.Method)
		query.bytes(x.Query)
		header.bytes(x.Header)
		body.bytes(x.Body)
	}
	b := &pgx.Batch{}
	b.Queue(receiveSQL, id, owner, provider, kind, at, method, query, header, body)
	return s.write(ctx, s.control, "store receipts", func(c *session) error {
		return s.batch(ctx, c, hotSettings(), b, func(r pgx.BatchResults) error {
			_, err := r.Exec()
			return err
		})
	})
}

// Received implements store.Receipts.
func (s *Store) Received(ctx context.Context, before comm.Micros, behind comm.ID, limit int) (out []store.Receipt, err error) {
	err = s.read(ctx, "read receipts", func(c *pgx.Conn) error {
		out = nil
		bytes := 0
		rows, err := c.Query(ctx, receivedSQL, sqlstore.UUID(behind), int64(before), limit)
		return each(rows, err, func(r *reader) {
			x := store.Receipt{ID: r.id(), Owner: r.id(), Provider: r.id(), Type: r.text(), At: r.micros(), Method: r.text(), Query: r.bytes(), Header: r.bytes(), Body: r.bytes()}
			if bytes += len(x.Query) + len(x.Header) + len(x.Body); bytes <= store.ReceivedBytes || len(out) == 0 {
				out = append(out, x)
			}
		})
	})
	return out, err
}

// Parked implements store.Receipts.
func (s *Store) Parked(ctx context.Context, at comm.Micros, limit int) (out []store.Report, err error) {
	err = s.read(ctx, "read parked reports", func(c *pgx.Conn) error {
		out = nil
		rows, err := c.Query(ctx, parkedSQL, int64(at), limit)
		return each(rows, err, func(r *reader) {
			out = append(out, store.Report{Parked: r.id(), Owner: r.id(), Provider: r.id(), Name: r.text(), Ref: r.text(), Message: r.id(), Attempt: r.i32(),
				Told: comm.Told{Fate: comm.Fate(r.i32()), Correctable: r.i32() != 0}, Suppress: r.text(), Code: r.text(), Text: r.text(), Since: r.micros()})
		})
	})
	return out, err
}

// Questions implements store.Receipts.
func (s *Store) Questions(ctx context.Context, limit int) (out []store.Question, err error) {
	err = s.read(ctx, "list what to ask providers", func(c *pgx.Conn) error {
		out = nil
		rows, err := c.Query(ctx, questionsSQL, limit)
		return each(rows, err, func(r *reader) {
			out = append(out, store.Question{Provider: r.id(), Ref: r.text(), App: r.id(), Message: r.id(), Attempt: r.i32(), At: r.micros(), Asked: r.i32(), Status: comm.Status(r.i16())})
		})
	})
	return out, err
}

// Ask implements store.Receipts.
func (s *Store) Ask(ctx context.Context, next []store.Question) error {
	if len(next) == 0 {
		return nil
	}
	next = slices.Clone(next)
	slices.SortFunc(next, func(a, b store.Question) int {
		return cmp.Or(a.Provider.Compare(b.Provider), cmp.Compare(a.Ref, b.Ref))
	})
	n := len(next)
	provider, ref, message, wait, asked := uuids(n), texts(n), uuids(n), int8s(n), int4s(n)
	for i := range next {
		provider.id(next[i].Provider)
		ref.text(next[i].Ref)
		message.id(next[i].Message)
		wait.i64(max(next[i].In, 0))
		asked.i32(int32(next[i].Asked))
	}
	b := &pgx.Batch{}
	b.Queue(askSQL, provider, ref, message, wait, asked)
	return s.write(ctx, s.control, "note when to ask providers next", func(c *session) error {
		return s.batch(ctx, c, hotSettings(), b, func(r pgx.BatchResults) error {
			_, err := r.Exec()
			return err
		})
	})
}
