package sqlstore

import (
	"strconv"
	"strings"
)

// Statements about some rows of one app: $1 is their ids, $2 the app, further parameters
// begin at $3. On PostgreSQL plans are kept, and may have been made when tables were known to
// be empty: so that a look-up by the whole key is all that there is to choose, the ids are
// a set that is read first, and rows are found by its columns (see package postgres, turn_sql.go).
const setOfIDs = `(SELECT $2::uuid AS app, unnest($1::uuid[]) AS one OFFSET 0) x`

func (d Dialect) updateAmong(table, set, id string) string {
	if d.OneLane {
		return `UPDATE ` + table + ` SET ` + set + ` WHERE ` + id + ` ` + d.Among + ` AND app_id = $2`
	}
	return `UPDATE ` + table + ` SET ` + set + ` FROM ` + setOfIDs + ` WHERE ` + table + `.app_id = ANY (ARRAY[x.app]) AND ` + table + `.` + id + ` = x.one`
}

func (d Dialect) deleteAmong(table, id string) string {
	if d.OneLane {
		return `DELETE FROM ` + table + ` WHERE ` + id + ` ` + d.Among + ` AND app_id = $2`
	}
	return `DELETE FROM ` + table + ` USING ` + setOfIDs + ` WHERE ` + table + `.app_id = ANY (ARRAY[x.app]) AND ` + table + `.` + id + ` = x.one`
}

// selectAmong reads columns of the alias s.
func (d Dialect) selectAmong(columns, table string) string {
	if d.OneLane {
		return `SELECT ` + columns + ` FROM ` + table + ` s WHERE s.id ` + d.Among + ` AND s.app_id = $2`
	}
	return `SELECT ` + columns + ` FROM ` + setOfIDs + ` CROSS JOIN LATERAL (SELECT t.* FROM ` + table + ` t WHERE t.app_id = x.app AND t.id = x.one OFFSET 0) s`
}

// deleteRows removes the rows of a table whose columns have the values of one of rows; the first column is app_id.
func (d Dialect) deleteRows(table string, columns, rows []string) string {
	if d.OneLane {
		return `DELETE FROM ` + table + ` WHERE (` + strings.Join(columns, ", ") + `) IN (VALUES ` + strings.Join(rows, ", ") + `)`
	}
	return `DELETE FROM ` + table + ` USING ` + setOfRows(rows) + ` WHERE ` + matching(table, columns)
}

// updateRows changes the rows of a table whose columns have the values of the first columns of one of rows, x.
func (d Dialect) updateRows(table, set string, columns, rows []string) string {
	if !d.OneLane {
		return `UPDATE ` + table + ` SET ` + set + ` FROM ` + setOfRows(rows) + ` WHERE ` + matching(table, columns)
	}
	same := make([]string, len(columns))
	for i, c := range columns {
		same[i] = table + `.` + c + ` = x.column` + strconv.Itoa(i+1)
	}
	return `UPDATE ` + table + ` SET ` + set + ` FROM (VALUES ` + strings.Join(rows, ", ") + `) x WHERE ` + strings.Join(same, ` AND `)
}

func setOfRows(rows []string) string {
	return `(SELECT v.* FROM (VALUES ` + strings.Join(rows, ", ") + `) v OFFSET 0) x`
}

func matching(table string, columns []string) string {
	same := []string{table + `.` + columns[0] + ` = ANY (ARRAY[x.column1])`}
	for i, c := range columns[1:] {
		same = append(same, table+`.`+c+` = x.column`+strconv.Itoa(i+2))
	}
	return strings.Join(same, ` AND `)
}

// deleteSome removes $2 rows of app $1 from a table with this key.
func (d Dialect) deleteSome(table, key string) string {
	if d.OneLane {
		return `DELETE FROM ` + table + ` WHERE app_id = $1 AND (` + key + `) IN (SELECT ` + key + ` FROM ` + table + ` WHERE app_id = $1 LIMIT $2)`
	}
	return `DELETE FROM ` + table + ` WHERE ctid = ANY (ARRAY(SELECT ctid FROM ` + table + ` WHERE app_id = $1 LIMIT $2))`
}

// AmongSQL is one statement of each form that purging, erasing and removing are made of, for tests of plans.
func AmongSQL(d Dialect) [4]string {
	row := []string{`(CAST($1 AS ` + d.IDType + `), CAST($2 AS integer), CAST($3 AS text), CAST($4 AS ` + d.IDType + `))`}
	return [4]string{d.deleteAmong(`events`, `message_id`), d.selectAmong(`s.id, s.payload`, `content`), d.deleteRows(`terms`, []string{"app_id", "kind", "value", "id"}, row),
		d.updateRows(`content`, `key_hash = x.column3`, []string{"app_id", "id"}, []string{`(CAST($1 AS ` + d.IDType + `), CAST($2 AS ` + d.IDType + `), CAST($3 AS ` + d.BytesType + `))`})}
}
