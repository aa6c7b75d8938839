package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/go-json-experiment/json"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// did is what a change of settings was, for the audit log.
type did struct {
	app    comm.ID // zero: of no app
	action string  // a word of comm.AuditActions
	target string
	detail detail // see differ
}

// changed counts the configuration version up and appends what was done to the
// audit log, inside the transaction of the change and as the last thing in it:
// every method that changes what other nodes remember ends with it.
func (c *Cold) changed(ctx context.Context, q Querier, what did, more ...did) error {
	if _, err := q.ExecContext(ctx, `UPDATE config_version SET version = version + 1 WHERE id = 1`); err != nil {
		return err
	}
	return c.record(ctx, q, append([]did{what}, more...)...)
}

// record appends to the audit log what was done by the context's actor, as the last
// thing in the transaction of the change. It is what changed is for what nodes do not remember.
func (c *Cold) record(ctx context.Context, q Querier, what ...did) error {
	entries := make([]store.AuditEntry, len(what))
	for i, w := range what {
		text, err := json.Marshal(w.detail, json.Deterministic(true)) // shortest form: the API shows it byte for byte
		if err != nil {
			return fmt.Errorf("encode an audit entry: %w", err)
		}
		entries[i] = store.AuditEntry{Actor: store.ActorOf(ctx), App: w.app, Action: w.action, Target: w.target, Detail: string(text)}
	}
	return c.append(ctx, q, entries)
}

// over says whether an app has more rows in a table than it may, those of this transaction among them. It comes after
// the entry in the audit log, behind which writers follow one another until they commit: whoever counted before
// that would not see what others insert meanwhile, and two could pass where there is room for one.
func (c *Cold) over(ctx context.Context, q Querier, table string, app comm.ID, most int) (bool, error) {
	var have int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM `+table+` WHERE app_id = $1`, c.d.ID(app)).Scan(&have)
	return have > most, err
}

const auditColumns = `sequence, at, actor, actor_name, address, request, app_id, action, target, detail, previous, hash`

// append chains entries to the log. The row of audit_head makes those who append
// at once follow one another until they commit.
func (c *Cold) append(ctx context.Context, q Querier, entries []store.AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	var last, now int64
	var head []byte
	err := q.QueryRowContext(ctx, `UPDATE audit_head SET sequence = sequence + $1 WHERE id = 1 RETURNING sequence, hash, `+c.d.Now, int64(len(entries))).Scan(&last, &head, &now)
	if err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	previous, err := hashOf(head)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		e.Sequence, e.At, e.Previous = last-int64(len(entries)-1-i), comm.Micros(now), previous
		e.Hash = e.Sum()
		previous = e.Hash
		_, err := q.ExecContext(ctx, `INSERT INTO audit (`+auditColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			e.Sequence, int64(e.At), e.Actor.Kind, e.Actor.Name, e.Actor.Address, e.Actor.Request, c.d.ID(e.App), e.Action, e.Target, e.Detail,
			e.Previous[:], e.Hash[:])
		if err != nil {
			return fmt.Errorf("append to the audit log: %w", err)
		}
	}
	if _, err := q.ExecContext(ctx, `UPDATE audit_head SET hash = $1 WHERE id = 1`, previous[:]); err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	return nil
}

// Note implements store.Audit.
func (c *Cold) Note(ctx context.Context, notes []store.AuditEntry) error {
	err := c.db.Write(ctx, func(q Querier) error { return c.append(ctx, q, notes) })
	return wrap(err, "note in the audit log")
}

// AuditHead implements store.Audit.
func (c *Cold) AuditHead(ctx context.Context) (sequence int64, hash [32]byte, err error) {
	var b []byte
	err = c.db.Read(ctx, func(q Querier) error {
		return q.QueryRowContext(ctx, `SELECT sequence, hash FROM audit_head WHERE id = 1`).Scan(&sequence, &b)
	})
	if err == nil {
		hash, err = hashOf(b)
	}
	if err != nil {
		return 0, hash, fmt.Errorf("read the audit log's head: %w", err)
	}
	return sequence, hash, nil
}

// AuditChainSQL is the statement of AuditChain.
const AuditChainSQL = `SELECT ` + auditColumns + ` FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2`

// AuditChain implements store.Audit.
func (c *Cold) AuditChain(ctx context.Context, after int64, limit int) ([]store.AuditEntry, error) {
	return list(ctx, c.db, "read the audit log", scanAudit, AuditChainSQL, after, int64(limit))
}

// What one page of the log may look at.
const (
	auditAtOnce = 500
	auditLooked = 2000
)

// AuditListSQL are the statements of AuditList: of everything, of an app, of a target.
func AuditListSQL() [3]string {
	const begin, end = `SELECT ` + auditColumns + ` FROM audit WHERE sequence < $1`, ` ORDER BY sequence DESC LIMIT $2`
	return [3]string{begin + end, begin + ` AND app_id = $3` + end, begin + ` AND target = $3` + end}
}

// AuditList implements store.Audit.
func (c *Cold) AuditList(ctx context.Context, f store.AuditFilter) (page store.AuditPage, err error) {
	which, args := 0, []any{}
	switch {
	case f.Target != "":
		which, args = 2, []any{f.Target}
	case !f.App.IsZero():
		which, args = 1, []any{c.d.ID(f.App)}
	}
	before := f.Before
	if before == 0 {
		before = math.MaxInt64
	}
	for looked := 0; looked < auditLooked; looked += auditAtOnce {
		rows, err := list(ctx, c.db, "list the audit log", scanAudit, AuditListSQL()[which], append([]any{before, int64(auditAtOnce)}, args...)...)
		if err != nil {
			return store.AuditPage{}, err
		}
		for i := range rows {
			if !f.Fits(&rows[i]) {
				continue
			}
			if len(page.Entries) == f.Limit {
				page.Before = page.Entries[f.Limit-1].Sequence
				return page, nil
			}
			page.Entries = append(page.Entries, rows[i])
		}
		if len(rows) < auditAtOnce {
			return page, nil
		}
		before = rows[len(rows)-1].Sequence
	}
	page.Before = before
	return page, nil
}

func scanAudit(r Row, e *store.AuditEntry) error {
	var previous, hash []byte
	err := r.Scan(&e.Sequence, &e.At, &e.Actor.Kind, &e.Actor.Name, &e.Actor.Address, &e.Actor.Request, (*ID)(&e.App), &e.Action, &e.Target, &e.Detail, &previous, &hash)
	if err != nil {
		return err
	}
	// One that is no hash is a break of the chain, not of the reading.
	copy(e.Previous[:], previous)
	copy(e.Hash[:], hash)
	return nil
}

var errAuditHash = errors.New("a stored hash of the audit log is not 32 bytes")

func hashOf(b []byte) (h [32]byte, err error) {
	if copy(h[:], b) != len(h) || len(b) != len(h) {
		return h, errAuditHash
	}
	return h, nil
}
