package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// databases is PostgreSQL: databases of its own on the server of the URL.
type databases struct {
	url    *url.URL
	admin  *pgx.Conn
	prefix string
	made   map[string]bool
	server int // pid of the postmaster; 0 = not on this machine
}

func newDatabases(ctx context.Context, text string) (*databases, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the database URL must have the form postgres://user:password@host/database")
	}
	admin, err := pgx.Connect(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	d := &databases{url: u, admin: admin, prefix: "commserver_bench_" + strings.ToLower(rand.Text()[:8]) + "_", made: map[string]bool{}}
	var backend int
	if err := admin.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		return nil, errors.Join(err, admin.Close(ctx))
	}
	if p, ok := readProcess(backend); ok && strings.HasPrefix(p.name, "postgres") {
		d.server = p.parent
	}
	return d, nil
}

func (d *databases) close(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if d.admin.IsClosed() { // an interrupted query closes the connection
		if d.admin, err = pgx.Connect(ctx, d.url.String()); err != nil {
			return fmt.Errorf("remove the scratch databases %s*: %w", d.prefix, err)
		}
	}
	for name := range d.made {
		err = errors.Join(err, d.remove(ctx, name))
	}
	return errors.Join(err, d.admin.Close(ctx))
}

func (d *databases) kind() string { return "PostgreSQL" }

func (d *databases) create(ctx context.Context, name string) (string, error) {
	return d.make(ctx, name, "")
}

func (d *databases) make(ctx context.Context, name, how string) (string, error) {
	name = d.prefix + name
	d.made[name] = true
	if _, err := d.admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+how); err != nil {
		delete(d.made, name)
		return "", fmt.Errorf("make a scratch database (the role needs CREATEDB): %w", err)
	}
	_, _ = d.admin.Exec(ctx, "CHECKPOINT") // a role that may not starts with a little more left to write
	u := *d.url
	u.Path = "/" + name
	return u.String(), nil
}

func (d *databases) copy(ctx context.Context, from, name string) (string, error) {
	how := " TEMPLATE " + pgx.Identifier{nameOf(from)}.Sanitize()
	var version int
	if err := d.admin.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return "", err
	}
	if version >= 150000 {
		how += " STRATEGY FILE_COPY" // the default writes the whole database to the log
	}
	return d.make(ctx, name, how)
}

func nameOf(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}

func (d *databases) open(ctx context.Context, database string) (store.Store, error) {
	return postgres.Open(ctx, postgres.Options{URL: database})
}

func (d *databases) option(database string) string { return database }

func (d *databases) settle(ctx context.Context, database string) error {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "VACUUM (ANALYZE)")
	_, _ = c.Exec(ctx, "CHECKPOINT")
	return errors.Join(err, c.Close(ctx))
}

func (d *databases) processor() (time.Duration, bool) {
	if d.server == 0 {
		return 0, false
	}
	return familyCPU(d.server)
}

// written counts rows inserted, updated and deleted in tables that are not the
// server's own (autovacuum writes into those when it likes), as its statistics
// have it: they follow within a second or so.
func (d *databases) written(ctx context.Context, database string) (func() (int64, error), string, error) {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, "", err
	}
	look := func() (n int64, err error) {
		err = c.QueryRow(ctx, `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables`).Scan(&n)
		return n, err
	}
	before, err := look()
	if err != nil {
		return nil, "", errors.Join(err, c.Close(ctx))
	}
	return func() (int64, error) {
		after, err := look()
		return after - before, errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}, "rows", nil
}

func (d *databases) drop(ctx context.Context, database string) error {
	return d.remove(ctx, nameOf(database))
}

func (d *databases) remove(ctx context.Context, name string) error {
	if !d.made[name] {
		return fmt.Errorf("the database %q is not a scratch database of this run", name)
	}
	if _, err := d.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("remove the scratch database %s: %w", name, err)
	}
	delete(d.made, name)
	return nil
}
