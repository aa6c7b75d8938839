// Package sandbox is the logger: the sender that takes every message of an app
// in sandbox mode, and of a live app without any provider.
//
// It promises to accept everything at once and to send nothing, except towards
// recipients with a fixed outcome (Outcomes), by which integrators rehearse
// refusals, retries, unknown outcomes and delivery reports. What it will report of a
// message it hands over before it answers that it accepted the message; for all other
// recipients it calls nobody. Its log lines hold the message's id, the channel and a
// masked address, never content.
//
// It keeps no copy of what it took, and neither stores nor applies reports; both are
// other packages' work. It is not an adapter that a configuration can choose.
package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

const (
	// Domain is the domain of email recipients with a fixed outcome. The .test
	// ending exists nowhere (RFC 6761).
	Domain = "sandbox.commserver.test"
	// NumberPrefix begins the numbers with a fixed outcome; two digits follow.
	NumberPrefix = "2330000000"
	// Slow is how long the slow recipient takes.
	Slow = 10 * time.Second
)

// Outcome is one recipient with a fixed outcome.
type Outcome struct {
	Name   string // before the @; "name+anything" is the same recipient
	Number string // for SMS, digits without +
	// Class is what an attempt meets. Attempts beyond Attempts (0 = no bound) are accepted.
	Class    provider.Class
	Attempts int
	Wait     time.Duration // before anything else
	Hard     bool
	Code     string // of the refusal
	Text     string // of the refusal
	// Reports is what is reported of an accepted attempt a moment later, in this order: fate, words, and reason of a suppression.
	Reports []provider.Report
	// Now and Later explain the outcome to people: at once, and by what is reported.
	Now, Later string
}

// Outcomes is every recipient with a fixed outcome. Behaviour and documentation follow from it.
func Outcomes() []Outcome {
	return []Outcome{
		{Name: "delivered", Number: NumberPrefix + "01", Class: provider.Accepted,
			Reports: []provider.Report{arrived()},
			Now:     "accepted: `SENT`", Later: "`DELIVERED`"},
		{Name: "failed", Number: NumberPrefix + "02", Class: provider.PermanentMessage, Code: "sandbox_failed", Text: "the sandbox refuses this recipient, as asked",
			Now: "refused for good: `FAILED` after one attempt", Later: "none"},
		{Name: "bounced", Number: NumberPrefix + "03", Class: provider.Accepted,
			Reports: []provider.Report{{Fate: provider.Undelivered, Suppress: comm.SuppressHardBounce, Code: "sandbox_bounced", Text: "the recipient does not exist, as asked"}},
			Now:     "accepted: `SENT`", Later: "`FAILED` with `sandbox_bounced`; the recipient is suppressed (`hard_bounce`)"},
		{Name: "complained", Number: NumberPrefix + "04", Class: provider.Accepted,
			Reports: []provider.Report{arrived(), {Fate: provider.Complained, Suppress: comm.SuppressComplaint, Text: "the recipient calls it spam, as asked"}},
			Now:     "accepted: `SENT`", Later: "`DELIVERED`, then the event `complaint`; the recipient is suppressed (`complaint`)"},
		{Name: "suppressed", Number: NumberPrefix + "05", Class: provider.PermanentMessage, Code: "sandbox_suppressed", Text: "the recipient is on the sandbox's own suppression list, as asked",
			Now: "refused for good, as by a provider that keeps its own opt-out list: `FAILED` after one attempt", Later: "none"},
		{Name: "retry", Number: NumberPrefix + "06", Class: provider.Transient, Attempts: 2, Code: "sandbox_retry", Text: "the sandbox is down for the first two attempts, as asked",
			Now: "attempts 1 and 2 fail and are repeated, attempt 3 is accepted: `SENT`", Later: "none"},
		{Name: "slow", Number: NumberPrefix + "07", Class: provider.Accepted, Wait: Slow,
			Now: "accepted after 10 seconds in `SENDING`: `SENT`", Later: "none"},
		{Name: "unknown", Number: NumberPrefix + "08", Class: provider.Ambiguous, Code: "sandbox_unknown", Text: "nobody can tell whether the sandbox took the message, as asked",
			Now: "every attempt ends without an answer, and `onUnknownOutcome` decides: `RETRY` repeats with growing pauses, `FAIL` ends `FAILED` with `outcome_unknown`", Later: "none"},
	}
}

func arrived() provider.Report {
	return provider.Report{Fate: provider.Delivered, Text: "the recipient took the message, as asked"}
}

// Find answers the fixed outcome of a recipient, if it has one.
func Find(channel comm.Channel, to string) (Outcome, bool) {
	name := ""
	switch channel {
	case comm.Email:
		at := len(to) - len(Domain) - 1
		if at < 1 || to[at] != '@' || !strings.EqualFold(to[at+1:], Domain) {
			return Outcome{}, false
		}
		name, _, _ = strings.Cut(strings.ToLower(to[:at]), "+")
	case comm.SMS:
		if to = strings.TrimPrefix(to, "+"); !strings.HasPrefix(to, NumberPrefix) {
			return Outcome{}, false
		}
	}
	for _, o := range Outcomes() {
		if channel == comm.Email && o.Name == name || channel == comm.SMS && o.Number == to {
			return o, true
		}
	}
	return Outcome{}, false
}

// Keep stores what is to be reported of an app's message. Once it answers nil the report will come, whatever happens to this process.
type Keep func(ctx context.Context, app comm.ID, report *provider.Callback) error

// Sender is the logger. It is safe for concurrent use and takes both channels.
type Sender struct {
	log  *slog.Logger
	keep Keep
}

// New makes a logger that writes to log; nil means nowhere. Without a keep nothing is reported.
func New(log *slog.Logger, keep Keep) *Sender {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sender{log: log, keep: keep}
}

// Send implements provider.Sender.
func (s *Sender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return provider.Receipt{}, stopped(err)
	}
	o, fixed := Find(m.Channel, m.Content.To)
	if o.Wait > 0 {
		if err := wait(ctx, o.Wait); err != nil {
			return provider.Receipt{}, stopped(err)
		}
	}
	if fixed && o.Class != provider.Accepted && (o.Attempts == 0 || m.Attempt <= o.Attempts) {
		return provider.Receipt{}, &provider.Error{Class: o.Class, Code: o.Code, Text: o.Text, HardBounce: o.Hard}
	}
	if len(o.Reports) > 0 && s.keep != nil {
		if err := s.keep(ctx, m.App, reportOf(o, m)); err != nil {
			return provider.Receipt{}, unkept(err)
		}
	}
	id := m.ID.String()
	if s.log.Enabled(ctx, slog.LevelInfo) {
		s.log.LogAttrs(ctx, slog.LevelInfo, "sandbox took a message", slog.String("message", id),
			slog.String("channel", m.Channel.String()), slog.String("to", address.Mask(m.Content.To)))
	}
	return provider.Receipt{Ref: id, Detail: "taken by the sandbox; nothing was sent"}, nil
}

// Close implements provider.Sender. There is nothing to end.
func (s *Sender) Close() error { return nil }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func stopped(err error) *provider.Error {
	e := &provider.Error{Class: provider.Transient, Code: "cancelled", Text: "the attempt was stopped; nothing was sent", Cause: err}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Code, e.Text = "timeout", "the attempt took too long; nothing was sent"
	}
	return e
}
