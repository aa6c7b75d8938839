package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/test/pgtest"
)

// TestReportsWhileNobodyLeads: the node that leads is killed while two messages wait for the answers of their provider. Of one a
// report lies in the database that the dead node had stored; of the other one the node that is left has taken a report, which waits
// for the answer. Then the provider hangs up. Nobody leads for up to ten seconds, the retry is due after one: the reports are applied
// first, and the provider is called once for each message.
func TestReportsWhileNobodyLeads(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	ring := newKeys(t, "k1")["k1"]
	node := func() *process {
		return serveMail(t, t.TempDir(), "COMMS_DATABASE_URL="+database, "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS="+ring, "COMMS_RETRY_SCHEDULE=1s,1h")
	}
	s, err := postgres.Open(t.Context(), postgres.Options{URL: database, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	silent := newSilentProvider(t)

	first := node()
	alone := owners(t, database, 1)
	second := node()
	split := owners(t, database, 2)
	leader, left := first, second
	if split[0] != alone[0] {
		leader, left = second, first
	}
	a, app := left.appBeside(t, split, split[0])
	made := left.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "NALO", "config": map[string]any{"authKey": "hidden-key", "senderId": "SHOP", "baseUrl": silent.url}})
	config, err := comm.ParseID(fmt.Sprint(made["id"]))
	if err != nil {
		t.Fatal(err)
	}
	left.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
	var ids []string
	for _, to := range []string{"233244000001", "233244000002"} {
		ids = append(ids, fmt.Sprint(left.call(a, nil, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "SMS", "to": to, "body": "Your code is 4711"})["id"]))
	}
	silent.wait(len(ids))

	if err := leader.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-leader.exited
	says := func(id string) string {
		return url.Values{"cs_m": {id}, "cs_a": {"1"}, "job_id": {"j-" + id}, "status": {"DELIVRD"}}.Encode()
	}
	now, err := s.Now(t.Context())
	if err == nil {
		err = s.Receive(t.Context(), []store.Receipt{{ID: comm.NewID(now), Owner: app, Provider: config, Type: "NALO", At: now, Method: http.MethodGet, Query: []byte(says(ids[0]))}})
	}
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(fmt.Sprint(made["callbackUrl"]) + "?" + says(ids[1]))
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("the report is answered %d", res.StatusCode)
	}
	close(silent.hangUp)

	for _, id := range ids {
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			m := left.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
			if m["attempts"] != 1.0 {
				t.Fatalf("it was tried again: %v", m)
			}
			if m["status"] == "DELIVERED" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%v", m)
			}
		}
	}
	if n := silent.count(); n != len(ids) {
		t.Errorf("%d calls for %d messages", n, len(ids))
	}
}

// silentProvider takes requests and hangs up without an answer once it is told to.
type silentProvider struct {
	t      *testing.T
	url    string
	hangUp chan struct{}
	mu     sync.Mutex
	calls  int
}

func newSilentProvider(t *testing.T) *silentProvider {
	p := &silentProvider{t: t, hangUp: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		p.mu.Lock()
		p.calls++
		p.mu.Unlock()
		select {
		case <-p.hangUp:
		case <-t.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *silentProvider) count() int { p.mu.Lock(); defer p.mu.Unlock(); return p.calls }

func (p *silentProvider) wait(n int) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); p.count() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%d calls, want %d", p.count(), n)
		}
	}
}

// owners waits until every shard has one of n owners who share them evenly, and answers who owns which.
func owners(t *testing.T, database string, n int) []string {
	t.Helper()
	c, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		rows, err := c.Query(t.Context(), "SELECT owner FROM shards ORDER BY shard")
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		share := map[string]int{}
		for _, owner := range all {
			share[owner]++
		}
		if len(all) == int(comm.ShardCount) && len(share) == n && !slices.Contains(all, "") && share[all[0]] == len(all)/n {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("the shards belong to %v", share)
		}
	}
}

// appBeside makes apps until one is in a shard of another node than the one that leads.
func (p *process) appBeside(t *testing.T, owners []string, leader string) (tenant, comm.ID) {
	t.Helper()
	for i := range 200 {
		slug := fmt.Sprintf("app-%d", i)
		made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
			map[string]any{"name": "Test", "slug": slug, "scopes": strings.Fields("SEND READ PROVIDERS")})
		id, err := comm.ParseID(fmt.Sprint(made["app"].(map[string]any)["id"]))
		if err != nil {
			t.Fatal(err)
		}
		if owners[comm.ShardOf(id, comm.ID{}, 1)] != leader {
			return tenant{id: slug, key: fmt.Sprint(made["apiKey"])}, id
		}
	}
	t.Fatal("no app is in a shard of the other node")
	return tenant{}, comm.ID{}
}
