package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/prove"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/pgtest"
)

// TestThreeNodesSurviveAKillAndAPause: three processes on one PostgreSQL under
// load. One is killed with SIGKILL; later another one stands still longer than its
// lease and goes on. No accepted message is lost, every extra copy belongs to an
// attempt whose outcome is recorded as unknown, and the time until somebody else
// owns the shards is logged.
func TestThreeNodesSurviveAKillAndAPause(t *testing.T) {
	n := size(5000, 100_000)
	lease := size(3*time.Second, 10*time.Second)
	w := onPostgres(t, pgtest.Database(t))
	w.env = append(w.env, "COMMS_LEASE="+lease.String(), "COMMS_HEARTBEAT="+(lease/5).String())
	to := newSink(t)
	c := &cluster{world: w, sink: to, entries: map[string]*prove.Entry{}, apps: make([]tenant, 32), policies: make([]string, 32), began: make([]atomic.Int64, 32)}
	to.hold = c.hold
	w.open(func(ctx context.Context, s store.Store) (err error) {
		for i := range c.apps {
			c.policies[i] = comm.UnknownPolicy(i % 2).String()
			if c.apps[i], err = newTenant(ctx, s, fmt.Sprintf("app-%d", i), func(a *comm.App) { a.OnUnknown = comm.UnknownPolicy(i % 2) }); err != nil {
				return err
			}
		}
		return sendTo(ctx, s, to.addr, comm.ProviderLimits{})
	})
	c.start(3)
	// The load lasts through both faults: as fast as that needs.
	finish := c.load(n, 3*lease+size(4*time.Second, 10*time.Second))

	c.reach(n / 5)
	victim := c.nodes[2]
	owned := c.owned(victim.name)
	c.underWay(owned)
	at := time.Now()
	victim.p.kill()
	c.door.Store(&[]string{c.nodes[0].p.url, c.nodes[1].p.url})
	c.report("SIGKILL", owned, at, c.takenOver(victim.name, 3*lease), lease)

	c.reach(n / 2)
	victim = c.nodes[1]
	owned, at = c.owned(victim.name), time.Now()
	victim.p.signal(syscall.SIGSTOP)
	c.door.Store(&[]string{c.nodes[0].p.url})
	c.report("SIGSTOP", owned, at, c.takenOver(victim.name, 3*lease), lease)
	time.Sleep(lease / 2)
	victim.p.signal(syscall.SIGCONT)
	c.door.Store(&[]string{c.nodes[0].p.url, c.nodes[1].p.url})
	finish()
	t.Logf("all %d messages accepted, %d handed over", n, to.copies())

	found := prove.Check(c.evidence())
	t.Logf("load %s; accepted %d  lost %d  invented %d  stuck %d  copies %d  extra %d  unknown attempts %d  unexplained %d", machineLoad(), found.Accepted,
		found.Lost, found.Invented, found.Stuck, found.Copies, found.Extra, found.Unknown, found.Unexplained)
	for _, v := range found.Violations {
		t.Error(v)
	}
	if found.Accepted != n || found.Unknown == 0 {
		t.Errorf("%d messages accepted, %d attempts unknown: the run did not test what it is for", found.Accepted, found.Unknown)
	}
	for _, x := range c.nodes[:2] {
		x.p.end()
	}
}

// cluster is several processes on one database, with what clients know of them.
type cluster struct {
	*world
	sink     *sink
	began    []atomic.Int64 // when the sink got an app's latest message, in Unix nanoseconds
	apps     []tenant
	policies []string
	nodes    []clusterNode
	door     atomic.Pointer[[]string] // processes that may be asked
	conn     *pgx.Conn

	mu      sync.Mutex
	entries map[string]*prove.Entry
	taken   atomic.Int64
}

type clusterNode struct {
	p    *process
	name string // how it calls itself in the table of shards
}

// start starts the processes one after the other, so that each one's name is learnt.
func (c *cluster) start(n int) {
	c.t.Helper()
	known, urls := map[string]bool{"": true}, []string(nil)
	for range n {
		p := c.serve()
		if c.conn == nil {
			var err error
			if c.conn, err = pgx.Connect(c.t.Context(), c.url); err != nil {
				c.t.Fatal(err)
			}
			c.t.Cleanup(func() { _ = c.conn.Close(context.Background()) })
		}
		name := ""
		if !until(time.Minute, func() bool {
			for owner := range c.owners() {
				if !known[owner] {
					name = owner
					return true
				}
			}
			return false
		}) {
			c.t.Fatalf("a new node gets no shards\n%s", p.complaints())
		}
		known[name] = true
		c.nodes, urls = append(c.nodes, clusterNode{p, name}), append(urls, p.url)
	}
	c.door.Store(&urls)
	share := comm.ShardCount / n
	if !until(time.Minute, func() bool {
		for _, shards := range c.owners() {
			if len(shards) < share-1 || len(shards) > share+1 {
				return false
			}
		}
		return len(c.owners()) == n
	}) {
		c.t.Fatalf("the shards are not shared fairly: %v", c.owners())
	}
}

// owners is who owns which shards.
func (c *cluster) owners() map[string][]comm.Shard {
	c.t.Helper()
	out := map[string][]comm.Shard{}
	rows, err := c.conn.Query(c.t.Context(), `SELECT shard, owner FROM shards`)
	if err != nil {
		c.t.Fatal(err)
	}
	var shard int16
	var owner string
	if _, err := pgx.ForEachRow(rows, []any{&shard, &owner}, func() error {
		out[owner] = append(out[owner], comm.Shard(shard))
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *cluster) owned(name string) []comm.Shard { return c.owners()[name] }

// takenOver waits until a node owns nothing any more.
func (c *cluster) takenOver(name string, limit time.Duration) time.Duration {
	c.t.Helper()
	at := time.Now()
	if !until(limit, func() bool { return len(c.owners()[name]) == 0 }) {
		c.t.Fatalf("after %s the node that is gone still owns %d shards", limit, len(c.owners()[name]))
	}
	return time.Since(at)
}

// report logs the take-over, and when the first message of each app that waited was sent again.
func (c *cluster) report(what string, owned []comm.Shard, at time.Time, took, lease time.Duration) {
	c.t.Helper()
	var again figures
	for i := range c.apps {
		if !slices.Contains(owned, comm.ShardOf(c.apps[i].app.ID, comm.ID{}, 1)) {
			continue
		}
		prefix := fmt.Sprintf("a%dx", i)
		var first time.Duration
		if !until(2*lease, func() bool {
			for _, d := range spread(c.sink, prefix, at.Add(took)) {
				if d >= 0 && (first == 0 || d < first) {
					first = max(d, 1)
				}
			}
			return first > 0
		}) {
			c.t.Errorf("%s: app %d sends nothing after the take-over", what, i)
		}
		again = append(again, took+first)
	}
	c.t.Logf("%s of the owner of %d shards, lease %s: owned by others after %s; their apps send again after %s", what, len(owned), lease, short(took), again)
}

const clients = 16

// load posts n messages spread over at least the given time.
// The answer waits for their end.
func (c *cluster) load(n int, over time.Duration) (finish func()) {
	var wg sync.WaitGroup
	every := clients * over / time.Duration(n)
	for k := range clients {
		wg.Go(func() {
			next := time.Now()
			for i := k; i < n; i += clients {
				time.Sleep(time.Until(next))
				next = next.Add(every)
				c.one(i)
			}
		})
	}
	return wg.Wait
}

// one posts the i-th message until some node answers.
func (c *cluster) one(i int) {
	app := i / clients % len(c.apps) // every client serves every app: one that waits for a stopped node holds up none
	e := &prove.Entry{App: app, Key: fmt.Sprintf("k%d", i), Name: fmt.Sprintf("a%dx%d", app, i), IDs: map[string]bool{}}
	for try := i; ; try++ {
		urls := *c.door.Load()
		status, id, answer, err := post(urls[try%len(urls)], c.apps[app], mail(e.Name, "NORMAL", e.Key, ""))
		if err != nil || status == http.StatusServiceUnavailable {
			e.Lost++
			time.Sleep(20 * time.Millisecond)
			continue
		}
		switch status {
		case http.StatusAccepted:
			e.New++
			fallthrough
		case http.StatusOK:
			e.OK++
			e.IDs[id] = true
		default:
			e.Bad = append(e.Bad, fmt.Sprintf("%d %s", status, answer))
		}
		c.mu.Lock()
		c.entries[e.Key] = e
		c.mu.Unlock()
		c.taken.Add(1)
		return
	}
}

// reach waits until so many are accepted.
func (c *cluster) reach(n int) {
	c.t.Helper()
	if !until(5*time.Minute, func() bool { return int(c.taken.Load()) >= n }) {
		c.t.Fatalf("only %d of %d messages accepted", c.taken.Load(), n)
	}
}

const held = 100 * time.Millisecond // how long the sink takes for an answer

// hold notes whose message came, and keeps its answer back.
func (c *cluster) hold(local string) time.Duration {
	var app, i int
	if _, err := fmt.Sscanf(local, "a%dx%d", &app, &i); err == nil && app < len(c.began) {
		c.began[app].Store(time.Now().UnixNano())
	}
	return held
}

// underWay waits until a message of an app in one of the shards is being answered. Apps
// send one after the other: at a moment of chance their owner often has no call under way.
func (c *cluster) underWay(shards []comm.Shard) {
	c.t.Helper()
	if !until(time.Minute, func() bool {
		for i := range c.apps {
			if slices.Contains(shards, comm.ShardOf(c.apps[i].app.ID, comm.ID{}, 1)) && time.Since(time.Unix(0, c.began[i].Load())) < held/4 {
				return true
			}
		}
		return false
	}) {
		c.t.Fatal("the node that is to be killed sends nothing")
	}
}

// evidence reads every message back once nothing is under way any more.
func (c *cluster) evidence() prove.Evidence {
	c.t.Helper()
	ev := prove.Evidence{Entries: slices.Collect(maps.Values(c.entries)), Policies: c.policies, Messages: map[string]*prove.Message{}}
	open := ev.Entries
	for deadline := time.Now().Add(2 * time.Minute); len(open) > 0 && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var mu sync.Mutex
		var left []*prove.Entry
		if err := within(open, func(e *prove.Entry) error {
			for id := range e.IDs {
				status, answer, err := call(c.nodes[0].p.url, c.apps[e.App], http.MethodGet, "/api/v1/messages/"+id, nil)
				if err != nil || status != http.StatusOK && status != http.StatusNotFound {
					return fmt.Errorf("read %s: %d %s %w", id, status, answer, err)
				}
				var m *prove.Message
				if status == http.StatusOK {
					if err := json.Unmarshal(answer, &m); err != nil {
						return err
					}
				}
				mu.Lock()
				ev.Messages[id] = m
				if m != nil && (m.Status == "QUEUED" || m.Status == "SENDING") {
					left = append(left, e)
				}
				mu.Unlock()
			}
			return nil
		}); err != nil {
			c.t.Fatal(err)
		}
		open = left
	}
	ev.Ledger = c.sink.ledger()
	return ev
}
