package sqlstore

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// AnyProviderSQL is the statement of AnyProviderConfig: $1 the configuration. Every row passes version >= 0: it names the
// partial index. The apps that exist are those that are not deleted.
const AnyProviderSQL = `SELECT ` + providerColumns + ` FROM provider_configs WHERE version >= 0 AND id = $1
  AND coalesce((SELECT a.deleted_at FROM apps a WHERE a.id = provider_configs.app_id), 0) = 0 LIMIT 1`

// AnyProviderConfig implements store.Receipts.
func (c *Cold) AnyProviderConfig(ctx context.Context, id comm.ID) (*comm.ProviderConfig, error) {
	p := new(comm.ProviderConfig)
	err := c.db.Read(ctx, func(q Querier) error { return scanProvider(q.QueryRowContext(ctx, AnyProviderSQL, c.d.ID(id)), p) })
	return found(p, err, "read a provider configuration of any app")
}

// dropTraces removes what messages were found by when providers reported. Their events name it.
func (c *Cold) dropTraces(ctx context.Context, q Querier, app comm.ID, ids []comm.ID) error {
	_, err := q.ExecContext(ctx, DropTracesSQL(c.d), c.d.IDs(ids), c.d.ID(app))
	return err
}

// DropTracesSQL is the statement of dropTraces: $1 the messages, $2 the app.
func DropTracesSQL(d Dialect) string {
	if d.OneLane {
		return `DELETE FROM refs WHERE app_id = $2 AND message_id ` + d.Among + ` AND (provider_id, ref) IN (
		  SELECT e.provider_id, e.ref FROM events e WHERE e.message_id ` + d.Among + ` AND e.app_id = $2 AND e.ref <> '')`
	}
	return `DELETE FROM refs USING (
	  SELECT DISTINCT e.message_id, e.provider_id, e.ref FROM ` + setOfIDs + ` CROSS JOIN LATERAL (
	    SELECT e.message_id, e.provider_id, e.ref FROM events e WHERE e.app_id = x.app AND e.message_id = x.one AND e.ref <> '' OFFSET 0) e OFFSET 0) r
	WHERE refs.provider_id = ANY (ARRAY[r.provider_id]) AND refs.ref = r.ref AND refs.app_id = $2 AND refs.message_id = r.message_id`
}
