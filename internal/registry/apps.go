package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/sms"
	"github.com/commserver/commserver/internal/store"
)

// AppSpec asks for a new app. Nil members take their defaults.
type AppSpec struct {
	Name, Slug                string
	Sandbox                   *bool  // nil: true
	Rate                      *int64 // per minute; nil: DefaultRate
	OnUnknown                 *comm.UnknownPolicy
	WebhookURL, WebhookSecret *string
	AllowedFrom               []string
	SMSPerDay                 *int64 // segments; 0: any number
	SMSPrefixes               []string
	SMSByPrefix               map[string]int64 // segments by the beginning of the number; 0: none at all
	Scopes                    []string         // of the first key
	HasScopes                 bool
}

// AppMade is a new app.
type AppMade struct {
	App           *comm.App
	APIKey        string // raw, this once
	WebhookSecret string // generated, this once; "" when none was
}

// CreateApp makes an app with its first key; already_exists when the slug is taken.
func (s *Service) CreateApp(ctx context.Context, spec AppSpec) (*AppMade, error) {
	e := comm.E("invalid_field")
	if why := checkName(spec.Name); why != "" {
		e.Field("name", why)
	}
	if why := checkSlug(spec.Slug); why != "" {
		e.Field("slug", why)
	}
	checkRate(e, spec.Rate)
	checkAllowed(e, spec.AllowedFrom)
	checkCost(e, spec.SMSPerDay, spec.SMSPrefixes, spec.SMSByPrefix)
	scopes := readScopes(e, spec.Scopes, spec.HasScopes)
	if len(e.Fields) > 0 {
		return nil, e
	}
	made, created, err := s.create(ctx, &spec, scopes, false)
	if err != nil {
		return nil, err
	}
	if !created {
		return nil, comm.E("already_exists", "An app with this slug exists already; choose another one.").Field("slug", "is taken")
	}
	s.cfg.Log.Info("app created", "app", made.App.ID, "slug", made.App.Slug)
	return made, nil
}

// create stores an app whose spec was checked, but for the webhook, with a key of
// the scopes (0: the default ones). Of concurrent calls for one slug one creates.
func (s *Service) create(ctx context.Context, spec *AppSpec, scopes comm.Scopes, provisioned bool) (made *AppMade, created bool, err error) {
	app := NewApp(spec.Slug, spec.Name, s.now())
	put(&app.Sandbox, spec.Sandbox)
	put(&app.OnUnknown, spec.OnUnknown)
	if spec.Rate != nil {
		app.RatePerMinute = int(*spec.Rate)
	}
	app.AllowedFrom, app.SMSPrefixes, app.SMSPrefixCaps = spec.AllowedFrom, spec.SMSPrefixes, prefixCaps(spec.SMSByPrefix)
	if spec.SMSPerDay != nil {
		app.SMSPerDay = int(*spec.SMSPerDay)
	}
	made = &AppMade{App: app}
	if spec.WebhookURL != nil || spec.WebhookSecret != nil {
		if made.WebhookSecret, err = s.setWebhook(app, spec.WebhookURL, spec.WebhookSecret); err != nil {
			return nil, false, err
		}
	}
	if scopes == 0 {
		scopes = defaultScopes
	}
	text, key := s.mint(ctx, app, scopes)
	key.Provisioned = provisioned
	if created, err = s.cfg.Apps.CreateApp(ctx, app, key); err != nil {
		return nil, false, fmt.Errorf("create the app: %w", err)
	}
	if created {
		s.cfg.Changed(app.ID)
		made.APIKey = text
	}
	return made, created, nil
}

// mint makes a key for the app in its mode of now.
func (s *Service) mint(ctx context.Context, app *comm.App, scopes comm.Scopes) (string, *comm.Key) {
	now := s.now()
	m := apikey.Mint(!app.Sandbox)
	return m.Text, &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: m.Hash, Prefix: m.Prefix, LastFour: m.Last4, Scopes: scopes,
		CreatedAt: now, CreatedBy: store.ActorOf(ctx).Kind}
}

// AppNamed reads an app, as it is stored now, by its id or slug; not_found otherwise.
func (s *Service) AppNamed(ctx context.Context, name string) (*comm.App, error) {
	app, err := store.AppNamed(ctx, s.cfg.Apps, name)
	if comm.IsKind(err, comm.Missing) {
		return nil, comm.E("not_found", "There is no such app.").Field("app", "is not the id or slug of an app")
	}
	return app, err
}

// AppFilter narrows a list of apps. Zero values do not filter.
type AppFilter struct {
	Prefix string // of the slug or of the name, in any case
	Active *bool
	After  comm.ID // keyset: only later ones
	Limit  int
}

// What one page of a list of apps may look at.
const (
	appsAtOnce = 500
	appsLooked = 2000
)

// Apps lists apps, oldest first. What it looks at is bounded, so that a page may
// hold fewer than f.Limit, or none, although there are more: next says where the
// next page begins, zero when there is none.
func (s *Service) Apps(ctx context.Context, f AppFilter) (found []comm.App, next comm.ID, err error) {
	prefix := strings.ToLower(f.Prefix)
	for looked, after := 0, f.After; ; {
		page, err := s.cfg.Apps.AppList(ctx, after, appsAtOnce)
		if err != nil {
			return nil, next, fmt.Errorf("list apps: %w", err)
		}
		for i := range page {
			app := &page[i]
			if prefix != "" && !strings.HasPrefix(app.Slug, prefix) && !strings.HasPrefix(strings.ToLower(app.Name), prefix) || f.Active != nil && *f.Active != app.Active {
				continue
			}
			if len(found) == f.Limit {
				return found, found[len(found)-1].ID, nil
			}
			found = append(found, *app)
		}
		if len(page) < appsAtOnce {
			return found, comm.ID{}, nil
		}
		after = page[len(page)-1].ID
		if looked += len(page); looked >= appsLooked {
			return found, after, nil
		}
	}
}

func checkRate(e *comm.Error, rate *int64) {
	if rate != nil && (*rate < 1 || *rate > MaxRate) {
		e.Field("ratePerMinute", "must be 1 to 1000000")
	}
}

// readScopes reads the scopes of a key; 0 when none are asked for.
func readScopes(e *comm.Error, names []string, given bool) (scopes comm.Scopes) {
	if most := len(comm.AllScopes.Names()); len(names) > most {
		e.Field("scopes", fmt.Sprintf("has at most %d entries: each scope once", most))
		return 0
	}
	for i, name := range names {
		one, ok := comm.ParseScope(name)
		if !ok {
			e.Field(fmt.Sprintf("scopes[%d]", i), "must be one of "+strings.Join(comm.AllScopes.Names(), ", "))
		}
		scopes |= one
	}
	if given && len(names) == 0 {
		e.Field("scopes", "must not be empty; leave it out for SEND and READ")
	}
	return scopes
}

// Bounds of what SMS may cost.
const (
	maxSMSPerDay = 100_000_000
	maxPrefixes  = 300
	maxPrefix    = 15 // digits of a whole number
)

// checkCost judges the cap of SMS segments a day, 0 for none, the beginnings of
// numbers that are allowed, and caps by the beginning of the number.
func checkCost(e *comm.Error, perDay *int64, prefixes []string, byPrefix map[string]int64) {
	if perDay != nil && (*perDay < 0 || *perDay > maxSMSPerDay) {
		e.Field("smsPerDay", "must be 1 to 100000000 segments, or null for any number")
	}
	if len(prefixes) > maxPrefixes {
		e.Field("smsPrefixes", fmt.Sprintf("has at most %d entries", maxPrefixes))
		return
	}
	const must = "must be the beginning of an international number in digits, such as 233"
	for i, one := range prefixes {
		if !isPrefix(one) {
			e.Field(fmt.Sprintf("smsPrefixes[%d]", i), must)
		}
	}
	if len(byPrefix) > maxPrefixes {
		e.Field("smsPerDayByPrefix", fmt.Sprintf("has at most %d entries", maxPrefixes))
		return
	}
	for _, prefix := range slices.Sorted(maps.Keys(byPrefix)) {
		if !isPrefix(prefix) {
			e.Field("smsPerDayByPrefix", "each name "+must)
		} else if n := byPrefix[prefix]; n < 0 || n > maxSMSPerDay {
			e.Field("smsPerDayByPrefix."+prefix, "must be 0 to 100000000 segments")
		}
	}
}

func isPrefix(s string) bool {
	return s != "" && s[0] != '0' && len(s) <= maxPrefix && strings.Trim(s, "0123456789") == ""
}

// prefixCaps are caps by the beginning of the number as an app has them.
func prefixCaps(byPrefix map[string]int64) (caps []comm.SMSCap) {
	for _, prefix := range slices.Sorted(maps.Keys(byPrefix)) {
		caps = append(caps, comm.SMSCap{Prefix: prefix, PerDay: int(byPrefix[prefix])})
	}
	return caps
}

// maxAllowed bounds the list of allowed senders.
const maxAllowed = 100

// checkAllowed judges the senders that a live app may use on the server's
// providers: an address, a domain with or without @, or a sender id of SMS.
func checkAllowed(e *comm.Error, allowed []string) {
	if len(allowed) > maxAllowed {
		e.Field("allowedSenders", fmt.Sprintf("has at most %d entries", maxAllowed))
		return
	}
	for i, one := range allowed {
		var err error
		switch at := strings.IndexByte(one, '@'); {
		case at > 0:
			_, err = address.ParseEmail(one)
		case at == 0:
			_, err = address.ParseEmail("x" + one)
		default:
			if _, err = address.ParseEmail("x@" + one); err != nil {
				err = sms.CheckSender(one)
			}
		}
		if err != nil {
			e.Field(fmt.Sprintf("allowedSenders[%d]", i), "must be an email address, a domain such as example.com or @example.com, or a sender id of SMS")
		}
	}
}
