package sqlstore

import (
	"context"
	"errors"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const keyColumns = `app_id, id, name, hash, prefix, last_four, scopes, provisioned, created_at, expires_at, revoked_at, used_at, created_by`

// KeyByHash implements store.Keys.
func (c *Cold) KeyByHash(ctx context.Context, hash [32]byte) (*comm.Key, error) {
	k := new(comm.Key)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanKey(q.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE hash = $1`, hash[:]), k)
	})
	return found(k, err, "read key")
}

// Key implements store.Keys.
func (c *Cold) Key(ctx context.Context, app, id comm.ID) (*comm.Key, error) {
	k := new(comm.Key)
	err := c.db.Read(ctx, func(q Querier) error { return c.keyOf(ctx, q, app, id, k) })
	return found(k, err, "read key")
}

func (c *Cold) keyOf(ctx context.Context, q Querier, app, id comm.ID, k *comm.Key) error {
	return scanKey(q.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE app_id = $1 AND id = $2`, c.d.ID(app), c.d.ID(id)), k)
}

// AddKey implements store.Keys.
func (c *Cold) AddKey(ctx context.Context, k *comm.Key) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if err := c.holdApp(ctx, q, k.App); err != nil {
			return err
		}
		if err := c.insertKey(ctx, q, k); err != nil {
			return err
		}
		return c.changed(ctx, q, did{k.App, comm.AuditKeyCreated, k.ID.String(), differ(nil, keyFacts(k))})
	})
	return wrap(err, "add key")
}

// holdApp keeps other changes of the app's keys waiting until this transaction ends; not_found without the app.
func (c *Cold) holdApp(ctx context.Context, q Querier, app comm.ID) error {
	n, err := affected(ctx, q, `UPDATE apps SET updated_at = updated_at WHERE id = $1 AND deleted_at = 0`, c.d.ID(app))
	if err == nil && n == 0 {
		return comm.E("not_found")
	}
	return err
}

// RotateKeys implements store.Keys. A key that ends earlier already keeps its earlier end.
func (c *Cold) RotateKeys(ctx context.Context, k *comm.Key, endOld comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		// Two rotations at once: the second waits here and sees the first one's key.
		if err := c.holdApp(ctx, q, k.App); err != nil {
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
		return c.changed(ctx, q, did{k.App, comm.AuditKeysRotated, k.ID.String(), differ(nil, keyFacts(k)).with("othersEndAt", endOld.String())})
	})
	return wrap(err, "rotate keys")
}

// ReplaceKey implements store.Keys.
func (c *Cold) ReplaceKey(ctx context.Context, k *comm.Key, old comm.ID, endOld comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if err := c.holdApp(ctx, q, k.App); err != nil {
			return err
		}
		var was comm.Key
		if _, err := found(&was, c.keyOf(ctx, q, k.App, old, &was), "read key"); err != nil {
			return err
		}
		if !was.Usable(k.CreatedAt) {
			return comm.E("invalid_state", "This key has ended already; create another one.")
		}
		if _, err := c.endKey(ctx, q, k.App, old, endOld); err != nil {
			return err
		}
		if err := c.insertKey(ctx, q, k); err != nil {
			return err
		}
		return c.changed(ctx, q, did{k.App, comm.AuditKeyReplaced, k.ID.String(), differ(nil, keyFacts(k)).with("replaces", old.String()).with("oldEndsAt", endOld.String())})
	})
	return wrap(err, "replace key")
}

// RevokeKey implements store.Keys.
func (c *Cold) RevokeKey(ctx context.Context, app, id comm.ID, at comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		var was comm.Key
		if _, err := found(&was, c.keyOf(ctx, q, app, id, &was), "read key"); err != nil {
			return err
		}
		ended, err := c.endKey(ctx, q, app, id, at)
		if err != nil || !ended {
			return err
		}
		return c.changed(ctx, q, did{app, comm.AuditKeyRevoked, id.String(), differ(keyFacts(&was), nil)})
	})
	return wrap(err, "revoke key")
}

// endKey makes a key end at an instant, unless it ends earlier already.
func (c *Cold) endKey(ctx context.Context, q Querier, app, id comm.ID, at comm.Micros) (ended bool, err error) {
	n, err := affected(ctx, q, `UPDATE api_keys SET revoked_at = $3 WHERE app_id = $1 AND id = $2 AND (revoked_at = 0 OR revoked_at > $3)`,
		c.d.ID(app), c.d.ID(id), int64(at))
	return n > 0, err
}

// AppKeys implements store.Keys.
func (c *Cold) AppKeys(ctx context.Context, app comm.ID) ([]comm.Key, error) {
	return list(ctx, c.db, "list keys", scanKey,
		`SELECT `+keyColumns+` FROM api_keys WHERE app_id = $1 ORDER BY created_at, id`, c.d.ID(app))
}

// KeyPageSQL is the statement of KeyPage.
const KeyPageSQL = `SELECT ` + keyColumns + ` FROM api_keys WHERE app_id = $1 AND id > $2 ORDER BY id LIMIT $3`

// KeyPage implements store.Keys.
func (c *Cold) KeyPage(ctx context.Context, app, after comm.ID, limit int) ([]comm.Key, error) {
	return list(ctx, c.db, "list keys", scanKey, KeyPageSQL, c.d.ID(app), c.d.ID(after), int64(limit))
}

// usedEvery is how far apart two notes of one key's use are at least, in microseconds.
const usedEvery = 60_000_000

// UseKeys implements store.Keys.
func (c *Cold) UseKeys(ctx context.Context, uses []store.KeyUse) error {
	err := c.db.Write(ctx, func(q Querier) error {
		var first []did
		for _, u := range uses {
			n, err := affected(ctx, q, `UPDATE api_keys SET used_at = $3 WHERE app_id = $1 AND id = $2 AND used_at = 0`, c.d.ID(u.App), c.d.ID(u.ID), int64(u.At))
			if err != nil {
				return err
			}
			if n > 0 {
				first = append(first, did{app: u.App, action: comm.AuditKeyFirstUsed, target: u.ID.String(), detail: detail{}})
				continue
			}
			_, err = q.ExecContext(ctx, `UPDATE api_keys SET used_at = $3 WHERE app_id = $1 AND id = $2 AND used_at <= $4`,
				c.d.ID(u.App), c.d.ID(u.ID), int64(u.At), int64(u.At)-usedEvery)
			if err != nil {
				return err
			}
		}
		return c.record(ctx, q, first...)
	})
	return wrap(err, "note the use of keys")
}

func (c *Cold) insertKey(ctx context.Context, q Querier, k *comm.Key) error {
	_, err := q.ExecContext(ctx, `INSERT INTO api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		c.d.ID(k.App), c.d.ID(k.ID), k.Name, k.Hash[:], k.Prefix, k.LastFour, int64(k.Scopes), flag(k.Provisioned),
		int64(k.CreatedAt), int64(k.ExpiresAt), int64(k.RevokedAt), int64(k.LastUsedAt), k.CreatedBy)
	return err
}

var errHash = errors.New("a stored key hash is not 32 bytes")

func scanKey(r Row, k *comm.Key) error {
	var hash []byte
	err := r.Scan((*ID)(&k.App), (*ID)(&k.ID), &k.Name, &hash, &k.Prefix, &k.LastFour, &k.Scopes, &k.Provisioned, &k.CreatedAt, &k.ExpiresAt, &k.RevokedAt,
		&k.LastUsedAt, &k.CreatedBy)
	if err != nil {
		return err
	}
	if copy(k.Hash[:], hash) != len(k.Hash) || len(hash) != len(k.Hash) {
		return errHash
	}
	return nil
}
