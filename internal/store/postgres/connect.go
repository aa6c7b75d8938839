package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 5 * time.Second
	// oldestServer is the first version that has everything used here, as server_version_num.
	oldestServer = 140000
)

// setting is one of the server's parameters.
type setting struct{ name, value string }

// sessionSettings hold for every connection. Statements are prepared while tables
// are small and kept while they grow: plans that read a table whole are never
// wanted, and each hot statement has exactly one index that can serve it. A
// transaction that a stopped process leaves open ends by itself before the
// next owner of its shards has to wait for it.
func sessionSettings() []setting {
	return []setting{
		{"enable_seqscan", "off"}, {"enable_bitmapscan", "off"}, {"enable_hashjoin", "off"}, {"enable_mergejoin", "off"}, {"jit", "off"},
		{"idle_in_transaction_session_timeout", "5s"},
	}
}

// hotSettings are for accepts, turns and heartbeats: an abandoned statement must
// not commit long after its caller gave up, and no time goes into planning.
func hotSettings() []setting {
	return append(sessionSettings(), setting{"statement_timeout", "5s"}, setting{"plan_cache_mode", "force_generic_plan"})
}

// acceptSettings are for accepts, whose callers wait: see acceptWait.
func acceptSettings() []setting {
	return append(hotSettings(), setting{"lock_timeout", milliseconds(acceptWait)})
}

// turnWait is how long a turn waits for a lock: for an accept's, a CANCEL's or another node's until its commit as a rule. Where
// somebody keeps a transaction open instead, the turn is refused and halved until the row that is locked stands aside (dispatch,
// aside.go), which takes eight waits for the largest one; statement_timeout would bound each of them by five seconds only.
// The server sets a timer when it begins to wait: a turn that need not wait pays nothing.
const turnWait = 500 * time.Millisecond

// turnSettings are for turns, all of which wait for one of them.
func turnSettings() []setting {
	return append(hotSettings(), setting{"lock_timeout", milliseconds(turnWait)})
}

// readSettings are for lists and look-ups. Nothing is sorted that an index can
// answer in order: that is how a list names its index (see rangeSQL).
func readSettings() []setting {
	return append(sessionSettings(), setting{"statement_timeout", "30s"}, setting{"enable_sort", "off"})
}

// localSettings is the statement that makes the settings for one transaction: what
// connections behind a pooler get instead of session parameters, which a pooler
// refuses or hands to somebody else. A plan is made for each call there, so that
// nothing is said about kept plans.
func localSettings(settings []setting) string {
	var b strings.Builder
	b.WriteString(`SELECT set_config('synchronous_commit', ` + durable + `, true)`)
	for _, x := range settings {
		if x.name != "plan_cache_mode" {
			fmt.Fprintf(&b, ", set_config('%s', '%s', true)", x.name, x.value)
		}
	}
	return b.String()
}

// durable is synchronous_commit as it stands, or "on" where a role or database has switched it off.
const durable = `CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END`

// inspect connects once, refuses servers that cannot be used and finds out
// whether a pooler stands between: the process that a pooler names when a
// connection begins is not the one that answers.
func (s *Store) inspect(ctx context.Context, base *pgx.ConnConfig) (pooler bool, err error) {
	c, err := pgx.ConnectConfig(ctx, base.Copy())
	if err != nil {
		return false, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = c.Close(ctx) }()
	var pid, version int64
	var recovering bool
	var fsync string
	err = c.QueryRow(ctx, `SELECT pg_backend_pid(), current_setting('server_version_num')::bigint, pg_is_in_recovery(), current_setting('fsync')`,
		pgx.QueryExecModeSimpleProtocol).Scan(&pid, &version, &recovering, &fsync)
	switch {
	case err != nil:
		return false, fmt.Errorf("look at the PostgreSQL server: %w", err)
	case version < oldestServer:
		return false, fmt.Errorf("PostgreSQL %d is too old: version %d or newer is needed", version/10000, oldestServer/10000)
	case recovering:
		return false, errors.New("the PostgreSQL server is a standby that cannot be written to: connect to the primary")
	}
	if fsync != "on" {
		s.log.Warn("fsync is off on the PostgreSQL server: accepted messages do not survive a power cut")
	}
	return uint32(pid) != c.PgConn().PID(), nil
}

// TakesNone says of an error of Open that the server takes no connections now and may soon: it is not there, it starts or stops, or what
// stands before it has nobody behind it. A server that refuses a password or knows no such database is another matter.
func TakesNone(err error) bool {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return said.Code == cannotConnectNow
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
		return false
	}
	dial, ok := errors.AsType[*net.OpError](err)
	_, nameless := errors.AsType[*net.DNSError](err)
	return ok && (dial.Op == "dial" || dial.Op == "read") || nameless || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.Timeout(err)
}

// cannotConnectNow is the SQLSTATE of a server that starts, recovers or stops.
const cannotConnectNow = "57P03"

// openPools makes the pools. They connect when they are first used and again after a loss.
func (s *Store) openPools(ctx context.Context, base *pgxpool.Config) (err error) {
	g := &gate{dial: base.ConnConfig.DialFunc}
	for _, p := range []struct {
		pool     **pgxpool.Pool
		conns    int32
		settings []setting
	}{
		{&s.accepts, acceptConns, acceptSettings()}, {&s.turns, turnConns, turnSettings()},
		{&s.control, controlConns, hotSettings()}, {&s.reads, readConns, readSettings()},
	} {
		cfg := base.Copy()
		cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = p.conns, 0, 0
		cfg.PingTimeout = connectTimeout
		cfg.ConnConfig.DialFunc = g.connect
		// A pooler breaks named prepared statements; unnamed ones with remembered
		// types cost a plan for each call and no round trip. Otherwise plans are kept.
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
		if s.pooled {
			cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		} else {
			for _, x := range p.settings {
				if _, given := cfg.ConnConfig.RuntimeParams[x.name]; !given {
					cfg.ConnConfig.RuntimeParams[x.name] = x.value
				}
			}
		}
		cfg.AfterConnect = s.afterConnect
		if *p.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
			return fmt.Errorf("open connections to PostgreSQL: %w", err)
		}
	}
	return nil
}

func (s *Store) afterConnect(ctx context.Context, c *pgx.Conn) error {
	learnLists(c.TypeMap())
	if s.pooled {
		return nil
	}
	if _, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', `+durable+`, false)`, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("make commits durable: %w", err)
	}
	return nil
}

const (
	firstPause = 25 * time.Millisecond
	lastPause  = time.Second
)

// gate spaces the attempts to reach a server that does not answer.
type gate struct {
	dial  pgconn.DialFunc
	mu    sync.Mutex
	pause time.Duration
	next  time.Time
}

func (g *gate) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	g.mu.Lock()
	wait := time.Until(g.next)
	g.mu.Unlock()
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c, err := g.dial(ctx, network, addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.pause, g.next = 0, time.Time{}
		return c, nil
	}
	g.pause = min(max(2*g.pause, firstPause), lastPause)
	g.next = time.Now().Add(g.pause)
	return nil, err
}
