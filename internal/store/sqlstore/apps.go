package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
)

const appColumns = `id, slug, name, active, sandbox, on_unknown, rate_per_minute, shard_spread, queue_paused, ` +
	`allowed_from, created_at, updated_at, queue_draining, sms_per_day, sms_prefixes, sms_prefix_caps`

// appRead is what scanApp reads: the app, its webhook, and what is counted of it.
const appRead = appColumns + `, coalesce((SELECT e.url` + ofDefault + `), ''), (SELECT e.secret` + ofDefault + `), coalesce((SELECT e.version` + ofDefault + `), 0), ` +
	`coalesce((SELECT u.day FROM sms_use u WHERE u.app_id = apps.id), 0), coalesce((SELECT u.used FROM sms_use u WHERE u.app_id = apps.id), 0), ` +
	`coalesce((SELECT u.usual FROM sms_use u WHERE u.app_id = apps.id), 0), coalesce((SELECT u.alarm_at FROM sms_use u WHERE u.app_id = apps.id), 0), ` +
	`coalesce((SELECT u.prefixes FROM sms_use u WHERE u.app_id = apps.id), '{}')`

const ofDefault = ` FROM endpoints e WHERE e.app_id = apps.id AND e.name = '` + comm.DefaultEndpoint + `'`

// AppSQL is the statement of AppByID.
const AppSQL = `SELECT ` + appRead + ` FROM apps WHERE id = $1 AND deleted_at = 0`

// AppByID implements store.Apps.
func (c *Cold) AppByID(ctx context.Context, id comm.ID) (*comm.App, error) {
	return c.app(ctx, AppSQL, c.d.ID(id))
}

// AppBySlug implements store.Apps.
func (c *Cold) AppBySlug(ctx context.Context, slug string) (*comm.App, error) {
	return c.app(ctx, `SELECT `+appRead+` FROM apps WHERE slug = $1 AND deleted_at = 0`, slug)
}

func (c *Cold) app(ctx context.Context, query string, arg any) (*comm.App, error) {
	a := new(comm.App)
	err := c.db.Read(ctx, func(q Querier) error { return scanApp(q.QueryRowContext(ctx, query, arg), a) })
	return found(a, err, "read app")
}

// AppsByIDSQL is the statement of AppsByID, which is for sending: the apps' webhooks and what is counted of them are left out.
func AppsByIDSQL(d Dialect) string {
	return `SELECT ` + appColumns + `, '', NULL, 0, 0, 0, 0, 0, '{}' FROM apps WHERE id ` + d.Among + ` AND deleted_at = 0`
}

// AppsByID implements store.Apps.
func (c *Cold) AppsByID(ctx context.Context, ids []comm.ID) ([]comm.App, error) {
	return list(ctx, c.db, "read apps", scanApp, AppsByIDSQL(c.d), c.d.IDs(ids))
}

// AppList implements store.Apps.
func (c *Cold) AppList(ctx context.Context, after comm.ID, limit int) ([]comm.App, error) {
	return list(ctx, c.db, "list apps", scanApp,
		`SELECT `+appRead+` FROM apps WHERE id > $1 AND deleted_at = 0 ORDER BY id LIMIT $2`, c.d.ID(after), int64(limit))
}

// CreateApp implements store.Apps.
func (c *Cold) CreateApp(ctx context.Context, a *comm.App, k *comm.Key) (created bool, err error) {
	lists, err := appLists(a)
	if err != nil {
		return false, err
	}
	webhook := 0
	err = c.db.Write(ctx, func(q Querier) error {
		created = false
		n, err := affected(ctx, q, `INSERT INTO apps (`+appColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (slug) DO NOTHING`,
			c.d.ID(a.ID), a.Slug, a.Name, flag(a.Active), flag(a.Sandbox), int64(a.OnUnknown), int64(a.RatePerMinute),
			int64(a.ShardSpread), flag(a.QueuePaused), lists.allowed, int64(a.CreatedAt), int64(a.UpdatedAt), flag(a.QueueDraining), int64(a.SMSPerDay), lists.prefixes, lists.caps)
		if err != nil || n == 0 {
			return err
		}
		if webhook, err = c.putDefault(ctx, q, &comm.App{}, a, a.CreatedAt); err != nil {
			return err
		}
		more, err := c.keepCanaryOf(ctx, q, a.WebhookSecret)
		if err != nil {
			return err
		}
		if k != nil {
			if err := c.insertKey(ctx, q, k); err != nil {
				return err
			}
			more = append(more, did{k.App, comm.AuditKeyCreated, k.ID.String(), differ(nil, keyFacts(k))})
		}
		created = true
		return c.changed(ctx, q, did{a.ID, comm.AuditAppCreated, a.ID.String(), differ(nil, appFacts(a))}, more...)
	})
	if err != nil {
		return false, fmt.Errorf("create app: %w", err)
	}
	if created {
		a.WebhookVersion = webhook
	}
	return created, nil
}

// UpdateApp implements store.Apps.
func (c *Cold) UpdateApp(ctx context.Context, a *comm.App, at comm.Micros) error {
	lists, err := appLists(a)
	if err != nil {
		return err
	}
	at = max(at, a.UpdatedAt+1)
	webhook := 0
	err = c.db.Write(ctx, func(q Querier) error {
		var was comm.App
		err := scanApp(q.QueryRowContext(ctx, AppSQL, c.d.ID(a.ID)), &was)
		if _, err := found(&was, err, "read app"); err != nil {
			return err
		}
		n, err := affected(ctx, q, `UPDATE apps SET name = $2, active = $3, sandbox = $4, on_unknown = $5, rate_per_minute = $6,
			shard_spread = $7, queue_paused = $8, allowed_from = $9, updated_at = $10, sms_per_day = $12, sms_prefixes = $13, queue_draining = $14, sms_prefix_caps = $15
			WHERE id = $1 AND updated_at = $11 AND deleted_at = 0`,
			c.d.ID(a.ID), a.Name, flag(a.Active), flag(a.Sandbox), int64(a.OnUnknown), int64(a.RatePerMinute),
			int64(a.ShardSpread), flag(a.QueuePaused), lists.allowed, int64(at), int64(a.UpdatedAt), int64(a.SMSPerDay), lists.prefixes, flag(a.QueueDraining), lists.caps)
		if err == nil && n == 0 {
			return whyNotUpdated(ctx, q, "app", `apps WHERE id = $1 AND deleted_at = 0`, c.d.ID(a.ID))
		}
		if err != nil {
			return err
		}
		if a.WebhookVersion != was.WebhookVersion {
			return errWebhookChanged()
		}
		if webhook, err = c.putDefault(ctx, q, &was, a, at); err != nil {
			return err
		}
		more, err := c.keepCanaryOf(ctx, q, a.WebhookSecret)
		if err != nil {
			return err
		}
		return c.changed(ctx, q, did{a.ID, comm.AuditAppUpdated, a.ID.String(), differ(appFacts(&was), appFacts(a))}, more...)
	})
	if err != nil {
		return wrap(err, "update app")
	}
	a.UpdatedAt, a.WebhookVersion = at, webhook
	return nil
}

// tombstone is the slug of a deleted app: none that an app could have, so that its own is free again.
func tombstone(id comm.ID) string { return "deleted:" + id.String() }

// DeleteApp implements store.Apps.
func (c *Cold) DeleteApp(ctx context.Context, id comm.ID, at comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		var was comm.App
		err := scanApp(q.QueryRowContext(ctx, AppSQL, c.d.ID(id)), &was)
		if _, err := found(&was, err, "read app"); err != nil {
			return err
		}
		n, err := affected(ctx, q, `UPDATE apps SET deleted_at = $2, active = 0, slug = $3 WHERE id = $1 AND deleted_at = 0`,
			c.d.ID(id), int64(at), tombstone(id))
		if err == nil && n == 0 {
			return comm.E("not_found")
		}
		if err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $2 WHERE app_id = $1 AND (revoked_at = 0 OR revoked_at > $2)`,
			c.d.ID(id), int64(at)); err != nil {
			return err
		}
		return c.changed(ctx, q, did{id, comm.AuditAppDeleted, id.String(), differ(appFacts(&was), nil)})
	})
	return wrap(err, "delete app")
}

// DeletedAppsSQL is the statement of DeletedApps.
const DeletedAppsSQL = `SELECT id FROM apps WHERE deleted_at <> 0 AND id > $1 ORDER BY id LIMIT $2`

// DeletedApps implements store.Apps.
func (c *Cold) DeletedApps(ctx context.Context, after comm.ID, limit int) ([]comm.ID, error) {
	scan := func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) }
	return list(ctx, c.db, "list deleted apps", scan, DeletedAppsSQL, c.d.ID(after), int64(limit))
}

// whyNotUpdated says why an update of something met no row: it is gone, or no longer what was read.
func whyNotUpdated(ctx context.Context, q Querier, what, row string, ids ...any) error {
	var n int64
	err := q.QueryRowContext(ctx, `SELECT 1 FROM `+row, ids...).Scan(&n)
	if _, err := found(&n, err, "look for the "+what); err != nil {
		return err
	}
	return comm.E("invalid_state", "Somebody changed this %s meanwhile; read it again.", what)
}

func scanApp(r Row, a *comm.App) error {
	var lists appText
	var counted string
	var use comm.SMSUse
	err := r.Scan((*ID)(&a.ID), &a.Slug, &a.Name, &a.Active, &a.Sandbox, &a.OnUnknown, &a.RatePerMinute, &a.ShardSpread,
		&a.QueuePaused, &lists.allowed, &a.CreatedAt, &a.UpdatedAt, &a.QueueDraining, &a.SMSPerDay, &lists.prefixes, &lists.caps,
		&a.WebhookURL, &a.WebhookSecret, &a.WebhookVersion, &use.Day, &use.Used, &use.Usual, &use.AlarmAt, &counted)
	if err != nil {
		return err
	}
	a.AllowedFrom, a.SMSPrefixes, a.SMSDays = nil, nil, nil
	if use.Day != 0 || counted != "{}" {
		a.SMSDays = comm.SMSDays{"": use}
	}
	a.SMSPrefixCaps, err = decodeCaps(lists.caps)
	return errors.Join(err, DecodePrefixDays(counted, a.SMSDays), json.Unmarshal([]byte(lists.allowed), &a.AllowedFrom),
		json.Unmarshal([]byte(lists.prefixes), &a.SMSPrefixes))
}

// appText are an app's lists as they are kept.
type appText struct{ allowed, prefixes, caps string }

func appLists(a *comm.App) (t appText, err error) {
	allowed, err := json.Marshal(a.AllowedFrom)
	if err != nil {
		return t, fmt.Errorf("encode allowed senders: %w", err)
	}
	prefixes, err := json.Marshal(a.SMSPrefixes)
	if err != nil {
		return t, fmt.Errorf("encode allowed numbers: %w", err)
	}
	caps, err := encodeCaps(a.SMSPrefixCaps)
	return appText{string(allowed), string(prefixes), caps}, err
}

// found turns "no rows" into not_found.
func found[T any](v *T, err error, doing string) (*T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return nil, comm.E("not_found")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return v, nil
}

// wrap says what was being done; an error for the client stays as it is.
func wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*comm.Error](err); ok {
		return e
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// list reads every row of a query.
func list[T any](ctx context.Context, db DB, doing string, scan func(Row, *T) error, query string, args ...any) (out []T, err error) {
	err = db.Read(ctx, func(q Querier) (err error) {
		out, err = collect(ctx, q, scan, query, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return out, nil
}

// collect reads every row of a query, or of what a statement returns, in a transaction.
func collect[T any](ctx context.Context, q Querier, scan func(Row, *T) error, query string, args ...any) (out []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
