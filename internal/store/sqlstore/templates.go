package sqlstore

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	templateColumns = `app_id, id, key, channel, name, version, subject, body, plain, versioned, created_at, updated_at`
	versionColumns  = `app_id, template_id, version, subject, body, plain, created_at`
)

// Statements that may meet many rows; their plans are asserted beside each store.
const (
	TemplateByKeySQL    = `SELECT ` + templateColumns + ` FROM templates WHERE app_id = $1 AND key = $2`
	TemplateVersionsSQL = `SELECT version, subject, '', '', created_at FROM template_versions WHERE app_id = $1 AND template_id = $2 ORDER BY version DESC`
	TemplateVersionSQL  = `SELECT version, subject, body, plain, created_at FROM template_versions WHERE app_id = $1 AND template_id = $2 AND version = $3`
	templateByIDSQL     = `SELECT ` + templateColumns + ` FROM templates WHERE app_id = $1 AND id = $2`
)

// TemplateListSQL is the statement of TemplateList for filters of this form; its
// parameters are the app, the keyset, the limit and the values of the filters.
func TemplateListSQL(byChannel, byKey bool) string {
	where, n := "", 4
	add := func(column string) {
		where += ` AND ` + column + ` = $` + strconv.Itoa(n)
		n++
	}
	if byChannel {
		add("channel")
	}
	if byKey {
		add("key")
	}
	return `SELECT ` + templateColumns + ` FROM templates WHERE app_id = $1 AND id < $2` + where + ` ORDER BY id DESC LIMIT $3`
}

// CreateTemplate implements store.Templates.
func (c *Cold) CreateTemplate(ctx context.Context, t *comm.Template, most int) error {
	v := &t.Current
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `INSERT INTO templates (`+templateColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (app_id, key) DO NOTHING`, c.d.ID(t.App), c.d.ID(t.ID), t.Key, int64(t.Channel), t.Name, int64(v.Version),
			v.Subject, v.Body, v.Text, int64(v.CreatedAt), int64(t.CreatedAt), int64(t.UpdatedAt))
		if err == nil && n == 0 {
			return comm.E("template_key_taken").Field("key", "is the key of another template")
		}
		if err != nil {
			return err
		}
		if err := c.insertVersion(ctx, q, t, v); err != nil {
			return err
		}
		if err := c.record(ctx, q, did{t.App, comm.AuditTemplateCreated, t.ID.String(), detail{}.with("key", t.Key)}); err != nil {
			return err
		}
		over, err := c.over(ctx, q, `templates`, t.App, most)
		if err == nil && over {
			return comm.E("too_many_templates", "An app has at most %d templates; delete one first.", most)
		}
		return err
	})
	return wrap(err, "create template")
}

func (c *Cold) insertVersion(ctx context.Context, q Querier, t *comm.Template, v *comm.TemplateVersion) error {
	_, err := q.ExecContext(ctx, `INSERT INTO template_versions (`+versionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		c.d.ID(t.App), c.d.ID(t.ID), int64(v.Version), v.Subject, v.Body, v.Text, int64(v.CreatedAt))
	return err
}

// Template implements store.Templates.
func (c *Cold) Template(ctx context.Context, app, id comm.ID) (*comm.Template, error) {
	return c.template(ctx, templateByIDSQL, c.d.ID(app), c.d.ID(id))
}

// TemplateByKey implements store.Templates.
func (c *Cold) TemplateByKey(ctx context.Context, app comm.ID, key string) (*comm.Template, error) {
	return c.template(ctx, TemplateByKeySQL, c.d.ID(app), key)
}

func (c *Cold) template(ctx context.Context, query string, args ...any) (*comm.Template, error) {
	t := new(comm.Template)
	err := c.db.Read(ctx, func(q Querier) error { return scanTemplate(q.QueryRowContext(ctx, query, args...), t) })
	return found(t, err, "read template")
}

// TemplateList implements store.Templates.
func (c *Cold) TemplateList(ctx context.Context, app comm.ID, f store.TemplateFilter) (page []comm.Template, more bool, err error) {
	before := f.Before
	if before.IsZero() {
		copy(before[:], bytes.Repeat([]byte{0xff}, len(before)))
	}
	args := []any{c.d.ID(app), c.d.ID(before), int64(f.Limit) + 1}
	if f.Channel != 0 {
		args = append(args, int64(f.Channel))
	}
	if f.Key != "" {
		args = append(args, f.Key)
	}
	err = c.db.Read(ctx, func(q Querier) (err error) {
		page, more, err = templatePage(ctx, q, f.Limit, TemplateListSQL(f.Channel != 0, f.Key != ""), args)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list templates: %w", err)
	}
	return page, more, nil
}

// templatePage reads rows one by one and stops at the end of the page, so that what
// is held is bounded by the page's bytes.
func templatePage(ctx context.Context, q Querier, limit int, query string, args []any) (page []comm.Template, more bool, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }()
	size := 0
	for rows.Next() {
		if len(page) == limit || size >= store.TemplatePageBytes {
			return page, true, nil
		}
		var t comm.Template
		if err := scanTemplate(rows, &t); err != nil {
			return nil, false, err
		}
		size += len(t.Current.Subject) + len(t.Current.Body) + len(t.Current.Text)
		page = append(page, t)
	}
	return page, false, rows.Err()
}

// UpdateTemplate implements store.Templates.
func (c *Cold) UpdateTemplate(ctx context.Context, t *comm.Template, next *comm.TemplateVersion, keep int, at comm.Micros) error {
	at = max(at, t.UpdatedAt+1)
	v := &t.Current
	if next != nil {
		v = next
	}
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `UPDATE templates SET name = $3, version = $4, subject = $5, body = $6, plain = $7, versioned = $8, updated_at = $9
			WHERE app_id = $1 AND id = $2 AND updated_at = $10`, c.d.ID(t.App), c.d.ID(t.ID), t.Name, int64(v.Version), v.Subject, v.Body, v.Text,
			int64(v.CreatedAt), int64(at), int64(t.UpdatedAt))
		if err == nil && n == 0 {
			return whyNotUpdated(ctx, q, "template", `templates WHERE app_id = $1 AND id = $2`, c.d.ID(t.App), c.d.ID(t.ID))
		}
		if err != nil {
			return err
		}
		if next == nil {
			return c.record(ctx, q, did{t.App, comm.AuditTemplateUpdated, t.ID.String(), detail{}.with("name", t.Name)})
		}
		if err := c.insertVersion(ctx, q, t, next); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `DELETE FROM template_versions WHERE app_id = $1 AND template_id = $2 AND version <= $3`,
			c.d.ID(t.App), c.d.ID(t.ID), int64(next.Version-keep))
		if err != nil {
			return err
		}
		versions := differ(facts{"version": shown(t.Current.Version)}, facts{"version": shown(next.Version)})
		return c.record(ctx, q, did{t.App, comm.AuditTemplateUpdated, t.ID.String(), versions.with("name", t.Name)})
	})
	if err != nil {
		return wrap(err, "update template")
	}
	t.Current, t.UpdatedAt = *v, at
	return nil
}

// DeleteTemplate implements store.Templates.
func (c *Cold) DeleteTemplate(ctx context.Context, app, id comm.ID) error {
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `DELETE FROM templates WHERE app_id = $1 AND id = $2`, c.d.ID(app), c.d.ID(id))
		if err == nil && n == 0 {
			return comm.E("not_found")
		}
		if err != nil {
			return err
		}
		if _, err = q.ExecContext(ctx, `DELETE FROM template_versions WHERE app_id = $1 AND template_id = $2`, c.d.ID(app), c.d.ID(id)); err != nil {
			return err
		}
		return c.record(ctx, q, did{app, comm.AuditTemplateDeleted, id.String(), detail{}})
	})
	return wrap(err, "delete template")
}

// TemplateVersions implements store.Templates.
func (c *Cold) TemplateVersions(ctx context.Context, app, id comm.ID) ([]comm.TemplateVersion, error) {
	out, err := list(ctx, c.db, "list versions of a template", scanVersion, TemplateVersionsSQL, c.d.ID(app), c.d.ID(id))
	if err == nil && len(out) == 0 { // a template has one at least
		return nil, comm.E("not_found")
	}
	return out, err
}

// TemplateVersion implements store.Templates.
func (c *Cold) TemplateVersion(ctx context.Context, app, id comm.ID, version int) (*comm.TemplateVersion, error) {
	v := new(comm.TemplateVersion)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanVersion(q.QueryRowContext(ctx, TemplateVersionSQL, c.d.ID(app), c.d.ID(id), int64(version)), v)
	})
	return found(v, err, "read version of a template")
}

func scanTemplate(r Row, t *comm.Template) error {
	v := &t.Current
	return r.Scan((*ID)(&t.App), (*ID)(&t.ID), &t.Key, &t.Channel, &t.Name, &v.Version, &v.Subject, &v.Body, &v.Text, &v.CreatedAt, &t.CreatedAt, &t.UpdatedAt)
}

func scanVersion(r Row, v *comm.TemplateVersion) error {
	return r.Scan(&v.Version, &v.Subject, &v.Body, &v.Text, &v.CreatedAt)
}
