package trial

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// Troubles knows which provider configurations do not work; store.Alerts is one.
type Troubles interface {
	TroublesOf(ctx context.Context, app comm.ID) ([]store.ProviderTrouble, error)
}

// Mail sends a note to the operator through the server-level chain, as a test message is sent: of no app, stored nowhere,
// counted nowhere. The configurations that are switched on are tried in the chain's order until one takes it, those last that are
// known not to work, and each has its share of the time that ctx leaves: one that says nothing keeps no other from being tried.
//
// note names it: however often it is sent, providers get it under one id. An error means that it should be sent again. Where
// nobody took it and one may have, that is so if the provider then knows it by its id; a mail server does not, and counts as
// having taken it.
func (s *Service) Mail(ctx context.Context, note, to, subject, text string) error {
	wire, _, err := s.cfg.To(comm.Email, to)
	if err != nil {
		return err
	}
	all, err := s.cfg.Providers.ProviderConfigs(ctx, comm.ID{})
	if err != nil {
		return err
	}
	failed := []error{errors.New("no provider of the server took it")}
	configs, err := s.healthyFirst(ctx, chain.Order(all, comm.Email))
	if err != nil {
		failed = append(failed, err)
	}
	perhaps := false
	for i, c := range configs {
		out, err := s.mail(ctx, len(configs)-i, c, &provider.Message{ID: noteID(note), Attempt: 1, Channel: comm.Email, Date: s.cfg.Now(),
			Content: &comm.Content{To: wire, Subject: subject, Text: text, Body: "<p>" + strings.ReplaceAll(html.EscapeString(text), "\n", "<br>\n") + "</p>"}})
		switch {
		case err != nil:
		case out.OK():
			return nil
		default:
			perhaps = perhaps || out.Class == provider.Ambiguous && !s.knowsAgain(c)
			err = fmt.Errorf("%s %s", out.Class, out.Code)
		}
		failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
	}
	if perhaps {
		s.cfg.Log.Warn("a mail to the operator may have been taken and is not sent again", "err", errors.Join(failed...))
		return nil
	}
	return errors.Join(failed...)
}

// mail sends through one configuration, in its share of the time that is left for so many.
func (s *Service) mail(ctx context.Context, left int, c *comm.ProviderConfig, m *provider.Message) (Tested, error) {
	sender, err := s.open(c)
	if err != nil {
		return Tested{}, err
	}
	defer func() { _ = sender.Close() }()
	if end, ok := ctx.Deadline(); ok {
		share, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
		defer cancel()
		ctx = share
	}
	return s.send(ctx, c, sender, m), nil
}

// healthyFirst puts configurations last that do not work, as far as anybody knows; with the error nobody does.
func (s *Service) healthyFirst(ctx context.Context, configs []*comm.ProviderConfig) ([]*comm.ProviderConfig, error) {
	troubles, err := s.cfg.Troubles.TroublesOf(ctx, comm.ID{})
	ill := func(c *comm.ProviderConfig) int {
		if slices.ContainsFunc(troubles, func(t store.ProviderTrouble) bool { return t.ID == c.ID }) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(configs, func(a, b *comm.ProviderConfig) int { return ill(a) - ill(b) })
	return configs, err
}

// noteID is the id of the mail about a note.
func noteID(note string) (id comm.ID) {
	sum := sha256.Sum256([]byte(note))
	copy(id[:], sum[:])
	id[0] &= 0x0f // 36^24 ids have a text
	return id
}

// knowsAgain says that a message under the same id is not sent twice by the configuration's provider.
func (s *Service) knowsAgain(c *comm.ProviderConfig) bool { return s.adapter(c).RepeatFor > 0 }
