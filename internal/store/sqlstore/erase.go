package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Erase implements store.Upkeep. What is left of a message's content is read before the
// transaction: it only ever becomes less.
func (c *Cold) Erase(ctx context.Context, app comm.ID, ids []comm.ID, e store.Erasing) (out store.Erased, err error) {
	if len(ids) == 0 {
		return out, nil
	}
	all, err := list(ctx, c.db, "read messages", scanCandidate, c.d.selectAmong(candidateColumns, `state`),
		c.d.IDs(ids), c.d.ID(app))
	if err != nil {
		return out, err
	}
	looked := len(ids)
	slices.SortFunc(all, func(a, b candidate) int { return slices.Index(ids, a.id) - slices.Index(ids, b.id) })
	if fit := fitting(all); len(fit) < len(all) {
		looked, all = slices.Index(ids, all[len(fit)].id), fit
	}
	groups, err := c.groups(ctx, all)
	if err != nil {
		return out, err
	}
	var began time.Time
	err = c.db.Write(ctx, func(q Querier) error {
		began, out = time.Now(), store.Erased{Looked: looked}
		for _, g := range groups {
			n, err := c.erase(ctx, q, g, e)
			if err != nil {
				return err
			}
			out.Done += n
		}
		return nil
	})
	if err != nil {
		return store.Erased{}, wrap(err, "erase messages")
	}
	out.Took = time.Since(began)
	return out, nil
}

func (c *Cold) erase(ctx context.Context, q Querier, g *traces, e store.Erasing) (int, error) {
	ids, now, err := c.bump(ctx, q, g.app, g.ids, `, error_text = ''`, ` AND (SELECT c.payload IS NOT NULL OR c.recipient <> '' FROM content c WHERE c.app_id = state.app_id AND c.id = state.id)`)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if _, err := q.ExecContext(ctx, c.d.updateAmong(`events`, `detail = '', error_text = ''`, `message_id`)+` AND (detail <> '' OR error_text <> '')`, c.d.IDs(ids), c.d.ID(g.app)); err != nil {
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
	if err := c.dropTold(ctx, q, g.app, ids); err != nil {
		return 0, err
	}
	g = g.of(ids)
	return len(ids), c.dropTerms(ctx, q, g.app, append(g.terms, g.recipients...))
}

// MentionsSQL is the statements of Mentions: how large the next contents are, and which of them hold the text. $1 is where they begin,
// $2 how many are looked at, then the app, if there is one, and for the second statement the text. Where all apps' messages are
// in one order, other apps' are looked at too, but their contents are not read.
func MentionsSQL(d Dialect, ofApp bool) (sizes, holding string) {
	where, text := "", "$3"
	payload, size := `c.payload`, `length(c.payload)` // no database reads a value for its length
	switch {
	case ofApp && d.OneLane:
		payload, size, text = `CASE WHEN c.app_id = $3 THEN c.payload END AS payload`, `CASE WHEN c.app_id = $3 THEN length(c.payload) END`, "$4"
	case ofApp:
		where, text = ` AND c.app_id = $3`, "$4"
	}
	from := ` FROM content c WHERE c.id > $1` + where + ` ORDER BY c.id LIMIT $2`
	// The sequence is read with the content that it belongs to: what is made of an older one is refused by it.
	return `SELECT coalesce(` + size + `, 0)` + from, `SELECT x.app_id, x.id, CASE WHEN ` + d.Find(`lower(`+d.Text(`x.payload`)+`)`, text) + ` > 0 THEN x.payload END, x.recipient,
		coalesce((SELECT s.sequence FROM state s WHERE s.app_id = x.app_id AND s.id = x.id), 0), coalesce((SELECT s.created_at FROM state s WHERE s.app_id = x.app_id AND s.id = x.id), 0)
		FROM (SELECT c.app_id, c.id, ` + payload + `, c.recipient` + from + `) x`
}

// Mentions implements store.Upkeep.
func (c *Cold) Mentions(ctx context.Context, m store.Mention) (found []store.Mentioned, next comm.ID, err error) {
	of := m.App
	if !c.d.OneLane {
		if of = m.Lane; !m.App.IsZero() && m.App != m.Lane {
			return nil, next, nil
		}
	}
	sizes, holding := MentionsSQL(c.d, !of.IsZero())
	ask := func(limit int, more ...any) []any {
		args := []any{c.d.ID(m.After), int64(limit)}
		if !of.IsZero() {
			args = append(args, c.d.ID(of))
		}
		return append(args, more...)
	}
	large, err := list(ctx, c.db, "look how large contents are", func(r Row, n *int64) error { return r.Scan(n) }, sizes, ask(m.Limit)...)
	if err != nil || len(large) == 0 {
		return nil, next, err
	}
	fit := within(large, m.Bytes)
	rows, err := list(ctx, c.db, "look through contents", func(r Row, x *store.Mentioned) error {
		return r.Scan((*ID)(&x.App), (*ID)(&x.ID), &x.Payload, &x.Recipient, &x.Sequence, &x.CreatedAt)
	}, holding, ask(fit, m.Text)...)
	if err != nil {
		return nil, next, err
	}
	if len(rows) > 0 && (len(rows) == m.Limit || fit < len(large)) {
		next = rows[len(rows)-1].ID
	}
	return slices.DeleteFunc(rows, func(x store.Mentioned) bool { return x.Payload == nil || x.Sequence == 0 }), next, nil
}

// within is how many of some sizes, from the first on, are at most so much beyond the first.
func within(sizes []int64, most int64) int {
	var sum int64
	for i, n := range sizes {
		if sum += n; i > 0 && sum > most {
			return i
		}
	}
	return len(sizes)
}

// Rewrite implements store.Upkeep.
func (c *Cold) Rewrite(ctx context.Context, all []store.Rewriting, e store.Erasing) (done int, took time.Duration, err error) {
	var began time.Time
	err = c.db.Write(ctx, func(q Querier) error {
		began, done = time.Now(), 0
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
		return 0, 0, wrap(err, "mask an address in contents")
	}
	return done, time.Since(began), nil
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
	if err := c.retell(ctx, q, x.App, x.ID, comm.Micros(now), e); err != nil {
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
