package sqlstore

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// SealsUnder implements store.Sealed.
func (c *Cold) SealsUnder(canary seal.Sealed) { c.canary.Store(&canary) }

// keepCanary sees that the canary of a key is stored, in the transaction that stores a value
// under it, and answers what that changed. The canaries' row is the last lock but those of
// the configuration version and the audit log: who drops canaries holds it and looks
// for values, so that one of the two sees what the other did. Of a key that is not the
// process's first, values stand there already: none is sealed anew under it, and none that
// was sealed again meanwhile comes back (see foreign).
func (c *Cold) keepCanary(ctx context.Context, q Querier, keyID string) ([]did, error) {
	mine := c.canary.Load()
	if mine == nil || keyID != mine.KeyID {
		return nil, nil
	}
	n, err := affected(ctx, q, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, store.CanarySetting, seal.Canaries{*mine}.String())
	if err != nil {
		return nil, fmt.Errorf("store the canary: %w", err)
	}
	if n > 0 {
		return []did{{action: comm.AuditSettingSet, target: store.CanarySetting, detail: detail{}}}, nil
	}
	all, err := c.holdCanaries(ctx, q)
	if err != nil {
		return nil, err
	}
	if _, found := all.Of(keyID); found {
		return nil, nil
	}
	return c.setCanaries(ctx, q, append(all, *mine))
}

// foreign says that this process seals nothing under the key, so that a value under it is one
// that was read and is written back as it was: to where it still stands, and nowhere else.
func (c *Cold) foreign(keyID string) bool {
	mine := c.canary.Load()
	return mine != nil && keyID != "" && keyID != mine.KeyID
}

// keepCanaryOf is keepCanary for a value that is packed with its key's id; "" is none.
func (c *Cold) keepCanaryOf(ctx context.Context, q Querier, packed []byte) ([]did, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	return c.keepCanary(ctx, q, seal.Unpack(packed).KeyID)
}

// holdCanaries reads the canaries; nobody else changes them until the transaction ends.
func (c *Cold) holdCanaries(ctx context.Context, q Querier) (seal.Canaries, error) {
	var stored string
	if err := q.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`+c.d.Hold, store.CanarySetting).Scan(&stored); err != nil {
		return nil, err
	}
	return seal.ParseCanaries(stored)
}

func (c *Cold) setCanaries(ctx context.Context, q Querier, all seal.Canaries) ([]did, error) {
	if _, err := q.ExecContext(ctx, `UPDATE settings SET value = $2 WHERE name = $1`, store.CanarySetting, all.String()); err != nil {
		return nil, fmt.Errorf("store the canaries: %w", err)
	}
	return []did{{action: comm.AuditSettingChanged, target: store.CanarySetting, detail: detail{}}}, nil
}

// DropCanaries implements store.Sealed.
func (c *Cold) DropCanaries(ctx context.Context, first string) (kept []string, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		kept = nil
		all, err := c.holdCanaries(ctx, q)
		if err != nil {
			return err
		}
		var keep seal.Canaries
		for _, one := range all {
			if one.KeyID == first {
				keep = append(keep, one)
				continue
			}
			used, err := c.anyUnder(ctx, q, one.KeyID)
			if err != nil {
				return err
			}
			if used {
				keep, kept = append(keep, one), append(kept, one.KeyID)
			}
		}
		if len(keep) == len(all) || len(keep) == 0 {
			return nil
		}
		what, err := c.setCanaries(ctx, q, keep)
		if err != nil {
			return err
		}
		return c.changed(ctx, q, what[0])
	})
	if err != nil {
		return nil, fmt.Errorf("drop canaries: %w", err)
	}
	return kept, nil
}

// anyUnder says whether any column has a value under the key.
func (c *Cold) anyUnder(ctx context.Context, q Querier, keyID string) (bool, error) {
	for _, col := range store.SealedColumns() {
		if used, err := c.isUnder(ctx, q, col, keyID); err != nil || used {
			return used, err
		}
	}
	return false, nil
}

// isUnder says whether the column has a value under the key.
func (c *Cold) isUnder(ctx context.Context, q Querier, col store.SealedColumn, keyID string) (bool, error) {
	is, arg := col.KeyColumn+" = $1", any(keyID)
	if col.KeyColumn == "" {
		head := seal.Sealed{KeyID: keyID}.Pack()
		is, arg = fmt.Sprintf("substr(%s, 1, %d) = $1", col.Column, len(head)), head
	}
	var n int64
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM `+col.Table+` WHERE `+col.Column+` IS NOT NULL AND `+is, arg).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for values of %s under a key: %w", col.Name(), err)
	}
	return n > 0, nil
}
