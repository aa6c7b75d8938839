package baseline

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// statements are a connection's prepared statements, used below database/sql by one goroutine.
type statements struct {
	conn driver.Conn
	kept map[string]*statement
}

type statement struct {
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	close func() error
	args  []driver.NamedValue
	row   []driver.Value
}

// line is one statement with its arguments.
type line struct {
	text string
	args []any
}

func (s *statements) runAll(lines ...line) error {
	for _, l := range lines {
		if _, err := s.run(l.text, l.args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *statements) prepare(text string, args []any) (*statement, error) {
	st := s.kept[text]
	if st == nil {
		p, err := s.conn.Prepare(text)
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		e, okExec := p.(driver.StmtExecContext)
		q, okQuery := p.(driver.StmtQueryContext)
		if !okExec || !okQuery {
			return nil, fmt.Errorf("the SQLite driver's statement is a %T", p)
		}
		st = &statement{exec: e, query: q, close: p.Close, args: make([]driver.NamedValue, len(args))}
		s.kept[text] = st
	}
	for i, a := range args {
		st.args[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return st, nil
}

func (s *statements) run(text string, args ...any) (int64, error) {
	st, err := s.prepare(text, args)
	if err != nil {
		return 0, err
	}
	res, err := st.exec.ExecContext(context.Background(), st.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// one gives the first row, or nil.
func (s *statements) one(text string, args ...any) (row []driver.Value, err error) {
	err = s.each(text, func(r []driver.Value) bool { row = r; return false }, args...)
	return row, err
}

// each calls fn with every row, in one slice that is used again, until it says no.
func (s *statements) each(text string, fn func([]driver.Value) bool, args ...any) (err error) {
	st, err := s.prepare(text, args)
	if err != nil {
		return err
	}
	rows, err := st.query.QueryContext(context.Background(), st.args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if st.row == nil {
		st.row = make([]driver.Value, len(rows.Columns()))
	}
	for {
		err := rows.Next(st.row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !fn(st.row) {
			return nil
		}
	}
}
