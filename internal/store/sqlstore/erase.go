package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Erase implements store.Upkeep. What is left of a message's content is read before the
// transaction: it only ever becomes less.
func (c *Cold) Erase(ctx context.Context, app comm.ID, ids []comm.ID, e store.Erasing) (done int, took time.Duration, err error) {
	if len(ids) == 0 {
		return 0, 0, nil
	}
	all, err := list(ctx, c.db, "read messages", scanCandidate, c.d.selectAmong(candidateColumns, `state`),
		c.d.IDs(ids), c.d.ID(app))
	if err != nil {
		return 0, 0, err
	}
	groups, err := c.groups(ctx, all)
	if err != nil {
		return 0, 0, err
	}
	var began time.Time
	err = c.db.Write(ctx, func(q Querier) error {
		began, done = time.Now(), 0
		for _, g := range groups {
			n, err := c.erase(ctx, q, g, e)
			if err != nil {
				return err
			}
			done += n
		}
		return nil
	})
	if err != nil {
		return 0, 0, wrap(err, "erase messages")
	}
	return done, time.Since(began), nil
}

func (c *Cold) erase(ctx context.Context, q Querier, g *traces, e store.Erasing) (int, error) {
	ids, now, err := c.bump(ctx, q, g.app, g.ids, `, error_text = ''`, ` AND (SELECT c.payload IS NOT NULL OR c.recipient <> '' FROM content c WHERE c.app_id = state.app_id AND c.id = state.id)`)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if _, err := q.ExecContext(ctx, c.d.updateAmong(`events`, `detail = ''`, `message_id`)+` AND detail <> ''`, c.d.IDs(ids), c.d.ID(g.app)); err != nil {
		return 0, err
	}
	if err := c.logAll(ctx, q, g.app, ids, now, comm.CauseErased, e.Actor); err != nil {
		return 0, err
	}
	if err := c.empty(ctx, q, g, ids); err != nil {
		return 0, err
	}
	if _, err := q.ExecContext(ctx, c.d.updateAmong(`content`, `recipient = '', shown = $3`, `id`), c.d.IDs(ids), c.d.ID(g.app), e.Mask); err != nil {
		return 0, err
	}
	g = g.of(ids)
	return len(ids), c.dropTerms(ctx, q, g.app, append(g.terms, g.recipients...))
}

// MentionsSQL is the statement of Mentions: $1 where it begins, $2 the text, $3 how many are looked at, $4 the app, if there
// is one. Where all apps' messages are in one order, other apps' are looked at too, but their contents are not read.
func MentionsSQL(d Dialect, ofApp bool) string {
	where, payload := "", `c.payload`
	switch {
	case ofApp && d.OneLane:
		payload = `CASE WHEN c.app_id = $4 THEN c.payload END AS payload`
	case ofApp:
		where = ` AND c.app_id = $4`
	}
	return `SELECT x.app_id, x.id, CASE WHEN ` + d.Find(`lower(`+d.Text(`x.payload`)+`)`, `$2`) + ` > 0 THEN x.payload END, x.recipient
		FROM (SELECT c.app_id, c.id, ` + payload + `, c.recipient FROM content c WHERE c.id > $1` + where + ` ORDER BY c.id LIMIT $3) x`
}

// Mentions implements store.Upkeep.
func (c *Cold) Mentions(ctx context.Context, m store.Mention) (found []store.Mentioned, next comm.ID, err error) {
	of := m.App
	if !c.d.OneLane {
		if of = m.Lane; !m.App.IsZero() && m.App != m.Lane {
			return nil, next, nil
		}
	}
	args := []any{c.d.ID(m.After), m.Text, int64(m.Limit)}
	if !of.IsZero() {
		args = append(args, c.d.ID(of))
	}
	rows, err := list(ctx, c.db, "look through contents", func(r Row, x *store.Mentioned) error {
		return r.Scan((*ID)(&x.App), (*ID)(&x.ID), &x.Payload, &x.Recipient)
	}, MentionsSQL(c.d, !of.IsZero()), args...)
	if err != nil {
		return nil, next, err
	}
	if len(rows) == m.Limit {
		next = rows[len(rows)-1].ID
	}
	for _, x := range rows {
		if x.Payload == nil {
			continue
		}
		// The content may be another one than the sequence tells of; then its rewriting is refused by the payload.
		sequences, err := list(ctx, c.db, "read a message", func(r Row, n *int) error { return r.Scan(n) },
			`SELECT sequence FROM state WHERE id = $1 AND app_id = $2`, c.d.ID(x.ID), c.d.ID(x.App))
		if err != nil {
			return nil, next, err
		}
		if len(sequences) == 1 {
			x.Sequence = sequences[0]
			found = append(found, x)
		}
	}
	return found, next, nil
}

// Rewrite implements store.Upkeep.
func (c *Cold) Rewrite(ctx context.Context, all []store.Rewriting, e store.Erasing) (done int, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		done = 0
		for i := range all {
			ok, err := c.rewrite(ctx, q, &all[i], e)
			if err != nil {
				return err
			}
			if ok {
				done++
			}
		}
		return nil
	})
	if err != nil {
		return 0, wrap(err, "mask an address in contents")
	}
	return done, nil
}

func (c *Cold) rewrite(ctx context.Context, q Querier, x *store.Rewriting, e store.Erasing) (bool, error) {
	id, app := c.d.ID(x.ID), c.d.ID(x.App)
	// updated_at stays: nothing has happened to the message itself, and its content is not to be kept for longer.
	var now int64
	err := q.QueryRowContext(ctx, `UPDATE state SET sequence = sequence + 1 WHERE id = $1 AND app_id = $2 AND sequence = $3 RETURNING `+c.d.Now, id, app, int64(x.Sequence)).Scan(&now)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ids := []comm.ID{x.ID}
	if err := c.logAll(ctx, q, x.App, ids, now, comm.CauseErased, e.Actor); err != nil {
		return false, err
	}
	var hash any
	if x.KeyHash != nil {
		hash = x.KeyHash
	}
	if _, err := q.ExecContext(ctx, `UPDATE content SET payload = $3, key_hash = coalesce(key_hash, CAST($4 AS `+c.d.BytesType+`)) WHERE id = $1 AND app_id = $2 AND payload IS NOT NULL`, id, app, x.Payload, hash); err != nil {
		return false, err
	}
	var drop []termRow
	for _, t := range x.Drop {
		drop = append(drop, termRow{x.ID, t})
	}
	if err := c.dropTerms(ctx, q, x.App, drop); err != nil {
		return false, err
	}
	for _, t := range x.Add {
		if _, err := q.ExecContext(ctx, `INSERT INTO terms (app_id, kind, value, id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, app, int64(t.Kind), t.Value, id); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Unindex implements store.Upkeep.
func (c *Cold) Unindex(ctx context.Context, app comm.ID, address string) error {
	err := c.db.Write(ctx, func(q Querier) error {
		_, err := q.ExecContext(ctx, `DELETE FROM terms WHERE app_id = $1 AND kind = 0 AND value = $2 AND NOT EXISTS
			(SELECT 1 FROM content c WHERE c.id = terms.id AND c.app_id = terms.app_id AND c.recipient = terms.value)`, c.d.ID(app), address)
		return err
	})
	return wrap(err, "remove an address from the index")
}

// Tasks implements store.Upkeep.
func (c *Cold) Tasks(ctx context.Context) ([]store.Task, error) {
	return list(ctx, c.db, "read what was done", func(r Row, t *store.Task) error {
		return r.Scan(&t.Name, &t.StartedAt, &t.FinishedAt, &t.Reached, &t.Done, &t.Total, &t.Busy, &t.Failed)
	}, `SELECT task, started_at, finished_at, reached, done, total, busy, failed FROM upkeep_tasks ORDER BY task`)
}

// SaveTask implements store.Upkeep.
func (c *Cold) SaveTask(ctx context.Context, t store.Task) error {
	err := c.db.Write(ctx, func(q Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO upkeep_tasks AS t (task, started_at, finished_at, reached, done, total, busy, failed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (task) DO UPDATE SET started_at = excluded.started_at, finished_at = excluded.finished_at, reached = excluded.reached, done = excluded.done,
			total = t.total + excluded.total, busy = excluded.busy, failed = excluded.failed`,
			t.Name, int64(t.StartedAt), int64(t.FinishedAt), int64(t.Reached), int64(t.Done), int64(t.Total), t.Busy, t.Failed)
		return err
	})
	if err != nil {
		return fmt.Errorf("note what was done: %w", err)
	}
	return nil
}
