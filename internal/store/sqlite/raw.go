package sqlite

import (
	"errors"
	"fmt"
	"time"

	lite "zombiezen.com/go/sqlite"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// busyWait is how long a connection waits for a lock of another one.
const busyWait = 5 * time.Second

// raw is a connection below database/sql, for the hot path
// (docs/decisions/0002-sqlite.md). It belongs to one goroutine at a time.
type raw struct {
	conn  *lite.Conn
	stmts map[*query]*stmt
	// The writer's: what the transaction under way has counted, and the events that it wrote.
	tally  sqlstore.Tally
	outbox []byte
}

// query is the text of a hot statement, prepared once for each connection.
type query struct{ text string }

// stmt is a prepared statement with its present row.
type stmt struct {
	*lite.Stmt
	row []value
}

// value is an argument or a column: int64, string, []byte or nil.
type value = any

// openRaw opens a database that exists and runs the pragmas behind those of every connection, once present has found that it is the right one (see checked).
func openRaw(uri string, present func() error, pragmas ...string) (*raw, error) {
	c, err := lite.OpenConn(uri, lite.OpenReadWrite, lite.OpenURI)
	if err != nil {
		return nil, err
	}
	if err := present(); err != nil {
		return nil, errors.Join(refuse(err), c.Close())
	}
	c.SetBusyTimeout(busyWait)
	r := &raw{conn: c, stmts: map[*query]*stmt{}}
	for _, text := range append(always(), pragmas...) {
		q := &query{"PRAGMA " + text}
		if _, err := r.one(q); err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.forget(q)
	}
	return r, nil
}

// close finalises the statements and closes the connection.
func (r *raw) close() error { return r.conn.Close() }

// forget finalises one statement.
func (r *raw) forget(q *query) {
	_ = r.stmts[q].Finalize() // repeats the error of its last step
	delete(r.stmts, q)
}

func (r *raw) stmt(q *query) (*stmt, error) {
	if s, ok := r.stmts[q]; ok {
		return s, nil
	}
	p, err := r.conn.Prepare(q.text)
	if err != nil {
		return nil, err
	}
	s := &stmt{Stmt: p, row: make([]value, p.ColumnCount())}
	r.stmts[q] = s
	return s, nil
}

// bind sets every argument.
func (s *stmt) bind(args []value) error {
	for i, a := range args {
		switch v := a.(type) {
		case int64:
			s.BindInt64(i+1, v)
		case string:
			s.BindText(i+1, v)
		case []byte:
			s.BindBytes(i+1, v)
		case nil:
			s.BindNull(i + 1)
		default:
			return fmt.Errorf("argument %d is a %T", i+1, a)
		}
	}
	return nil
}

// run executes a statement without rows and answers how many it changed.
func (r *raw) run(q *query, args ...value) (int64, error) {
	s, err := r.stmt(q)
	if err != nil {
		return 0, err
	}
	if err := s.bind(args); err != nil {
		return 0, err
	}
	if _, err := s.Step(); err != nil {
		return 0, err
	}
	return int64(r.conn.Changes()), s.Reset()
}

// one reads the first row; nil when there is none. The slice is the caller's
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
func (r *raw) each(q *query, args []value, fn func([]value) error) error {
	s, err := r.stmt(q)
	if err != nil {
		return err
	}
	if err := s.bind(args); err != nil {
		return err
	}
	for {
		more, err := s.Step()
		if err != nil {
			return err
		}
		if !more {
			return s.Reset()
		}
		for i := range s.row {
			s.row[i] = s.column(i)
		}
		if err := fn(s.row); err != nil {
			return errors.Join(err, s.Reset())
		}
	}
}

// column copies a column of the present row.
func (s *stmt) column(i int) value {
	switch s.ColumnType(i) {
	case lite.TypeInteger:
		return s.ColumnInt64(i)
	case lite.TypeText:
		return s.ColumnText(i)
	case lite.TypeBlob:
		b := make([]byte, s.ColumnLen(i))
		s.ColumnBytes(i, b)
		return b
	}
	return nil
}

// num, text and blob read a value of a row; the schema's STRICT tables and NOT NULL make them right.
func num(v value) int64 { n, _ := v.(int64); return n }

func text(v value) string { s, _ := v.(string); return s }

func blob(v value) []byte { b, _ := v.([]byte); return b }

func idOf(v value) (id comm.ID) { copy(id[:], blob(v)); return id }
