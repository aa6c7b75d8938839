package baseline

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// postgresSchema is the least that the laws ask for.
const postgresSchema = `
CREATE TABLE content (id bigint PRIMARY KEY, app int NOT NULL, created bigint NOT NULL, recipient text NOT NULL, payload bytea NOT NULL);
CREATE TABLE state (id bigint PRIMARY KEY, app int NOT NULL, channel smallint NOT NULL, lane smallint NOT NULL, status smallint NOT NULL, created bigint NOT NULL,
  updated bigint NOT NULL, attempts smallint NOT NULL, epoch bigint NOT NULL, provider text, ref text, error text);
CREATE INDEX state_list ON state (app, status, id);
CREATE TABLE queue (shard smallint, app int, channel smallint, lane smallint, due bigint, id bigint, PRIMARY KEY (shard, app, channel, lane, due, id));
CREATE TABLE idempotency (app int, mode smallint, hash bytea, id bigint NOT NULL, PRIMARY KEY (app, mode, hash));
CREATE TABLE event (message bigint, sequence smallint, app int NOT NULL, type smallint NOT NULL, before smallint NOT NULL, after smallint NOT NULL, at bigint NOT NULL, node text,
  PRIMARY KEY (message, sequence));
CREATE TABLE shard (number smallint PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL);
CREATE TABLE suppression (app int, channel smallint, address text, PRIMARY KEY (app, channel, address));
ALTER TABLE queue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
INSERT INTO shard SELECT n, '', 0 FROM generate_series(0, 63) n;
INSERT INTO suppression SELECT a, 1, 'gone' || n || '@example.org' FROM generate_series(0, $APPS - 1) a, generate_series(1, $EACH) n;
ANALYZE suppression;`

const (
	postgresAccept = `
WITH given AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::smallint[], $5::smallint[], $6::bigint[], $7::bytea[], $8::text[], $9::bytea[])
    AS g (id, app, shard, channel, lane, due, hash, recipient, payload)),
fresh AS (INSERT INTO idempotency SELECT app, 1, hash, id FROM given ORDER BY app, hash ON CONFLICT DO NOTHING RETURNING id),
taken AS MATERIALIZED (SELECT given.* FROM given JOIN fresh USING (id)),
c AS (INSERT INTO content SELECT id, app, due, recipient, payload FROM taken),
s AS (INSERT INTO state (id, app, channel, lane, status, created, updated, attempts, epoch) SELECT id, app, channel, lane, 1, due, due, 0, 0 FROM taken),
q AS (INSERT INTO queue SELECT shard, app, channel, lane, due, id FROM taken)
INSERT INTO event SELECT id, 1, app, 1, 0, 1, due, NULL FROM taken`

	// postgresOwn is the fence: all of the group's shards, or nothing happens.
	postgresOwn   = `own AS (SELECT number FROM shard WHERE owner = $1 AND epoch = $2 AND number = ANY ($3::smallint[]) ORDER BY number FOR SHARE)`
	postgresFence = `(SELECT count(*) FROM own) = cardinality($3::smallint[])`

	postgresFinish = `
WITH ` + postgresOwn + `,
done AS (SELECT * FROM unnest($4::bigint[], $5::int[], $6::smallint[], $7::smallint[], $8::smallint[], $9::bigint[], $10::text[]) AS d (id, app, shard, channel, lane, due, ref)),
s AS (UPDATE state SET status = 3, updated = $11, provider = 'instant', ref = d.ref FROM done d WHERE state.id = d.id AND state.status = 2 AND ` + postgresFence + ` RETURNING d.*),
e AS (INSERT INTO event SELECT id, 3, app, 3, 2, 3, $11, $1 FROM s)
DELETE FROM queue q USING s WHERE (q.shard, q.app, q.channel, q.lane, q.due, q.id) = (s.shard, s.app, s.channel, s.lane, s.due, s.id)`

	postgresStart = `
WITH ` + postgresOwn + `,
due AS MATERIALIZED (SELECT d.id, d.app, c.recipient, c.payload,
    EXISTS (SELECT 1 FROM suppression x WHERE x.app = d.app AND x.channel = d.channel AND x.address = c.recipient) AS stopped
  FROM unnest($4::bigint[], $5::int[], $6::smallint[]) AS d (id, app, channel) JOIN content c ON c.id = d.id WHERE ` + postgresFence + `),
s AS (UPDATE state SET status = CASE WHEN stopped THEN 6 ELSE 2 END, attempts = attempts + 1, epoch = $2, updated = $7
  FROM due d WHERE state.id = d.id AND state.status = 1 RETURNING d.*),
e AS (INSERT INTO event SELECT id, 2, app, 2, 1, 2, $7, $1 FROM s)
SELECT id, recipient, payload FROM s WHERE NOT stopped`

	postgresUnits = `
WITH RECURSIVE found AS (
  (SELECT shard, app, channel, lane FROM queue ORDER BY shard, app, channel, lane LIMIT 1)
  UNION ALL
  SELECT n.* FROM found f CROSS JOIN LATERAL (SELECT q.shard, q.app, q.channel, q.lane FROM queue q
    WHERE (q.shard, q.app, q.channel, q.lane) > (f.shard, f.app, f.channel, f.lane) ORDER BY q.shard, q.app, q.channel, q.lane LIMIT 1) n)
SELECT shard, app, channel, lane FROM found`

	postgresWindow = `SELECT due, id FROM queue WHERE shard = $1 AND app = $2 AND channel = $3 AND lane = $4 AND (due, id) > ($5, $6) AND due <= $7 ORDER BY due, id LIMIT $8`
)

const node = "baseline"

type postgres struct {
	url     string
	accepts *pgx.Conn
	epoch   int64
	turns   []*postgresPipe
}

func openPostgres(ctx context.Context, url string) (store, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	p := &postgres{url: url, accepts: c}
	var there bool
	err = c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'idempotency')`).Scan(&there)
	if err == nil && !there {
		_, err = c.Exec(ctx, schema(postgresSchema))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the database: %w", err), c.Close(ctx))
	}
	return p, nil
}

func (p *postgres) close(ctx context.Context) error {
	err := p.accepts.Close(ctx)
	for _, t := range p.turns {
		err = errors.Join(err, t.conn.Close(ctx))
	}
	return err
}

// columns are the arrays of a group.
type columns struct {
	id, due              []int64
	app                  []int32
	shard, channel, lane []int16
	ref, recipient       []string
	key, body            [][]byte
	shards               []int16
}

func columnsOf(group []*message) (c columns) {
	var seen [shards]bool
	for _, m := range group {
		c.id, c.due, c.app = append(c.id, m.id), append(c.due, m.due), append(c.app, int32(m.app))
		c.shard, c.channel, c.lane = append(c.shard, int16(m.shard)), append(c.channel, int16(m.channel)), append(c.lane, int16(m.lane))
		c.ref, c.recipient, c.key, c.body = append(c.ref, m.ref), append(c.recipient, m.recipient), append(c.key, m.key), append(c.body, m.body)
		if !seen[m.shard] {
			seen[m.shard] = true
			c.shards = append(c.shards, int16(m.shard))
		}
	}
	return c
}

func (p *postgres) accept(ctx context.Context, group []*message) error {
	c := columnsOf(group)
	_, err := p.accepts.Exec(ctx, postgresAccept, c.id, c.app, c.shard, c.channel, c.lane, c.due, c.key, c.recipient, c.body)
	return err
}

func (p *postgres) own(ctx context.Context) error {
	err := p.accepts.QueryRow(ctx, `WITH o AS (UPDATE shard SET owner = $1, epoch = epoch + 1 RETURNING epoch) SELECT max(epoch) FROM o`, node).Scan(&p.epoch)
	if err != nil {
		return fmt.Errorf("take the shards: %w", err)
	}
	return nil
}

func (p *postgres) pipes(ctx context.Context, n int) ([]pipe, error) {
	cfg, err := pgx.ParseConfig(p.url)
	if err != nil {
		return nil, err
	}
	// Statements are planned while tables are small; these keep plans by index.
	for _, name := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		cfg.RuntimeParams[name] = "off"
	}
	var out []pipe
	for i := range max(n, 1) {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		t := &postgresPipe{conn: conn, epoch: p.epoch, place: int64(i), of: int64(max(n, 1))}
		p.turns = append(p.turns, t)
		out = append(out, t)
	}
	return out, nil
}

// postgresPipe is one connection that takes turns for its share of the shards.
type postgresPipe struct {
	conn      *pgx.Conn
	epoch     int64
	place, of int64
}

func (t *postgresPipe) mine(shard int64) bool { return shard%t.of == t.place }

func (t *postgresPipe) units(ctx context.Context) (out []unit, err error) {
	rows, err := t.conn.Query(ctx, postgresUnits)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (u unit, err error) {
		err = r.Scan(&u.shard, &u.app, &u.channel, &u.lane)
		return u, err
	})
	for _, u := range all {
		if t.mine(u.shard) {
			out = append(out, u)
		}
	}
	return out, err
}

func (t *postgresPipe) window(ctx context.Context, u unit, afterDue, afterID int64, limit int) ([]*message, error) {
	rows, err := t.conn.Query(ctx, postgresWindow, u.shard, u.app, u.channel, u.lane, afterDue, afterID, now(), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (*message, error) {
		m := &message{unit: u}
		return m, r.Scan(&m.due, &m.id)
	})
}

// turn sends both statements in one round trip, which is one transaction.
func (t *postgresPipe) turn(ctx context.Context, finish, start []*message) (out []*message, err error) {
	b := &pgx.Batch{}
	at := now()
	if len(finish) > 0 {
		c := columnsOf(finish)
		b.Queue(postgresFinish, node, t.epoch, c.shards, c.id, c.app, c.shard, c.channel, c.lane, c.due, c.ref, at)
	}
	byID := make(map[int64]*message, len(start))
	if len(start) > 0 {
		for _, m := range start {
			byID[m.id] = m
		}
		c := columnsOf(start)
		b.Queue(postgresStart, node, t.epoch, c.shards, c.id, c.app, c.channel, at)
	}
	answers := t.conn.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, answers.Close()) }()
	if len(finish) > 0 {
		if _, err := answers.Exec(); err != nil {
			return nil, fmt.Errorf("finish: %w", err)
		}
	}
	if len(start) == 0 {
		return nil, nil
	}
	rows, err := answers.Query()
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (*message, error) {
		var id int64
		var recipient string
		var body []byte
		if err := r.Scan(&id, &recipient, &body); err != nil {
			return nil, err
		}
		m := byID[id]
		m.recipient, m.body = recipient, body
		return m, nil
	})
}
