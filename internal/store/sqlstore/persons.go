package sqlstore

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

const erasureColumns = `app_id, id, channel, sealed, actor, stage, lane, place, erased, cancelled, masked, waiting, created_at, updated_at, finished_at`

func scanErasure(r Row, e *store.Erasure) error {
	var box []byte
	err := r.Scan((*ID)(&e.App), (*ID)(&e.ID), &e.Channel, &box, &e.Actor, &e.Stage, (*ID)(&e.Lane), (*ID)(&e.Place), &e.Erased, &e.Cancelled, &e.Masked, &e.Waiting,
		&e.CreatedAt, &e.UpdatedAt, &e.FinishedAt)
	if err == nil && box != nil {
		e.Sealed = new(seal.Unpack(box))
	}
	return err
}

// CreateErasure implements store.Persons.
func (c *Cold) CreateErasure(ctx context.Context, e *store.Erasure) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if _, err := q.ExecContext(ctx, `INSERT INTO erasures (`+erasureColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			c.d.ID(e.App), c.d.ID(e.ID), int64(e.Channel), e.Sealed.Pack(), e.Actor, int64(e.Stage), c.d.ID(e.Lane), c.d.ID(e.Place), int64(e.Erased), int64(e.Cancelled),
			int64(e.Masked), int64(e.Waiting), int64(e.CreatedAt), int64(e.UpdatedAt), int64(e.FinishedAt)); err != nil {
			return err
		}
		more, err := c.keepCanary(ctx, q, e.Sealed.KeyID)
		if err != nil {
			return err
		}
		return c.record(ctx, q, append(more, did{e.App, comm.AuditErasureStarted, e.ID.String(), detail{}.with("channel", e.Channel.String())})...)
	})
	return wrap(err, "store an erasure")
}

// Erasure implements store.Persons.
func (c *Cold) Erasure(ctx context.Context, app, id comm.ID) (*store.Erasure, error) {
	e := new(store.Erasure)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanErasure(q.QueryRowContext(ctx, `SELECT `+erasureColumns+` FROM erasures WHERE app_id = $1 AND id = $2`, c.d.ID(app), c.d.ID(id)), e)
	})
	return found(e, err, "read an erasure")
}

// AnyErasureSQL is the statement of AnyErasure.
const AnyErasureSQL = `SELECT ` + erasureColumns + ` FROM erasures WHERE id = $1`

// AnyErasure implements store.Persons.
func (c *Cold) AnyErasure(ctx context.Context, id comm.ID) (*store.Erasure, error) {
	e := new(store.Erasure)
	err := c.db.Read(ctx, func(q Querier) error { return scanErasure(q.QueryRowContext(ctx, AnyErasureSQL, c.d.ID(id)), e) })
	return found(e, err, "read an erasure")
}

// OpenErasuresSQL is the statement of OpenErasures.
const OpenErasuresSQL = `SELECT ` + erasureColumns + ` FROM erasures WHERE finished_at = 0 AND id > $1 ORDER BY id LIMIT $2`

// OpenErasures implements store.Persons.
func (c *Cold) OpenErasures(ctx context.Context, after comm.ID, limit int) ([]store.Erasure, error) {
	return list(ctx, c.db, "list erasures", scanErasure, OpenErasuresSQL, c.d.ID(after), int64(limit))
}

// OpenErasuresOfSQL is the statement of OpenErasuresOf.
const OpenErasuresOfSQL = `SELECT count(*) FROM (SELECT 1 FROM erasures WHERE app_id = $1 AND finished_at = 0 LIMIT $2) x`

// OpenErasuresOf implements store.Persons.
func (c *Cold) OpenErasuresOf(ctx context.Context, app comm.ID, most int) (n int, err error) {
	err = c.db.Read(ctx, func(q Querier) error {
		return q.QueryRowContext(ctx, OpenErasuresOfSQL, c.d.ID(app), int64(most)).Scan(&n)
	})
	return n, wrap(err, "count erasures")
}

// SaveErasure implements store.Persons. A job that is done stays as it is.
func (c *Cold) SaveErasure(ctx context.Context, e *store.Erasure) error {
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `UPDATE erasures SET stage = $3, lane = $4, place = $5, erased = $6, cancelled = $7, masked = $8, waiting = $9, updated_at = $10, finished_at = $11,
			sealed = CASE WHEN CAST($11 AS bigint) = 0 THEN sealed END WHERE app_id = $1 AND id = $2 AND finished_at = 0`,
			c.d.ID(e.App), c.d.ID(e.ID), int64(e.Stage), c.d.ID(e.Lane), c.d.ID(e.Place), int64(e.Erased), int64(e.Cancelled), int64(e.Masked), int64(e.Waiting),
			int64(e.UpdatedAt), int64(e.FinishedAt))
		if err != nil || n == 0 || e.FinishedAt == 0 {
			return err
		}
		return c.record(ctx, q, did{e.App, comm.AuditErasureDone, e.ID.String(), detail{}.with("erased", e.Erased).with("masked", e.Masked)})
	})
	return wrap(err, "note how far an erasure is")
}

// EraseSuppression implements store.Persons.
func (c *Cold) EraseSuppression(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte) error {
	err := c.db.Write(ctx, func(q Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO erased_suppressions (app_id, channel, hash, reason, source, created_at)
			SELECT app_id, channel, CAST($4 AS `+c.d.BytesType+`), reason, source, created_at FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3 ON CONFLICT DO NOTHING`,
			c.d.ID(app), int64(ch), address, hash)
		if err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `DELETE FROM wishes WHERE app_id = $1 AND channel = $2 AND address = $3`, c.d.ID(app), int64(ch), address)
		return err
	})
	return wrap(err, "keep the hash of an address")
}

// DropSuppression implements store.Persons.
func (c *Cold) DropSuppression(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte, before comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		held, err := c.holdHash(ctx, q, app, ch, hash)
		if err != nil {
			return err
		}
		text := `DELETE FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3 AND returned_at < $4`
		if !held {
			text = `UPDATE suppressions SET returned_at = 0 WHERE app_id = $1 AND channel = $2 AND address = $3 AND returned_at <> 0 AND returned_at < $4`
		}
		_, err = q.ExecContext(ctx, text, c.d.ID(app), int64(ch), address, int64(before))
		return err
	})
	return wrap(err, "remove an address")
}

// holdHash keeps the hash of an address until the transaction ends; held is false when there is none. It is
// the first thing that whoever changes both does, so that no two of them see half of each other.
func (c *Cold) holdHash(ctx context.Context, q Querier, app comm.ID, ch comm.Channel, hash []byte) (held bool, err error) {
	n, err := affected(ctx, q, `UPDATE erased_suppressions SET reason = reason WHERE app_id = $1 AND channel = $2 AND hash = $3`, c.d.ID(app), int64(ch), hash)
	return n > 0, err
}

// ErasedSuppression implements store.Persons.
func (c *Cold) ErasedSuppression(ctx context.Context, app comm.ID, ch comm.Channel, hash []byte) (*store.Suppression, error) {
	s := &store.Suppression{App: app, Channel: ch}
	err := c.db.Read(ctx, func(q Querier) error {
		return q.QueryRowContext(ctx, `SELECT reason, source, created_at FROM erased_suppressions WHERE app_id = $1 AND channel = $2 AND hash = $3`, c.d.ID(app), int64(ch), hash).
			Scan(&s.Reason, &s.Source, &s.CreatedAt)
	})
	return found(s, err, "look for the hash of an address")
}

// HasErased implements store.Persons.
func (c *Cold) HasErased(ctx context.Context, app comm.ID) (bool, error) {
	rows, err := list(ctx, c.db, "look for hashes of addresses", func(r Row, n *int) error { return r.Scan(n) },
		`SELECT 1 FROM erased_suppressions WHERE app_id = $1 LIMIT 1`, c.d.ID(app))
	return len(rows) > 0, err
}

// ReturnSuppression implements store.Persons.
func (c *Cold) ReturnSuppression(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte, at comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if held, err := c.holdHash(ctx, q, app, ch, hash); err != nil || !held {
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO suppressions (app_id, channel, address, reason, created_at, source, returned_at)
			SELECT app_id, channel, CAST($3 AS text), reason, created_at, '`+comm.SuppressReturned+`', CAST($5 AS bigint) FROM erased_suppressions WHERE app_id = $1 AND channel = $2 AND hash = $4
			ON CONFLICT (app_id, channel, address) DO UPDATE SET returned_at = excluded.returned_at, source = excluded.source`,
			c.d.ID(app), int64(ch), address, hash, int64(at))
		return err
	})
	return wrap(err, "put an address back on the list")
}

// UnsuppressErased implements store.Persons. The hash goes first, as in holdHash: who puts the address back
// meanwhile has done so before the address goes, or finds no hash any more.
func (c *Cold) UnsuppressErased(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte) (removed bool, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		hashes, err := affected(ctx, q, `DELETE FROM erased_suppressions WHERE app_id = $1 AND channel = $2 AND hash = $3`, c.d.ID(app), int64(ch), hash)
		if err != nil {
			return err
		}
		listed, err := affected(ctx, q, `DELETE FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3`, c.d.ID(app), int64(ch), address)
		if removed = hashes+listed > 0; err != nil || !removed {
			return err
		}
		return c.record(ctx, q, did{app, comm.AuditUnsuppressed, ch.String(), detail{}})
	})
	return removed && err == nil, wrap(err, "remove suppression")
}

// ReturnedSQL is the statement of Returned.
const ReturnedSQL = `SELECT ` + suppressionColumns + ` FROM suppressions WHERE returned_at <> 0 AND returned_at < $1 ORDER BY returned_at LIMIT $2`

// Returned implements store.Persons.
func (c *Cold) Returned(ctx context.Context, before comm.Micros, limit int) ([]store.Suppression, error) {
	return list(ctx, c.db, "list addresses that were put back", scanSuppression, ReturnedSQL, int64(before), int64(limit))
}

// RecipientSQL is the statement of Recipient.
const RecipientSQL = `SELECT s.channel, c.recipient FROM state s JOIN content c ON c.app_id = s.app_id AND c.id = s.id WHERE s.app_id = $1 AND s.id = $2`

// Recipient implements store.Persons.
func (c *Cold) Recipient(ctx context.Context, app, id comm.ID) (ch comm.Channel, address string, err error) {
	err = c.db.Read(ctx, func(q Querier) error {
		return q.QueryRowContext(ctx, RecipientSQL, c.d.ID(app), c.d.ID(id)).Scan(&ch, &address)
	})
	_, err = found(&ch, err, "read a recipient")
	return ch, address, err
}

// HashKey implements store.Persons.
func (c *Cold) HashKey(ctx context.Context, id comm.ID, made seal.Sealed) (seal.Sealed, error) {
	var box []byte
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `INSERT INTO hash_keys (app_id, id, secret) VALUES ($1, $2, $3) ON CONFLICT (app_id, id) DO NOTHING`, c.d.ID(comm.ID{}), c.d.ID(id), made.Pack())
		if err != nil {
			return err
		}
		if n > 0 {
			box = made.Pack()
			what, err := c.keepCanary(ctx, q, made.KeyID)
			if err != nil {
				return err
			}
			return c.record(ctx, q, what...)
		}
		return q.QueryRowContext(ctx, `SELECT secret FROM hash_keys WHERE app_id = $1 AND id = $2`, c.d.ID(comm.ID{}), c.d.ID(id)).Scan(&box)
	})
	if err != nil {
		return seal.Sealed{}, wrap(err, "read the key of hashes")
	}
	return seal.Unpack(box), nil
}
