// Package stats answers how many messages an app, or all of them, had lately,
// what became of them and how long they took.
//
// It promises that every count is exact, whatever ended a process in between, and
// that an answer costs the same however long the history is: it reads one row for
// each minute, hour or day. Waits are known to within 10 %. Run keeps what is not
// folded yet small; without it the answers are the same, but dearer with each transaction.
package stats

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
)

// Config is what a service needs.
type Config struct {
	Store store.Stats
	Apps  store.Apps
	// Now is the database's clock.
	Now func(context.Context) (comm.Micros, error)
	Log *slog.Logger
}

// Service answers and folds. It is safe for concurrent use.
type Service struct {
	cfg     Config
	folding outage.Report
}

// New makes a service.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, folding: outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "statistics are not folded; they stay exact, but answers take longer",
		Works: "statistics are folded again"}}
}

const (
	foldEvery = time.Second
	// Where so many rows are written at once, mostly one for each app, they are written less often.
	manyRows   = 1000
	foldSeldom = 10 * time.Second
)

// Run folds until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for {
		rows, err := 0, error(nil)
		for more := true; more && err == nil && ctx.Err() == nil; {
			var f store.Folded
			f, err = s.cfg.Store.Fold(ctx)
			rows, more = rows+f.Rows, f.More
		}
		pause := foldEvery
		if rows > manyRows {
			pause = foldSeldom
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.folding.Failed(err)
		default:
			s.folding.Worked()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause - pause/10 + rand.N(pause/5)): // nodes come one after the other
		}
	}
}

// Window is a span that ends now, in steps of a chart.
type Window struct {
	Name  string
	Step  comm.Micros
	Steps int
}

// Windows are those that may be asked for, the shortest first. Their steps are no
// shorter than the rows that are kept for them.
func Windows() []Window {
	return []Window{{"1h", store.Minute, 60}, {"24h", store.Hour, 24}, {"7d", store.Hour, 7 * 24}, {"30d", store.Day, 30}}
}

// DefaultWindow is the name of the one that is taken when none is asked for.
const DefaultWindow = "24h"

// WindowNamed finds one by its name.
func WindowNamed(name string) (Window, bool) {
	all := Windows()
	if i := slices.IndexFunc(all, func(w Window) bool { return w.Name == name }); i >= 0 {
		return all[i], true
	}
	return Window{}, false
}

// Messages counts messages by the status that they came to.
type Messages struct {
	Accepted, Retried, Sent, Delivered, Failed, Suppressed, Cancelled int64
}

// Wait is how long messages took. The quantiles are zero when there are none.
type Wait struct {
	Count         int64
	P50, P95, P99 time.Duration
}

// Latency is how long messages took until they were SENT.
type Latency struct {
	Accepted Wait // from acceptance, of those that were to be sent at once
	Due      Wait // from when each was due: its scheduledAt, or its acceptance
}

// Channel is the part of a channel.
type Channel struct {
	Channel  comm.Channel
	Messages Messages
	Latency  Latency
}

// Provider is what became of the attempts with a type of provider.
type Provider struct {
	Provider                                   string
	Channel                                    comm.Channel
	Attempts, Sent, Failed, Throttled, Unknown int64
}

// Step is one step of a chart.
type Step struct {
	At       comm.Micros
	Messages Messages
}

// AppShare is the part of an app; Slug and Name are empty when it is deleted.
type AppShare struct {
	App        comm.ID
	Slug, Name string
	Messages   Messages
}

// Report answers a question.
type Report struct {
	Window    Window
	From, To  comm.Micros
	Messages  Messages
	Latency   Latency
	Channels  []Channel  // every channel
	Providers []Provider // by name and channel
	Steps     []Step     // the oldest first
	Apps      []AppShare // of all apps only: those that accepted most
}

// topApps is how many apps a report of all of them names.
const topApps = 10

// App reports on one app.
func (s *Service) App(ctx context.Context, app comm.ID, w Window) (*Report, error) {
	r, _, err := s.report(ctx, app, w)
	return r, err
}

// All reports on all apps together.
func (s *Service) All(ctx context.Context, w Window) (*Report, error) {
	r, periods, err := s.report(ctx, comm.ID{}, w)
	if err != nil {
		return nil, err
	}
	top := store.Top{}
	for i := range periods {
		top.Add(periods[i].Top)
	}
	ids := top.First(topApps)
	parts, err := s.cfg.Store.Periods(ctx, ids, r.From)
	if err != nil {
		return nil, err
	}
	known, err := s.cfg.Apps.AppsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		share := AppShare{App: id}
		if at := slices.IndexFunc(known, func(a comm.App) bool { return a.ID == id }); at >= 0 {
			share.Slug, share.Name = known[at].Slug, known[at].Name
		}
		for _, p := range parts[i] {
			share.Messages.add(p.Counts, 0)
		}
		r.Apps = append(r.Apps, share)
	}
	slices.SortStableFunc(r.Apps, func(a, b AppShare) int { return int(b.Messages.Accepted - a.Messages.Accepted) })
	return r, nil
}

func (s *Service) report(ctx context.Context, app comm.ID, w Window) (*Report, []store.Period, error) {
	now, err := s.cfg.Now(ctx)
	if err != nil {
		return nil, nil, err
	}
	from := now - now%w.Step - comm.Micros(w.Steps-1)*w.Step
	lists, err := s.cfg.Store.Periods(ctx, []comm.ID{app}, from)
	if err != nil {
		return nil, nil, err
	}
	return makeReport(w, from, now, lists[0]), lists[0], nil
}

// makeReport adds periods up.
func makeReport(w Window, from, now comm.Micros, periods []store.Period) *Report {
	r := &Report{Window: w, From: from, To: now, Steps: make([]Step, w.Steps)}
	for i := range r.Steps {
		r.Steps[i].At = from + comm.Micros(i)*w.Step
	}
	total := store.Counts{}
	for i := range periods {
		p := &periods[i]
		total.Add(p.Counts)
		// What a transaction near now counted may bear a time after it.
		r.Steps[max(0, min(int((p.Start-from)/w.Step), w.Steps-1))].Messages.add(p.Counts, 0)
	}
	r.Messages.add(total, 0)
	r.Latency = latencyOf(total, 0)
	for _, ch := range comm.Channels() {
		c := Channel{Channel: ch, Latency: latencyOf(total, ch)}
		c.Messages.add(total, ch)
		r.Channels = append(r.Channels, c)
	}
	r.Providers = providersOf(total)
	return r
}

// add adds what is counted of a channel, 0 for all of them.
func (m *Messages) add(counts store.Counts, ch comm.Channel) {
	for k, n := range counts {
		if to := m.of(k.Counter); to != nil && (ch == 0 || k.Channel == ch) {
			*to += n
		}
	}
}

func (m *Messages) of(c comm.Counter) *int64 {
	switch c {
	case comm.CountAccepted:
		return &m.Accepted
	case comm.CountRetried:
		return &m.Retried
	case comm.CountSent:
		return &m.Sent
	case comm.CountDelivered:
		return &m.Delivered
	case comm.CountFailed:
		return &m.Failed
	case comm.CountSuppressed:
		return &m.Suppressed
	case comm.CountCancelled:
		return &m.Cancelled
	}
	return nil
}

func (p *Provider) of(c comm.Counter) *int64 {
	switch c {
	case comm.TriesStarted:
		return &p.Attempts
	case comm.TriesSent:
		return &p.Sent
	case comm.TriesFailed:
		return &p.Failed
	case comm.TriesThrottled:
		return &p.Throttled
	case comm.TriesUnknown:
		return &p.Unknown
	}
	return nil
}

func providersOf(counts store.Counts) (out []Provider) {
	for k, n := range counts {
		var row *Provider
		if k.Provider == "" {
			continue
		}
		if i := slices.IndexFunc(out, func(p Provider) bool { return p.Provider == k.Provider && p.Channel == k.Channel }); i >= 0 {
			row = &out[i]
		} else {
			out = append(out, Provider{Provider: k.Provider, Channel: k.Channel})
			row = &out[len(out)-1]
		}
		if to := row.of(k.Counter); to != nil {
			*to += n
		}
	}
	slices.SortFunc(out, func(a, b Provider) int {
		if a.Provider != b.Provider && a.Provider < b.Provider || a.Provider == b.Provider && a.Channel < b.Channel {
			return -1
		}
		return 1
	})
	return out
}

// latencyOf reads the buckets of a channel, 0 for all of them.
func latencyOf(counts store.Counts, ch comm.Channel) Latency {
	var accepted, due [comm.WaitBuckets]int64
	for k, n := range counts {
		if ch != 0 && k.Channel != ch || k.Bucket >= comm.WaitBuckets {
			continue
		}
		switch k.Counter {
		case comm.WaitAccepted:
			accepted[k.Bucket] += n
			due[k.Bucket] += n
		case comm.WaitScheduled:
			due[k.Bucket] += n
		}
	}
	return Latency{waitOf(&accepted), waitOf(&due)}
}

func waitOf(buckets *[comm.WaitBuckets]int64) (w Wait) {
	for _, n := range buckets {
		w.Count += n
	}
	w.P50, w.P95, w.P99 = quantile(buckets, w.Count, 0.50), quantile(buckets, w.Count, 0.95), quantile(buckets, w.Count, 0.99)
	return w
}

// quantile is the middle of the bucket that the quantile's message is in.
func quantile(buckets *[comm.WaitBuckets]int64, count int64, q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(count)))
	for b, n := range buckets {
		if rank -= n; rank <= 0 && n > 0 {
			return comm.BucketWait(uint8(b))
		}
	}
	return 0
}
