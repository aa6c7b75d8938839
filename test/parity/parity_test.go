// Package parity holds the schemas of the two databases against each other:
// the same migrations by name, and after them the same tables, columns, kinds
// of values, nullability and unique keys. Only indexes that speed something up
// may differ.
package parity

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/test/pgtest"
)

// schema is what must be equal: "table.column" -> kind, and the unique keys.
type schema struct {
	columns map[string]string
	keys    map[string]bool // "table(a,b)", columns sorted: the order inside a key is each store's own
}

func newSchema() schema { return schema{map[string]string{}, map[string]bool{}} }

func (s schema) key(table string, columns []string) {
	slices.Sort(columns)
	s.keys[table+"("+strings.Join(columns, ",")+")"] = true
}

// kinds maps the types of both databases to what a value is.
var kinds = map[string]string{
	"integer": "integer", "smallint": "integer", "bigint": "integer", "text": "text",
	"blob": "bytes", "bytea": "bytes", "uuid": "bytes",
}

func TestMigrationsHaveTheSameNames(t *testing.T) {
	t.Parallel()
	names := func(dir string) (out []string) {
		entries, err := os.ReadDir(filepath.Join("../../internal/store", dir, "migrations"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	if a, b := names("sqlite"), names("postgres"); !slices.Equal(a, b) || len(a) == 0 {
		t.Fatalf("SQLite has %v, PostgreSQL %v", a, b)
	}
}

// ownSchema is what only one store needs, with the reason.
func ownSchema() map[string]string {
	const tallies = "rows live for seconds and are folded before anything is copied; each store writes what it knows in its transaction (docs/decisions/0007-stats.md)"
	const outbox = "rows live for less than a second and are stamped before anything is copied; each store finds what is new in its own way (docs/decisions/0009-webhooks.md)"
	const shares = "SQLite reads a row of statistics whole, however little of it is asked for; PostgreSQL does not (docs/decisions/0007-stats.md)"
	return map[string]string{
		"stats_shares.app_id": shares, "stats_shares.span": shares, "stats_shares.start": shares, "stats_shares.counts": shares, "stats_shares(app_id,span,start)": shares,
		"tallies.id": tallies, "tallies(id)": tallies, "tallies.took": tallies,
		"outbox.id": outbox, "outbox(id)": outbox, "outbox.xid": outbox, "outbox.shard": outbox,
		"feed.xid":     "SQLite keeps the rows in the order of their writing by itself",
		"rates.before": "a SQLite store has one writer: no transaction counts after one of the next minute",
	}
}

func TestSchemasAreEqual(t *testing.T) {
	t.Parallel()
	lite, pg := ofSQLite(t), ofPostgres(t)
	for name := range ownSchema() {
		_, here := lite.columns[name]
		if _, there := pg.columns[name]; here == there && lite.keys[name] == pg.keys[name] {
			t.Errorf("%s is no difference", name)
		}
		for _, s := range []schema{lite, pg} {
			delete(s.columns, name)
			delete(s.keys, name)
		}
	}
	for name, kind := range lite.columns {
		if pg.columns[name] != kind {
			t.Errorf("%s: SQLite %q, PostgreSQL %q", name, kind, pg.columns[name])
		}
	}
	for name := range pg.columns {
		if lite.columns[name] == "" {
			t.Errorf("%s is missing on SQLite", name)
		}
	}
	for key := range lite.keys {
		if !pg.keys[key] {
			t.Errorf("unique key %s is missing on PostgreSQL", key)
		}
	}
	for key := range pg.keys {
		if !lite.keys[key] {
			t.Errorf("unique key %s is missing on SQLite", key)
		}
	}
	if len(lite.columns) < 50 || len(lite.keys) < 10 {
		t.Fatalf("only %d columns and %d keys were read", len(lite.columns), len(lite.keys))
	}
}

func ofSQLite(t *testing.T) schema {
	t.Helper()
	path := filepath.Join(t.TempDir(), "comm.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := newSchema()
	each(t, db, `SELECT t.name, c.name, lower(c.type), c."notnull" OR c.pk > 0 FROM sqlite_schema t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'`, func(scan func(...any) error) error {
		var table, column, kind string
		var notNull bool
		if err := scan(&table, &column, &kind, &notNull); err != nil {
			return err
		}
		out.columns[table+"."+column] = described(kind, notNull)
		return nil
	})
	keys := map[[2]string][]string{}
	each(t, db, `SELECT t.name, i.name, c.name FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
		WHERE t.type = 'table' AND i."unique" AND NOT i.partial`, func(scan func(...any) error) error {
		var table, index, column string
		if err := scan(&table, &index, &column); err != nil {
			return err
		}
		k := [2]string{table, index}
		keys[k] = append(keys[k], column)
		return nil
	})
	// A primary key on the rowid has no index of its own.
	rowids := map[string][]string{}
	each(t, db, `SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND c.pk > 0 AND t.name NOT LIKE 'sqlite_%'`,
		func(scan func(...any) error) error {
			var table, column string
			if err := scan(&table, &column); err != nil {
				return err
			}
			rowids[table] = append(rowids[table], column)
			return nil
		})
	for table, columns := range rowids {
		out.key(table, columns)
	}
	for k, columns := range keys {
		out.key(k[0], columns)
	}
	return out
}

func each(t *testing.T, db *sql.DB, query string, row func(scan func(...any) error) error) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func described(kind string, notNull bool) string {
	if known, ok := kinds[kind]; ok {
		kind = known
	}
	if notNull {
		return kind + " not null"
	}
	return kind
}

func ofPostgres(t *testing.T) schema {
	t.Helper()
	url := pgtest.Database(t)
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	out := newSchema()
	rows, err := c.Query(t.Context(), `SELECT table_name, column_name, data_type, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	var table, column, kind string
	var notNull bool
	if _, err := pgx.ForEachRow(rows, []any{&table, &column, &kind, &notNull}, func() error {
		out.columns[table+"."+column] = described(kind, notNull)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows, err = c.Query(t.Context(), `SELECT t.relname, array_agg(a.attname::text) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
		JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (i.indkey) WHERE i.indisunique AND i.indpred IS NULL AND t.relnamespace = 'public'::regnamespace
		GROUP BY t.relname, i.indexrelid`)
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	if _, err := pgx.ForEachRow(rows, []any{&table, &columns}, func() error {
		out.key(table, slices.Clone(columns))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// lastBeforeReleases is the last migration that was written when no release had to run beside another one.
const lastBeforeReleases = "0017_"

// notAdding are statements that an older node, which still runs during an upgrade, would notice.
var notAdding = regexp.MustCompile(`(?is)\bDROP\s+(TABLE|COLUMN)\b|\bRENAME\b|\bSET\s+NOT\s+NULL\b|\bSET\s+DATA\s+TYPE\b|\bALTER\s+COLUMN\s+\w+\s+TYPE\b`)

var newColumn = regexp.MustCompile(`(?is)\bADD\s+COLUMN\b[^;,]*`)

// adds says whether a migration only adds what older nodes do not notice, or says why it may do more.
func adds(text string) bool {
	if strings.HasPrefix(text, "-- contract: ") { // with the release since which nothing reads what goes
		return true
	}
	if notAdding.MatchString(text) {
		return false
	}
	for _, column := range newColumn.FindAllString(text, -1) {
		if upper := strings.ToUpper(column); strings.Contains(upper, "NOT NULL") && !strings.Contains(upper, "DEFAULT") {
			return false
		}
	}
	return true
}

// TestMigrationsOnlyAdd: while a node is upgraded the older ones go on (docs/decisions/0009-webhooks.md).
func TestMigrationsOnlyAdd(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE TABLE a (b TEXT NOT NULL);":                      true,
		"ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT '';":   true,
		"ALTER TABLE a ADD COLUMN b TEXT;":                       true,
		"ALTER TABLE a ADD COLUMN b TEXT NOT NULL;":              false,
		"ALTER TABLE a DROP COLUMN b;":                           false,
		"DROP TABLE a;":                                          false,
		"ALTER TABLE a RENAME COLUMN b TO c;":                    false,
		"ALTER TABLE a ALTER COLUMN b TYPE bigint;":              false,
		"ALTER TABLE a ALTER COLUMN b SET NOT NULL;":             false,
		"-- contract: nothing reads it since 1.3\nDROP TABLE a;": true,
		"CREATE INDEX a ON b (c);\nDROP INDEX d;":                true,
	} {
		if adds(text) != want {
			t.Errorf("%q only adds: %v", text, !want)
		}
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		files, err := filepath.Glob("../../internal/store/" + kind + "/migrations/*.sql")
		if err != nil || len(files) < 10 {
			t.Fatal(files, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if base := filepath.Base(name); base > lastBeforeReleases+"~" && !adds(string(text)) {
				t.Errorf("%s changes what an older node reads or writes: add first, and take away a release later", base)
			}
		}
	}
}
