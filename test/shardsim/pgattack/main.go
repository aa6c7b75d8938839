// Command pgattack runs the shard protocol of docs/decisions/0001-dispatch.md
// on a real PostgreSQL with several operating-system processes of itself and
// attacks them: SIGKILL, SIGSTOP past the lease, SIGTERM, accepts that commit
// out of order, notifications that get lost. The parent is the provider and
// keeps the ledger of its calls; at the end it compares ledger and tables.
//
//	go run ./test/shardsim/pgattack -dsn postgres://postgres@127.0.0.1:55431/postgres chaos -rounds 20
//	go run ./test/shardsim/pgattack takeover | heartbeat | snapshot | locks
//
// It is a small model with its own tables (schema attack, dropped and created
// anew); it does not use the product's code.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

type options struct {
	dsn        string
	lease      time.Duration
	nodes      int
	rounds     int
	seconds    int
	rate       int
	seed       uint64
	lostNotify float64
	id, sink   string
}

func main() {
	var o options
	flag.StringVar(&o.dsn, "dsn", "postgres://postgres@127.0.0.1:55431/postgres?sslmode=disable", "database to attack; its schema attack is dropped")
	flag.DurationVar(&o.lease, "lease", 2*time.Second, "lease of a node; heartbeats come five times as often")
	flag.IntVar(&o.nodes, "nodes", 3, "processes")
	flag.IntVar(&o.rounds, "rounds", 20, "faults in a chaos run, repeats in a take-over run")
	flag.IntVar(&o.seconds, "seconds", 5, "length of one measurement")
	flag.IntVar(&o.rate, "rate", 400, "messages a second accepted by each process")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the faults")
	flag.Float64Var(&o.lostNotify, "lostnotify", 0.3, "share of notifications that are not sent")
	flag.StringVar(&o.id, "id", "", "internal: id of a node process")
	flag.StringVar(&o.sink, "sink", "", "internal: address of the provider")
	flag.Parse()
	jobs := map[string]func(context.Context, options) error{
		"chaos": chaos, "takeover": takeover, "heartbeat": heartbeat, "snapshot": snapshot, "locks": locks, "node": runNode,
	}
	job, ok := jobs[flag.Arg(0)]
	if !ok {
		flag.Usage()
		os.Exit(2)
	}
	if err := job(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "pgattack:", err)
		os.Exit(1)
	}
}

const ddl = `DROP SCHEMA IF EXISTS attack CASCADE; CREATE SCHEMA attack;
CREATE TABLE attack.shards(shard smallint PRIMARY KEY, owner text NOT NULL DEFAULT '', epoch bigint NOT NULL DEFAULT 0);
CREATE TABLE attack.nodes(id text PRIMARY KEY, lease_until timestamptz NOT NULL, leaving bool NOT NULL DEFAULT false);
CREATE TABLE attack.state(id bigint PRIMARY KEY, shard smallint NOT NULL, app int NOT NULL, status smallint NOT NULL DEFAULT 0, due bigint NOT NULL,
 attempts smallint NOT NULL DEFAULT 0, open smallint NOT NULL DEFAULT 0, epoch bigint NOT NULL DEFAULT 0, unknown smallint NOT NULL DEFAULT 0, proofs smallint NOT NULL DEFAULT 0);
CREATE INDEX ON attack.state(shard) WHERE status = 1;
CREATE TABLE attack.queue(shard smallint NOT NULL, app int NOT NULL, due bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY(shard, app, due, id));
CREATE TABLE attack.event(id bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), kind text NOT NULL, attempt smallint, epoch bigint, node text);
CREATE TABLE attack.moves(at timestamptz NOT NULL DEFAULT clock_timestamp(), kind text NOT NULL, shard smallint NOT NULL, epoch bigint NOT NULL, node text NOT NULL);
ALTER TABLE attack.queue SET (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=10000, autovacuum_vacuum_cost_delay=0);
INSERT INTO attack.shards(shard) SELECT generate_series(0, 63);`

// connect opens a worker's connection: no plans that read tables whole, and no
// transaction that outlives a stopped client by more than half a lease.
func connect(ctx context.Context, o options) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(o.dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the dsn: %w", err)
	}
	for _, k := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		cfg.RuntimeParams[k] = "off"
	}
	cfg.RuntimeParams["search_path"] = "attack"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(o.lease.Milliseconds() / 2)
	cfg.RuntimeParams["statement_timeout"] = "5000"
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return c, nil
}
