package parity

import (
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/store/sqlstore"
)

// TestEveryTableHasAnEnd: each table is named with what removes its rows, and those that go
// with their app by columns that its key has.
func TestEveryTableHasAnEnd(t *testing.T) {
	t.Parallel()
	lite := ofSQLite(t)
	named := map[string]bool{}
	for _, table := range sqlstore.Tables() {
		named[table.Name] = true
		if (table.Key == "") == (table.By == "") {
			t.Errorf("%s: name a key or who removes its rows, not both", table.Name)
		}
		if table.Key == "" {
			continue
		}
		columns := strings.Split(table.Key, ", ")
		key := newSchema()
		key.key(table.Name, columns)
		for name := range key.keys {
			if !lite.keys[name] {
				t.Errorf("%s is no key of its table", name)
			}
		}
		if columns := strings.Split(table.Key, ", "); columns[0] != "app_id" {
			t.Errorf("%s goes with its app by %s", table.Name, table.Key)
		}
	}
	for column := range lite.columns {
		table, _, _ := strings.Cut(column, ".")
		if !named[table] {
			named[table] = true // once
			t.Errorf("nobody removes the rows of %s: add it to sqlstore.Tables", table)
		}
	}
}
