package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const providerColumns = `app_id, id, type, channel, name, priority, active, settings, secrets, key_id, rate_per_second, rate_per_day, ` +
	`max_concurrent, pinned, version, created_at, updated_at`

// ProviderConfigsSQL is the statement of ProviderConfigs.
func ProviderConfigsSQL(d Dialect) string {
	return `SELECT ` + providerColumns + ` FROM provider_configs WHERE app_id ` + d.Among + ` ORDER BY app_id, priority, created_at, id`
}

// ProviderConfigs implements store.Providers.
func (c *Cold) ProviderConfigs(ctx context.Context, apps ...comm.ID) ([]comm.ProviderConfig, error) {
	return list(ctx, c.db, "list provider configurations", scanProvider, ProviderConfigsSQL(c.d), c.d.IDs(apps))
}

// ProviderConfig implements store.Providers.
func (c *Cold) ProviderConfig(ctx context.Context, app, id comm.ID) (*comm.ProviderConfig, error) {
	p := new(comm.ProviderConfig)
	err := c.db.Read(ctx, func(q Querier) error { return c.providerOf(ctx, q, app, id, p) })
	return found(p, err, "read provider configuration")
}

func (c *Cold) providerOf(ctx context.Context, q Querier, app, id comm.ID, p *comm.ProviderConfig) error {
	return scanProvider(q.QueryRowContext(ctx, `SELECT `+providerColumns+` FROM provider_configs WHERE app_id = $1 AND id = $2`, c.d.ID(app), c.d.ID(id)), p)
}

// CreateProviderConfig implements store.Providers.
func (c *Cold) CreateProviderConfig(ctx context.Context, p *comm.ProviderConfig) error {
	args, err := c.providerArgs(p, p.Version)
	if err != nil {
		return err
	}
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `INSERT INTO provider_configs (`+providerColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (app_id, id) DO NOTHING`,
			append(args, int64(p.CreatedAt), int64(p.UpdatedAt))...)
		if err == nil && n == 0 {
			return comm.E("already_exists")
		}
		if err != nil {
			return err
		}
		more, err := c.keepCanary(ctx, q, p.KeyID)
		if err != nil {
			return err
		}
		if err := c.changed(ctx, q, did{p.App, comm.AuditProviderCreated, p.ID.String(), differ(nil, providerFacts(p))}, more...); err != nil {
			return err
		}
		over, err := c.over(ctx, q, `provider_configs`, p.App, store.MaxProviderConfigs)
		if err == nil && over {
			return comm.E("invalid_config", "An app has at most %d provider configurations.", store.MaxProviderConfigs)
		}
		return err
	})
	return wrap(err, "create provider configuration")
}

// UpdateProviderConfig implements store.Providers.
func (c *Cold) UpdateProviderConfig(ctx context.Context, p *comm.ProviderConfig) error {
	args, err := c.providerArgs(p, p.Version+1)
	if err != nil {
		return err
	}
	stands := ""
	if c.foreign(p.KeyID) {
		stands = ` AND key_id = $10`
	}
	err = c.db.Write(ctx, func(q Querier) error {
		var was comm.ProviderConfig
		if _, err := found(&was, c.providerOf(ctx, q, p.App, p.ID, &was), "read provider configuration"); err != nil {
			return err
		}
		n, err := affected(ctx, q, `UPDATE provider_configs SET type = $3, channel = $4, name = $5, priority = $6, active = $7, settings = $8,
			secrets = $9, key_id = $10, rate_per_second = $11, rate_per_day = $12, max_concurrent = $13, pinned = $14, version = $15,
			updated_at = $16 WHERE app_id = $1 AND id = $2 AND version = $17`+stands, append(args, int64(p.UpdatedAt), int64(p.Version))...)
		if err != nil {
			return err
		}
		if n == 0 {
			return whyNotUpdated(ctx, q, "configuration", `provider_configs WHERE app_id = $1 AND id = $2`, c.d.ID(p.App), c.d.ID(p.ID))
		}
		more, err := c.keepCanary(ctx, q, p.KeyID)
		if err != nil {
			return err
		}
		return c.changed(ctx, q, did{p.App, comm.AuditProviderUpdated, p.ID.String(), differ(providerFacts(&was), providerFacts(p))}, more...)
	})
	if err != nil {
		return wrap(err, "update provider configuration")
	}
	p.Version++
	return nil
}

// DeleteProviderConfig implements store.Providers.
func (c *Cold) DeleteProviderConfig(ctx context.Context, app, id comm.ID) error {
	err := c.db.Write(ctx, func(q Querier) error {
		var was comm.ProviderConfig
		if _, err := found(&was, c.providerOf(ctx, q, app, id, &was), "read provider configuration"); err != nil {
			return err
		}
		n, err := affected(ctx, q, `DELETE FROM provider_configs WHERE app_id = $1 AND id = $2`, c.d.ID(app), c.d.ID(id))
		if err == nil && n == 0 {
			return comm.E("not_found")
		}
		if err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, `DELETE FROM provider_days WHERE app_id = $1 AND provider_id = $2`, c.d.ID(app), c.d.ID(id)); err != nil {
			return err
		}
		return c.changed(ctx, q, did{app, comm.AuditProviderDeleted, id.String(), differ(providerFacts(&was), nil)})
	})
	return wrap(err, "delete provider configuration")
}

// DaysUsed implements store.Providers.
func (c *Cold) DaysUsed(ctx context.Context, apps ...comm.ID) ([]store.DayUse, error) {
	return list(ctx, c.db, "read the use of provider configurations", scanDay,
		`SELECT app_id, provider_id, day, used FROM provider_days WHERE app_id `+c.d.Among, c.d.IDs(apps))
}

func scanDay(r Row, d *store.DayUse) error {
	return r.Scan((*ID)(&d.App), (*ID)(&d.Provider), &d.Day, &d.Used)
}

// providerArgs are the columns up to version.
func (c *Cold) providerArgs(p *comm.ProviderConfig, version int) ([]any, error) {
	settings, err := json.Marshal(p.Settings)
	if err != nil {
		return nil, fmt.Errorf("encode provider settings: %w", err)
	}
	return []any{
		c.d.ID(p.App), c.d.ID(p.ID), p.Type, int64(p.Channel), p.Name, int64(p.Priority), flag(p.Active), string(settings), p.Secrets, p.KeyID,
		int64(p.Limits.RatePerSecond), int64(p.Limits.RatePerDay), int64(p.Limits.MaxConcurrent), flag(p.Limits.Pinned), int64(version),
	}, nil
}

func scanProvider(r Row, p *comm.ProviderConfig) error {
	var settings string
	err := r.Scan((*ID)(&p.App), (*ID)(&p.ID), &p.Type, &p.Channel, &p.Name, &p.Priority, &p.Active, &settings, &p.Secrets, &p.KeyID,
		&p.Limits.RatePerSecond, &p.Limits.RatePerDay, &p.Limits.MaxConcurrent, &p.Limits.Pinned, &p.Version, &p.CreatedAt, &p.UpdatedAt)
	if err != nil {
		return err
	}
	p.Settings = nil
	return json.Unmarshal([]byte(settings), &p.Settings)
}
