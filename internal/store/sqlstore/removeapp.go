package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Table says who removes the rows of a table.
type Table struct {
	Name string
	// Key is the columns by which its rows go with their app; "" where others see to them.
	Key string
	// By says who does, for tables without Key.
	By string
}

// Tables is every table with what ends its rows. Those with a Key go with a deleted app, in
// this order, once its messages are gone.
func Tables() []Table {
	return []Table{
		{Name: "idempotency", Key: "app_id, mode, hash"},
		{Name: "suppressions", Key: "app_id, channel, address"},
		{Name: "wishes", Key: "app_id, channel, address"},
		{Name: "erased_suppressions", Key: "app_id, channel, hash"},
		{Name: "template_versions", Key: "app_id, template_id, version"},
		{Name: "templates", Key: "app_id, id"},
		{Name: "provider_days", Key: "app_id, provider_id"},
		{Name: "provider_configs", Key: "app_id, id"},
		{Name: "provider_troubles", Key: "app_id, id, node"},
		{Name: "provider_strains", Key: "app_id, id, node"},
		{Name: "endpoints", Key: "app_id, id"},
		{Name: "api_keys", Key: "app_id, id"},
		{Name: "erasures", Key: "app_id, id"},
		{Name: "rates", Key: "app_id"},
		{Name: "sms_use", Key: "app_id"},
		{Name: "stats", Key: "app_id, span, start"},
		{Name: "deliveries", Key: "app_id, endpoint_id, id"},
		{Name: "endpoint_troubles", Key: "app_id, endpoint_id"},
		{Name: "feed", Key: "app_id, last"},
		{Name: "holds", Key: "app_id, channel, lane, shard"},
		{Name: "stats_shares", By: "a trigger, with the rows of stats; on SQLite alone"},
		{Name: "state", By: "the walks Purge and Remove; messages of deleted apps first"},
		{Name: "content", By: "its message"},
		{Name: "files", By: "its message"},
		{Name: "events", By: "its message"},
		{Name: "terms", By: "its message: with its content, its recipient with the message (on SQLite an app's own cannot be found without reading all)"},
		{Name: "refs", By: "its message"},
		{Name: "receipts", By: "Apply, after moments, whatever becomes of the app"},
		{Name: "parked", By: "Apply, after 72 hours at most, whatever becomes of the app"},
		{Name: "tallies", By: "Fold, after seconds; what it cannot read stays, set aside"},
		{Name: "outbox", By: "Stamp, in less than a second; what cannot be read stays, set aside"},
		{Name: "queue", By: "the end of its message; a stale row by the start that meets it"},
		{Name: "apps", By: "RemoveApp, last"},
		{Name: "upkeep_marks", By: "RemoveApp"},
		{Name: "upkeep_later", By: "WalkLater, when it is due"},
		{Name: "upkeep_tasks", By: "nobody: a row for each task"},
		{Name: "alerts", By: "TrimAlerts, a month after the all-clear"},
		{Name: "users", By: "an administrator"},
		{Name: "sessions", By: "their end, or TrimSessions once they are past it"},
		{Name: "nodes", By: "heartbeats, a month after the lease"},
		{Name: "shards", By: "nobody: a row for each shard"},
		{Name: "settings", By: "nobody: few"},
		{Name: "config_version", By: "nobody: one row"},
		{Name: "hash_keys", By: "nobody: one row"},
		{Name: "audit", By: "nobody: it is append-only"},
		{Name: "audit_head", By: "nobody: one row"},
		{Name: "schema_migrations", By: "nobody: a row for each migration"},
	}
}

// RemoveApp implements store.Upkeep.
func (c *Cold) RemoveApp(ctx context.Context, app comm.ID, before comm.Micros, limit int) (out store.Removed, err error) {
	found, err := list(ctx, c.db, "list messages of a deleted app", scanCandidate, RemovableSQL(c.d), c.d.ID(app), int64(limit))
	if err != nil {
		return out, err
	}
	groups, err := c.groups(ctx, fitting(found))
	if err != nil {
		return out, err
	}
	var began time.Time
	err = c.db.Write(ctx, func(q Querier) error {
		began = time.Now()
		out = store.Removed{}
		n, err := affected(ctx, q, `UPDATE apps SET updated_at = updated_at WHERE id = $1 AND deleted_at <> 0 AND deleted_at < $2`, c.d.ID(app), int64(before))
		if err != nil || n == 0 {
			return err // it is not deleted, or not for long enough, or gone
		}
		for _, g := range groups {
			n, err := c.removeMessages(ctx, q, g, ``)
			if err != nil {
				return err
			}
			out.Rows += n
		}
		if out.Rows > 0 {
			return nil
		}
		return c.removeRest(ctx, q, app, limit, &out)
	})
	if err != nil {
		return store.Removed{}, wrap(err, "remove what a deleted app left")
	}
	out.Took = time.Since(began)
	return out, nil
}

// RemovableSQL lists messages of a deleted app that are final: $1 the app, $2 how many.
func RemovableSQL(d Dialect) string {
	if !d.OneLane {
		return `SELECT ` + candidateColumns + ` FROM state s WHERE s.app_id = $1 AND s.status + 0 > 2 ORDER BY s.id LIMIT $2`
	}
	return ofApp(candidateColumns, true) + ` LIMIT $2`
}

// OpenSQL lists messages of an app that are not final: $1 the app.
func OpenSQL(d Dialect) string {
	if !d.OneLane {
		return `SELECT s.id FROM state s WHERE s.app_id = $1 AND s.status + 0 <= 2`
	}
	return ofApp(`s.id`, false)
}

// ofApp finds an app's messages on SQLite, where they are in the order of ids alone: by
// the indexes that lists read, each named with its own condition, word for word.
func ofApp(columns string, final bool) string {
	var parts []string
	for _, st := range comm.Statuses() {
		if st.Final() != final {
			continue
		}
		indexes := []string{`state_list s.status <> 2 AND (s.provider <> 'sandbox' OR s.sent_at = 0)`, `state_captures s.provider = 'sandbox' AND s.sent_at <> 0`}
		if st == comm.Sending {
			indexes = []string{`state_sending s.status = 2`}
		}
		for _, x := range indexes {
			index, condition, _ := strings.Cut(x, " ")
			parts = append(parts, fmt.Sprintf(`SELECT %s FROM state s INDEXED BY %s WHERE s.app_id = $1 AND s.status = %d AND %s`, columns, index, st, condition))
		}
	}
	return strings.Join(parts, ` UNION ALL `)
}

// removeRest removes rows of the first table that has any, and at last the app's own.
func (c *Cold) removeRest(ctx context.Context, q Querier, app comm.ID, limit int, out *store.Removed) error {
	var open int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT * FROM (`+OpenSQL(c.d)+`) y LIMIT 1) x`, c.d.ID(app)).Scan(&open); err != nil || open > 0 {
		return err
	}
	if c.d.Unfolded != "" {
		if _, err := q.ExecContext(ctx, c.d.Unfolded); err != nil {
			return err
		}
	}
	for _, t := range Tables() {
		if t.Key == "" {
			continue
		}
		n, err := affected(ctx, q, c.d.deleteSome(t.Name, t.Key), c.d.ID(app), int64(limit))
		if out.Rows = int(n); err != nil || n > 0 {
			return err
		}
	}
	if _, err := q.ExecContext(ctx, `DELETE FROM upkeep_marks WHERE lane = $1`, c.d.ID(app)); err != nil {
		return err
	}
	n, err := affected(ctx, q, `DELETE FROM apps WHERE id = $1 AND deleted_at <> 0`, c.d.ID(app))
	if err != nil || n == 0 {
		return err
	}
	out.Rows, out.Gone = 1, true
	return c.record(ctx, q, did{app, comm.AuditAppRemoved, app.String(), detail{}})
}
