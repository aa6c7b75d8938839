// Package registry keeps the tenants' settings: apps, their keys, provider
// configurations, webhook endpoints and templates.
//
// It promises that nothing is stored that breaks a rule, that secrets are
// sealed before they reach the store and never come back out in an answer, that
// a raw key or generated secret is shown once, and that every stored change is
// announced through Config.Changed. It never connects to anything: hosts and
// URLs are judged by how they look, the guarded dialer decides when they are used.
package registry

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Apps stores apps.
type Apps interface {
	AppByID(ctx context.Context, id comm.ID) (*comm.App, error)
	AppBySlug(ctx context.Context, slug string) (*comm.App, error)
	AppsByID(ctx context.Context, ids []comm.ID) ([]comm.App, error)
	CreateApp(ctx context.Context, a *comm.App, k *comm.Key) (created bool, err error)
	UpdateApp(ctx context.Context, a *comm.App, at comm.Micros) error
	AppList(ctx context.Context, after comm.ID, limit int) ([]comm.App, error)
	DeleteApp(ctx context.Context, id comm.ID, at comm.Micros) error
}

// Keys stores API keys.
type Keys interface {
	RotateKeys(ctx context.Context, k *comm.Key, endOld comm.Micros) error
	AppKeys(ctx context.Context, app comm.ID) ([]comm.Key, error)
	KeyPage(ctx context.Context, app, after comm.ID, limit int) ([]comm.Key, error)
	Key(ctx context.Context, app, id comm.ID) (*comm.Key, error)
	AddKey(ctx context.Context, k *comm.Key) error
	ReplaceKey(ctx context.Context, k *comm.Key, old comm.ID, endOld comm.Micros) error
	RevokeKey(ctx context.Context, app, id comm.ID, at comm.Micros) error
}

// Messages lists and cancels what a deleted app leaves behind.
type Messages interface {
	List(ctx context.Context, app comm.ID, f store.Filter) ([]comm.Message, error)
	Cancel(ctx context.Context, app, id comm.ID, actor string) (comm.State, comm.CancelResult, error)
	UnitsAfter(ctx context.Context, after comm.Unit, limit int) ([]comm.Unit, error)
}

// Troubles knows which provider configurations do not work, and how calls through them go, as the nodes say that send with them.
type Troubles interface {
	TroublesOf(ctx context.Context, app comm.ID) ([]store.ProviderTrouble, error)
	StrainsOf(ctx context.Context, app comm.ID) ([]store.ProviderStrain, error)
}

// Config is what a Service needs.
type Config struct {
	Apps      Apps
	Keys      Keys
	Providers store.Providers
	Endpoints store.Endpoints
	Templates store.Templates
	Messages  Messages
	Audit     store.Audit
	Troubles  Troubles // nil: nobody knows of any
	Adapters  []provider.Adapter
	Ring      *seal.Ring
	// Mail judges hosts and ports of mail servers, Web webhook addresses and base
	// URLs: the dialers that the connections will be made with.
	Mail, Web *guard.Dialer
	Fallback  chain.Fallback
	// PublicURL begins the callback URLs that providers are given, without a slash at its end.
	PublicURL string
	// Changed is called after every stored change with the app that it belongs
	// to, before the change is answered. The zero app: the server-level chain.
	Changed func(app comm.ID)
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger
}

// Service changes settings by the rules. It is safe for concurrent use.
type Service struct {
	cfg         Config
	credentials *seal.Sealer
	webhooks    *seal.Sealer
	deleted     chan comm.ID // apps whose messages Run cancels next
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Changed == nil {
		cfg.Changed = func(comm.ID) {}
	}
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	return &Service{cfg: cfg, credentials: cfg.Ring.For(store.ProviderSecrets().Purpose), webhooks: cfg.Ring.For(store.WebhookSecrets().Purpose), deleted: make(chan comm.ID, deletedAhead)}
}

func (s *Service) now() comm.Micros { return comm.At(s.cfg.Now()) }

// AppChange is what is asked of an app; nil means "leave it". What of it an app
// may ask for itself is for its door.
type AppChange struct {
	Name          *string
	Active        *bool
	Sandbox       *bool
	Rate          *int64 // per minute
	OnUnknown     *comm.UnknownPolicy
	WebhookURL    *string // "" removes it
	WebhookSecret *string
	AllowedFrom   *[]string
	Queue         *string // a word of comm.App.QueueState
	SMSPerDay     *int64  // segments; 0: any number
	SMSPrefixes   *[]string
	SMSByPrefix   map[string]int64 // segments by the beginning of the number; nil leaves them
}

// AppChanged is the app after a change.
type AppChanged struct {
	App *comm.App
	// WebhookSecret is set when one was generated: it is shown this once.
	WebhookSecret string
	Warnings      []comm.Warning
}

// App reads an app as it is stored now.
func (s *Service) App(ctx context.Context, id comm.ID) (*comm.App, error) {
	return s.cfg.Apps.AppByID(ctx, id)
}

// AppsByID reads those of the apps that exist, as they are stored now.
func (s *Service) AppsByID(ctx context.Context, ids []comm.ID) (map[comm.ID]*comm.App, error) {
	ids = slices.Compact(slices.SortedFunc(slices.Values(ids), comm.ID.Compare))
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := s.cfg.Apps.AppsByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read apps: %w", err)
	}
	found := make(map[comm.ID]*comm.App, len(list))
	for i := range list {
		found[list[i].ID] = &list[i]
	}
	return found, nil
}

// UpdateApp applies a change to the app.
func (s *Service) UpdateApp(ctx context.Context, id comm.ID, change AppChange) (*AppChanged, error) {
	out, leaving, err := s.changeApp(ctx, id, change)
	if err != nil {
		return nil, err
	}
	s.cfg.Changed(id)
	if leaving {
		// The change is stored, and its answer may hold a secret that is shown this once.
		if out.Warnings, err = s.liveWarnings(ctx, out.App); err != nil {
			s.cfg.Log.Warn("warnings about an app that went live are left out", "app", id, "err", err)
		}
	}
	return out, nil
}

// changeApp stores the change; leaving says that the app leaves the sandbox by it.
func (s *Service) changeApp(ctx context.Context, id comm.ID, change AppChange) (out *AppChanged, leaving bool, err error) {
	if err := checkChange(&change); err != nil {
		return nil, false, err
	}
	out = &AppChanged{}
	out.App, err = s.edit(ctx, id, func(app *comm.App) (err error) {
		leaving = app.Sandbox && change.Sandbox != nil && !*change.Sandbox
		put(&app.Name, change.Name)
		put(&app.Active, change.Active)
		put(&app.Sandbox, change.Sandbox)
		put(&app.OnUnknown, change.OnUnknown)
		put(&app.AllowedFrom, change.AllowedFrom)
		if change.Queue != nil {
			app.QueuePaused, app.QueueDraining = *change.Queue == comm.QueuePaused, *change.Queue == comm.QueueDraining
		}
		put(&app.SMSPrefixes, change.SMSPrefixes)
		if change.SMSByPrefix != nil {
			app.SMSPrefixCaps = prefixCaps(change.SMSByPrefix)
		}
		if change.SMSPerDay != nil {
			app.SMSPerDay = int(*change.SMSPerDay)
		}
		if change.Rate != nil {
			app.RatePerMinute = int(*change.Rate)
		}
		if change.WebhookURL != nil || change.WebhookSecret != nil {
			out.WebhookSecret, err = s.setWebhook(app, change.WebhookURL, change.WebhookSecret)
		}
		return err
	})
	return out, leaving, err
}

// put sets a field that is to be changed.
func put[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// checkChange says what is wrong with a change, but for its webhook.
func checkChange(c *AppChange) error {
	e := comm.E("invalid_field")
	if c.Name != nil {
		if why := checkName(*c.Name); why != "" {
			e.Field("name", why)
		}
	}
	checkRate(e, c.Rate)
	if c.AllowedFrom != nil {
		checkAllowed(e, *c.AllowedFrom)
	}
	var prefixes []string
	put(&prefixes, c.SMSPrefixes)
	checkCost(e, c.SMSPerDay, prefixes, c.SMSByPrefix)
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

// edit changes an app as it is stored now.
func (s *Service) edit(ctx context.Context, id comm.ID, change func(app *comm.App) error) (*comm.App, error) {
	app, err := anew(ctx, func() (*comm.App, error) { return s.cfg.Apps.AppByID(ctx, id) }, change,
		func(app *comm.App) error { return s.cfg.Apps.UpdateApp(ctx, app, s.now()) })
	if err != nil {
		return nil, fmt.Errorf("change the app: %w", err)
	}
	return app, nil
}

// liveWarnings says for which channels a live app has nothing to send with.
func (s *Service) liveWarnings(ctx context.Context, app *comm.App) ([]comm.Warning, error) {
	chains, err := s.LiveChains(ctx, app, Supposed{})
	if err != nil {
		return nil, err
	}
	var out []comm.Warning
	for _, c := range chains {
		if w, ok := c.Warning(c.Channel); ok {
			out = append(out, w)
		}
	}
	return out, nil
}

// maxName bounds names of apps and configurations, in characters.
const maxName = 100

// checkName answers why a name is not usable, "" when it is.
func checkName(name string) string {
	if strings.TrimSpace(name) == "" || strings.TrimSpace(name) != name {
		return "must not be empty or begin or end with a space"
	}
	if utf8.RuneCountInString(name) > maxName {
		return "has at most 100 characters"
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return "must not hold control characters"
		}
	}
	return ""
}
