package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// Masked stands for a secret in every answer. Sent back in a change it means
// "leave it".
const Masked = seal.Mask

// DefaultPriority is the place of a configuration that does not ask for one.
const DefaultPriority = 100

// Bounds of a configuration.
const (
	maxPriority    = 1_000_000
	maxPerSecond   = 100_000
	maxPerDay      = 1_000_000_000
	maxConcurrency = 10_000
)

// ProviderChange is what is asked of a provider configuration; nil members are
// left as they are, or take their default in a new one.
type ProviderChange struct {
	Type     *string // cannot be changed later
	Name     *string
	Priority *int64
	Active   *bool
	// Config holds the adapter's fields: string, float64, bool, or nil to remove one.
	Config         map[string]any
	PerSecond      *int64
	PerDay         *int64
	MaxConcurrency *int64
	Pinned         *bool
}

// Provider is a configuration as it may be shown.
type Provider struct {
	comm.ProviderConfig
	Fields map[string]any // typed as the adapter declares them, secrets masked
	// CallbackURL is where the provider reports to; "" for types that report nothing,
	// and while the secrets cannot be opened. Whoever knows it can report: show it to
	// those who may change the configuration, and never log it.
	CallbackURL string
	// PreviousCallbackEndsAt is until when URLs before it are taken as well, the end of the last one; 0: none is.
	PreviousCallbackEndsAt comm.Micros
	Warnings               []comm.Warning
	// Health is how it is now; nil where that was not read, as in the answer to a change. Troubles is what it is put together from, what nodes say
	// that send with it, of one that does not work the longest first.
	Health   *health.Health
	Troubles []store.ProviderTrouble
}

// ProviderList lists an app's configurations in the order of its chain. A zero app: server-level.
func (s *Service) ProviderList(ctx context.Context, app comm.ID) ([]Provider, error) {
	configs, err := s.cfg.Providers.ProviderConfigs(ctx, app)
	if err != nil {
		return nil, fmt.Errorf("list provider configurations: %w", err)
	}
	slices.SortFunc(configs, func(a, b comm.ProviderConfig) int { return chain.Compare(&a, &b) })
	out := make([]Provider, len(configs))
	for i := range configs {
		out[i] = s.show(&configs[i])
	}
	s.warnOfTroubles(ctx, app, out)
	return out, nil
}

// ChainConfigs lists the configurations that messages of an app may take, in any order: its own and the server-level ones.
func (s *Service) ChainConfigs(ctx context.Context, app comm.ID) ([]comm.ProviderConfig, error) {
	configs, err := s.cfg.Providers.ProviderConfigs(ctx, app, comm.ID{})
	if err != nil {
		return nil, fmt.Errorf("list the chain's provider configurations: %w", err)
	}
	return configs, nil
}

// warnOfTroubles adds to configurations of an app what the nodes that send with them say of their health.
func (s *Service) warnOfTroubles(ctx context.Context, app comm.ID, list []Provider) {
	if s.cfg.Troubles == nil {
		return
	}
	troubles, err := s.cfg.Troubles.TroublesOf(ctx, app)
	var strains []store.ProviderStrain
	if err == nil {
		strains, err = s.cfg.Troubles.StrainsOf(ctx, app)
	}
	if err != nil {
		s.cfg.Log.Warn("provider configurations are shown without their health", "app", app, "err", err)
		return
	}
	said, lately := health.ByConfig(troubles), health.StrainsByConfig(strains)
	for i := range list {
		p := &list[i]
		p.meet(said[p.ID])
		if p.Active {
			p.Health.Lately = health.OfLate(lately[p.ID])
		}
	}
}

// meet takes in what nodes say of the configuration, and warns of it.
func (p *Provider) meet(said []store.ProviderTrouble) {
	if !p.Active {
		said = nil
	}
	h := health.Together(said)
	p.Health, p.Troubles = &h, said
	warned := func(code string) bool {
		return slices.ContainsFunc(p.Warnings, func(w comm.Warning) bool { return w.Code == code })
	}
	switch {
	case !p.Active:
		h.State = health.Off
	case h.Reason == "" && warned(comm.WarnCannotSend):
		h.State, h.Reason = health.Unusable, comm.WarnCannotSend // nobody has tried to yet
	case h.Reason != "" && !warned(h.Reason):
		p.Warnings = append(p.Warnings, comm.Warning{Code: h.Reason, Text: warningOf(&h.Said)})
	}
}

// warningOf is what is wrong with a configuration, as a sentence.
func warningOf(h *health.Said) string {
	const so = ": messages take the next configuration of the chain, and wait where there is none."
	switch h.Reason {
	case comm.WarnDown:
		text := "Calls through this provider have failed since " + h.Since.String()
		if h.Code != "" {
			text += ", the last one with " + h.Code
		}
		return text + so
	case comm.WarnCredentials:
		return "The server cannot open the credentials of this configuration" + so
	}
	return chain.WaitText(h.Reason)
}

// ProviderByID reads one configuration of the app; not_found otherwise.
func (s *Service) ProviderByID(ctx context.Context, app, id comm.ID) (Provider, error) {
	c, err := s.cfg.Providers.ProviderConfig(ctx, app, id)
	if err != nil {
		return Provider{}, err
	}
	out := []Provider{s.show(c)}
	s.warnOfTroubles(ctx, app, out)
	return out[0], nil
}

// CreateProvider stores a new configuration.
func (s *Service) CreateProvider(ctx context.Context, app comm.ID, change ProviderChange) (Provider, error) {
	if change.Type == nil {
		return Provider{}, comm.E("invalid_config").Field("providerType", "is missing")
	}
	adapter, ok := s.adapter(*change.Type)
	if !ok {
		return Provider{}, comm.E("invalid_config").Field("providerType", "is not known here; known are: "+s.types())
	}
	now := s.now()
	c := &comm.ProviderConfig{
		ID: comm.NewID(now), App: app, Type: adapter.Type, Channel: adapter.Channel, Name: adapter.Title,
		Priority: DefaultPriority, Active: true, Settings: map[string]string{}, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.apply(c, adapter, provider.Settings{}, change); err != nil {
		return Provider{}, err
	}
	if err := s.cfg.Providers.CreateProviderConfig(ctx, c); err != nil {
		return Provider{}, fmt.Errorf("create the provider configuration: %w", err)
	}
	s.cfg.Changed(app)
	return s.show(c), nil
}

// UpdateProvider changes a configuration; secrets that are not sent stay, unless the host changes: then they must be sent.
func (s *Service) UpdateProvider(ctx context.Context, app, id comm.ID, change ProviderChange) (Provider, error) {
	c, err := anew(ctx, func() (*comm.ProviderConfig, error) { return s.cfg.Providers.ProviderConfig(ctx, app, id) },
		func(c *comm.ProviderConfig) error {
			if change.Type != nil && *change.Type != c.Type {
				return comm.E("invalid_config").Field("providerType", "cannot be changed; create another configuration")
			}
			adapter, ok := s.adapter(c.Type)
			if !ok {
				return comm.E("invalid_config").Field("providerType", "is not known to this version of the server")
			}
			return s.change(c, adapter, change)
		},
		func(c *comm.ProviderConfig) error {
			c.UpdatedAt = s.now()
			return s.cfg.Providers.UpdateProviderConfig(ctx, c)
		})
	if err != nil {
		return Provider{}, fmt.Errorf("change the provider configuration: %w", err)
	}
	s.cfg.Changed(app)
	return s.show(c), nil
}

// change applies a change to a stored configuration. One whose secrets cannot be
// opened any more can still be switched off and renamed, and mended by sending
// every secret again.
func (s *Service) change(c *comm.ProviderConfig, adapter *provider.Adapter, change ProviderChange) error {
	secrets, err := s.OpenSecrets(c)
	if err == nil {
		return s.apply(c, adapter, secrets, change)
	}
	s.cfg.Log.Warn("the stored secrets of a provider configuration cannot be opened", "provider", c.ID.String(), "err", err)
	if len(change.Config) == 0 {
		e := comm.E("invalid_config")
		checkFrame(e, c, change)
		if len(e.Fields) > 0 {
			return e
		}
		return nil
	}
	e := comm.E("invalid_config")
	for _, f := range adapter.Fields {
		if text, ok := change.Config[f.Name].(string); f.Secret && (!ok || text == Masked) {
			e.Field("config."+f.Name, "must be sent again: the stored one cannot be read")
		}
	}
	if len(e.Fields) > 0 {
		return e
	}
	return s.apply(c, adapter, provider.Settings{}, change)
}

// DeleteProvider removes a configuration of the app; not_found otherwise.
func (s *Service) DeleteProvider(ctx context.Context, app, id comm.ID) error {
	if err := s.cfg.Providers.DeleteProviderConfig(ctx, app, id); err != nil {
		return err
	}
	s.cfg.Changed(app)
	return nil
}

// OpenSecrets opens the secret fields of a configuration, for the dispatcher.
func (s *Service) OpenSecrets(c *comm.ProviderConfig) (map[string]string, error) {
	if len(c.Secrets) == 0 {
		return map[string]string{}, nil
	}
	plain, err := s.credentials.Open(seal.Sealed{KeyID: c.KeyID, Box: c.Secrets}, credentialsPlace(c))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	if err := json.Unmarshal(plain, &out); err != nil {
		return nil, errors.New("the sealed secrets are not what was stored") // the cause would quote them
	}
	return out, nil
}

func credentialsPlace(c *comm.ProviderConfig) seal.Place {
	return store.ProviderSecrets().Place(c.App, c.ID)
}

// types lists the provider types, for an error's sentence.
func (s *Service) types() string {
	names := make([]string, 0, len(s.cfg.Adapters))
	for i := range s.cfg.Adapters {
		names = append(names, s.cfg.Adapters[i].Type)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (s *Service) adapter(name string) (*provider.Adapter, bool) {
	for i := range s.cfg.Adapters {
		if s.cfg.Adapters[i].Type == name {
			return &s.cfg.Adapters[i], true
		}
	}
	return nil, false
}

// apply puts the change into c after every check, and seals the secrets.
func (s *Service) apply(c *comm.ProviderConfig, adapter *provider.Adapter, secrets provider.Settings, change ProviderChange) error {
	e := comm.E("invalid_config")
	checkFrame(e, c, change)
	settings := provider.Settings(maps.Clone(c.Settings))
	before, sealedBefore, keyBefore := secrets, c.Secrets, c.KeyID
	secrets = maps.Clone(secrets)
	s.mergeFields(e, adapter, settings, secrets, change.Config)
	movedSecrets(e, adapter, c.Settings, settings, secrets, change.Config)
	s.checkFields(e, adapter, settings, secrets)
	if len(e.Fields) > 0 {
		return e
	}
	if adapter.Reports() && secrets[provider.CallbackToken] == "" {
		secrets[provider.CallbackToken] = newCallbackToken()
	}
	c.Settings, c.Secrets, c.KeyID = settings, nil, ""
	if len(secrets) == 0 {
		return nil
	}
	if len(sealedBefore) > 0 && maps.Equal(before, secrets) { // a change that does not touch them leaves them as they are
		c.Secrets, c.KeyID = sealedBefore, keyBefore
		return nil
	}
	return s.sealSecrets(c, secrets)
}

// sealSecrets puts secrets into a configuration.
func (s *Service) sealSecrets(c *comm.ProviderConfig, secrets provider.Settings) error {
	plain, err := json.Marshal(map[string]string(secrets))
	if err != nil {
		return fmt.Errorf("encode the secrets: %w", err)
	}
	sealed, err := s.credentials.Seal(plain, credentialsPlace(c))
	if err != nil {
		return fmt.Errorf("seal the secrets: %w", err)
	}
	c.Secrets, c.KeyID = sealed.Box, sealed.KeyID
	return nil
}

// movedSecrets wants the secrets again when the place that they go to changes:
// otherwise whoever may edit a configuration could read them at a host of their own.
func movedSecrets(e *comm.Error, adapter *provider.Adapter, before, after, secrets provider.Settings, sent map[string]any) {
	moved := slices.ContainsFunc(adapter.Fields, func(f provider.Field) bool {
		return (f.Kind == provider.Host || f.Kind == provider.URL) && before[f.Name] != after[f.Name]
	})
	if !moved {
		return
	}
	for name := range secrets {
		if slices.Contains(provider.CallbackTokens(), name) {
			continue // drawn here, and shown to everybody who may change the configuration
		}
		if text, ok := sent[name].(string); !ok || text == Masked {
			e.Field("config."+name, "must be sent again, because the host that it goes to changes")
		}
	}
}

// checkFrame applies what every configuration has, whatever its type.
func checkFrame(e *comm.Error, c *comm.ProviderConfig, change ProviderChange) {
	if change.Name != nil {
		if why := checkName(*change.Name); why != "" {
			e.Field("name", why)
		}
		c.Name = *change.Name
	}
	if change.Active != nil {
		c.Active = *change.Active
	}
	if change.Pinned != nil {
		c.Limits.Pinned = *change.Pinned
	}
	for _, n := range []struct {
		name  string
		value *int64
		into  *int
		top   int64
	}{
		{"priority", change.Priority, &c.Priority, maxPriority},
		{"ratePerSecond", change.PerSecond, &c.Limits.RatePerSecond, maxPerSecond},
		{"ratePerDay", change.PerDay, &c.Limits.RatePerDay, maxPerDay},
		{"maxConcurrency", change.MaxConcurrency, &c.Limits.MaxConcurrent, maxConcurrency},
	} {
		if n.value == nil {
			continue
		}
		if *n.value < 0 || *n.value > n.top {
			e.Field(n.name, fmt.Sprintf("must be 0 to %d", n.top))
			continue
		}
		*n.into = int(*n.value)
	}
}
