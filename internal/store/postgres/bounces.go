package postgres

import (
	"slices"

	"github.com/commserver/commserver/internal/store"
)

// bounceSQL suppresses the recipients of messages that finishSQL ended before it
// in this transaction: the rows of state that this transaction has written. New
// suppressions are made in one order, so that turns do not wait in a circle.
const bounceSQL = `
INSERT INTO suppressions (app_id, channel, address, reason, created_at)
SELECT s.app_id, s.channel, c.recipient, min(x.reason), min(s.updated_at)
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS x (app, id, reason)
CROSS JOIN LATERAL (SELECT s.xmin, s.app_id, s.channel, s.status, s.updated_at FROM state s WHERE s.app_id = x.app AND s.id = x.id OFFSET 0) s
CROSS JOIN LATERAL (SELECT c.recipient FROM content c WHERE c.app_id = x.app AND c.id = x.id OFFSET 0) c
WHERE s.xmin = pg_current_xact_id()::xid AND s.status NOT IN (1, 2) AND c.recipient <> ''
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (app_id, channel, address) DO NOTHING`

func isBounce(f store.Finish) bool { return f.Suppress != "" }

// bounceArgs makes the arrays of bounceSQL; nil when there is nothing to suppress.
func bounceArgs(t *store.Turn, finishes []int) []any {
	if !slices.ContainsFunc(t.Finishes, isBounce) {
		return nil
	}
	n := len(finishes)
	app, id, reason := uuids(n), uuids(n), texts(n)
	for _, i := range finishes {
		if f := &t.Finishes[i]; f.Suppress != "" {
			app.id(f.App)
			id.id(f.ID)
			reason.text(f.Suppress)
		}
	}
	return []any{app, id, reason}
}
