package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
)

// Setting implements store.Settings.
func (c *Cold) Setting(ctx context.Context, name string) (value string, err error) {
	err = c.db.Read(ctx, func(q Querier) error {
		err := q.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			value = ""
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read setting: %w", err)
	}
	return value, nil
}

// InitSetting implements store.Settings.
func (c *Cold) InitSetting(ctx context.Context, name, value string) (stored string, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := c.changed(ctx, q, did{action: comm.AuditSettingSet, target: name, detail: detail{}}); err != nil {
				return err
			}
		}
		return q.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&stored)
	})
	if err != nil {
		return "", wrap(err, "initialise setting")
	}
	return stored, nil
}
