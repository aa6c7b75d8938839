package receipt

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// known is how long a configuration is remembered, and that there is none. A deleted one is believed for as long.
const known = 5 * time.Second

// How much is remembered, and how many look-ups go on at once: strangers make up ids.
const (
	maxAccounts = 10_000
	maxUnknown  = 4096
	lookups     = 8
)

// Account is a configuration whose provider reports.
type Account struct {
	Config   *comm.ProviderConfig
	adapter  *provider.Adapter
	settings provider.Settings
	token    [sha256.Size]byte // hash of the callback's token
	replaced []*Account        // the same by the tokens before, while those are taken; at most comm.MaxReplaced
	until    comm.Micros       // of one of these: how long that is
}

// accounts remembers configurations, and apart from them that there are none: whoever makes ids up forgets
// nothing that is used.
type accounts struct {
	mu      sync.Mutex
	found   map[comm.ID]answer
	missing map[comm.ID]time.Time
	places  chan struct{}
}

type answer struct {
	account *Account
	until   time.Time
	read    time.Time
}

func (c *accounts) init() {
	c.found, c.missing, c.places = map[comm.ID]answer{}, map[comm.ID]time.Time{}, make(chan struct{}, lookups)
}

// Forget makes every configuration be read again at its next use.
func (s *Service) Forget() {
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	clear(s.accounts.found)
	clear(s.accounts.missing)
}

// Find answers the configuration that a callback URL is of. It is not_found, by the same work and with the same
// words, for a wrong type, id or token, and for types that report nothing that can be read.
func (s *Service) Find(ctx context.Context, kind, id, token string) (*Account, error) {
	config, err := comm.ParseID(id)
	if err != nil {
		config = comm.ID{}
	}
	a, err := s.account(ctx, config)
	if err != nil {
		return nil, err
	}
	if found := s.match(a, kind, token); found != nil {
		return found, nil
	}
	// Another node may have given it another token a moment ago.
	if a == nil || !s.accounts.outdated(config, s.cfg.Now()) {
		return nil, comm.E("not_found")
	}
	if a, err = s.account(ctx, config); err != nil {
		return nil, err
	}
	if found := s.match(a, kind, token); found != nil {
		return found, nil
	}
	return nil, comm.E("not_found")
}

// match answers the account that a type and a token are of: this one, or the same by a token before; nil when they are of none.
// It does the same work for each.
func (s *Service) match(a *Account, kind, token string) *Account {
	given := sha256.Sum256([]byte(token))
	adapter, now := s.adapters[kind], comm.At(s.cfg.Now())
	var by [1 + comm.MaxReplaced]*Account
	fits := 0
	if a != nil {
		by[0] = a
		copy(by[1:], a.replaced)
		if a.adapter == adapter && adapter != nil && token != "" {
			fits = 1
		}
	}
	var found *Account
	for i, x := range by {
		var want [sha256.Size]byte
		holds := 0
		if x != nil {
			if want = x.token; i == 0 || now < x.until {
				holds = fits
			}
		}
		if subtle.ConstantTimeCompare(given[:], want[:])&holds == 1 {
			found = x
		}
	}
	return found
}

// account reads a configuration, or remembers it; nil when there is none that reports.
func (s *Service) account(ctx context.Context, id comm.ID) (*Account, error) {
	c := &s.accounts
	if a, ok := c.get(id, s.cfg.Now()); ok {
		return a, nil
	}
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	config, err := s.cfg.Store.AnyProviderConfig(ctx, id)
	switch {
	case comm.IsKind(err, comm.Missing):
		c.put(id, nil, s.cfg.Now())
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up a callback's configuration: %w", err)
	}
	a, err := s.open(config)
	if err != nil {
		return nil, err
	}
	c.put(id, a, s.cfg.Now())
	return a, nil
}

// open makes an account; nil when its type reports nothing that can be read.
func (s *Service) open(c *comm.ProviderConfig) (*Account, error) {
	adapter := s.adapters[lower(c.Type)]
	if adapter == nil || adapter.Reporting == nil || adapter.Reporting.Read == nil {
		return nil, nil
	}
	secrets, err := s.cfg.OpenSecrets(c)
	if err != nil {
		// As messages wait for a missing key, so do reports: the provider repeats them.
		return nil, comm.E("unavailable", "The credentials of this configuration cannot be opened now.").Because(err)
	}
	token := secrets[provider.CallbackToken]
	if token == "" {
		return nil, nil
	}
	a := s.accountBy(c, adapter, secrets, token)
	for _, r := range provider.ReplacedTokens(c, secrets) {
		before := s.accountBy(c, adapter, secrets, r.Secret)
		before.until = r.Until
		a.replaced = append(a.replaced, before)
	}
	return a, nil
}

// accountBy is a configuration under one of its tokens: providers sign the URL that they were given.
func (s *Service) accountBy(c *comm.ProviderConfig, adapter *provider.Adapter, secrets map[string]string, token string) *Account {
	a := &Account{Config: c, adapter: adapter, token: sha256.Sum256([]byte(token)), settings: make(provider.Settings, len(c.Settings)+len(secrets)+1)}
	maps.Copy(a.settings, c.Settings)
	maps.Copy(a.settings, secrets)
	a.settings[provider.CallbackURL] = provider.CallbackAddress(s.cfg.Env.PublicURL, c, token)
	return a
}

func (c *accounts) get(id comm.ID, now time.Time) (*Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.found[id]; ok && now.Before(x.until) {
		return x.account, true
	}
	until, ok := c.missing[id]
	return nil, ok && now.Before(until)
}

// outdated forgets a configuration that was not read just now, and says that it did: whoever guesses at tokens has it read once a second.
func (c *accounts) outdated(id comm.ID, now time.Time) bool {
	const fresh = time.Second
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.found[id]
	if !ok || now.Sub(x.read) < fresh {
		return false
	}
	delete(c.found, id)
	return true
}

func (c *accounts) put(id comm.ID, a *Account, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a == nil {
		if len(c.missing) >= maxUnknown {
			clear(c.missing)
		}
		delete(c.found, id)
		c.missing[id] = now.Add(known)
		return
	}
	if len(c.found) >= maxAccounts {
		clear(c.found)
	}
	delete(c.missing, id)
	c.found[id] = answer{a, now.Add(known), now}
}
