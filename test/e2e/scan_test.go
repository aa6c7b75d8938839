package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/commserver/commserver/test/pgserver"
)

// scanned are bytes that were written somewhere, by the name of the place.
type scanned map[string][]byte

// holds lists the places where a text stands, in any of the forms that programs write bytes in.
func (s scanned) holds(text string) (places []string) {
	forms := [][]byte{[]byte(strings.ToLower(text)), []byte(hex.EncodeToString([]byte(text)))}
	if len(text) > 8 { // from the middle of a base64 text, whatever it begins with
		for skip := range 3 {
			forms = append(forms, []byte(strings.ToLower(strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(text[skip:skip+(len(text)-skip)/3*3])), "="))))
		}
	}
	for place, b := range s {
		b = bytes.ToLower(b)
		for _, form := range forms {
			if bytes.Contains(b, form) {
				places = append(places, place)
				break
			}
		}
	}
	return places
}

// files reads every file below a folder but those that are named.
func (s scanned) files(t *testing.T, dir string, but ...string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a server is at work there
		}
		if err != nil || info.IsDir() {
			return err
		}
		for _, name := range but {
			if info.Name() == name {
				return nil
			}
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		name, _ := filepath.Rel(dir, path)
		s[name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// server reads what a PostgreSQL server has written, with the database of the URL on the disk: its files, its write-ahead log, what it said.
func (s scanned) server(t *testing.T, srv *pgserver.Server, url string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	if _, err := c.Exec(t.Context(), `CHECKPOINT`); err != nil {
		t.Fatal(err)
	}
	s.files(t, srv.Dir(), "password")
}

// vacuum rewrites a database that no server has open, and empties its log.
func vacuum(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	for _, text := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// tables reads every row of every table of a PostgreSQL database, and its dump where the program is at hand.
func (s scanned) tables(t *testing.T, url string) {
	t.Helper()
	ctx := t.Context()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	rows, err := c.Query(ctx, `SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c WHERE c.table_schema = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Table, Column, Type string }])
	if err != nil || len(columns) < 50 {
		t.Fatalf("%d columns %v", len(columns), err)
	}
	for _, x := range columns {
		value := x.Column + "::text"
		if x.Type == "bytea" { // as bytes, not as their digits
			value = x.Column
		}
		rows, err := c.Query(ctx, fmt.Sprintf(`SELECT %s FROM %s WHERE %s IS NOT NULL`, value, x.Table, x.Column))
		if err != nil {
			t.Fatal(err)
		}
		var all bytes.Buffer
		for rows.Next() {
			all.Write(rows.RawValues()[0])
			all.WriteByte('\n')
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		s[x.Table+"."+x.Column] = all.Bytes()
	}
	if dump := pgDump(); dump != "" {
		out, err := exec.CommandContext(ctx, dump, "--dbname="+url).CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		s["pg_dump"] = out
	}
}

func pgDump() string {
	if path, err := exec.LookPath("pg_dump"); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}
