package intake

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
)

// checkSender applies the rules of a live app: which senders it may use, and
// what happens when there is nothing to send with.
func (s *Service) checkSender(ctx context.Context, app *comm.App, p *prepared) error {
	picked, err := s.chain(ctx, app, p.sub.Channel)
	if err != nil {
		return err
	}
	if w, ok := picked.Warning(p.sub.Channel); ok {
		p.warnings = append(p.warnings, w)
	}
	if p.sub.Channel == comm.Email && p.content.From == "" && len(picked.Candidates) > 0 && !slices.ContainsFunc(picked.Candidates, hasSender) {
		p.warnings = append(p.warnings, comm.Warning{Code: comm.WarnNoSender, Text: "No sender is given and no provider configuration of the chain has one: the message will fail. Send from, or set from in a configuration."})
	}
	if p.content.From == "" || picked.Own || picked.Logger || picked.NoProvider {
		return nil
	}
	if allowedFrom(app.AllowedFrom, p.content.From, p.sub.Channel) {
		return nil
	}
	for _, c := range picked.Candidates {
		if sameSender(c.Config.Settings, p.content.From, p.sub.Channel) {
			return nil
		}
	}
	for _, c := range picked.Excluded { // the message will wait for it, or goes with another of the operator's
		if sameSender(c.Config.Settings, p.content.From, p.sub.Channel) {
			return nil
		}
	}
	return comm.E("from_not_allowed", "This sender is not allowed for the app on the server's providers: leave from out, use an allowed sender, or add a provider configuration of your own.").
		Field("from", "is not among the app's allowed senders")
}

// Hindrance says why live messages of the channel cannot start whatever their turn is,
// as far as settings tell: "" when nothing is in the way. The dispatcher finds the
// same when it comes to them; this answers at once.
func (s *Service) Hindrance(ctx context.Context, app *comm.App, ch comm.Channel) (string, error) {
	picked, err := s.chain(ctx, app, ch)
	return picked.Wait.Reason, err
}

// chain is what a live message of the app's channel would be sent with.
func (s *Service) chain(ctx context.Context, app *comm.App, ch comm.Channel) (chain.Chain, error) {
	picked, _, err := s.picked(ctx, app, comm.Live, ch, nil)
	return picked, err
}

// picked is what a message of the mode would be sent with in this condition of the providers (nil: all work), and the app's own
// configurations, of which it was picked.
func (s *Service) picked(ctx context.Context, app *comm.App, mode comm.Mode, ch comm.Channel, condition func(*comm.ProviderConfig) chain.Condition) (chain.Chain, []comm.ProviderConfig, error) {
	own, server, err := s.chains.of(ctx, app.ID)
	if err != nil {
		return chain.Chain{}, nil, unavailable(fmt.Errorf("read the provider configurations: %w", err))
	}
	return chain.Pick(chain.Input{App: app, Mode: mode, Channel: ch, Own: own, Server: server, Fallback: s.cfg.Fallback, CannotSend: s.cfg.CannotSend, Condition: condition}), own, nil
}

// allowedFrom compares with the operator's list: an address, a domain (with or without @) or an SMS sender id.
func allowedFrom(allowed []string, from string, ch comm.Channel) bool {
	if ch == comm.SMS {
		return slices.Contains(allowed, from)
	}
	box, err := address.ParseMailbox(from)
	if err != nil {
		return false
	}
	for _, a := range allowed {
		a = strings.ToLower(a)
		if a == box.Email.Key || strings.TrimPrefix(a, "@") == box.Email.Domain() {
			return true
		}
	}
	return false
}

// hasSender says whether the configuration has a sender of its own.
func hasSender(c chain.Candidate) bool { return c.Config.Settings["from"] != "" }

// sameSender says whether from is the configuration's own sender.
func sameSender(settings map[string]string, from string, ch comm.Channel) bool {
	if ch == comm.SMS {
		return settings["senderId"] == from || settings["from"] == from
	}
	ours, err := address.ParseMailbox(settings["from"])
	if err != nil {
		return false
	}
	theirs, err := address.ParseMailbox(from)
	return err == nil && ours.Email.Key == theirs.Email.Key
}

// chainsLive is how long provider configurations are remembered; a change in
// this process or a new configuration version forgets them earlier.
const chainsLive = 5 * time.Second

// chains remembers the provider configurations of live apps.
type chains struct {
	configs Configs
	now     func() time.Time

	mu         sync.Mutex
	generation int
	byApp      map[comm.ID]remembered
}

type remembered struct {
	configs []comm.ProviderConfig
	until   time.Time
}

// maxRemembered bounds the memory; past it everything is forgotten once.
const maxRemembered = 10_000

func newChains(configs Configs, now func() time.Time) *chains {
	return &chains{configs: configs, now: now, byApp: map[comm.ID]remembered{}}
}

func (c *chains) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.byApp)
}

// of answers the app's own configurations and the server-level ones. They are shared: read only.
func (c *chains) of(ctx context.Context, app comm.ID) (own, server []comm.ProviderConfig, err error) {
	if own, err = c.one(ctx, app); err != nil {
		return nil, nil, err
	}
	server, err = c.one(ctx, comm.ID{})
	return own, server, err
}

func (c *chains) one(ctx context.Context, app comm.ID) ([]comm.ProviderConfig, error) {
	c.mu.Lock()
	got, ok := c.byApp[app]
	generation := c.generation
	c.mu.Unlock()
	if ok && c.now().Before(got.until) {
		return got.configs, nil
	}
	configs, err := c.configs.ProviderConfigs(ctx, app)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == generation { // else it may be older than the change that made us forget
		if len(c.byApp) >= maxRemembered {
			clear(c.byApp)
		}
		c.byApp[app] = remembered{configs, c.now().Add(chainsLive)}
	}
	return configs, nil
}
