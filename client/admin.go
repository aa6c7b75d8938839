package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Admin calls the server for its administrator: it makes and ends apps and their
// keys, and keeps the server-level provider configurations. It is safe for concurrent use.
type Admin struct{ c *Client }

// NewAdmin makes an Admin. Options.AdminKey is needed; App and Key are not.
func NewAdmin(o Options) (*Admin, error) {
	o.App, o.Key = "", ""
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Admin{c}, nil
}

// For is a client that acts for an app, named by its id or slug, with every scope.
func (a *Admin) For(app string) *Client {
	o := a.c.o
	o.App = app
	return &Client{base: a.c.base, o: o}
}

// Close ends idle connections, of the clients that For answered too.
func (a *Admin) Close() { a.c.Close() }

const (
	adminApps      = "/api/admin/apps"
	adminProviders = "/api/admin/provider-configs"
)

// AdminApp is what the administrator says of an app. What is nil or empty is
// left as it is, or takes its default in a new one.
type AdminApp struct {
	Name             string    `json:"name,omitempty"`
	Slug             string    `json:"slug,omitempty"`     // new ones only
	IsActive         *bool     `json:"isActive,omitempty"` // changes only
	SandboxMode      *bool     `json:"sandboxMode,omitempty"`
	RatePerMinute    int       `json:"ratePerMinute,omitempty"`
	OnUnknownOutcome string    `json:"onUnknownOutcome,omitempty"` // RETRY or FAIL
	WebhookURL       *string   `json:"webhookUrl,omitempty"`       // "" removes it
	WebhookSecret    string    `json:"webhookSecret,omitempty"`
	AllowedSenders   *[]string `json:"allowedSenders,omitempty"`
	SMSPerDay        *Limit    `json:"smsPerDay,omitempty"`
	SMSPrefixes      *[]string `json:"smsPrefixes,omitempty"` // an empty list allows every number
	// SMSPerDayByPrefix replaces all of these caps; an empty map removes them.
	SMSPerDayByPrefix *map[string]int `json:"smsPerDayByPrefix,omitempty"`
	Scopes            []string        `json:"scopes,omitempty"` // of a new one's first key
}

// Limit is a number that may be taken away: 0 is sent as null, which means no limit.
type Limit int

// MarshalJSON writes the number, null for 0.
func (l Limit) MarshalJSON() ([]byte, error) {
	if l == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(l), 10), nil
}

// NewAppMade answers CreateApp. APIKey is shown this once.
type NewAppMade struct {
	App           App    `json:"app"`
	APIKey        string `json:"apiKey"`
	WebhookSecret string `json:"webhookSecret"`
}

// AppFilter narrows a list of apps; empty members do not.
type AppFilter struct {
	Search   string // beginning of the slug or the name
	Active   *bool
	PageSize int // 0: the server's default of 20; at most 100
}

// Apps walks through the apps, oldest first. It stops at the first error, which comes with a zero app.
func (a *Admin) Apps(ctx context.Context, f AppFilter) iter.Seq2[App, error] {
	query := url.Values{}
	if f.Search != "" {
		query.Set("search", f.Search)
	}
	if f.Active != nil {
		query.Set("active", strconv.FormatBool(*f.Active))
	}
	return pages[App](ctx, a.c, adminApps, query, f.PageSize)
}

// App reads an app by its id or slug.
func (a *Admin) App(ctx context.Context, app string) (*App, error) {
	return adminDo[App](ctx, a, http.MethodGet, adminApps+"/"+escape(app), nil, true)
}

// CreateApp makes an app with its first key. It is not repeated by itself: a lost answer held the key.
func (a *Admin) CreateApp(ctx context.Context, app AdminApp) (*NewAppMade, error) {
	return adminDo[NewAppMade](ctx, a, http.MethodPost, adminApps, app, false)
}

// UpdateApp changes an app.
func (a *Admin) UpdateApp(ctx context.Context, app string, change AdminApp) (*App, error) {
	safe := change.WebhookURL == nil // a repeat would lose the secret that was shown once
	return adminDo[App](ctx, a, http.MethodPatch, adminApps+"/"+escape(app), change, safe)
}

// DeleteApp ends an app for good; slug, its slug, says that it is meant.
func (a *Admin) DeleteApp(ctx context.Context, app, slug string) error {
	_, err := a.c.do(ctx, call{method: http.MethodDelete, path: adminApps + "/" + escape(app), query: url.Values{"confirm": {slug}}, admin: true}, nil)
	return err
}

// Key is an API key; the key itself is not known any more.
type Key struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Prefix      string     `json:"prefix"`
	LastFour    string     `json:"lastFour"`
	Scopes      []string   `json:"scopes"`
	Provisioned bool       `json:"provisioned"`
	CreatedBy   string     `json:"createdBy"`
	CreatedAt   time.Time  `json:"createdAt"`
	ExpiresAt   *time.Time `json:"expiresAt"`
	RevokedAt   *time.Time `json:"revokedAt"`
	LastUsedAt  *time.Time `json:"lastUsedAt"`
	// APIKey comes with CreateKey and RotateKey only, this once.
	APIKey string `json:"apiKey"`
}

// NewKey asks for a key. Without scopes it has SEND and READ, without ExpiresAt it does not end.
type NewKey struct {
	Name      string     `json:"name,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// Keys walks through an app's keys, oldest first, those that have ended too.
func (a *Admin) Keys(ctx context.Context, app string) iter.Seq2[Key, error] {
	return pages[Key](ctx, a.c, keysOf(app), url.Values{}, 0)
}

// CreateKey makes a key for the app. It is not repeated by itself: a lost answer held the key.
func (a *Admin) CreateKey(ctx context.Context, app string, k NewKey) (*Key, error) {
	return adminDo[Key](ctx, a, http.MethodPost, keysOf(app), k, false)
}

// RotateKey replaces a key, which works for the overlap (whole seconds, up to a
// day) beside the new one. It is not repeated by itself: a lost answer held the key.
func (a *Admin) RotateKey(ctx context.Context, app, id string, overlap time.Duration) (*Key, error) {
	body := map[string]int{"overlapSeconds": int(overlap / time.Second)}
	return adminDo[Key](ctx, a, http.MethodPost, keysOf(app)+"/"+escape(id)+"/rotate", body, false)
}

// RevokeKey ends a key now. Repeating it is harmless.
func (a *Admin) RevokeKey(ctx context.Context, app, id string) error {
	_, err := a.c.do(ctx, call{method: http.MethodDelete, path: keysOf(app) + "/" + escape(id), admin: true, safe: true}, nil)
	return err
}

func keysOf(app string) string { return adminApps + "/" + escape(app) + "/keys" }

// ServerProviders lists the server-level provider configurations in failover order.
func (a *Admin) ServerProviders(ctx context.Context) ([]Provider, error) {
	out, err := adminDo[page[Provider]](ctx, a, http.MethodGet, adminProviders, nil, true)
	if err != nil {
		return nil, err
	}
	return out.Data, nil
}

// ServerProvider reads one server-level provider configuration.
func (a *Admin) ServerProvider(ctx context.Context, id string) (*Provider, error) {
	return adminDo[Provider](ctx, a, http.MethodGet, adminProviders+"/"+escape(id), nil, true)
}

// CreateServerProvider adds a server-level provider configuration. It is not repeated by itself.
func (a *Admin) CreateServerProvider(ctx context.Context, p ProviderChange) (*Provider, error) {
	return adminDo[Provider](ctx, a, http.MethodPost, adminProviders, p, false)
}

// UpdateServerProvider changes one; secrets that are not given stay.
func (a *Admin) UpdateServerProvider(ctx context.Context, id string, change ProviderChange) (*Provider, error) {
	return adminDo[Provider](ctx, a, http.MethodPatch, adminProviders+"/"+escape(id), change, true)
}

// RotateServerCallback gives one another callback URL; see Client.RotateCallback.
func (a *Admin) RotateServerCallback(ctx context.Context, id string, overlap time.Duration) (*Provider, error) {
	q := rotateCallback(adminProviders, id, overlap)
	return adminDo[Provider](ctx, a, q.method, q.path, q.body, false)
}

// DeleteServerProvider removes one.
func (a *Admin) DeleteServerProvider(ctx context.Context, id string) error {
	_, err := a.c.do(ctx, call{method: http.MethodDelete, path: adminProviders + "/" + escape(id), admin: true}, nil)
	return err
}

func adminDo[T any](ctx context.Context, a *Admin, method, path string, body any, safe bool) (*T, error) {
	out := new(T)
	if _, err := a.c.do(ctx, call{method: method, path: path, body: body, admin: true, safe: safe}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// pages walks through a list of the administrator's, page after page.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values, size int) iter.Seq2[T, error] {
	if size > 0 {
		query.Set("limit", strconv.Itoa(size))
	}
	return walkFrom[T](ctx, c, call{method: http.MethodGet, path: path, query: query, safe: true, admin: true})
}

// AuditEntry is a line of the audit log: a change, or what was seen of a key.
type AuditEntry struct {
	Sequence     int64                     `json:"sequence"`
	At           time.Time                 `json:"at"`
	AtMicros     int64                     `json:"atMicros"`
	Actor        string                    `json:"actor"` // app, admin, provisioning, client, system
	ActorName    string                    `json:"actorName"`
	Address      string                    `json:"address"`
	RequestID    string                    `json:"requestId"`
	App          string                    `json:"app"`
	Action       string                    `json:"action"`
	Target       string                    `json:"target"`
	Detail       map[string]map[string]any `json:"detail"` // by field: from, to, or changed
	PreviousHash string                    `json:"previousHash"`
	Hash         string                    `json:"hash"`
}

// AuditFilter narrows the audit log; empty members do not.
type AuditFilter struct {
	App, Actor, Action, Target string
	After, Before              time.Time
	PageSize                   int // 0: the server's default of 20; at most 100
}

// Audit walks through the audit log, newest first, reading page after page, empty
// ones too. It stops at the first error, which comes with a zero entry.
func (a *Admin) Audit(ctx context.Context, f AuditFilter) iter.Seq2[AuditEntry, error] {
	query := url.Values{}
	for name, value := range map[string]string{"app": f.App, "actor": f.Actor, "action": f.Action, "target": f.Target} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"after": f.After, "before": f.Before} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return pages[AuditEntry](ctx, a.c, adminAudit, query, f.PageSize)
}

const adminAudit = "/api/admin/audit"

// AuditVerdict is what VerifyAudit found.
type AuditVerdict struct {
	OK      bool  // every entry holds
	Checked int64 // entries that hold
	// Last is the sequence of the last entry that holds, 0 for none, with its hash: keep both elsewhere
	// to find out later whether somebody made the whole chain anew.
	Last     int64
	LastHash string
	// BrokenAt is the sequence of the first entry that does not hold, 0 when all do, and Reason says why.
	BrokenAt int64
	Reason   string
}

// verifyTimeout is how long the server may check a part of the log.
const verifyTimeout = time.Minute

// VerifyAudit checks the whole chain of the audit log, request after request, up to the first entry that does not hold.
// It tells progress, which may be nil, after each how many hold so far.
func (a *Admin) VerifyAudit(ctx context.Context, progress func(checked int64)) (*AuditVerdict, error) {
	out := &AuditVerdict{OK: true}
	for query := (url.Values{}); ; {
		var part struct {
			OK        bool   `json:"ok"`
			Checked   int64  `json:"checked"`
			NextAfter *int64 `json:"nextAfter"`
			Last      *struct {
				Sequence int64  `json:"sequence"`
				Hash     string `json:"hash"`
			} `json:"last"`
			Broken *struct {
				Sequence int64  `json:"sequence"`
				Reason   string `json:"reason"`
			} `json:"broken"`
		}
		if _, err := a.c.do(ctx, call{method: http.MethodGet, path: adminAudit + "/verify", query: query, admin: true, safe: true, timeout: verifyTimeout}, &part); err != nil {
			return nil, err
		}
		out.OK, out.Checked = part.OK, out.Checked+part.Checked
		if part.Last != nil {
			out.Last, out.LastHash = part.Last.Sequence, part.Last.Hash
		}
		if part.Broken != nil {
			out.BrokenAt, out.Reason = part.Broken.Sequence, part.Broken.Reason
		}
		if progress != nil {
			progress(out.Checked)
		}
		if !part.OK || part.NextAfter == nil {
			return out, nil
		}
		query.Set("after", strconv.FormatInt(*part.NextAfter, 10))
	}
}
