// Package stats answers how many messages an app, or all of them, had lately,
// what became of them and how long they took.
//
// It promises that every count is exact, whatever ended a process in between, and
// that an answer costs the same however long the history is: it reads one row for
// each minute, hour or day. Waits are known to within 10 %. Run keeps what is not
// folded yet small; without it the answers are the same, but dearer with each transaction.
package stats

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
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
	first   atomic.Pointer[[]comm.ID] // the apps of the last report on all
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
	// restTimes is how many times as long as a step took others have the store before the next
	// one: at the turn of an hour the rows of every app grow old at once.
	restTimes = 3
)

// Run folds until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for {
		rows, err := 0, error(nil)
		for more := true; more && err == nil && ctx.Err() == nil; {
			var f store.Folded
			f, err = s.cfg.Store.Fold(ctx)
			if f.Aside > 0 { // once for each of them
				s.cfg.Log.Error("what some transactions counted cannot be read; it is set aside in the database, and reports lack it", "rows", f.Aside)
			}
			if rows, more = rows+f.Rows, f.More; more {
				sleep(ctx, restTimes*f.Took)
			}
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
		sleep(ctx, pause-pause/10+rand.N(pause/5)) // nodes come one after the other
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
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
	Latency  Latency // of those that were sent in it
}

// AppShare is the part of an app; Slug and Name are empty when it is deleted. One of
// which nothing is kept any more is in the totals only.
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
	from, now, err := s.span(ctx, w)
	if err != nil {
		return nil, err
	}
	r, _, err := s.report(ctx, app, w, from, now)
	return r, err
}

// All reports on all apps together.
func (s *Service) All(ctx context.Context, w Window) (*Report, error) {
	from, now, err := s.span(ctx, w)
	if err != nil {
		return nil, err
	}
	early := s.beside(ctx, from)
	r, top, err := s.report(ctx, comm.ID{}, w, from, now)
	read := <-early // ends with ctx
	if err != nil {
		return nil, err
	}
	for ids := top.First(store.TopSize); len(ids) > 0 && len(r.Apps) < topApps; {
		some := ids[:min(len(ids), topApps)]
		ids = ids[len(some):]
		shares, err := s.others(ctx, read, some, from)
		if err != nil {
			return nil, err
		}
		r.Apps = append(r.Apps, shares[:min(len(shares), topApps-len(r.Apps))]...)
	}
	slices.SortStableFunc(r.Apps, func(a, b AppShare) int { return cmp.Compare(b.Messages.Accepted, a.Messages.Accepted) })
	first := make([]comm.ID, len(r.Apps))
	for i := range r.Apps {
		first[i] = r.Apps[i].App
	}
	s.first.Store(&first)
	return r, nil
}

// beside reads the parts of the apps that accepted most when that was asked last, while others find out which they are now:
// mostly the same, and reading them is half of the work. It answers none where it fails: then they are read afterwards.
func (s *Service) beside(ctx context.Context, from comm.Micros) <-chan []AppShare {
	out := make(chan []AppShare, 1)
	ids := s.first.Load()
	if ids == nil || len(*ids) == 0 {
		close(out)
		return out
	}
	go func() {
		defer close(out)
		defer func() {
			if p := recover(); p != nil { // of a request it would cost that request alone
				s.cfg.Log.Error("reading statistics panicked; they are read again", "panic", p)
			}
		}()
		if shares, err := s.shares(ctx, *ids, from); err == nil {
			out <- shares
		}
	}()
	return out
}

// others answers the parts of some apps, of which some were read, in the order of the apps.
func (s *Service) others(ctx context.Context, read []AppShare, some []comm.ID, from comm.Micros) ([]AppShare, error) {
	var lacking []comm.ID
	for _, id := range some {
		if !slices.ContainsFunc(read, func(x AppShare) bool { return x.App == id }) {
			lacking = append(lacking, id)
		}
	}
	if len(lacking) > 0 {
		more, err := s.shares(ctx, lacking, from)
		if err != nil {
			return nil, err
		}
		read = slices.Concat(read, more)
	}
	var out []AppShare
	for _, id := range some {
		if at := slices.IndexFunc(read, func(x AppShare) bool { return x.App == id }); at >= 0 {
			out = append(out, read[at])
		}
	}
	return out, nil
}

// shares reads the parts of those of the apps of which anything is kept.
func (s *Service) shares(ctx context.Context, ids []comm.ID, from comm.Micros) (out []AppShare, err error) {
	lists, err := s.cfg.Store.Shares(ctx, ids, from)
	if err != nil {
		return nil, err
	}
	known, err := s.cfg.Apps.AppsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if len(lists[i]) == 0 {
			continue
		}
		share := AppShare{App: id}
		if at := slices.IndexFunc(known, func(a comm.App) bool { return a.ID == id }); at >= 0 {
			share.Slug, share.Name = known[at].Slug, known[at].Name
		}
		for _, p := range lists[i] {
			share.Messages.add(p.Counts)
		}
		out = append(out, share)
	}
	return out, nil
}

// span is where a window that ends now begins.
func (s *Service) span(ctx context.Context, w Window) (from, now comm.Micros, err error) {
	now, err = s.cfg.Now(ctx)
	return now - now%w.Step - comm.Micros(w.Steps-1)*w.Step, now, err
}

func (s *Service) report(ctx context.Context, app comm.ID, w Window, from, now comm.Micros) (*Report, store.Top, error) {
	lists, err := s.cfg.Store.Periods(ctx, []comm.ID{app}, from)
	if err != nil {
		return nil, nil, err
	}
	r, top := makeReport(w, from, now, lists[0])
	return r, top, nil
}

// makeReport adds periods up.
func makeReport(w Window, from, now comm.Micros, periods []store.Period) (*Report, store.Top) {
	r := &Report{Window: w, From: from, To: now, Steps: make([]Step, w.Steps)}
	steps := make([]stepSum, w.Steps)
	all, top := sums{channels: map[comm.Channel]*sum{}, providers: map[tries]*Provider{}}, store.TopSum{}
	for i := range periods {
		p := &periods[i]
		// What a transaction near now counted may bear a time after it.
		step := &steps[max(0, min(int((p.Start-from)/w.Step), w.Steps-1))]
		// Of a row that cannot be read counts what comes before the damage: whoever folds meets it, says so and sets it aside.
		_ = store.EachFigure(p.Counts, func(f store.Figure) { all.add(&f, step) })
		top.Add(p.Top)
	}
	for i := range r.Steps {
		r.Steps[i] = Step{from + comm.Micros(i)*w.Step, steps[i].messages, steps[i].waits.latency()}
	}
	whole := sum{}
	for _, x := range all.channels {
		whole.join(x)
	}
	r.Messages, r.Latency = whole.messages, whole.latency()
	for _, ch := range comm.Channels() {
		x := all.of(ch)
		r.Channels = append(r.Channels, Channel{ch, x.messages, x.latency()})
	}
	for _, p := range all.providers {
		r.Providers = append(r.Providers, *p)
	}
	slices.SortFunc(r.Providers, func(a, b Provider) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Channel, b.Channel))
	})
	return r, top.Top()
}

// add adds the messages of all channels that a row counts, as far as it can be read.
func (m *Messages) add(counts []byte) {
	_ = store.EachMessageFigure(counts, func(f store.Figure) {
		if to := m.of(f.Counter); to != nil {
			*to += f.N
		}
	})
}
