package baseline

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the product's driver
)

const sqliteSchema = `
CREATE TABLE content (id INTEGER PRIMARY KEY, app INT NOT NULL, created INT NOT NULL, recipient TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE state (id INTEGER PRIMARY KEY, app INT NOT NULL, channel INT NOT NULL, lane INT NOT NULL, status INT NOT NULL, created INT NOT NULL,
  updated INT NOT NULL, attempts INT NOT NULL, epoch INT NOT NULL, provider TEXT, ref TEXT, error TEXT);
CREATE INDEX state_list ON state (app, status, id);
CREATE TABLE queue (shard INT, app INT, channel INT, lane INT, due INT, id INT, PRIMARY KEY (shard, app, channel, lane, due, id)) WITHOUT ROWID;
CREATE TABLE idempotency (app INT, mode INT, hash BLOB, id INT NOT NULL, PRIMARY KEY (app, mode, hash)) WITHOUT ROWID;
CREATE TABLE event (message INT, sequence INT, app INT NOT NULL, type INT NOT NULL, before INT NOT NULL, after INT NOT NULL, at INT NOT NULL, node TEXT,
  PRIMARY KEY (message, sequence)) WITHOUT ROWID;
CREATE TABLE shard (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, epoch INT NOT NULL);
CREATE TABLE suppression (app INT, channel INT, address TEXT, PRIMARY KEY (app, channel, address)) WITHOUT ROWID;
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 63) INSERT INTO shard SELECT i, '', 0 FROM n;
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $APPS * $EACH - 1)
  INSERT INTO suppression SELECT i % $APPS, 1, 'gone' || (i / $APPS + 1) || '@example.org' FROM n;`

func schema(text string) string {
	return strings.NewReplacer("$APPS", strconv.Itoa(Apps), "$EACH", strconv.Itoa(suppressions)).Replace(text)
}

// sqlite has one writer: whatever waits (accept groups, turns) shares a transaction.
type sqlite struct {
	db      []*sql.DB
	conns   []*sql.Conn
	write   *statements
	read    *statements // the dispatcher's
	ops     chan *op
	stopped chan struct{}
	epoch   int64
}

type op struct {
	run  func(*statements) error
	done chan error
}

const opsTogether = 8

func openSQLite(ctx context.Context, path string) (_ store, err error) {
	s := &sqlite{ops: make(chan *op, 64), stopped: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if s.write, err = s.connect(ctx, path); err != nil {
		return nil, err
	}
	var there int
	if err := s.conns[0].QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'idempotency'`).Scan(&there); err != nil {
		return nil, err
	}
	if there == 0 {
		if _, err := s.conns[0].ExecContext(ctx, "BEGIN;"+schema(sqliteSchema)+"COMMIT"); err != nil {
			return nil, fmt.Errorf("prepare the database: %w", err)
		}
	}
	if s.read, err = s.connect(ctx, path); err != nil {
		return nil, err
	}
	go s.loop()
	return s, nil
}

func (s *sqlite) connect(ctx context.Context, path string) (*statements, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	db, err := sql.Open("sqlite", u.String()+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4000)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	s.db = append(s.db, db)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, conn)
	out := &statements{kept: map[string]*statement{}}
	err = conn.Raw(func(c any) error {
		raw, ok := c.(driver.Conn)
		if !ok {
			return fmt.Errorf("the SQLite driver's connection is a %T", c)
		}
		out.conn = raw
		return nil
	})
	return out, err
}

func (s *sqlite) close(context.Context) error {
	close(s.ops)
	<-s.stopped
	return s.release()
}

func (s *sqlite) release() (err error) {
	for _, st := range []*statements{s.write, s.read} {
		if st != nil {
			for _, one := range st.kept {
				err = errors.Join(err, one.close())
			}
		}
	}
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	for _, db := range s.db {
		err = errors.Join(err, db.Close())
	}
	return err
}

func (s *sqlite) loop() {
	defer close(s.stopped)
	for first := range s.ops {
		group := []*op{first}
		_, err := s.write.run("BEGIN IMMEDIATE")
		for i := 0; i < len(group) && err == nil; i++ {
			if err = group[i].run(s.write); len(group) < opsTogether {
				select {
				case o, ok := <-s.ops:
					if ok {
						group = append(group, o)
					}
				default:
				}
			}
		}
		if err == nil {
			_, err = s.write.run("COMMIT")
		}
		if err != nil {
			_, _ = s.write.run("ROLLBACK")
		}
		for _, o := range group {
			o.done <- err
		}
	}
}

func (s *sqlite) do(run func(*statements) error) error {
	o := &op{run: run, done: make(chan error, 1)}
	s.ops <- o
	return <-o.done
}

func (s *sqlite) accept(_ context.Context, group []*message) error {
	return s.do(func(w *statements) error {
		for _, m := range group {
			fresh, err := w.run(`INSERT INTO idempotency VALUES (?, 1, ?, ?) ON CONFLICT DO NOTHING`, m.app, m.key, m.id)
			if err != nil {
				return err
			}
			if fresh == 0 {
				continue
			}
			if err := w.runAll(
				line{`INSERT INTO content VALUES (?, ?, ?, ?, ?)`, []any{m.id, m.app, m.due, m.recipient, m.body}},
				line{`INSERT INTO state VALUES (?, ?, ?, ?, 1, ?, ?, 0, 0, NULL, NULL, NULL)`, []any{m.id, m.app, m.channel, m.lane, m.due, m.due}},
				line{`INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?)`, []any{m.shard, m.app, m.channel, m.lane, m.due, m.id}},
				line{`INSERT INTO event VALUES (?, 1, ?, 1, 0, 1, ?, NULL)`, []any{m.id, m.app, m.due}},
			); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sqlite) own(context.Context) error {
	return s.do(func(w *statements) error {
		if _, err := w.run(`UPDATE shard SET owner = ?, epoch = epoch + 1`, node); err != nil {
			return err
		}
		row, err := w.one(`SELECT max(epoch) FROM shard`)
		if err == nil {
			s.epoch = row[0].(int64)
		}
		return err
	})
}

func (s *sqlite) pipes(context.Context, int) ([]pipe, error) { return []pipe{s}, nil }

func (s *sqlite) mine(int64) bool { return true }

func (s *sqlite) units(context.Context) (out []unit, err error) {
	last := unit{shard: -1}
	for {
		row, err := s.read.one(`SELECT shard, app, channel, lane FROM queue WHERE (shard, app, channel, lane) > (?, ?, ?, ?) ORDER BY shard, app, channel, lane LIMIT 1`,
			last.shard, last.app, last.channel, last.lane)
		if err != nil || row == nil {
			return out, err
		}
		last = unit{row[0].(int64), row[1].(int64), row[2].(int64), row[3].(int64)}
		out = append(out, last)
	}
}

func (s *sqlite) window(_ context.Context, u unit, afterDue, afterID int64, limit int) (out []*message, err error) {
	err = s.read.each(`SELECT due, id FROM queue WHERE shard = ? AND app = ? AND channel = ? AND lane = ? AND (due, id) > (?, ?) AND due <= ? ORDER BY due, id LIMIT ?`,
		func(row []driver.Value) bool {
			out = append(out, &message{unit: u, due: row[0].(int64), id: row[1].(int64)})
			return true
		}, u.shard, u.app, u.channel, u.lane, afterDue, afterID, now(), int64(limit))
	return out, err
}

func (s *sqlite) turn(_ context.Context, finish, start []*message) (out []*message, err error) {
	for _, m := range start {
		if m.body != nil {
			continue // accepted by this process
		}
		row, err := s.read.one(`SELECT recipient, payload FROM content WHERE id = ?`, m.id)
		if err != nil {
			return nil, err
		}
		if row != nil {
			m.recipient, _ = row[0].(string)
			m.body, _ = row[1].([]byte)
		}
	}
	err = s.do(func(w *statements) error {
		row, err := w.one(`SELECT count(*) FROM shard WHERE owner = ? AND epoch = ?`, node, s.epoch)
		if err != nil {
			return err
		}
		if row[0].(int64) != shards {
			return errors.New("the shards are owned by somebody else")
		}
		at := now()
		if err := s.finish(w, finish, at); err != nil {
			return err
		}
		out, err = s.start(w, start, at)
		return err
	})
	return out, err
}

func (s *sqlite) finish(w *statements, group []*message, at int64) error {
	for _, m := range group {
		n, err := w.run(`UPDATE state SET status = 3, updated = ?, provider = 'instant', ref = ? WHERE id = ? AND status = 2`, at, m.ref, m.id)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if err := w.runAll(
			line{`INSERT INTO event VALUES (?, 3, ?, 3, 2, 3, ?, ?)`, []any{m.id, m.app, at, node}},
			line{`DELETE FROM queue WHERE shard = ? AND app = ? AND channel = ? AND lane = ? AND due = ? AND id = ?`, []any{m.shard, m.app, m.channel, m.lane, m.due, m.id}},
		); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlite) start(w *statements, group []*message, at int64) (out []*message, err error) {
	out = make([]*message, 0, len(group))
	for _, m := range group {
		stopped, err := w.one(`SELECT 1 FROM suppression WHERE app = ? AND channel = ? AND address = ?`, m.app, m.channel, m.recipient)
		if err != nil {
			return nil, err
		}
		to := int64(2)
		if stopped != nil {
			to = 6
		}
		n, err := w.run(`UPDATE state SET status = ?, attempts = attempts + 1, epoch = ?, updated = ? WHERE id = ? AND status = 1`, to, s.epoch, at, m.id)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue
		}
		if _, err := w.run(`INSERT INTO event VALUES (?, 2, ?, 2, 1, ?, ?, ?)`, m.id, m.app, to, at, node); err != nil {
			return nil, err
		}
		if to == 2 {
			out = append(out, m)
		}
	}
	return out, nil
}
