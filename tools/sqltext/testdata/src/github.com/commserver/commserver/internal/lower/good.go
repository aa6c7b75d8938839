// Package lower runs SQL, builds it for others and has statements of every allowed form.
package lower

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Dialect is filled by other packages too.
type Dialect struct {
	Now  string
	Text func(column string) string
}

type Store struct {
	q Querier
	d Dialect

	plain string
}

func (s *Store) Keep(plain string) { s.plain = plain }

const columns = `id, name`

var orders = map[string]string{"name": "name ASC", "age": "age DESC"}

func constants(ctx context.Context, q Querier, data string) {
	q.ExecContext(ctx, `SELECT `+columns+` FROM t WHERE name = $1`, data)
	text := `SELECT 1`
	if data == "two" {
		text = `SELECT 2`
	} else {
		text += ` WHERE true`
	}
	q.ExecContext(ctx, text)
	for _, text := range []string{`DELETE FROM a`, `DELETE FROM b`} {
		q.ExecContext(ctx, text)
	}
	for _, step := range []struct {
		sql  string
		args []any
	}{{`SELECT 1`, []any{data}}, {sql: `SELECT 2`}} {
		q.ExecContext(ctx, step.sql, step.args...)
	}
	by, ok := orders[data]
	if ok {
		q.ExecContext(ctx, `SELECT 1 ORDER BY `+by)
	}
	q.ExecContext(ctx, fmt.Sprintf(`SELECT %d, '%s'`, len(data), columns))
	q.ExecContext(ctx, fmt.Sprint(`SELECT $`, len(data)))
	q.ExecContext(ctx, strings.NewReplacer("<a>", columns).Replace(`SELECT <a>`))
}

func placeholders(ctx context.Context, q Querier, data []string) {
	var b strings.Builder
	var parts []string
	b.WriteString(`SELECT 1 WHERE x IN (`)
	for i := range data {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", i+1)
		parts = append(parts, `$`+strconv.Itoa(i+1))
	}
	number(&b, len(data))
	q.ExecContext(ctx, b.String()+`)`)
	q.ExecContext(ctx, `SELECT `+strings.Join(parts, ", "))
	where, n := "", 1
	add := func(column string) {
		where += ` AND ` + column + ` = $` + strconv.Itoa(n)
		n++
	}
	add("name")
	q.ExecContext(ctx, `SELECT 1 WHERE true`+where)
}

func number(b *strings.Builder, n int) { fmt.Fprintf(b, "$%d", n) }

func small[T ~uint8](v T) string { return fmt.Sprintf("%d::smallint", v) }

func numbers(ctx context.Context, q Querier, n uint8) { q.ExecContext(ctx, `SELECT `+small(n)) }

// affected runs what it is given: whoever calls it has to prove it.
func affected(ctx context.Context, q Querier, query string, args ...any) error {
	_, err := q.ExecContext(ctx, query, args...)
	return err
}

func script(ctx context.Context, q Querier, texts ...string) {
	for _, text := range texts {
		q.ExecContext(ctx, text)
	}
}

func scripts(ctx context.Context, q Querier) {
	before := []string{`SELECT 1`}
	script(ctx, q, append(before, `SELECT 2`)...)
	script(ctx, q, `SELECT 3`, columns)
}

func pair() (string, []any) { return `SELECT 1`, nil }

func (s *Store) wrapped(ctx context.Context) {
	affected(ctx, s.q, `SELECT 1`, s.d.Text("name"))
	affected(ctx, s.q, `SELECT `+s.d.Now+`, `+s.d.Text("name"))
	text, args := pair()
	affected(ctx, s.q, text, args...)
	run := func(text string) error { return affected(ctx, s.q, text) }
	run(`SELECT 3`)
	with(func(text string) { affected(ctx, s.q, text) })
}

func with(fn func(string)) { fn(`SELECT 4`) }

// Run hands the proof on to other packages.
func Run(ctx context.Context, q Querier, query string) error { return affected(ctx, q, query) }

// Built is made of constants, Column is when its parameter is.
func Built() string { return `SELECT ` + columns }

func Column(name string) string { return `"` + name + `"` }

// Name is made of constants when its second parameter is, Kept never.
func Name(s *Store, names []string) string { return names[0] }

func Kept(s *Store) string { return s.plain }
