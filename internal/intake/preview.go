package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/mime"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// Preview is what Accept would make of a request now.
type Preview struct {
	Channel  comm.Channel
	Mode     comm.Mode
	Content  comm.Content // as it would be stored; Text as it would be sent. Empty of a replay that would be refused today.
	From     string       // what the first of the chain would send it from; "" when it has no sender
	Warnings []comm.Warning
	// Suppression is the recipient's place on the app's opt-out list, nil when it is not there.
	Suppression *store.Suppression
	// Replay is the message that the idempotency key stands for already, zero for none: nothing new would be stored.
	Replay comm.ID
	// Chain is what would be tried, LeftOut what would not, and why.
	Chain   chain.Chain
	LeftOut []chain.Exclusion
}

// Preview judges q by the rules of Accept, with the same errors, and answers what
// would become of it; it stores, counts and sends nothing. The rate is not looked at, and
// caps of SMS by what was counted when the app was read.
func (s *Service) Preview(ctx context.Context, app *comm.App, q *Request) (*Preview, error) {
	var r Result
	p, err := s.prepare(ctx, app, q, &r)
	if err = cmp.Or(err, r.Err); err != nil {
		return nil, err
	}
	if p == nil { // a replay of what would be refused today
		ch, _ := comm.ParseChannel(q.Channel.Value)
		return &Preview{Channel: ch, Mode: app.Mode(), Replay: r.ID, Chain: chain.Chain{Why: "the message was accepted before"}}, nil
	}
	out := &Preview{Channel: p.sub.Channel, Mode: p.sub.Mode, Content: p.content, Warnings: p.warnings}
	if p.sub.HasKey {
		known, err := s.replayed(ctx, app, p)
		if err = cmp.Or(err, r.Err); err != nil {
			return nil, err
		}
		if known {
			out.Replay = r.ID
		}
	}
	if out.Replay.IsZero() {
		if err := checkDay(app, p, comm.At(s.cfg.Now())); err != nil {
			return nil, err
		}
	}
	if q.TemplateKey.Given {
		t, err := s.shelf.of(ctx, app.ID, q.TemplateKey.Value)
		if err != nil {
			return nil, err
		}
		out.Warnings = append(out.Warnings, t.unused(&q.Variables)...)
	}
	if out.Suppression, err = s.cfg.Listed.Suppression(ctx, app.ID, p.sub.Channel, p.sub.Recipient); err != nil && !comm.IsKind(err, comm.Missing) {
		return nil, unavailable(errors.Join(errors.New("look at the opt-out list"), err))
	}
	if out.Suppression != nil {
		out.Warnings = append(out.Warnings, suppressedWarning())
	}
	var own []comm.ProviderConfig
	condition, err := s.condition(ctx, app, p.sub.Lane)
	if err != nil {
		return nil, err
	}
	if out.Chain, own, err = s.picked(ctx, app, p.sub.Mode, p.sub.Channel, condition); err != nil {
		return nil, err
	}
	out.LeftOut = out.Chain.LeftOut(own, p.sub.Channel)
	if out.From = p.content.From; out.From == "" && len(out.Chain.Candidates) > 0 {
		out.From = OwnSender(out.Chain.Candidates[0].Config)
	}
	if p.sub.Channel == comm.Email && out.Content.Text == "" {
		out.Content.Text = mime.TextOf(out.Content.Body)
	}
	return out, nil
}

// condition is how the configurations that an app may send with fare now, for a message of a lane.
func (s *Service) condition(ctx context.Context, app *comm.App, lane comm.Lane) (func(*comm.ProviderConfig) chain.Condition, error) {
	told := health.Told{}
	if s.cfg.Health != nil {
		if err := s.hear(ctx, app.ID, &told); err != nil {
			return nil, unavailable(fmt.Errorf("read the health of providers: %w", err))
		}
	}
	known := told.Known(comm.At(s.cfg.Now()), s.cfg.Reserve)
	return func(c *comm.ProviderConfig) chain.Condition {
		return chain.Known(known(c, lane == comm.Critical)).Condition()
	}, nil
}

// hear reads what is told of the configurations of an app, and of the server's.
func (s *Service) hear(ctx context.Context, app comm.ID, told *health.Told) error {
	for _, owner := range []comm.ID{app, {}} {
		troubles, err := s.cfg.Health.TroublesOf(ctx, owner)
		if err != nil {
			return err
		}
		strains, err := s.cfg.Health.StrainsOf(ctx, owner)
		if err != nil {
			return err
		}
		told.Troubles, told.Strains = append(told.Troubles, troubles...), append(told.Strains, strains...)
	}
	own, server, err := s.chains.of(ctx, app)
	if err != nil {
		return err
	}
	if daily := append(health.Daily(own), health.Daily(server)...); len(daily) > 0 {
		told.Days, err = s.cfg.Health.DaysUsed(ctx, daily...)
	}
	return err
}

// OwnSender is the sender that a configuration uses when a message names none, "" for none.
func OwnSender(c *comm.ProviderConfig) string {
	if c.Channel == comm.SMS {
		return cmp.Or(c.Settings["senderId"], c.Settings["from"])
	}
	return c.Settings["from"]
}
