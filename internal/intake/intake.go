// Package intake accepts messages: it validates a request, normalises what is
// in it, mints the id, and hands it to the store in groups of whatever arrives
// at the same moment.
//
// It promises that a message is reported as accepted only after the store's
// durable commit; that a request which breaks a rule stores nothing and names
// the field and a stable code; and that one message that cannot be stored does
// not fail its neighbours. A replay of an idempotency key is recognised before
// any check whose answer changes with time.
//
// It does not send, does not decide on suppressions (the start of an attempt
// does; here they are a warning), and does not know HTTP.
package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/batch"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
)

// Store keeps accepted messages.
type Store interface {
	Accept(ctx context.Context, subs []store.Submission) ([]store.Accepted, error)
	KnownKey(ctx context.Context, app comm.ID, mode comm.Mode, hash [16]byte) (store.Known, error)
}

// Looker finds out whether a message is stored when the answer of a commit was lost.
type Looker interface {
	Message(ctx context.Context, app, id comm.ID) (*comm.Message, error)
}

// Configs lists provider configurations; a zero app means the server-level chain.
type Configs interface {
	ProviderConfigs(ctx context.Context, apps ...comm.ID) ([]comm.ProviderConfig, error)
}

// Templates reads stored templates.
type Templates interface {
	// TemplateByKey answers not_found when the app has none with this key.
	TemplateByKey(ctx context.Context, app comm.ID, key string) (*comm.Template, error)
}

// Listed reads the apps' opt-outs.
type Listed interface {
	// Suppression answers not_found when the address is not on the app's list.
	Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error)
	// Return puts an address back on the list of which only a hash was kept: a start looks for
	// the address. It costs nothing for apps without such hashes.
	Return(ctx context.Context, app comm.ID, ch comm.Channel, address string) error
}

// Health knows which provider configurations do not work, as the nodes say that send with them, and what they have used of their days.
type Health interface {
	TroublesOf(ctx context.Context, app comm.ID) ([]store.ProviderTrouble, error)
	StrainsOf(ctx context.Context, app comm.ID) ([]store.ProviderStrain, error)
	DaysUsed(ctx context.Context, apps ...comm.ID) ([]store.DayUse, error)
}

// Config is what a Service needs.
type Config struct {
	Listed    Listed
	Store     Store
	Look      Looker
	Configs   Configs
	Templates Templates
	Health    Health // nil: every provider works as far as a preview knows
	Reserve   int    // percent of the day of a provider configuration that only CRITICAL messages use
	Phones    address.Phones
	Node      string         // this process, for the event log
	Fallback  chain.Fallback // what a live app without any provider does
	// CannotSend says of a provider type that this program knows it and cannot send with it; nil: there is none.
	CannotSend func(kind string) bool
	// Pushed is called after the commit of each new message, to wake the dispatcher. It must not block.
	Pushed func(comm.Unit, store.Head)
	// Alarm is called once when an app's SMS of a day are out of proportion under one of its caps. It must not block.
	Alarm func(app comm.ID, alarm comm.SMSAlarm)
	// Answered is told of each request of Accept and what it came to, for metrics; channel and lane are zero and LaneCount where the
	// request names none that there is. It must not block [nobody is].
	Answered func(ch comm.Channel, lane comm.Lane, o Outcome)
	Now      func() time.Time // nil: time.Now
}

// Service accepts messages. It is safe for concurrent use.
type Service struct {
	cfg    Config
	group  *batch.Group[store.Submission, store.Accepted]
	chains *chains
	shelf  *shelf
	rates  rates
}

// Bounds of one commit group, by count and by bytes of content.
const (
	groupItems = 512
	groupBytes = 4 << 20
)

// New makes a Service. Messages move once Run is called.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Alarm == nil {
		cfg.Alarm = func(comm.ID, comm.SMSAlarm) {}
	}
	if cfg.Pushed == nil {
		cfg.Pushed = func(comm.Unit, store.Head) {}
	}
	s := &Service{cfg: cfg, chains: newChains(cfg.Configs, cfg.Now), shelf: newShelf(cfg.Templates, cfg.Now)}
	s.group = batch.New(batch.Config[store.Submission, store.Accepted]{
		Commit: s.commit, Size: func(sub store.Submission) int { return int(sub.Bytes()) }, MaxItems: groupItems, MaxBytes: groupBytes,
	})
	return s
}

// Run commits what Accept hands in until ctx ends, then what still waits. It
// must outlive every caller of Accept.
func (s *Service) Run(ctx context.Context) error { return s.group.Run(ctx) }

// Invalidate forgets what is remembered of provider configurations and templates.
func (s *Service) Invalidate() {
	s.chains.forget()
	s.shelf.forget()
}

func (s *Service) commit(ctx context.Context, subs []store.Submission) ([]store.Accepted, error) {
	out, err := s.cfg.Store.Accept(ctx, subs)
	switch {
	case err == nil:
	case !everybody(err):
		err = batch.Isolate(err) // nothing was stored; one of them may be at fault
	case store.Doubtful(err) && s.noneStored(ctx, subs, err):
		err = batch.Doubt(err) // an outage, or one of them
	}
	return out, err
}

// noneStored says whether certainly nothing of a group was stored that failed. Of one
// whose session the server ended, that can be looked up.
func (s *Service) noneStored(ctx context.Context, subs []store.Submission, err error) bool {
	if !errors.Is(err, store.ErrUncertain) {
		return true
	}
	if !store.SessionEnded(err) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for i := range subs {
		if _, err := s.cfg.Look.Message(ctx, subs[i].App, subs[i].ID); !comm.IsKind(err, comm.Missing) {
			return false
		}
	}
	return true
}

// everybody says whether an error would meet every member of the group alike,
// so that asking again one by one only costs time.
func everybody(err error) bool {
	// A store that is full or shutting down says so itself.
	return comm.IsKind(err, comm.Unavailable) || errors.Is(err, context.Canceled) || store.Away(err)
}

// Result answers one request.
type Result struct {
	ID           comm.ID
	Status       comm.Status
	Deduplicated bool
	Encoding     string // SMS
	Segments     int    // SMS
	Warnings     []comm.Warning
	Rate         Rate  // zero when the store was not asked; Service.Rate then tells what is known
	Err          error // *comm.Error; the other fields but Rate are then empty
}

// Accept validates and stores each request for the app, in order. It returns
// when every one is durably stored or refused.
func (s *Service) Accept(ctx context.Context, app *comm.App, reqs []Request) []Result {
	results := make([]Result, len(reqs))
	if s.cfg.Answered != nil {
		defer s.tell(reqs, results)
	}
	if len(reqs) == 1 { // the common case, without the bookkeeping of many
		p, err := s.ready(ctx, app, &reqs[0], &results[0])
		if err == nil && p != nil {
			var got store.Accepted
			got, err = s.submit(ctx, p.sub)
			s.answer(ctx, app, p, got, err, &results[0])
		} else if err != nil {
			results[0].Err = err
		}
		return results
	}
	var subs []store.Submission
	var prepared []*prepared
	var places []int
	for i := range reqs {
		p, err := s.ready(ctx, app, &reqs[i], &results[i])
		if err != nil {
			results[i].Err = err
		} else if p != nil {
			subs, prepared, places = append(subs, p.sub), append(prepared, p), append(places, i)
		}
	}
	outs, errs := s.group.DoAll(ctx, subs)
	for n, i := range places {
		var err error
		if errs != nil {
			err = errs[n]
		}
		var out store.Accepted
		if n < len(outs) {
			out = outs[n]
		}
		s.answer(ctx, app, prepared[n], out, err, &results[i])
	}
	return results
}

// ready validates a request and makes sure that a start will find its recipient on the
// app's list if it belongs there.
func (s *Service) ready(ctx context.Context, app *comm.App, q *Request, r *Result) (*prepared, error) {
	p, err := s.prepare(ctx, app, q, r)
	if err != nil || p == nil || s.cfg.Listed == nil {
		return p, err
	}
	if err := s.cfg.Listed.Return(ctx, app.ID, p.sub.Channel, p.sub.Recipient); err != nil {
		return nil, unavailable(fmt.Errorf("look at the opt-out list: %w", err))
	}
	return p, nil
}

// submit waits for the commit of one submission.
func (s *Service) submit(ctx context.Context, sub store.Submission) (store.Accepted, error) {
	if plant.Active(plant.AnswerBeforeCommit) {
		if _, err := s.cfg.Store.KnownKey(ctx, sub.App, sub.Mode, sub.KeyHash); err != nil {
			go func() { _, _ = s.group.Do(context.WithoutCancel(ctx), sub) }()
			return store.Accepted{Result: store.New, ID: sub.ID, Status: comm.Queued, Due: sub.ScheduledAt}, nil
		}
	}
	return s.group.Do(ctx, sub)
}

// answer turns the store's word on one submission into its Result.
func (s *Service) answer(ctx context.Context, app *comm.App, p *prepared, got store.Accepted, err error, r *Result) {
	if err != nil {
		if errors.Is(err, store.ErrUncertain) && s.stored(ctx, app, p) {
			return
		}
		r.Err = unstored(err)
		return
	}
	if got.RateReset != 0 {
		s.rates.heard(app.ID, got)
		r.Rate = rateOf(app, got.RateUsed, got.RateReset, comm.At(s.cfg.Now()))
	}
	for _, alarm := range got.Alarms {
		s.cfg.Alarm(app.ID, alarm)
	}
	switch got.Result {
	case store.New:
		r.ID, r.Status = got.ID, got.Status
		r.Encoding, r.Segments, r.Warnings = p.encoding, p.segments, p.warnings
		if got.Suppressed {
			r.Warnings = append(r.Warnings, suppressedWarning())
		}
		s.cfg.Pushed(p.unit(), store.Head{Due: got.Due, ID: got.ID, Bytes: p.sub.Bytes()})
	case store.Replay:
		p.replay(got.ID, got.Status)
	case store.Conflict:
		r.Err = comm.E("idempotency_key_reused")
	case store.RateLimited:
		e := comm.E("rate_limited", "The app's rate of %d messages per minute is used up; retry later.", app.RatePerMinute)
		e.RetryAfter = max(1, r.Rate.Reset)
		r.Err = e
	case store.Busy:
		r.Err = unavailable(errors.New("the database refuses messages of the app for now"))
	case store.Uncertain:
		if !s.stored(ctx, app, p) {
			r.Err = unavailable(store.ErrUncertain)
		}
	case store.QuotaExceeded:
		r.Err = quotaExceeded(p, got.Cap, got.Use, comm.At(s.cfg.Now()))
	default:
		r.Err = comm.E("internal").Because(errors.New("the store gave no result"))
	}
}

// suppressedWarning says that the recipient is on the app's opt-out list now.
func suppressedWarning() comm.Warning {
	return comm.Warning{Code: comm.WarnSuppressed, Text: "The recipient is on the app's opt-out list; the message will end SUPPRESSED unless the entry is removed first."}
}

// stored looks after a lost commit answer whether the message is there. When
// it is, r was accepted and its dispatcher is woken.
func (s *Service) stored(ctx context.Context, app *comm.App, p *prepared) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	m, err := s.cfg.Look.Message(ctx, app.ID, p.sub.ID)
	if err != nil {
		return false
	}
	p.result.ID, p.result.Status = m.State.ID, m.Status
	p.result.Encoding, p.result.Segments, p.result.Warnings = p.encoding, p.segments, p.warnings
	s.cfg.Pushed(p.unit(), store.HeadOf(&m.State))
	return true
}

// lookTimeout bounds the look-up after a lost commit answer.
const lookTimeout = 2 * time.Second

// unstored is the answer when a message could not be stored; the cause goes to the
// log. What would meet everybody is over some time; what the store has against
// this message alone is not: asking the client to repeat it would be no help.
func unstored(err error) error {
	if _, known := errors.AsType[*comm.Error](err); known || everybody(err) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable(err)
	}
	return comm.E("internal").Because(err)
}

// unavailable is the answer when something that is needed is away.
func unavailable(err error) error {
	if known, ok := errors.AsType[*comm.Error](err); ok {
		return known
	}
	e := comm.E("unavailable").Because(err)
	e.RetryAfter = 1
	return e
}
