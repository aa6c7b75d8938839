// Package metrics is the door for Prometheus: what it serves under /metrics, and the one table of it (Families), from which docs/metrics.md
// and the tests of dashboards and rules follow.
//
// It promises that what happens often costs a few atomic additions and no more; that everything else is read from the engines, and of the
// database a little and seldom, when somebody asks; that no label holds an id, an address, a name or a text that a client or provider chose,
// so that the number of series does not depend on apps, configurations or messages; and that a page is answered although the database hangs.
// It keeps no global state: every Set has a registry of its own.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/provider"
)

// Set is the metrics of one process: it takes what is told to it, and reads its Sources when somebody asks. Its methods are safe for
// concurrent use, Watch apart, which is called once before the first of Handler's requests.
type Set struct {
	registry *prometheus.Registry
	source   *source

	submissions  [3][comm.LaneCount + 1][intake.OutcomeCount]prometheus.Counter // by channel, 0 being none, and lane
	latency      [3][comm.LaneCount]prometheus.Observer
	routes       memo[string, *answers]
	inFlight     prometheus.Gauge
	changes      memo[change, prometheus.Counter]
	calls        memo[string, *calls]
	failovers    *prometheus.CounterVec
	hookCalls    *prometheus.CounterVec
	hookTime     prometheus.Observer
	deliveries   *prometheus.CounterVec
	transactions [2]transaction
	lines        *prometheus.CounterVec
}

// answers is what is measured of a class of routes, by the first digit of the status.
type answers struct {
	codes [len(codes)]prometheus.Counter
	time  prometheus.Observer
}

var codes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// change is a way for a message to change.
type change struct {
	channel comm.Channel
	to      comm.Status
	cause   comm.Cause
}

// calls is what is measured of a type of providers, by class.
type calls struct {
	classes [provider.Ambiguous + 1]prometheus.Counter
	time    prometheus.Observer
}

// transaction is what is measured of one kind.
type transaction struct {
	time, items prometheus.Observer
	failures    prometheus.Counter
}

// New makes a Set. b is what it says of the program.
func New(b Build) *Set {
	s := &Set{registry: prometheus.NewPedanticRegistry()}
	m := maker{s.registry, map[string]Family{}, map[string]bool{}}
	for _, f := range Families() {
		m.families[f.Name] = f
	}
	requests, requestTime := m.counters("commserver_http_requests_total"), m.histograms("commserver_http_request_duration_seconds")
	s.routes.make = func(route string) *answers {
		a := &answers{time: requestTime.WithLabelValues(route)}
		for i, code := range codes {
			a.codes[i] = requests.WithLabelValues(route, code)
		}
		return a
	}
	s.inFlight = m.gauge("commserver_http_requests_in_flight")
	changes := m.counters("commserver_message_changes_total")
	s.changes.make = func(c change) prometheus.Counter {
		return changes.WithLabelValues(c.channel.String(), c.to.String(), c.cause.String())
	}
	attempts, attemptTime := m.counters("commserver_attempts_total"), m.histograms("commserver_attempt_duration_seconds")
	s.calls.make = func(kind string) *calls {
		c := &calls{time: attemptTime.WithLabelValues(kind)}
		for _, rule := range provider.Rules() {
			c.classes[rule.Class] = attempts.WithLabelValues(kind, rule.Name)
		}
		return c
	}
	s.failovers = m.counters("commserver_failovers_total")
	s.hookCalls, s.deliveries = m.counters("commserver_webhook_calls_total"), m.counters("commserver_webhook_deliveries_total")
	s.hookTime = m.histograms("commserver_webhook_call_duration_seconds").WithLabelValues()
	s.lines = m.counters("commserver_log_lines_total")
	s.prepare(m)
	m.gauges("commserver_build_info").WithLabelValues(b.Version, b.Go, b.Role, b.Store).Set(1)
	s.source = newSource(m)
	s.registry.MustRegister(s.source, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Build is what the program is.
type Build struct{ Version, Go, Role, Store string }

// none is the label where a request names nothing that there is.
const none = "none"

// prepare makes the series that are known beforehand, so that they begin at zero, and those of the hot path, so that nothing is looked up there.
func (s *Set) prepare(m maker) {
	submissions, latency := m.counters("commserver_submissions_total"), m.histograms("commserver_message_latency_seconds")
	for ch := range s.submissions {
		for lane := range s.submissions[ch] {
			channel, l := none, none
			if ch > 0 {
				channel = comm.Channel(ch).String()
			}
			if lane < comm.LaneCount {
				l = comm.Lane(lane).String()
			}
			for o := range s.submissions[ch][lane] {
				if (channel == none || l == none) && intake.Outcome(o) != intake.OutcomeInvalid {
					continue // such a request is never anything else
				}
				s.submissions[ch][lane][o] = submissions.WithLabelValues(channel, l, intake.Outcome(o).String())
			}
			if channel != none && l != none {
				s.latency[ch][lane] = latency.WithLabelValues(channel, l)
			}
		}
	}
	seconds, items, failures := m.histograms("commserver_store_transaction_seconds"), m.histograms("commserver_store_transaction_items"), m.counters("commserver_store_transaction_failures_total")
	for i, kind := range []string{"accept", "turn"} {
		s.transactions[i] = transaction{seconds.WithLabelValues(kind), items.WithLabelValues(kind), failures.WithLabelValues(kind)}
	}
	for _, e := range comm.Edges() {
		if e.From == comm.Queued || e.From == comm.Sending {
			for _, ch := range comm.Channels() {
				if by := e.Who; by == "worker" || by == "worker, recovery" {
					s.changes.of(change{ch, e.To, e.Cause})
				}
			}
		}
	}
	for _, level := range levels() {
		s.lines.WithLabelValues(level)
	}
	for _, result := range []string{taken, givenUp} {
		s.deliveries.WithLabelValues(result)
	}
}

// Handler answers with everything, in Prometheus' text form.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})
}

// Answered is told of requests to accept messages; see intake.Config.
func (s *Set) Answered(ch comm.Channel, lane comm.Lane, o intake.Outcome) {
	c := s.submissions[min(ch, comm.SMS)][min(lane, comm.LaneCount)][min(o, intake.OutcomeFailed)]
	if c == nil { // no channel or lane, and yet not refused for it: a replay of what was refused cannot be
		c = s.submissions[0][comm.LaneCount][intake.OutcomeInvalid]
	}
	c.Inc()
}

// Request is told of answers over HTTP: by class of route, with the status.
func (s *Set) Request(route string, status int, took time.Duration) {
	const hundreds = 100
	a := s.routes.of(route)
	first := status / hundreds
	if first < 1 || first > len(codes) {
		first = len(codes) // cut off before there was one
	}
	a.codes[first-1].Inc()
	a.time.Observe(took.Seconds())
}

// InFlight is told of requests that begin (1) and end (-1).
func (s *Set) InFlight(more int) { s.inFlight.Add(float64(more)) }

// Called implements dispatch.Meter.
func (s *Set) Called(providerType string, class provider.Class, took time.Duration) {
	c := s.calls.of(providerType)
	c.classes[class.Rule().Class].Inc()
	c.time.Observe(took.Seconds())
}

// FailedOver implements dispatch.Meter.
func (s *Set) FailedOver(providerType string) { s.failovers.WithLabelValues(providerType).Inc() }

// Changed implements dispatch.Meter.
func (s *Set) Changed(ch comm.Channel, to comm.Status, cause comm.Cause) {
	s.changes.of(change{ch, to, cause}).Inc()
}

// Sent implements dispatch.Meter.
func (s *Set) Sent(ch comm.Channel, lane comm.Lane, took time.Duration) {
	if l := s.latency[min(ch, comm.SMS)][min(lane, comm.Bulk)]; l != nil {
		l.Observe(max(0, took.Seconds()))
	}
}

const (
	taken   = "taken"
	givenUp = "given_up"
)

// Hooks is the Set as webhook.Meter.
func (s *Set) Hooks() Hooks { return Hooks{s} }

// Hooks implements webhook.Meter.
type Hooks struct{ set *Set }

// Called implements webhook.Meter.
func (h Hooks) Called(result string, took time.Duration) {
	h.set.hookCalls.WithLabelValues(result).Inc()
	h.set.hookTime.Observe(took.Seconds())
}

// Ended implements webhook.Meter.
func (h Hooks) Ended(ok bool) {
	result := givenUp
	if ok {
		result = taken
	}
	h.set.deliveries.WithLabelValues(result).Inc()
}

func (t *transaction) note(items int, began time.Time, err error) {
	t.time.Observe(time.Since(began).Seconds())
	t.items.Observe(float64(items))
	if err != nil {
		t.failures.Inc()
	}
}
