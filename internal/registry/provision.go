package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Bounds and defaults of an app.
const (
	DefaultRate   = 600
	MaxRate       = 1_000_000
	maxSlug       = 40
	maxOverlap    = 24 * 60 * 60
	minSecret     = 16
	maxSecret     = 200
	defaultScopes = comm.ScopeSend | comm.ScopeRead
)

// slugs are lower-case words joined by dashes.
var slugs = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// reserved slugs would read like a part of the server.
var reserved = []string{"admin", "api", "app", "apps", "console", "docs", "healthz", "metrics", "provision", "readyz", "root", "sandbox", "server", "static", "system", "www"}

// Provision asks for an app to exist.
type Provision struct {
	Name, Slug                string
	Rate                      *int64 // per minute; nil: DefaultRate for a new app, unchanged for an old one
	Scopes                    []string
	HasScopes                 bool
	WebhookURL, WebhookSecret *string
	RotateKey                 bool  // issue a new key although the app exists
	UpdateExisting            bool  // refresh rate limit and webhook settings of an existing app
	OverlapSeconds            int64 // how long old keys still work after RotateKey
}

// Provisioned answers a Provision.
type Provisioned struct {
	App               *comm.App
	APIKey            string // raw, this once; "" when none was issued
	WebhookSecret     string // generated, this once; "" when none was
	AlreadyRegistered bool
}

// Provision makes the app, or finds it. Concurrent calls for one slug make one app.
func (s *Service) Provision(ctx context.Context, p Provision) (*Provisioned, error) {
	scopes, err := checkProvision(&p)
	if err != nil {
		return nil, err
	}
	if _, err := s.checkWebhook(p.WebhookURL, p.WebhookSecret); err != nil {
		return nil, err
	}
	app, err := s.cfg.Apps.AppBySlug(ctx, p.Slug)
	if err == nil {
		return s.provisionExisting(ctx, app, p, scopes)
	}
	if !comm.IsKind(err, comm.Missing) {
		return nil, fmt.Errorf("look up the app: %w", err)
	}
	made, created, err := s.create(ctx, &AppSpec{Name: p.Name, Slug: p.Slug, Rate: p.Rate, WebhookURL: p.WebhookURL, WebhookSecret: p.WebhookSecret}, scopes, true)
	if err != nil {
		return nil, err
	}
	if !created { // another call was faster
		if app, err = s.cfg.Apps.AppBySlug(ctx, p.Slug); err != nil {
			return nil, fmt.Errorf("look up the app: %w", err)
		}
		return s.provisionExisting(ctx, app, p, scopes)
	}
	s.cfg.Log.Info("app provisioned", "app", made.App.ID, "slug", made.App.Slug)
	return &Provisioned{App: made.App, APIKey: made.APIKey, WebhookSecret: made.WebhookSecret}, nil
}

// NewApp is an app as it begins: in the sandbox, with the default rate.
func NewApp(slug, name string, now comm.Micros) *comm.App {
	return &comm.App{
		ID: comm.NewID(now), Slug: slug, Name: name, Active: true, Sandbox: true,
		RatePerMinute: DefaultRate, ShardSpread: 1, CreatedAt: now, UpdatedAt: now,
	}
}

func (s *Service) provisionExisting(ctx context.Context, app *comm.App, p Provision, scopes comm.Scopes) (*Provisioned, error) {
	out := &Provisioned{App: app, AlreadyRegistered: true}
	var err error
	if p.UpdateExisting && (p.Rate != nil || p.WebhookURL != nil || p.WebhookSecret != nil) {
		if out.App, out.WebhookSecret, err = s.refresh(ctx, app.ID, p); err != nil {
			return nil, err
		}
		app = out.App
		s.cfg.Changed(app.ID)
		s.cfg.Log.Info("app updated by provisioning", "app", app.ID, "slug", app.Slug)
	}
	if !p.RotateKey {
		return out, nil
	}
	if scopes == 0 {
		if scopes, err = s.lastScopes(ctx, app.ID); err != nil {
			return nil, err
		}
	}
	text, key := s.mint(ctx, app, scopes)
	key.Provisioned = true
	end := key.CreatedAt.Add(time.Duration(p.OverlapSeconds) * time.Second)
	if err := s.cfg.Keys.RotateKeys(ctx, key, end); err != nil {
		return nil, fmt.Errorf("rotate the keys: %w", err)
	}
	s.cfg.Changed(app.ID)
	out.APIKey = text
	s.cfg.Log.Log(ctx, slog.LevelWarn, "provisioning rotated the key of an existing app", "app", app.ID, "slug", app.Slug, "overlap_seconds", p.OverlapSeconds)
	return out, nil
}

// refresh applies updateExisting to the app as it is stored now.
func (s *Service) refresh(ctx context.Context, id comm.ID, p Provision) (app *comm.App, generated string, err error) {
	app, err = s.edit(ctx, id, func(app *comm.App) (err error) {
		generated, err = s.applyProvision(app, p)
		return err
	})
	return app, generated, err
}

// lastScopes are those of the newest key that provisioning issued.
func (s *Service) lastScopes(ctx context.Context, app comm.ID) (comm.Scopes, error) {
	keys, err := s.cfg.Keys.AppKeys(ctx, app)
	if err != nil {
		return 0, fmt.Errorf("list the app's keys: %w", err)
	}
	for _, k := range slices.Backward(keys) {
		if k.Provisioned {
			return k.Scopes, nil
		}
	}
	return defaultScopes, nil
}

func (s *Service) applyProvision(app *comm.App, p Provision) (generated string, err error) {
	if p.Rate != nil {
		app.RatePerMinute = int(*p.Rate)
	}
	if p.WebhookURL == nil && p.WebhookSecret == nil {
		return "", nil
	}
	return s.setWebhook(app, p.WebhookURL, p.WebhookSecret)
}

// checkWebhook says what is wrong with an address or a secret, and answers the
// address as it is kept; nil stands for one that is not changed.
func (s *Service) checkWebhook(address, secret *string) (kept string, err error) {
	if address != nil && *address != "" {
		if kept, err = s.checkWebhookURL("webhookUrl", *address); err != nil {
			return "", err
		}
	}
	if why := checkSecret(secret); why != "" {
		return "", comm.E("invalid_field").Field("webhookSecret", why)
	}
	return kept, nil
}

// checkWebhookURL answers an address as it is kept.
func (s *Service) checkWebhookURL(field, address string) (string, error) {
	u, err := s.cfg.Web.CheckURL(address)
	if err != nil {
		return "", comm.E("invalid_webhook_url").Field(field, err.Error())
	}
	return u.String(), nil
}

// checkSecret says what is wrong with a webhook's secret, if one is given.
func checkSecret(secret *string) string {
	if secret != nil && (len(*secret) < minSecret || len(*secret) > maxSecret) {
		return "has 16 to 200 bytes"
	}
	return ""
}

// setWebhook puts the address and the secret of the app's default endpoint in place. A secret is generated
// when there is an address but no secret, old or new.
func (s *Service) setWebhook(app *comm.App, address, secret *string) (generated string, err error) {
	kept, err := s.checkWebhook(address, secret)
	if err != nil {
		return "", err
	}
	if address != nil {
		app.WebhookURL = kept
	}
	value := ""
	switch {
	case secret != nil:
		value = *secret
	case app.WebhookURL != "" && app.WebhookSecret == nil:
		value = newWebhookSecret()
		generated = value
	default:
		return "", nil
	}
	sealed, err := s.webhooks.Seal([]byte(value), webhookPlace(app))
	if err != nil {
		return "", fmt.Errorf("seal the webhook secret: %w", err)
	}
	app.WebhookSecret = sealed.Pack()
	return generated, nil
}

func webhookPlace(app *comm.App) seal.Place {
	return store.WebhookSecrets().Place(app.ID, app.ID)
}

const webhookSecretBytes = 32

// newWebhookSecret is in the form of the Standard Webhooks specification.
func newWebhookSecret() string {
	var b [webhookSecretBytes]byte
	_, _ = rand.Read(b[:])
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

func checkProvision(p *Provision) (comm.Scopes, error) {
	e := comm.E("invalid_field")
	if why := checkName(p.Name); why != "" {
		e.Field("name", why)
	}
	if why := checkSlug(p.Slug); why != "" {
		e.Field("slug", why)
	}
	checkRate(e, p.Rate)
	if p.OverlapSeconds < 0 || p.OverlapSeconds > maxOverlap {
		e.Field("rotateOverlapSeconds", "must be 0 to 86400")
	}
	scopes := readScopes(e, p.Scopes, p.HasScopes)
	if len(e.Fields) > 0 {
		return 0, e
	}
	return scopes, nil
}

func checkSlug(slug string) string {
	if len(slug) < 2 || len(slug) > maxSlug || !slugs.MatchString(slug) {
		return "must be 2 to 40 lower-case letters, digits and single dashes between them"
	}
	if slices.Contains(reserved, slug) {
		return "is reserved"
	}
	if _, err := comm.ParseID(slug); err == nil {
		return "looks like an id"
	}
	return ""
}
