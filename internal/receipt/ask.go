package receipt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// How providers are asked. They are there to send: questions are few at a time, and stop at the first sign of trouble.
const (
	questionsMost = 200              // read at once
	askersAtOnce  = 16               // configurations that are asked at once
	perSecond     = 5                // questions to one configuration, or its own rate if that is less
	askTimeout    = 30 * time.Second // of one question
	askFor        = 20 * time.Second // how long one configuration is asked until others have had their turn
	leastWait     = time.Second
	// doubts is after how many questions in a row without an answer a provider is taken to be in trouble: one or two may be the messages'.
	doubts = 3
	// worksWait is how long a provider is left alone at most that answers, and whose answers say nothing.
	worksWait = time.Minute
)

// askers is who is being asked.
type askers struct {
	mu      sync.Mutex
	byID    map[comm.ID]*asker
	running int
	working sync.WaitGroup
}

// asker is what is known of a configuration that is asked.
type asker struct {
	busy     bool
	asking   map[string]bool // provider's ids of the messages that are being asked about
	failures int
	until    time.Time // not asked before
	version  int
	sender   provider.Sender // nil: not opened
	bucket   pace.Bucket
	trouble  outage.Spaced // the lines about it
}

// troubled is how long a configuration is left alone after n failures in a row.
func troubled(n int) time.Duration {
	return pace.Backoff{Steps: []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour}}.Delay(n, nil)
}

// ask puts the questions that are due. It waits for no answer: each configuration is asked beside the others.
func (s *Service) ask(ctx context.Context) error {
	due, err := s.cfg.Store.Questions(ctx, questionsMost)
	if err != nil || len(due) == 0 {
		return err
	}
	byConfig := map[comm.ID][]store.Question{}
	var later []store.Question
	for _, q := range due {
		if q.Status != comm.Sent { // somebody knows already, or it is gone
			later = append(later, q)
			continue
		}
		byConfig[q.Provider] = append(byConfig[q.Provider], q)
	}
	for id, list := range byConfig {
		wait, err := s.begin(ctx, id, list)
		if err != nil {
			return err
		}
		if wait != 0 {
			later = append(later, postponed(list, wait)...)
		}
	}
	return s.cfg.Store.Ask(ctx, later)
}

// postponed makes questions due later; forever is never.
func postponed(list []store.Question, wait time.Duration) []store.Question {
	for i := range list {
		list[i].In = 0
		if wait != forever {
			list[i].In = max(wait, leastWait).Microseconds()
		}
	}
	return list
}

const forever = time.Duration(-1)

// begin starts asking a configuration; otherwise it says how long its questions wait.
func (s *Service) begin(ctx context.Context, id comm.ID, list []store.Question) (wait time.Duration, err error) {
	account, err := s.account(ctx, id)
	if err != nil {
		if comm.IsKind(err, comm.Unavailable) {
			return time.Minute, nil // its credentials cannot be opened
		}
		return 0, err
	}
	if account == nil || account.adapter.Open == nil || len(account.adapter.Reporting.Asks) == 0 {
		return forever, nil
	}
	c := &s.askers
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[comm.ID]*asker{}
	}
	a := c.byID[id]
	if a == nil {
		a = &asker{trouble: outage.Spaced{Every: time.Hour}}
		c.byID[id] = a
	}
	now := s.cfg.Now()
	switch {
	case a.busy:
		s.behind(ctx, a, list)
		return 0, nil
	case now.Before(a.until):
		return a.until.Sub(now), nil
	case c.running >= askersAtOnce:
		return leastWait, nil
	}
	if err := s.openSender(a, account); err != nil {
		a.failures++
		return troubled(a.failures), nil
	}
	if _, can := a.sender.(provider.Asker); !can {
		return forever, nil
	}
	a.busy, a.asking = true, map[string]bool{}
	for i := range list {
		a.asking[list[i].Ref] = true
	}
	c.running++
	c.working.Go(func() { s.asking(ctx, a, account, list) })
	return 0, nil
}

// behind makes questions due later that came while a configuration is being asked, so that they leave room for those to others.
func (s *Service) behind(ctx context.Context, a *asker, list []store.Question) {
	var others []store.Question
	for i := range list {
		if !a.asking[list[i].Ref] {
			others = append(others, list[i])
		}
	}
	s.note(ctx, postponed(others, askFor))
}

// openSender opens the sender of this version of a configuration.
func (s *Service) openSender(a *asker, account *Account) error {
	if a.sender != nil && a.version == account.Config.Version {
		return nil
	}
	if a.sender != nil {
		_ = a.sender.Close() // nobody uses it
		a.sender = nil
	}
	secrets, err := s.cfg.OpenSecrets(account.Config)
	if err != nil {
		return err
	}
	sender, err := account.adapter.OpenConfig(account.Config, secrets, s.cfg.Env)
	if err != nil {
		return err
	}
	rate := perSecond
	if own := account.Config.Limits.RatePerSecond; own > 0 {
		rate = min(rate, own)
	}
	a.sender, a.version, a.failures, a.bucket = sender, account.Config.Version, 0, pace.NewBucket(float64(rate), 1)
	return nil
}

// asking asks a configuration one question after the other.
func (s *Service) asking(ctx context.Context, a *asker, account *Account, list []store.Question) {
	wait := time.Duration(0)
	defer func() {
		s.askers.mu.Lock()
		defer s.askers.mu.Unlock()
		a.busy = false
		s.askers.running--
		if a.failures > 0 && wait > 0 {
			a.until = s.cfg.Now().Add(wait)
		}
	}()
	end := s.cfg.Now().Add(askFor)
	for i := range list {
		if now := s.cfg.Now(); ctx.Err() != nil || now.After(end) {
			s.note(ctx, postponed(list[i:], leastWait))
			return
		}
		if !s.turn(ctx, a) {
			return
		}
		var failed bool
		if wait, failed = s.question(ctx, a, account, &list[i]); failed {
			s.note(ctx, append(postponed(list[i+1:], wait), list[i]))
			return
		}
		s.note(ctx, list[i:i+1])
	}
}

// turn waits until the configuration's rate allows a question.
func (s *Service) turn(ctx context.Context, a *asker) bool {
	for !a.bucket.Take(s.cfg.Now()) {
		select {
		case <-time.After(a.bucket.Wait(s.cfg.Now())):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// question asks about one message and applies the answer. It sets when the next question about it is due. failed says
// that the provider is in trouble, and for how long it is left alone; the question then comes after the others.
func (s *Service) question(ctx context.Context, a *asker, account *Account, q *store.Question) (wait time.Duration, failed bool) {
	s.asked.Add(1)
	report, err := s.answer(ctx, a, q.Ref)
	if err != nil {
		e := provider.Classify(err)
		if e.Class == provider.PermanentHere || e.Class == provider.PermanentMessage {
			q.In = 0 // the provider does not know it
			a.failures = 0
			return 0, false
		}
		return s.unanswered(ctx, a, account, q, e)
	}
	a.failures = 0
	q.In = s.nextAge(account, q)
	if report.Fate == comm.FateDelivered || report.Fate == comm.FateUndelivered && !report.Correctable {
		q.In = 0
	}
	out := store.Report{Owner: account.Config.App, Provider: q.Provider, Name: lower(account.Config.Type), Since: comm.At(s.cfg.Now())}
	report.Ref = q.Ref
	fill(&out, &report)
	if err := s.applyParked(ctx, []store.Report{out}); err != nil {
		s.outcome(ctx, err)
		q.In = leastWait.Microseconds() // asked again: nothing of the answer was kept
	}
	return 0, false
}

// unanswered decides what a question without an answer means. What the provider says of itself counts at once; else it is the
// message's own trouble, until several in a row have none.
func (s *Service) unanswered(ctx context.Context, a *asker, account *Account, q *store.Question, e *provider.Error) (wait time.Duration, failed bool) {
	now := comm.At(s.cfg.Now())
	if e.Healthy {
		q.In = s.nextAge(account, q)
	} else {
		age := now.Sub(q.At)
		q.In = max(store.NextLook(age, false), time.Minute).Microseconds()
		ages := account.adapter.Reporting.Asks
		if age > ages[len(ages)-1]+store.ParkedFor {
			q.In = 0
		}
	}
	itself := e.Class == provider.RateLimited || e.Class == provider.Account || e.RetryAfter > 0
	if a.failures++; itself {
		a.failures = max(a.failures, doubts)
	}
	if a.failures < doubts {
		return 0, false
	}
	if wait = max(e.RetryAfter, troubled(a.failures-doubts+1)); e.Healthy {
		wait = min(wait, worksWait)
	}
	if q.In != 0 {
		q.In = max(q.In, (wait + leastWait).Microseconds())
	}
	if left, ok := a.trouble.Speak(s.cfg.Now()); ok {
		s.cfg.Log.WarnContext(ctx, "a provider does not answer what became of messages; it is asked again later", "provider", account.Config.Type,
			"config", account.Config.ID.String(), "class", e.Class.String(), "code", e.Code, "unsaid", left)
	}
	return wait, true
}

// answer asks, whatever the adapter does.
func (s *Service) answer(ctx context.Context, a *asker, ref string) (r provider.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = &provider.Error{Class: provider.Transient, Code: "internal_error", Text: "the adapter failed", Healthy: true, Cause: fmt.Errorf("%T", v)}
		}
	}()
	asks, ok := a.sender.(provider.Asker)
	if !ok {
		return r, &provider.Error{Class: provider.PermanentHere}
	}
	return asks.Ask(ctx, ref)
}

// nextAge is in how many microseconds the next question about a message is due; 0 = never.
func (s *Service) nextAge(account *Account, q *store.Question) int64 {
	ages := account.adapter.Reporting.Asks
	q.Asked++
	if q.Asked >= len(ages) {
		return 0
	}
	at := q.At.Add(ages[q.Asked])
	return max(at.Sub(comm.At(s.cfg.Now())), leastWait).Microseconds()
}

// note stores when questions are due next. What is not stored is due still, and asked again.
func (s *Service) note(ctx context.Context, list []store.Question) {
	if err := s.cfg.Store.Ask(context.WithoutCancel(ctx), list); err != nil {
		s.outcome(ctx, err)
	}
}

// close waits for questions under way, and closes the senders.
func (c *askers) close() {
	c.working.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.byID {
		if a.sender != nil {
			_ = a.sender.Close() // ends idle sessions
		}
	}
}
