package postgres

import (
	"slices"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// daySQL counts the attempts that startSQL began before it in this transaction:
// the rows of state that this transaction has made SENDING. Nodes that share a
// configuration wait here for each other, as the last thing that they do, in one order.
var daySQL = sqlstore.CountDay(`
SELECT x.owner, x.provider_id, s.updated_at / 86400000000, count(*)
FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) AS x (app, id, owner, provider_id)) AS x
CROSS JOIN LATERAL (SELECT s.xmin, s.status, s.provider_id, s.updated_at FROM state s WHERE s.app_id = x.app AND s.id = x.id OFFSET 0) s
WHERE s.xmin = pg_current_xact_id()::xid AND s.status = 2 AND s.provider_id = x.provider_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)

func isDaily(x store.Start) bool { return x.Daily }

// dayArgs makes the arrays of daySQL; nil when nothing is limited by day.
func dayArgs(t *store.Turn, starts []int) []any {
	if !slices.ContainsFunc(t.Starts, isDaily) {
		return nil
	}
	n := len(starts)
	app, id, owner, provider := uuids(n), uuids(n), uuids(n), uuids(n)
	for _, i := range starts {
		if x := &t.Starts[i]; x.Daily {
			app.id(x.Unit.App)
			id.id(x.Head.ID)
			owner.id(x.Owner)
			provider.id(x.ProviderID)
		}
	}
	return []any{app, id, owner, provider}
}
