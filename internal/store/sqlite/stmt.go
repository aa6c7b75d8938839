package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/commserver/commserver/internal/comm"
)

// raw is a connection below database/sql with its prepared statements: half the
// cost per row on the hot path. It belongs to one goroutine at a time.
type raw struct {
	conn  driver.Conn
	stmts map[*query]*stmt
}

// query is the text of a hot statement. Its placeholders are "?": the driver
// binds those without looking at names.
type query struct{ text string }

// stmt is a prepared statement with room for its arguments.
type stmt struct {
	close func() error
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	args  []driver.NamedValue
	row   []value
}

func newRaw(conn any) (*raw, error) {
	c, ok := conn.(driver.Conn)
	if !ok {
		return nil, fmt.Errorf("the SQLite driver's connection is a %T", conn)
	}
	return &raw{conn: c, stmts: map[*query]*stmt{}}, nil
}

func (r *raw) stmt(q *query) (*stmt, error) {
	if s, ok := r.stmts[q]; ok {
		return s, nil
	}
	p, err := r.conn.Prepare(q.text)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	e, okExec := p.(driver.StmtExecContext)
	s, okQuery := p.(driver.StmtQueryContext)
	if !okExec || !okQuery {
		return nil, fmt.Errorf("the SQLite driver's statement is a %T", p)
	}
	st := &stmt{close: p.Close, exec: e, query: s}
	r.stmts[q] = st
	return st, nil
}

func (s *stmt) bind(args []value) []driver.NamedValue {
	if cap(s.args) < len(args) {
		s.args = make([]driver.NamedValue, len(args))
		for i := range s.args {
			s.args[i].Ordinal = i + 1
		}
	}
	s.args = s.args[:len(args)]
	for i, a := range args {
		s.args[i].Value = a
	}
	return s.args
}

// run executes a statement without rows and answers how many it changed.
// Arguments are int64, string, []byte or nil; they are copied before it returns.
func (r *raw) run(q *query, args ...value) (int64, error) {
	s, err := r.stmt(q)
	if err != nil {
		return 0, err
	}
	res, err := s.exec.ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// one reads the first row; nil when there is none. The values are the caller's
// until the statement runs again; texts and blobs are copies of its own.
func (r *raw) one(q *query, args ...value) (row []value, err error) {
	err = r.each(q, args, func(v []value) error {
		row = v
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return row, err
}

// errStop ends each early.
var errStop = errors.New("stop")

// each calls fn for every row. The slice is reused from row to row.
func (r *raw) each(q *query, args []value, fn func([]value) error) (err error) {
	s, err := r.stmt(q)
	if err != nil {
		return err
	}
	rows, err := s.query.QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	if s.row == nil {
		s.row = make([]value, len(rows.Columns()))
	}
	for {
		switch err := rows.Next(s.row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := fn(s.row); err != nil {
			return err
		}
	}
}

// value is a column: int64, string, []byte or nil.
type value = driver.Value

// num, text and blob read a value of a row; the schema's STRICT tables and NOT NULL make them right.
func num(v value) int64 { n, _ := v.(int64); return n }

func text(v value) string { s, _ := v.(string); return s }

func blob(v value) []byte { b, _ := v.([]byte); return b }

func idOf(v value) (id comm.ID) { copy(id[:], blob(v)); return id }

// close finalises the statements.
func (r *raw) close() (err error) {
	for _, s := range r.stmts {
		err = errors.Join(err, s.close())
	}
	clear(r.stmts)
	return err
}
