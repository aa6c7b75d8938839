package postgres

import (
	"slices"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const keepTraceSQL = `INSERT INTO refs (` + sqlstore.TraceColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)` + sqlstore.TraceAgain

// traceSQL keeps what providers' ids stand for, of messages that finishSQL has brought to SENT before it in this
// transaction. One id is there once, and all are in one order, so that turns do not wait in a circle.
const traceSQL = `
INSERT INTO refs (` + sqlstore.TraceColumns + `)
SELECT DISTINCT ON (x.provider, x.ref) x.provider, x.ref, s.app_id, s.id, x.attempt, s.updated_at, CASE WHEN x.ask > 0 THEN s.updated_at + x.ask ELSE 0 END, 0
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::bigint[]) AS x (app, id, provider, ref, attempt, ask)
CROSS JOIN LATERAL (SELECT s.xmin, s.app_id, s.id, s.provider_ref, s.updated_at FROM state s WHERE s.app_id = x.app AND s.id = x.id OFFSET 0) s
WHERE s.xmin = pg_current_xact_id()::xid AND s.provider_ref = x.ref
ORDER BY x.provider, x.ref, s.id DESC` + sqlstore.TraceAgain

func isTraced(f store.Finish) bool { return f.Want.Traced && f.Want.Ref != "" }

// traceArgs makes the arrays of traceSQL; nil when there is nothing to keep.
func traceArgs(t *store.Turn, finishes []int) []any {
	if !slices.ContainsFunc(t.Finishes, isTraced) {
		return nil
	}
	n := len(finishes)
	app, id, provider, ref, attempt, ask := uuids(n), uuids(n), uuids(n), texts(n), int4s(n), int8s(n)
	for _, i := range finishes {
		f := &t.Finishes[i]
		if !isTraced(*f) {
			continue
		}
		app.id(f.App)
		id.id(f.ID)
		provider.id(f.Want.ProviderID)
		ref.text(f.Want.Ref)
		attempt.i32(int32(f.Attempt))
		ask.i64(f.Want.AskIn)
	}
	return []any{app, id, provider, ref, attempt, ask}
}
