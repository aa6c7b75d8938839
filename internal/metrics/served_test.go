package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/dispatch"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/webhook"
)

// server is everything that there is to be read, made up.
type server struct {
	mu    sync.Mutex // a look may go on when its page was answered
	reads int
	err   error
	hangs chan struct{} // closed: it does not
}

// is changes how the database fares.
func (s *server) is(err error, hangs chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.hangs = err, hangs
}

func (s *server) looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (*server) Stats() dispatch.Stats {
	return dispatch.Stats{Shards: 64, Units: 3, InFlight: 5, Critical: 2, Healthy: true, Taken: 64, Workers: 1}
}
func (*server) Holds() map[string]int { return map[string]int{"provider_down": 2} }
func (*server) Configurations() map[string][dispatch.Unusable + 1]int {
	return map[string][dispatch.Unusable + 1]int{"smtp": {1, 0, 0, 2, 0}}
}
func (*server) Counts() receipt.Counts { return receipt.Counts{Stored: 7} }
func (*server) Sizes() (int64, int64)  { return 4096, 512 }
func (*server) Free() (uint64, bool)   { return 1 << 30, true }
func (*server) Pools() []store.PoolUse {
	return []store.PoolUse{{Name: "turns", Used: 1, Open: 3, Most: 4}}
}

func (s *server) Now(ctx context.Context) (comm.Micros, error) {
	s.mu.Lock()
	s.reads++
	hangs, err := s.hangs, s.err
	s.mu.Unlock()
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return comm.At(time.Now()), err
}

func (*server) LaneDepths(context.Context, comm.Micros, int) ([]store.LaneDepth, bool, error) {
	return []store.LaneDepth{{Channel: comm.SMS, Lane: comm.Bulk, Due: 8, Later: 9}}, false, nil
}

func (*server) Oldest(_ context.Context, now comm.Micros) (map[backlog.Lane]comm.Micros, error) {
	return map[backlog.Lane]comm.Micros{{Channel: comm.SMS, Lane: comm.Bulk}: now.Add(-3 * time.Second)}, nil
}

func (*server) Tasks(context.Context) ([]store.Task, error) {
	return []store.Task{{Name: "content", Total: 11, Reached: 2_500_000, Failed: "no"}}, nil
}
func (*server) Alerts(context.Context, int) ([]store.Alert, error) {
	return []store.Alert{{Kind: "provider_down"}, {Kind: "provider_down", ClearedAt: 1}}, nil
}
func (*server) AuditHead(context.Context) (int64, [32]byte, error) { return 12, [32]byte{}, nil }

type hooked struct{}

func (hooked) Stats() webhook.Stats { return webhook.Stats{Waiting: 5, Overdue: 2, Oldest: 1_500_000} }

type fed struct{}

func (fed) Stats() feed.Stats { return feed.Stats{Stamped: 3, Lag: time.Second} }

// full is a Set that was told something of everything, with sources of every kind.
func full(s *server) *Set {
	m := New(Build{"1.2.3", "go1.26", "all", "SQLite"})
	m.Watch(Sources{Dispatcher: s, Receipts: s, Webhooks: hooked{}, Feed: fed{}, Filed: s, Pooled: s, Leads: func() bool { return true }, Store: s, Waits: s})
	m.Answered(comm.Email, comm.Critical, intake.OutcomeAccepted)
	m.Answered(0, comm.LaneCount, intake.OutcomeInvalid)
	m.InFlight(1)
	m.Request("send", 202, 3*time.Millisecond)
	m.Called("smtp", provider.Accepted, 40*time.Millisecond)
	m.FailedOver("smtp")
	m.Changed(comm.Email, comm.Sent, comm.CauseProviderAccepted)
	m.Sent(comm.Email, comm.Normal, 70*time.Millisecond)
	m.Hooks().Called("5xx", time.Second)
	m.Hooks().Ended(false)
	return m
}

func gather(t *testing.T, m *Set) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range all {
		out[f.GetName()] = f
	}
	return out
}

// What is served is the table: the same names, types, words and labels, and nothing else of ours.
func TestWhatIsServedIsTheTable(t *testing.T) {
	t.Parallel()
	got := gather(t, full(new(server)))
	for _, want := range Families() {
		f := got[want.Name]
		if f == nil {
			t.Errorf("%s is not served", want.Name)
			continue
		}
		if strings.ToLower(f.GetType().String()) != want.Kind.String() || f.GetHelp() != want.Help {
			t.Errorf("%s is a %s: %s", want.Name, f.GetType(), f.GetHelp())
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			if sorted := slices.Sorted(slices.Values(want.Labels)); !slices.Equal(labels, sorted) {
				t.Errorf("%s has the labels %v, not %v", want.Name, labels, sorted)
			}
			if h := m.GetHistogram(); h != nil && len(h.GetBucket()) != len(want.Buckets) {
				t.Errorf("%s has %d buckets", want.Name, len(h.GetBucket()))
			}
		}
		delete(got, want.Name)
	}
	for name := range got {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is served, and not in the table", name)
		}
	}
}

// Prometheus' own linter has nothing to say, and values are what was told.
func TestThePage(t *testing.T) {
	t.Parallel()
	m := full(new(server))
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	if problems, err := promlint.New(strings.NewReader(body)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for _, line := range []string{
		`commserver_submissions_total{channel="EMAIL",lane="CRITICAL",result="accepted"} 1`,
		`commserver_submissions_total{channel="none",lane="none",result="invalid"} 1`,
		`commserver_submissions_total{channel="SMS",lane="BULK",result="limited"} 0`,
		`commserver_http_requests_total{code="2xx",route="send"} 1`,
		`commserver_attempt_duration_seconds_bucket{provider="smtp",le="0.05"} 1`,
		`commserver_attempt_duration_seconds_bucket{provider="smtp",le="0.025"} 0`,
		`commserver_attempts_total{class="accepted",provider="smtp"} 1`,
		`commserver_message_changes_total{cause="provider_accepted",channel="EMAIL",status="SENT"} 1`,
		`commserver_message_changes_total{cause="retry_unknown",channel="SMS",status="QUEUED"} 0`,
		`commserver_message_latency_seconds_count{channel="EMAIL",lane="NORMAL"} 1`,
		`commserver_units_held{reason="provider_down"} 2`, `commserver_provider_configurations{provider="smtp",state="down"} 2`,
		`commserver_attempts_in_flight{critical="no"} 3`, `commserver_queue_messages{channel="SMS",due="yes",lane="BULK"} 8`, `commserver_queue_messages{channel="SMS",due="no",lane="BULK"} 9`,
		`commserver_queue_messages{channel="EMAIL",due="yes",lane="NORMAL"} 0`, `commserver_queue_counted 1`, `commserver_alerts_open{alert="provider_down"} 1`,
		`commserver_upkeep_failed{task="content"} 1`, `commserver_upkeep_reached_timestamp_seconds{task="content"} 2.5`, `commserver_audit_entries_total 12`,
		`commserver_webhook_endpoints_waiting{due="no"} 3`, `commserver_webhook_oldest_due_seconds 1.5`, `commserver_webhook_deliveries_total{result="given_up"} 1`,
		`commserver_sqlite_file_bytes{file="wal"} 512`, `commserver_postgres_connections{pool="turns",state="idle"} 2`,
		`commserver_build_info{goversion="go1.26",role="all",store="SQLite",version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("not there: %s", line)
		}
	}
}

// What is in the database is read seldom, by one at a time, and a page is there although the database hangs or fails.
func TestTheDatabaseIsReadSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		m := full(s)
		for range 10 {
			gather(t, m)
		}
		if s.looks() != 1 {
			t.Errorf("%d reads", s.looks())
		}
		time.Sleep(2 * time.Second)
		for _, x := range gather(t, m)["commserver_queue_oldest_due_seconds"].GetMetric() {
			want := 0.0
			if at := x.GetLabel(); at[0].GetValue() == "SMS" && at[1].GetValue() == "BULK" {
				want = 5 // when it was read, and since
			}
			if x.GetGauge().GetValue() != want {
				t.Errorf("the oldest message of %v has been due for %v s, want %v", x.GetLabel(), x.GetGauge().GetValue(), want)
			}
		}
		time.Sleep(sampleEvery - 2*time.Second)
		s.is(errors.New("away"), nil)
		if got := gather(t, m); s.looks() != 2 || got["commserver_queue_messages"] == nil || got["commserver_observation_failures_total"].GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("%d reads, and what was known is forgotten", s.looks())
		}
		hangs := make(chan struct{})
		s.is(nil, hangs)
		time.Sleep(sampleEvery)
		began := time.Now()
		if gather(t, m); time.Since(began) != sampleWait || s.looks() != 3 {
			t.Errorf("a page took %v with a database that hangs, %d reads", time.Since(began), s.looks())
		}
		began = time.Now()
		if gather(t, m); time.Since(began) != 0 || s.looks() != 3 {
			t.Errorf("the next one took %v", time.Since(began))
		}
		time.Sleep(sampleOld)
		if got := gather(t, m); got["commserver_queue_messages"] != nil {
			t.Error("what was read long ago is still told")
		}
		close(hangs)
		time.Sleep(sampleTime)
		if got := gather(t, m); got["commserver_queue_messages"] != nil {
			t.Error("it is asked again before its time")
		}
		time.Sleep(restTimes * sampleTime)
		if got := gather(t, m); got["commserver_queue_messages"] == nil {
			t.Error("it is not asked again")
		}
		m.source.from.Leads = func() bool { return false }
		if got := gather(t, m); got["commserver_queue_messages"] != nil {
			t.Error("a node that does not lead reports the queue")
		}
	})
}

// Lines are counted by level, those that are not written are not.
func TestLinesAreCounted(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	log := m.Log(slog.New(slog.NewTextHandler(io.Discard, nil))).With("engine", "x").WithGroup("g")
	log.Debug("not written")
	log.Warn("one")
	log.Error("two")
	log.Error("three")
	got := map[string]float64{}
	for _, x := range gather(t, m)["commserver_log_lines_total"].GetMetric() {
		got[x.GetLabel()[0].GetValue()] = x.GetCounter().GetValue()
	}
	if got["debug"] != 0 || got["info"] != 0 || got["warn"] != 1 || got["error"] != 2 {
		t.Error(got)
	}
}

// BenchmarkTold is what the hot path pays for one message: accepted, called, sent.
func BenchmarkTold(b *testing.B) {
	m := full(new(server))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Answered(comm.Email, comm.Normal, intake.OutcomeAccepted)
			m.InFlight(1)
			m.Request("send", 202, 3*time.Millisecond)
			m.InFlight(-1)
			m.Called("smtp", provider.Accepted, 40*time.Millisecond)
			m.Changed(comm.Email, comm.Sent, comm.CauseProviderAccepted)
			m.Sent(comm.Email, comm.Normal, 70*time.Millisecond)
		}
	})
}
