package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// SealedAfterSQL is the statement of SealedAfter. The names in it come from the
// table of columns, never from a request.
func SealedAfterSQL(c store.SealedColumn) string {
	after, order := "("+c.App+", "+c.ID+") > ($1, $2)", c.App+", "+c.ID
	if c.App == c.ID {
		after, order = c.ID+" > $1 AND "+c.ID+" > $2", c.ID
	}
	key := "''"
	if c.KeyColumn != "" {
		key = c.KeyColumn
	}
	return `SELECT ` + c.App + `, ` + c.ID + `, ` + key + `, ` + c.Column + ` FROM ` + c.Table +
		` WHERE ` + after + ` AND ` + c.Column + ` IS NOT NULL ORDER BY ` + order + ` LIMIT $3`
}

// SealedAfter implements store.Sealed.
func (c *Cold) SealedAfter(ctx context.Context, col store.SealedColumn, app, id comm.ID, limit int) ([]store.SealedValue, error) {
	scan := func(r Row, v *store.SealedValue) error {
		if err := r.Scan((*ID)(&v.App), (*ID)(&v.ID), &v.Value.KeyID, &v.Value.Box); err != nil {
			return err
		}
		if col.KeyColumn == "" {
			v.Value = seal.Unpack(v.Value.Box)
		}
		return nil
	}
	return list(ctx, c.db, "read sealed values", scan, SealedAfterSQL(col), c.d.ID(app), c.d.ID(id), int64(limit))
}

// Reseal implements store.Sealed.
func (c *Cold) Reseal(ctx context.Context, col store.SealedColumn, changes []store.Resealed) (done int, err error) {
	set, same := col.Column+" = $3", col.Column+" = $4"
	if col.KeyColumn != "" {
		set, same = set+", "+col.KeyColumn+" = $5", same+" AND "+col.KeyColumn+" = $6"
	}
	if col.Stamp != "" {
		set += ", " + col.Stamp + " = " + col.Stamp + " + 1"
	}
	query := `UPDATE ` + col.Table + ` SET ` + set + ` WHERE ` + col.App + ` = $1 AND ` + col.ID + ` = $2 AND ` + same
	err = c.db.Write(ctx, func(q Querier) error {
		done = 0
		for i := range changes {
			one := &changes[i]
			args := []any{c.d.ID(one.App), c.d.ID(one.ID), one.New.Box, one.Value.Box, one.New.KeyID, one.Value.KeyID}
			if col.KeyColumn == "" {
				args = []any{c.d.ID(one.App), c.d.ID(one.ID), one.New.Pack(), one.Value.Pack()}
			}
			n, err := affected(ctx, q, query, args...)
			if err != nil {
				return err
			}
			done += int(n)
		}
		if done == 0 {
			return nil
		}
		what, err := c.keepCanary(ctx, q, changes[0].New.KeyID)
		if err != nil || len(what) == 0 {
			return err
		}
		return c.changed(ctx, q, what[0])
	})
	if err != nil {
		return 0, fmt.Errorf("seal values again: %w", err)
	}
	return done, nil
}

var errNoSetting = errors.New("a setting cannot be swapped for the same value or for none")

// SwapSetting implements store.Settings.
func (c *Cold) SwapSetting(ctx context.Context, name, old, value string) (swapped bool, err error) {
	if value == "" || value == old {
		return false, errNoSetting
	}
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `UPDATE settings SET value = $3 WHERE name = $1 AND value = $2`, name, old, value)
		if swapped = n > 0; err != nil || !swapped {
			return err
		}
		return c.changed(ctx, q, did{action: comm.AuditSettingChanged, target: name, detail: detail{}})
	})
	if err != nil {
		return false, fmt.Errorf("swap setting: %w", err)
	}
	return swapped, nil
}
