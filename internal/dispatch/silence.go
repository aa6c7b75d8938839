package dispatch

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
)

// A provider that takes connections and answers nothing would be found out by its
// failures only when calls run out of their time. Where another configuration can carry
// the messages, its breaker opens as soon as it counts as silent (pace.Breaker.SilentAt).
// Calls under way go on to their own deadlines, since they may have been taken; those
// whose adapter knows that nothing was sent yet give up and go on with their round.

const (
	// silentFew is how many calls without an answer make a provider silent; fewer where no more may run at once.
	silentFew = 3
	// silentAgain is how long until it is looked again whether somebody else could carry what a silent provider does not.
	silentAgain = 500 * time.Millisecond
	// briskDial is how long a connection may take to come about when another provider could
	// carry the message, and its encryption as long again: time for a lost packet to be sent again.
	briskDial = 1500 * time.Millisecond
	// A configuration that is told not to work is tried in another's place only after deadRow failures of that one in a row, or
	// when it has counted as silent for deadLong.
	deadRow  = 4
	deadLong = 5 * time.Second
)

// lonely is how long nothing has gone well with a provider of which one unknown outcome says enough.
const lonely = 10 * time.Second

// codeNoAnswer is the code of the trouble that a provider is silent.
const codeNoAnswer = "no_answer"

// few is how many calls without an answer say that the account's provider is silent.
func (a *account) few(reserve int) int {
	if a.places(classRest, reserve) == 0 {
		return min(silentFew, a.calls.critical+a.calls.rest)
	}
	return silentFew
}

// connect notes that the job's provider is called now.
func (s *scheduler) connect(j *job, now time.Time) {
	a := j.account
	if a == s.logger {
		return
	}
	j.ticket = a.breaker.Began(now, j.ticket)
	if j.brisk = s.another(a, j.class, j.tried, true, now); a.hurry == nil {
		a.hurry, a.rush = context.WithCancel(context.Background())
	}
	j.hurry = a.hurry
	s.watch(a)
}

// watch sets the alarm for when the account counts as silent.
func (s *scheduler) watch(a *account) {
	at, ok := a.breaker.SilentAt(a.few(s.percent()))
	if ticks := s.clock.ticks(at); ok && (a.silence.pos == 0 || ticks < a.silence.at) {
		s.alarms.set(&a.silence, ticks)
	}
}

// listen looks whether an account has become silent while another could carry its messages.
func (s *scheduler) listen(a *account) {
	now := s.clock.now()
	at, ok := a.breaker.SilentAt(a.few(s.percent()))
	switch {
	case !ok: // the next call sets the alarm
	case now.Before(at):
		s.watch(a)
	case !s.another(a, a.busiest(), nil, a.failures >= deadRow || now.Sub(at) >= deadLong, now):
		s.alarms.set(&a.silence, s.clock.ticks(now.Add(silentAgain)))
	default:
		a.breaker.Stall(now)
		a.failure, a.said, a.class = codeNoAnswer, "", provider.Ambiguous.Rule().Code
		a.rush()
		a.hurry = nil
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "provider does not answer: its breaker opened", append(a.names(), slog.Int("calls", a.calls.critical+a.calls.rest))...)
		s.examine(a, now)
		s.relieve(a)
	}
}

// busiest is the first class of which calls are under way.
func (a *account) busiest() int {
	if a.calls.critical > 0 {
		return classCritical
	}
	return classRest
}

// another says whether another configuration of the same chain than those tried could take a message of the class now. One
// that is told not to work (trouble) counts only where even such a one will do. Its breaker says too little of it: it is closed
// where little is sent, or open to probes that nobody makes.
func (s *scheduler) another(a *account, class int, tried []comm.ID, even bool, now time.Time) bool {
	e := s.dir.entries[a.config.App]
	if e == nil || len(e.accounts) < 2 || e.accounts[a.config.ID] == nil {
		return false
	}
	db := s.clock.dbAt(now)
	for id, x := range e.accounts {
		if id == a.config.ID || !x.config.Active || x.config.Channel != a.config.Channel || x.broken != "" || slices.Contains(tried, id) {
			continue
		}
		if reason, _ := x.trouble(now); reason != "" && !even {
			continue
		}
		if c := x.condition(now, db, class, s.percent()); c.Reason == "" || c.Brief {
			return true
		}
	}
	return false
}

// putOff leaves an account alone for a moment that puts one recipient after the other off, if another could carry the messages.
func (s *scheduler) putOff(j *job, now time.Time) {
	if a := j.account; a.puts >= putsOff && s.another(a, j.class, nil, true, now) {
		a.puts = 0
		a.pause(now, 0)
	}
}

// passOver opens the breaker of an account at an unknown outcome, on trial at that of a message that has not failed there
// before (fresh), if nothing has gone well there for a while and another could carry the messages. Where little is sent the
// ten failures of the breaker's minute never come together, and each message would be repeated at a dead provider for
// hours. What is judged wrong costs a few messages another way.
func (s *scheduler) passOver(j *job, fresh bool, now time.Time) {
	a := j.account
	closed := a.breaker.State(now) == pace.Closed
	switch {
	case !j.result.class().Rule().Unknown, !fresh && !closed, now.Sub(a.worked) < lonely, a.config.Limits.Pinned:
	case s.keys[a.name] > 0 && a.failures < 2: // the message is owed a repeat there, which is free
	case s.another(a, j.class, nil, a.failures >= deadRow, now):
		a.passed = a.passed || closed
		a.breaker.Trip(now)
	}
}

// scatter lets the units go that wait for a moment in the line of an account which will not
// take anything of their class for longer: another may carry their messages. Those that have to wait for it all the same keep
// their places.
func (s *scheduler) scatter(a *account, class int) {
	for _, part := range []*fifo[waiter]{&a.lines[class].vain, &a.lines[class].rest} {
		for _, w := range part.items[part.at:] {
			if u := w.unit; u.turn == w.turn && u.phase == held && u.hold.Brief && u.hold.Reason != chain.WaitMemory {
				s.free(u)
			}
		}
	}
}

// names say in a log which configuration it is.
func (a *account) names() []slog.Attr {
	c := &a.config
	return []slog.Attr{slog.String("app", c.App.String()), slog.String("provider", a.name), slog.String("label", c.Name), slog.String("config", c.ID.String())}
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// bounded is a dialer that obeys provider.ConnectLimit.
func bounded(dial dialer) dialer {
	if dial == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if d, ok := provider.ConnectLimit(ctx); ok {
			short, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			ctx = short
		}
		return dial(ctx, network, address)
	}
}

// brisk is the environment of senders, whose dials obey provider.ConnectLimit.
func brisk(env provider.Env) provider.Env {
	env.Dial, env.DialHTTPS, env.DialHTTP = bounded(env.Dial), bounded(env.DialHTTPS), bounded(env.DialHTTP)
	return env
}

// outcome is the breaker's view of a call that failed through the provider's fault: doubtful,
// if the same message has failed here before.
func (a *account) outcome(id comm.ID) pace.Result {
	const most = 256
	if slices.Contains(a.failing, id) {
		return pace.Doubtful
	}
	if len(a.failing) < most {
		a.failing = append(a.failing, id)
	} else {
		a.failing[a.oldest] = id
		a.oldest = (a.oldest + 1) % most
	}
	return pace.Failure
}
