package sqlstore

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// UpkeepLanes implements store.Upkeep.
func (c *Cold) UpkeepLanes(ctx context.Context, after comm.ID, limit int) ([]comm.ID, error) {
	if c.d.OneLane {
		return []comm.ID{{}}, nil
	}
	scan := func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) }
	return list(ctx, c.db, "list lanes", scan, `SELECT id FROM apps WHERE id > $1 ORDER BY id LIMIT $2`, c.d.ID(after), int64(limit))
}

// candidate is a message that a walk looks at.
type candidate struct {
	app, id comm.ID
	status  comm.Status
	mode    comm.Mode
	updated comm.Micros
	bytes   int64
	gone    bool // its content is
}

const candidateColumns = `s.app_id, s.id, s.status, s.mode, s.updated_at, s.bytes, ` +
	`(SELECT CASE WHEN c.payload IS NULL THEN 1 ELSE 0 END FROM content c WHERE c.app_id = s.app_id AND c.id = s.id)`

func scanCandidate(r Row, x *candidate) error {
	return r.Scan((*ID)(&x.app), (*ID)(&x.id), &x.status, &x.mode, &x.updated, &x.bytes, &x.gone)
}

// WalkSQL is the statement of Walk: $1 the mark, $2 the bound, $3 how many, and where lanes are apps $4.
func WalkSQL(d Dialect) string {
	lane := ""
	if !d.OneLane {
		lane = ` AND s.app_id = $4`
	}
	return `SELECT ` + candidateColumns + ` FROM state s WHERE s.id > $1 AND s.id < $2` + lane + ` ORDER BY s.id LIMIT $3`
}

// LaterSQL is the statement of WalkLater. Its messages are looked up one by one, and may be gone.
const LaterSQL = `SELECT l.due, l.app_id, l.id FROM upkeep_later l WHERE l.walk = $1 AND l.due <= $2 ORDER BY l.walk, l.due LIMIT $3`

// Walk implements store.Upkeep.
func (c *Cold) Walk(ctx context.Context, w store.Walk) (out store.Walked, err error) {
	mark, err := c.mark(ctx, w)
	if err != nil {
		return out, err
	}
	args := []any{c.d.ID(mark), c.d.ID(w.Until), int64(w.Limit)}
	if !c.d.OneLane {
		args = append(args, c.d.ID(w.Lane))
	}
	found, err := list(ctx, c.db, "walk", scanCandidate, WalkSQL(c.d), args...)
	if err != nil || len(found) == 0 {
		return store.Walked{Reached: mark}, err
	}
	found = fitting(found)
	last := found[len(found)-1].id
	out, err = c.slice(ctx, w, found, func(q Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO upkeep_marks (walk, lane, id) VALUES ($1, $2, $3) ON CONFLICT (walk, lane) DO UPDATE SET id = excluded.id`,
			int64(w.Kind), c.d.ID(w.Lane), c.d.ID(last))
		return err
	})
	out.Reached = last
	return out, err
}

func (c *Cold) mark(ctx context.Context, w store.Walk) (mark comm.ID, err error) {
	marks, err := list(ctx, c.db, "read how far a walk is", func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) },
		`SELECT id FROM upkeep_marks WHERE walk = $1 AND lane = $2`, int64(w.Kind), c.d.ID(w.Lane))
	if len(marks) > 0 {
		mark = marks[0]
	}
	return mark, err
}

// fitting is as many of the messages as one slice may remove the content of.
func fitting(all []candidate) []candidate {
	sizes := make([]int64, len(all))
	for i := range all {
		if !all[i].gone {
			sizes[i] = all[i].bytes
		}
	}
	return all[:within(sizes, store.UpkeepBytes)]
}

// later is a message that was set aside.
type later struct {
	due     comm.Micros
	app, id comm.ID
}

// WalkLater implements store.Upkeep.
func (c *Cold) WalkLater(ctx context.Context, w store.Walk) (out store.Walked, err error) {
	aside, err := list(ctx, c.db, "look at what was set aside", func(r Row, l *later) error { return r.Scan(&l.due, (*ID)(&l.app), (*ID)(&l.id)) },
		LaterSQL, int64(w.Kind), int64(w.Now), int64(w.Limit))
	if err != nil || len(aside) == 0 {
		return out, err
	}
	var found []candidate
	for i := range aside {
		one, err := list(ctx, c.db, "look at what was set aside", scanCandidate, `SELECT `+candidateColumns+
			` FROM state s WHERE s.app_id = $1 AND s.id = $2`, c.d.ID(aside[i].app), c.d.ID(aside[i].id))
		if err != nil {
			return out, err
		}
		found = append(found, one...)
	}
	if fit := fitting(found); len(fit) < len(found) {
		next := found[len(fit)].id
		for i := range aside {
			if aside[i].id == next {
				aside = aside[:i]
				break
			}
		}
		found = fit
	}
	out, err = c.slice(ctx, w, found, func(q Querier) error {
		for _, l := range aside {
			if _, err := q.ExecContext(ctx, `DELETE FROM upkeep_later WHERE walk = $1 AND due = $2 AND app_id = $3 AND id = $4`,
				int64(w.Kind), int64(l.due), c.d.ID(l.app), c.d.ID(l.id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		out.Seen = len(aside) // with those that are gone: there may be more behind them
	}
	return out, err
}

// slice removes what may go of the messages, sets the rest aside and notes that it did, in one transaction.
func (c *Cold) slice(ctx context.Context, w store.Walk, found []candidate, note func(Querier) error) (out store.Walked, err error) {
	var ready []candidate
	var aside []later
	for _, x := range found {
		switch {
		case w.Kind == store.Purge && x.gone:
		case !x.status.Final():
			aside = append(aside, later{w.Now + comm.Micros(w.Rest), x.app, x.id})
		case !x.gone && x.updated+comm.Micros(w.Rest) > w.Now:
			aside = append(aside, later{x.updated + comm.Micros(w.Rest), x.app, x.id})
		default:
			ready = append(ready, x)
		}
	}
	groups, err := c.groups(ctx, ready)
	if err != nil {
		return out, err
	}
	var began time.Time
	err = c.db.Write(ctx, func(q Querier) error {
		began = time.Now()
		out = store.Walked{Seen: len(found)}
		if err := note(q); err != nil {
			return err
		}
		for _, l := range aside {
			if _, err := q.ExecContext(ctx, `INSERT INTO upkeep_later (walk, due, app_id, id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				int64(w.Kind), int64(l.due), c.d.ID(l.app), c.d.ID(l.id)); err != nil {
				return err
			}
		}
		for _, g := range groups {
			n, err := c.clear(ctx, q, g, w)
			if err != nil {
				return err
			}
			out.Done += n
		}
		return nil
	})
	if err != nil {
		return store.Walked{}, wrap(err, "remove what was kept long enough")
	}
	out.Took = time.Since(began)
	return out, nil
}

// clear does what a walk is for to the messages of one app.
func (c *Cold) clear(ctx context.Context, q Querier, g *traces, w store.Walk) (int, error) {
	before := int64(w.Now) - w.Rest
	if w.Kind == store.Remove {
		return c.removeMessages(ctx, q, g, ` AND (updated_at <= $3 OR (SELECT c.payload IS NULL FROM content c WHERE c.app_id = state.app_id AND c.id = state.id))`, before)
	}
	ids, now, err := c.bump(ctx, q, g.app, g.ids, ``, ` AND updated_at <= $3`, before)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := c.logAll(ctx, q, g.app, ids, now, comm.CauseContentPurged, ""); err != nil {
		return 0, err
	}
	if err := c.empty(ctx, q, g, ids); err != nil {
		return 0, err
	}
	return len(ids), c.dropTerms(ctx, q, g.app, g.of(ids).terms)
}

// BumpSQL is the statement that purging and erasing begin with.
func BumpSQL(d Dialect, set, condition string) string {
	return d.updateAmong(`state`, `sequence = sequence + 1, updated_at = `+d.Now+set, `id`) + ` AND status + 0 > 2` + condition + ` RETURNING id, updated_at`
}

// bump counts the sequence of those messages up that are final and meet the condition, whose
// parameters begin at $3, and answers them with the database's clock.
func (c *Cold) bump(ctx context.Context, q Querier, app comm.ID, ids []comm.ID, set, condition string, more ...any) (done []comm.ID, now int64, err error) {
	rows, err := q.QueryContext(ctx, BumpSQL(c.d, set, condition), append([]any{c.d.IDs(ids), c.d.ID(app)}, more...)...)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id comm.ID
		if err := rows.Scan((*ID)(&id), &now); err != nil {
			return nil, 0, err
		}
		done = append(done, id)
	}
	return done, now, rows.Err()
}

// noID is an id of zeros as an expression.
func (c *Cold) noID(place string) string { return `CAST(` + place + ` AS ` + c.d.IDType + `)` }

// logAll writes an event that changes no state, for rows whose sequence was just counted up.
func (c *Cold) logAll(ctx context.Context, q Querier, app comm.ID, ids []comm.ID, now int64, cause comm.Cause, actor string) error {
	var items []byte
	logged, err := collect(ctx, q, func(r Row, e *store.EventRef) error { return r.Scan((*ID)(&e.Message), &e.Sequence) }, `INSERT INTO events (`+EventColumns+`)
		`+c.d.selectAmong(`s.app_id, s.id, s.sequence, CAST($3 AS integer), s.status, s.status, CAST($4 AS bigint), s.generation, 0, s.epoch, '', CAST($5 AS text), '', `+
		c.noID("$6")+`, '', '', '', s.error_text`, `state`)+` RETURNING message_id, sequence`, c.d.IDs(ids), c.d.ID(app), int64(cause), now, actor, c.d.ID(comm.ID{}))
	if err != nil {
		return err
	}
	for _, e := range logged {
		items = AppendRef(items, app, e.Message, e.Sequence)
	}
	return c.tell(ctx, q, app, now, items)
}

// empty takes the content of messages, and keeps what their idempotency keys are stored by.
func (c *Cold) empty(ctx context.Context, q Querier, g *traces, ids []comm.ID) error {
	if err := c.keepKeys(ctx, q, g.of(ids)); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, c.d.deleteAmong(`files`, `id`), c.d.IDs(ids), c.d.ID(g.app)); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, c.d.updateAmong(`content`, `payload = NULL, files = 0`, `id`), c.d.IDs(ids), c.d.ID(g.app))
	return err
}

// removeMessages removes those of the messages that are final and meet the condition on their state, with everything of theirs.
func (c *Cold) removeMessages(ctx context.Context, q Querier, g *traces, condition string, more ...any) (int, error) {
	ids, err := collect(ctx, q, func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) },
		c.d.deleteAmong(`state`, `id`)+` AND status + 0 > 2`+condition+` RETURNING id`, append([]any{c.d.IDs(g.ids), c.d.ID(g.app)}, more...)...)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := c.dropTraces(ctx, q, g.app, ids); err != nil {
		return 0, err
	}
	for _, text := range []string{c.d.deleteAmong(`events`, `message_id`), c.d.deleteAmong(`files`, `id`), c.d.deleteAmong(`content`, `id`)} {
		if _, err := q.ExecContext(ctx, text, c.d.IDs(ids), c.d.ID(g.app)); err != nil {
			return 0, err
		}
	}
	g = g.of(ids)
	if err := c.dropKeys(ctx, q, g); err != nil {
		return 0, err
	}
	return len(ids), c.dropTerms(ctx, q, g.app, append(g.terms, g.recipients...))
}
