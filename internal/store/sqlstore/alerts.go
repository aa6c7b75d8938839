package sqlstore

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// nobody is the node of troubles that were left.
const nobody = ``

// SetProviderTroubles implements store.Alerts.
func (c *Cold) SetProviderTroubles(ctx context.Context, node string, all, left []store.ProviderTrouble) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM provider_troubles WHERE node = $1`, node); err != nil {
			return err
		}
		insert := func(node string, all []store.ProviderTrouble) error {
			for i := range all {
				t := &all[i]
				if _, err := q.ExecContext(ctx, `INSERT INTO provider_troubles (app_id, id, node, reason, code, since, breaker, answer, next_at, carried, class)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (app_id, id, node) DO NOTHING`,
					c.d.ID(t.App), c.d.ID(t.ID), node, t.Reason, t.Code, int64(t.Since), t.Breaker, t.Text, int64(t.NextAt), t.Carried, t.Class); err != nil {
					return err
				}
			}
			return nil
		}
		if err := insert(node, all); err != nil {
			return err
		}
		return insert(nobody, left)
	})
	return wrap(err, "store which providers do not work")
}

// troubles reads what is said, and by whom of those that live.
func (c *Cold) troubles() string {
	return `SELECT t.app_id, t.id, t.reason, t.code, t.since, t.breaker, t.answer, t.next_at, t.carried, t.class, CASE WHEN ` + ofTheLiving + c.d.Now + `) THEN t.node ELSE '' END,
		p.name, p.type, p.channel, COALESCE(a.slug, '')
		FROM provider_troubles t JOIN provider_configs p ON p.app_id = t.app_id AND p.id = t.id AND p.active = 1
		LEFT JOIN apps a ON a.id = t.app_id AND a.deleted_at = 0 `
}

const (
	// ofTheLiving is said by a node whose lease lasts longer than what follows, the database's clock.
	ofTheLiving = `EXISTS (SELECT 1 FROM nodes n WHERE n.node = t.node AND n.lease_until > `
	// orphanedFor is how long a trouble counts, in microseconds, since nobody answers for it any more, however old it was then.
	orphanedFor = `7 * 86400000000`
)

// counts is the condition that a trouble counts. What nobody answers for is noted by TrimAlerts: until then it counts, too.
func (c *Cold) counts() string {
	return `(t.left_at = 0 OR t.left_at > ` + c.d.Now + ` - ` + orphanedFor + ` OR ` + ofTheLiving + c.d.Now + `)) `
}

func scanTrouble(r Row, t *store.ProviderTrouble) error {
	return r.Scan((*ID)(&t.App), (*ID)(&t.ID), &t.Reason, &t.Code, &t.Since, &t.Breaker, &t.Text, &t.NextAt, &t.Carried, &t.Class, &t.Node, &t.Name, &t.Type, &t.Channel, &t.Slug)
}

// ProviderTroubles implements store.Alerts.
func (c *Cold) ProviderTroubles(ctx context.Context, limit int) ([]store.ProviderTrouble, error) {
	return list(ctx, c.db, "list providers that do not work", scanTrouble, c.troubles()+`WHERE (t.app_id = $1 OR a.id IS NOT NULL) AND `+c.counts()+
		`ORDER BY t.since DESC, t.app_id, t.id LIMIT $2`, c.d.ID(comm.ID{}), int64(limit))
}

// TroublesOf implements store.Alerts.
func (c *Cold) TroublesOf(ctx context.Context, app comm.ID) ([]store.ProviderTrouble, error) {
	return list(ctx, c.db, "list an app's providers that do not work", scanTrouble, c.troubles()+`WHERE t.app_id = $1 AND `+c.counts()+
		`ORDER BY t.app_id, t.id, t.since`, c.d.ID(app))
}

// LeftTroubles implements store.Alerts.
func (c *Cold) LeftTroubles(ctx context.Context, limit int) ([]store.ProviderTrouble, error) {
	scan := func(r Row, t *store.ProviderTrouble) error {
		return r.Scan((*ID)(&t.App), (*ID)(&t.ID), &t.Reason, &t.Code, &t.Since)
	}
	return list(ctx, c.db, "list providers that nobody answers for", scan, `SELECT t.app_id, t.id, t.reason, t.code, t.since FROM provider_troubles t
		WHERE NOT `+ofTheLiving+c.d.Now+`) ORDER BY t.app_id, t.id, t.since LIMIT $1`, int64(limit))
}

// DropTroubles implements store.Alerts.
func (c *Cold) DropTroubles(ctx context.Context, all []store.ProviderTrouble) error {
	err := c.db.Write(ctx, func(q Querier) error {
		for i := range all {
			if _, err := q.ExecContext(ctx, `DELETE FROM provider_troubles AS t WHERE t.app_id = $1 AND t.id = $2 AND NOT `+ofTheLiving+c.d.Now+`)`,
				c.d.ID(all[i].App), c.d.ID(all[i].ID)); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "drop troubles of providers")
}

// SetProviderStrains implements store.Alerts.
func (c *Cold) SetProviderStrains(ctx context.Context, node string, all []store.ProviderStrain) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM provider_strains WHERE node = $1`, node); err != nil {
			return err
		}
		for i := range all {
			t := &all[i]
			if _, err := q.ExecContext(ctx, `INSERT INTO provider_strains (app_id, id, node, throttled_until, calls, failed) VALUES ($1, $2, $3, $4, $5, $6)`,
				c.d.ID(t.App), c.d.ID(t.ID), node, int64(t.ThrottledUntil), t.Calls, t.Failed); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "store how calls of providers go")
}

// StrainsSQL lists what living nodes say of the configurations of the app $1.
func StrainsSQL(d Dialect) string { return strainsSQL(d, `t.app_id = $1 AND `) }

// AllStrainsSQL lists the first $1 of what living nodes say of any configuration.
func AllStrainsSQL(d Dialect) string { return strainsSQL(d, ``) + ` LIMIT $1` }

func strainsSQL(d Dialect, of string) string {
	return `SELECT t.app_id, t.id, CASE WHEN t.throttled_until > ` + d.Now + ` THEN t.throttled_until ELSE 0 END, t.calls, t.failed, t.node FROM provider_strains t
	WHERE ` + of + `(t.failed > 0 OR t.throttled_until > ` + d.Now + `) AND ` + ofTheLiving + d.Now + `) ORDER BY t.app_id, t.id, t.node`
}

func scanStrain(r Row, t *store.ProviderStrain) error {
	return r.Scan((*ID)(&t.App), (*ID)(&t.ID), &t.ThrottledUntil, &t.Calls, &t.Failed, &t.Node)
}

// StrainsOf implements store.Alerts.
func (c *Cold) StrainsOf(ctx context.Context, app comm.ID) ([]store.ProviderStrain, error) {
	return list(ctx, c.db, "list how calls of an app's providers go", scanStrain, StrainsSQL(c.d), c.d.ID(app))
}

// ProviderStrains implements store.Alerts.
func (c *Cold) ProviderStrains(ctx context.Context, limit int) ([]store.ProviderStrain, error) {
	return list(ctx, c.db, "list how calls of providers go", scanStrain, AllStrainsSQL(c.d), int64(limit))
}

// EndpointTroubles implements store.Alerts.
func (c *Cold) EndpointTroubles(ctx context.Context, before comm.Micros, limit int) ([]store.EndpointTrouble, error) {
	scan := func(r Row, t *store.EndpointTrouble) error {
		var off comm.Micros
		err := r.Scan((*ID)(&t.App), (*ID)(&t.ID), &t.Name, &t.Slug, &t.Disabled, &off, &t.Since)
		if t.Since == 0 {
			t.Since = off
		}
		return err
	}
	return list(ctx, c.db, "list webhook endpoints that fail", scan, `SELECT e.app_id, e.id, e.name, a.slug, e.disabled, e.disabled_at, COALESCE(t.since, 0)
		FROM endpoints e JOIN apps a ON a.id = e.app_id AND a.deleted_at = 0
		LEFT JOIN endpoint_troubles t ON t.app_id = e.app_id AND t.endpoint_id = e.id
		WHERE e.url <> '' AND (e.active = 1 AND t.since > 0 AND t.since <= $1 OR e.active = 0 AND e.disabled <> '')
		ORDER BY CASE WHEN COALESCE(t.since, 0) > 0 THEN t.since ELSE e.disabled_at END DESC, e.app_id, e.id LIMIT $2`, int64(before), int64(limit))
}

// KeysEnding implements store.Alerts.
func (c *Cold) KeysEnding(ctx context.Context, now comm.Micros, around, longer time.Duration, limit int) ([]store.EndingKey, error) {
	scan := func(r Row, k *store.EndingKey) error {
		return r.Scan((*ID)(&k.App), (*ID)(&k.ID), &k.Name, &k.Slug, &k.CreatedAt, &k.EndsAt)
	}
	return list(ctx, c.db, "list keys that end", scan, `SELECT k.app_id, k.id, k.name, a.slug, k.created_at, k.expires_at
		FROM api_keys k JOIN apps a ON a.id = k.app_id AND a.deleted_at = 0
		WHERE k.revoked_at = 0 AND k.expires_at > $1 AND k.expires_at <= $2 AND k.expires_at - k.created_at > $3
		AND 4 * (k.expires_at - $4) <= k.expires_at - k.created_at ORDER BY k.expires_at DESC, k.app_id, k.id LIMIT $5`,
		int64(now.Add(-around)), int64(now.Add(around)), longer.Microseconds(), int64(now), int64(limit))
}

// UnprovidedSQL lists live apps and channels that nobody sends for: $1 and $2 the channels, behind the app $3 and the channel $4, $5 the server's app, $6 how
// many. Where the apps begin is said by itself: no index serves the comparison of the pair.
const UnprovidedSQL = `SELECT a.id, a.slug, c.channel
	FROM apps a CROSS JOIN (SELECT CAST($1 AS integer) AS channel UNION ALL SELECT CAST($2 AS integer)) c
	WHERE a.deleted_at = 0 AND a.active = 1 AND a.sandbox = 0 AND a.id >= $3 AND (a.id, c.channel) > ($3, $4)
	AND NOT EXISTS (SELECT 1 FROM provider_configs p WHERE p.app_id IN (a.id, $5) AND p.channel = c.channel AND p.active = 1)
	ORDER BY a.id, c.channel LIMIT $6`

// Unprovided implements store.Alerts.
func (c *Cold) Unprovided(ctx context.Context, behind store.Unprovided, limit int) ([]store.Unprovided, error) {
	scan := func(r Row, u *store.Unprovided) error { return r.Scan((*ID)(&u.App), &u.Slug, &u.Channel) }
	return list(ctx, c.db, "list live apps without a provider", scan, UnprovidedSQL, int64(comm.Email), int64(comm.SMS), c.d.ID(behind.App), int64(behind.Channel), c.d.ID(comm.ID{}), int64(limit))
}

// Led implements store.Alerts.
func (c *Cold) Led(ctx context.Context) (led bool, err error) {
	err = c.db.Read(ctx, func(q Querier) error {
		var n int64
		err := q.QueryRowContext(ctx, `SELECT COUNT(*) FROM shards s JOIN nodes n ON n.node = s.owner AND n.lease_until > `+c.d.Now+` WHERE s.shard = 0`).Scan(&n)
		led = n > 0
		return err
	})
	return led, wrap(err, "look who leads")
}

const alertColumns = `kind, subject, body, raised_at, cleared_at, told, version`

func scanAlert(r Row, a *store.Alert) error {
	return r.Scan(&a.Kind, &a.Subject, &a.Body, &a.RaisedAt, &a.ClearedAt, &a.Told, &a.Version)
}

// Alert implements store.Alerts.
func (c *Cold) Alert(ctx context.Context, kind, subject string) (*store.Alert, error) {
	a := new(store.Alert)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanAlert(q.QueryRowContext(ctx, `SELECT `+alertColumns+` FROM alerts WHERE kind = $1 AND subject = $2`, kind, subject), a)
	})
	return found(a, err, "read an alert")
}

// Alerts implements store.Alerts.
func (c *Cold) Alerts(ctx context.Context, limit int) ([]store.Alert, error) {
	return list(ctx, c.db, "list alerts", scanAlert, `SELECT `+alertColumns+` FROM alerts
		ORDER BY CASE WHEN cleared_at = 0 THEN 0 ELSE 1 END, CASE WHEN cleared_at = 0 THEN raised_at ELSE cleared_at END DESC, kind, subject LIMIT $1`, int64(limit))
}

// SaveAlert implements store.Alerts.
func (c *Cold) SaveAlert(ctx context.Context, a *store.Alert) (saved bool, err error) {
	err = c.db.Write(ctx, func(q Querier) (err error) {
		var n int64
		if a.Version == 0 {
			n, err = affected(ctx, q, `INSERT INTO alerts (kind, subject, body, raised_at, cleared_at, told, version) VALUES ($1, $2, $3, $4, $5, $6, 1)
				ON CONFLICT (kind, subject) DO NOTHING`, a.Kind, a.Subject, a.Body, int64(a.RaisedAt), int64(a.ClearedAt), a.Told)
		} else {
			n, err = affected(ctx, q, `UPDATE alerts SET body = $3, raised_at = $4, cleared_at = $5, told = $6, version = version + 1
				WHERE kind = $1 AND subject = $2 AND version = $7`, a.Kind, a.Subject, a.Body, int64(a.RaisedAt), int64(a.ClearedAt), a.Told, int64(a.Version))
		}
		saved = n > 0
		return err
	})
	if err != nil {
		return false, wrap(err, "store an alert")
	}
	if saved {
		a.Version++
	}
	return saved, nil
}

// TrimAlerts implements store.Alerts.
func (c *Cold) TrimAlerts(ctx context.Context, before comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM alerts WHERE cleared_at > 0 AND cleared_at < $1`, int64(before)); err != nil {
			return err
		}
		for _, text := range []string{
			`UPDATE provider_troubles AS t SET left_at = 0 WHERE t.left_at <> 0 AND ` + ofTheLiving + c.d.Now + `)`,
			`UPDATE provider_troubles AS t SET left_at = ` + c.d.Now + ` WHERE t.left_at = 0 AND NOT ` + ofTheLiving + c.d.Now + `)`,
			`DELETE FROM provider_strains AS t WHERE NOT ` + ofTheLiving + c.d.Now + `)`,
			`DELETE FROM provider_troubles AS t WHERE NOT ` + ofTheLiving + c.d.Now + `) AND (t.left_at <= ` + c.d.Now + ` - ` + orphanedFor + `
				OR NOT EXISTS (SELECT 1 FROM provider_configs p WHERE p.app_id = t.app_id AND p.id = t.id AND p.active = 1))`,
		} {
			if _, err := q.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "remove old alerts")
}
