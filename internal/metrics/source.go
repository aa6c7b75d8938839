package metrics

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/dispatch"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/webhook"
)

// Sources is what is read when somebody asks. What is nil is not there in this process, and is left out.
type Sources struct {
	Dispatcher Dispatcher
	Receipts   interface{ Counts() receipt.Counts }
	Webhooks   interface{ Stats() webhook.Stats }
	Feed       interface{ Stats() feed.Stats }
	Filed      store.Filed
	Pooled     store.Pooled
	// Leads says whether this node reports what is in the database.
	Leads func() bool
	Store Stored
	Waits Waits
}

// Dispatcher is what is read of a worker.
type Dispatcher interface {
	Stats() dispatch.Stats
	Holds() map[string]int
	Configurations() map[string][dispatch.Unusable + 1]int
}

// Stored is what is read of the database.
type Stored interface {
	Now(ctx context.Context) (comm.Micros, error)
	LaneDepths(ctx context.Context, now comm.Micros, most int) ([]store.LaneDepth, bool, error)
	Tasks(ctx context.Context) ([]store.Task, error)
	Alerts(ctx context.Context, limit int) ([]store.Alert, error)
	AuditHead(ctx context.Context) (sequence int64, hash [32]byte, err error)
}

// Waits is what is read of the queue beside its depths; backlog.Service is one.
type Waits interface {
	Oldest(ctx context.Context, now comm.Micros) (map[backlog.Lane]comm.Micros, error)
}

// Watch says what is read from now on. Call it before anything is asked.
func (s *Set) Watch(from Sources) { s.source.from = from }

// source is the collector of what is read.
type source struct {
	descs map[string]*prometheus.Desc
	kinds map[string]Kind
	from  Sources

	mu       sync.Mutex
	sampled  sample
	next     time.Time
	running  bool
	failures uint64
}

// newSource makes the collector of every family that is not told to the Set.
func newSource(m maker) *source {
	s := &source{descs: map[string]*prometheus.Desc{}, kinds: map[string]Kind{}}
	for name, f := range m.families {
		if !m.told[name] {
			s.descs[name], s.kinds[name] = prometheus.NewDesc(f.Name, f.Help, f.Labels, nil), f.Kind
		}
	}
	return s
}

// Describe implements prometheus.Collector.
func (s *source) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		ch <- d
	}
}

// page is one answer.
type page struct {
	*source
	out chan<- prometheus.Metric
}

func (p page) add(name string, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if p.kinds[name] == Counter {
		kind = prometheus.CounterValue
	}
	p.out <- prometheus.MustNewConstMetric(p.descs[name], kind, value, labels...)
}

// Collect implements prometheus.Collector.
func (s *source) Collect(out chan<- prometheus.Metric) {
	p := page{s, out}
	if s.from.Dispatcher != nil {
		p.worker(s.from.Dispatcher)
	}
	if s.from.Receipts != nil {
		p.reports(s.from.Receipts.Counts())
	}
	if s.from.Webhooks != nil && s.from.Dispatcher != nil {
		p.hooks(s.from.Webhooks.Stats())
	}
	if s.from.Feed != nil && s.from.Dispatcher != nil {
		f := s.from.Feed.Stats()
		p.add("commserver_feed_events_total", float64(f.Stamped))
		p.add("commserver_feed_lag_seconds", f.Lag.Seconds())
	}
	p.files()
	p.pools()
	p.stored()
}

func one(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

func (p page) worker(d Dispatcher) {
	s := d.Stats()
	p.add("commserver_units", float64(s.Units))
	p.add("commserver_attempts_in_flight", float64(s.Critical), "yes")
	p.add("commserver_attempts_in_flight", float64(s.InFlight-s.Critical), "no")
	p.add("commserver_large_messages_bytes", float64(s.Bytes))
	p.add("commserver_shards_owned", float64(s.Shards))
	p.add("commserver_shards_closed", float64(s.Closed))
	p.add("commserver_shards_taken_total", float64(s.Taken))
	p.add("commserver_shards_lost_total", float64(s.Lost))
	p.add("commserver_workers", float64(s.Workers))
	p.add("commserver_worker_healthy", one(s.Healthy))
	p.add("commserver_changes_aside", float64(s.Aside))
	p.add("commserver_attempts_orphaned_total", float64(s.Orphans))
	held := d.Holds()
	for _, r := range chain.WaitReasons() {
		p.add("commserver_units_held", float64(held[r.Word]), r.Word)
	}
	for kind, n := range d.Configurations() {
		for i, state := range dispatch.Healths() {
			p.add("commserver_provider_configurations", float64(n[i]), kind, state)
		}
	}
}

func (p page) reports(c receipt.Counts) {
	for _, r := range []struct {
		result string
		n      int64
	}{{"stored", c.Stored}, {"forged", c.Forged}, {"unreadable", c.Unreadable}, {"moved", c.Moved}, {"logged", c.Logged}, {"known", c.Known}, {"parked", c.Parked}, {"dropped", c.Dropped}} {
		p.add("commserver_reports_total", float64(r.n), r.result)
	}
	p.add("commserver_report_questions_total", float64(c.Asked))
}

const million = 1e6 // microseconds of a second

func (p page) hooks(s webhook.Stats) {
	p.add("commserver_webhook_endpoints_waiting", float64(s.Overdue), "yes")
	p.add("commserver_webhook_endpoints_waiting", float64(s.Waiting-s.Overdue), "no")
	p.add("commserver_webhook_oldest_due_seconds", float64(s.Oldest)/million)
	p.add("commserver_webhook_calls_in_flight", float64(s.InFlight))
	p.add("commserver_webhook_queue_bytes", float64(s.Bytes))
}

func (p page) files() {
	if p.from.Filed == nil {
		return
	}
	database, log := p.from.Filed.Sizes()
	p.add("commserver_sqlite_file_bytes", float64(database), "database")
	p.add("commserver_sqlite_file_bytes", float64(log), "wal")
	if free, known := p.from.Filed.Free(); known {
		p.add("commserver_sqlite_free_bytes", float64(free))
	}
}

func (p page) pools() {
	if p.from.Pooled == nil {
		return
	}
	for _, x := range p.from.Pooled.Pools() {
		p.add("commserver_postgres_connections", float64(x.Used), x.Name, "used")
		p.add("commserver_postgres_connections", float64(x.Open-x.Used), x.Name, "idle")
		p.add("commserver_postgres_connections_max", float64(x.Most), x.Name)
		p.add("commserver_postgres_waits_total", float64(x.Waited), x.Name)
		p.add("commserver_postgres_wait_seconds_total", x.Waiting.Seconds(), x.Name)
		p.add("commserver_postgres_connections_opened_total", float64(x.Opened), x.Name)
	}
}

// stored adds what one node says of the database.
func (p page) stored() {
	v, failures := p.look()
	p.add("commserver_observation_failures_total", float64(failures))
	if v.at.IsZero() {
		return
	}
	for _, ch := range comm.Channels() {
		for lane := range comm.Lane(comm.LaneCount) {
			at := backlog.Lane{Channel: ch, Lane: lane}
			d := v.depths[at]
			p.add("commserver_queue_messages", float64(d.Due), ch.String(), lane.String(), "yes")
			p.add("commserver_queue_messages", float64(d.Later), ch.String(), lane.String(), "no")
			age := 0.0
			if since := v.oldest[at]; since != 0 {
				age = max(0, float64(v.now.Sub(since).Microseconds())/million+time.Since(v.at).Seconds())
			}
			p.add("commserver_queue_oldest_due_seconds", age, ch.String(), lane.String())
		}
	}
	p.add("commserver_queue_counted", one(!v.more))
	for _, t := range v.tasks {
		p.add("commserver_upkeep_done_total", float64(t.Total), t.Name)
		p.add("commserver_upkeep_reached_timestamp_seconds", float64(t.Reached)/million, t.Name)
		p.add("commserver_upkeep_finished_timestamp_seconds", float64(t.FinishedAt)/million, t.Name)
		p.add("commserver_upkeep_failed", one(t.Failed != ""), t.Name)
	}
	p.add("commserver_audit_entries_total", float64(v.audit))
	for _, k := range alert.Kinds() {
		p.add("commserver_alerts_open", float64(v.alerts[k.Word]), k.Word)
	}
}

// sample is what was read of the database.
type sample struct {
	at     time.Time // zero: nothing is known
	now    comm.Micros
	depths map[backlog.Lane]store.LaneDepth
	oldest map[backlog.Lane]comm.Micros
	more   bool
	tasks  []store.Task
	alerts map[string]int
	audit  int64
}

const (
	// countMost is how many messages of the queue are counted.
	countMost = 1_000_000
	// sampleEvery is how often the database is looked at, at most; restTimes is how many times as long as a look took the next one waits.
	sampleEvery = 10 * time.Second
	restTimes   = 50
	// sampleWait is how long a page waits for a look, and sampleTime how long that may take all the same.
	sampleWait = 2 * time.Second
	sampleTime = 30 * time.Second
	// sampleOld is the age from which what was read is not told any more.
	sampleOld = 5 * time.Minute
)

// look answers what is known of the database, after reading it when that is due. One reads for all who ask, and nobody waits for it for long.
func (s *source) look() (sample, uint64) {
	if s.from.Store == nil || s.from.Leads == nil || !s.from.Leads() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sampled, s.next = sample{}, time.Time{}
		return sample{}, s.failures
	}
	s.mu.Lock()
	var read chan struct{}
	if !s.running && !time.Now().Before(s.next) {
		s.running, read = true, make(chan struct{})
		go func() {
			defer close(read)
			s.read()
		}()
	}
	s.mu.Unlock()
	if read != nil {
		timer := time.NewTimer(sampleWait)
		defer timer.Stop()
		select {
		case <-read:
		case <-timer.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.sampled.at) > sampleOld {
		s.sampled = sample{}
	}
	out := s.sampled
	out.depths, out.alerts = maps.Clone(out.depths), maps.Clone(out.alerts)
	return out, s.failures
}

// read looks at the database and keeps what it found.
func (s *source) read() {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), sampleTime)
	defer cancel()
	v, err := s.sample(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.next = false, time.Now().Add(max(sampleEvery, restTimes*time.Since(began)))
	if err != nil {
		s.failures++
		return
	}
	s.sampled = v
}

func (s *source) sample(ctx context.Context) (v sample, err error) {
	if v.now, err = s.from.Store.Now(ctx); err != nil {
		return v, err
	}
	v.at, v.depths, v.alerts = time.Now(), map[backlog.Lane]store.LaneDepth{}, map[string]int{}
	depths, more, err := s.from.Store.LaneDepths(ctx, v.now, countMost)
	if err != nil {
		return v, err
	}
	v.more = more
	for _, d := range depths {
		v.depths[backlog.Lane{Channel: d.Channel, Lane: d.Lane}] = d
	}
	if v.oldest, err = s.from.Waits.Oldest(ctx, v.now); err != nil {
		return v, err
	}
	if v.tasks, err = s.from.Store.Tasks(ctx); err != nil {
		return v, err
	}
	alerts, err := s.from.Store.Alerts(ctx, alert.Listed)
	if err != nil {
		return v, err
	}
	for i := range alerts {
		if alerts[i].ClearedAt == 0 {
			v.alerts[alerts[i].Kind]++
		}
	}
	v.audit, _, err = s.from.Store.AuditHead(ctx)
	return v, err
}
