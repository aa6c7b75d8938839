package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

const callbackTokenBytes = 24

// newCallbackToken is what makes a callback URL unguessable: 192 random bits.
func newCallbackToken() string {
	var b [callbackTokenBytes]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// maxCallbackOverlap is longer than that of other secrets: messages that have left name the old URL, and some are reported days later.
const maxCallbackOverlap = 7 * 24 * 3600

// RotateCallback gives a configuration another callback URL. Reports to the one before are taken for so many seconds more, 0 to
// 604800; for those before it, see comm.Replace. Messages that are sent from now on name the new one. invalid_state for a type that
// reports nothing, while the stored secrets cannot be opened, and while comm.Replace refuses.
func (s *Service) RotateCallback(ctx context.Context, app, id comm.ID, overlapSeconds int64) (Provider, error) {
	if overlapSeconds < 0 || overlapSeconds > maxCallbackOverlap {
		return Provider{}, comm.E("invalid_field").Field("overlapSeconds", fmt.Sprintf("must be 0 to %d", maxCallbackOverlap))
	}
	c, err := anew(ctx, func() (*comm.ProviderConfig, error) { return s.cfg.Providers.ProviderConfig(ctx, app, id) },
		func(c *comm.ProviderConfig) error {
			return s.replaceToken(c, time.Duration(overlapSeconds)*time.Second)
		},
		func(c *comm.ProviderConfig) error { return s.cfg.Providers.UpdateProviderConfig(ctx, c) })
	if err != nil {
		return Provider{}, fmt.Errorf("rotate the callback token: %w", err)
	}
	s.cfg.Changed(app)
	return s.show(c), nil
}

// replaceToken draws another token. Of the times, which no field of a type is, the audit log tells.
func (s *Service) replaceToken(c *comm.ProviderConfig, overlap time.Duration) error {
	if adapter, ok := s.adapter(c.Type); !ok || !adapter.Reports() {
		return comm.E("invalid_state", "A configuration of the type %s has no callback URL: nothing is reported to it.", c.Type)
	}
	secrets, err := s.OpenSecrets(c)
	if err != nil {
		return comm.E("invalid_state", "The stored secrets of this configuration cannot be opened; send them again first.").Because(err)
	}
	now := s.now()
	old := secrets[provider.CallbackToken]
	if old == "" {
		overlap = 0
	}
	replaced, err := comm.Replace(provider.ReplacedTokens(c, secrets), old, overlap, now)
	if err != nil {
		return err
	}
	secrets[provider.CallbackToken] = newCallbackToken()
	c.Settings, c.UpdatedAt = maps.Clone(c.Settings), now
	c.Settings[comm.CallbackRotatedAt] = now.String()
	provider.ReplaceTokens(c, secrets, replaced)
	return s.sealSecrets(c, secrets)
}
