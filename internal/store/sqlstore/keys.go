package sqlstore

import (
	"context"
	"errors"

	"github.com/commserver/commserver/internal/comm"
)

const keyColumns = `app_id, id, hash, prefix, last_four, scopes, provisioned, created_at, expires_at, revoked_at`

// KeyByHash implements store.Keys.
func (c *Cold) KeyByHash(ctx context.Context, hash [32]byte) (*comm.Key, error) {
	k := new(comm.Key)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanKey(q.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE hash = $1`, hash[:]), k)
	})
	return found(k, err, "read key")
}

// RotateKeys implements store.Keys. A key that ends earlier already keeps its earlier end.
func (c *Cold) RotateKeys(ctx context.Context, k *comm.Key, endOld comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		// Two rotations at once: the second waits here and sees the first one's key.
		if _, err := q.ExecContext(ctx, `UPDATE apps SET updated_at = updated_at WHERE id = $1`, c.d.ID(k.App)); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $2
			WHERE app_id = $1 AND provisioned = 1 AND (revoked_at = 0 OR revoked_at > $2)`, c.d.ID(k.App), int64(endOld))
		if err != nil {
			return err
		}
		if err := c.insertKey(ctx, q, k); err != nil {
			return err
		}
		return changed(ctx, q)
	})
	return wrap(err, "rotate keys")
}

// AppKeys implements store.Keys.
func (c *Cold) AppKeys(ctx context.Context, app comm.ID) ([]comm.Key, error) {
	return list(ctx, c.db, "list keys", scanKey,
		`SELECT `+keyColumns+` FROM api_keys WHERE app_id = $1 ORDER BY created_at, id`, c.d.ID(app))
}

func (c *Cold) insertKey(ctx context.Context, q Querier, k *comm.Key) error {
	_, err := q.ExecContext(ctx, `INSERT INTO api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		c.d.ID(k.App), c.d.ID(k.ID), k.Hash[:], k.Prefix, k.LastFour, int64(k.Scopes), flag(k.Provisioned),
		int64(k.CreatedAt), int64(k.ExpiresAt), int64(k.RevokedAt))
	return err
}

var errHash = errors.New("a stored key hash is not 32 bytes")

func scanKey(r Row, k *comm.Key) error {
	var hash []byte
	err := r.Scan((*ID)(&k.App), (*ID)(&k.ID), &hash, &k.Prefix, &k.LastFour, &k.Scopes, &k.Provisioned, &k.CreatedAt, &k.ExpiresAt, &k.RevokedAt)
	if err != nil {
		return err
	}
	if copy(k.Hash[:], hash) != len(k.Hash) || len(hash) != len(k.Hash) {
		return errHash
	}
	return nil
}
