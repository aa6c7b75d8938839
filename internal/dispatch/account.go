package dispatch

import (
	"bytes"
	"context"
	"maps"
	"math"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
)

// defaultCallTimeout is how long a call may take when the adapter does not say otherwise.
const defaultCallTimeout = 30 * time.Second

func callTimeout(a *provider.Adapter) time.Duration {
	if a.CallTimeout > 0 {
		return a.CallTimeout
	}
	return defaultCallTimeout
}

// Throttles without a stated end wait this long; stated ones at most maxThrottle (F25).
const (
	defaultThrottle = 10 * time.Second
	maxThrottle     = time.Hour
	// putsOff is how many recipients in a row a provider may put off, each as if it were the recipient's own affair,
	// until another one, if there is one, is tried first for a moment: a relay that throttles may have no other word for it.
	putsOff = 10
)

// account is a provider configuration with its sender and its health on this
// node. The scheduler's lock guards it.
type account struct {
	config  comm.ProviderConfig
	name    string // lower-case type
	sender  provider.Sender
	timeout time.Duration
	broken  string // a word of chain.WaitReasons: it cannot be opened
	reports *provider.Reporting

	breaker   pace.Breaker
	second    pace.Bucket
	failures  int         // calls in a row that failed through the provider's fault
	failure   string      // the last one's code
	said      string      // the last one's text
	class     string      // what it meant, the code of its class
	worked    time.Time   // the last call that did not fail so
	passed    bool        // passOver opened the breaker, and nothing has gone well since
	failing   []comm.ID   // messages whose calls failed so, the last ones
	oldest    int         // the next of them to be forgotten
	puts      int         // calls in a row that put the recipient off although the provider works
	throttled time.Time   // refused for its rate until then
	ended     pace.Window // calls; a refusal for the rate is none that failed
	days      *days       // what it has used of its day; newer versions of the configuration go on with it
	share     int         // over how many nodes its limits are split
	rank      int         // which of them this one is
	calls     *calls

	lines   [2]line // units held because of it: critical, rest
	portion [2]int  // calls that a unit may start before the others of its line have had theirs; 0 = no line
	freed   bool    // its line is reviewed before the next pick
	shut    [2]bool // it takes nothing of the class for longer, and its line has been told
	alarm   alarm

	silence alarm              // when its breaker may open because nothing comes back
	hurry   context.Context    // of the calls under way: ends when they should give up what they have not sent yet
	rush    context.CancelFunc // ends it
}

// calls are those under way of all versions of a configuration that speak for the
// same account at the provider: a change must not allow as many again.
type calls struct {
	critical int
	rest     int      // all other lanes
	latest   *account // the version in use: its line waits for places
}

func newAccount(c comm.ProviderConfig, share int) *account {
	a := &account{config: c, breaker: pace.NewBreaker(pace.BreakerConfig{}), ended: pace.NewWindow(lately), days: &days{}}
	a.alarm.account, a.silence.account = a, a
	a.calls = &calls{latest: a}
	if c.Limits.Pinned {
		a.breaker.Pin(pace.PinClosed)
	}
	a.split(share)
	return a
}

// inherit takes over what an older version of the configuration has used up of
// its day and, while both speak for the same account at the provider, its calls
// under way and its health: a change of name, priority or limits is no new beginning.
func (a *account) inherit(old *account, now time.Time) {
	a.days = old.days
	if !sameAccount(&a.config, &old.config) {
		return
	}
	c, was := &a.config, &old.config
	a.throttled, a.ended = old.throttled, old.ended
	a.calls = old.calls
	a.calls.latest = a
	// A half-open one waits for probes that answer to the old account.
	if c.Limits.Pinned == was.Limits.Pinned && old.breaker.State(now) != pace.HalfOpen {
		a.breaker = old.breaker
		a.breaker.Detach()
		a.failures, a.failure, a.said, a.class, a.worked, a.passed = old.failures, old.failure, old.said, old.class, old.worked, old.passed
	}
}

// sameAccount says whether two versions of a configuration speak for the same account at the provider. Where its reports come to
// is no part of that: another callback token changes the sealed box and nothing else.
func sameAccount(c, was *comm.ProviderConfig) bool {
	settings := func(c *comm.ProviderConfig) map[string]string {
		out := maps.Clone(c.Settings)
		delete(out, comm.CallbackRotatedAt)
		for _, end := range comm.CallbackEnds() {
			delete(out, end)
		}
		return out
	}
	rotated := c.Settings[comm.CallbackRotatedAt] != was.Settings[comm.CallbackRotatedAt]
	return c.Type == was.Type && maps.Equal(settings(c), settings(was)) && (rotated || bytes.Equal(c.Secrets, was.Secrets))
}

// split shares the limits among nodes, each at least one.
func (a *account) split(nodes int) {
	nodes = max(1, nodes)
	if a.share == nodes {
		return
	}
	a.share = nodes
	rate := float64(a.config.Limits.RatePerSecond) / float64(nodes)
	if a.second == (pace.Bucket{}) {
		a.second = pace.NewBucket(rate, burst(rate))
		return
	}
	a.second.SetRate(rate, burst(rate))
}

// burst is a tenth of a second's worth: a backlog must not leave in one blow (F24).
func burst(rate float64) int { return max(1, int(rate/10)) }

func (a *account) part(limit int) int {
	if limit <= 0 {
		return 0
	}
	return max(1, limit/a.share)
}

// condition says whether a call of the class could be made now.
func (a *account) condition(now time.Time, db comm.Micros, class, reserve int) chain.Condition {
	at := func(t time.Time) comm.Micros { return db.Add(t.Sub(now)) }
	known := chain.Known{Broken: a.broken}
	if a.throttled.After(now) {
		known.Throttled = at(a.throttled)
	}
	if next, wait, forever := a.breaker.Next(now); wait {
		if known.Down = true; !forever {
			known.DownUntil = at(next)
		}
	}
	if a.spent(db, class, reserve) {
		known.Spent = db.NextDay()
	}
	if c := known.Condition(); c.Reason != "" {
		return c
	}
	if a.places(class, reserve) == 0 {
		// Of one that is on trial the calls under way may be those that it does not answer: nobody waits for them.
		return chain.Condition{Reason: chain.WaitBusy, Brief: a.breaker.State(now) == pace.Closed}
	}
	if d := a.second.Wait(now); d > 0 {
		return chain.Condition{Reason: chain.WaitRate, Until: at(now.Add(d)), Brief: true}
	}
	return chain.Condition{}
}

// places is how many more calls of the class its concurrency allows. Part of it is
// kept for CRITICAL, at least one call if there is more than one.
func (a *account) places(class, reserve int) int {
	limit := a.part(a.config.Limits.MaxConcurrent)
	if limit == 0 {
		return math.MaxInt
	}
	free := limit - a.calls.critical - a.calls.rest
	if class == classRest && limit > 1 {
		free = min(free, limit-max(1, limit*reserve/100)-a.calls.rest)
	}
	return max(0, free)
}

// wakeable is how many waiting units of the class are worth waking at once, when
// gone CRITICAL ones have just been.
func (a *account) wakeable(now time.Time, class, reserve, gone int) int {
	const chunk = 512
	n := chunk
	if a.breaker.State(now) == pace.HalfOpen {
		n = 1
	}
	return min(min(n, a.second.Tokens(now), a.places(classCritical, reserve))-gone, a.places(class, reserve))
}

// scarce is what those wait for that stand in its line although something may be free.
func (a *account) scarce() chain.Condition {
	c := chain.Condition{Reason: chain.WaitTurn, Brief: true}
	switch {
	case a.config.Limits.MaxConcurrent > 0:
		c.Reason = chain.WaitBusy
	case a.config.Limits.RatePerSecond > 0:
		c.Reason = chain.WaitRate
	}
	return c
}

// take books one call that condition allowed, or in spite of the breaker, which then learns nothing
// of it. ok is false when the rate or the breaker says no after all; then nothing is booked.
func (a *account) take(now time.Time, db comm.Micros, class int, forced bool) (ticket pace.Ticket, ok bool) {
	if a.second.Wait(now) > 0 {
		return ticket, false
	}
	ticket, ok = a.breaker.Allow(now)
	if !ok && !forced {
		return ticket, false
	}
	a.second.Take(now)
	a.days.take(db.Day())
	if class == classCritical {
		a.calls.critical++
	} else {
		a.calls.rest++
	}
	return ticket, true
}

// done books the end of a call that take allowed.
func (a *account) done(class int) {
	if class == classCritical {
		a.calls.critical--
	} else {
		a.calls.rest--
	}
}

// refund gives back what a take used up for a call that was never made; done follows.
func (a *account) refund(now time.Time, ticket pace.Ticket) {
	a.second.Return()
	a.breaker.Done(now, ticket, pace.Neutral)
}

// learn feeds what a message's call came to to the breaker and the throttle. fresh says that it failed through the provider's
// fault, and that the same message had not failed here before.
func (a *account) learn(now time.Time, ticket pace.Ticket, id comm.ID, r *result) (fresh bool) {
	rule := r.class().Rule()
	puts := a.puts
	a.puts = 0
	switch {
	case rule.Throttle:
		a.breaker.Done(now, ticket, pace.Neutral)
		a.ended.Add(now, false)
		a.pause(now, r.answer.RetryAfter)
	case r.answer != nil && r.answer.Class == provider.Transient && r.answer.Healthy && !r.panicked:
		a.breaker.Done(now, ticket, pace.Success)
		a.result(now, pace.Success, r)
		a.puts = puts + 1
	case rule.Breaker || r.panicked:
		told := a.outcome(id)
		a.breaker.Done(now, ticket, told)
		a.result(now, pace.Failure, r)
		if rule.OpenNow && !a.config.Limits.Pinned {
			a.breaker.Trip(now)
		}
		if rule.Unknown && r.answer != nil && r.answer.RetryAfter > 0 { // it may have been sent, and more is not to come yet
			a.pause(now, r.answer.RetryAfter)
		}
		return told == pace.Failure
	default:
		a.breaker.Done(now, ticket, pace.Success)
		a.result(now, pace.Success, r)
	}
	return false
}

// pause keeps the account from being called for as long as its provider asks, or a moment if it does not say.
func (a *account) pause(now time.Time, asked time.Duration) {
	if asked <= 0 {
		asked = defaultThrottle
	}
	if until := now.Add(min(asked, maxThrottle)); until.After(a.throttled) {
		a.throttled = until
	}
}
