// Package auth says who is asking: which app, with which scopes.
//
// It promises one answer for everything that is wrong with a key or an app, so
// that nobody learns which part was wrong; no look-up for a key whose checksum
// does not hold; comparison in constant time; and a limit on failed tries per
// client address and app that never refuses a correct key. What it remembers of
// an app or key is at most five seconds old.
//
// It does not decide what a scope allows (the routes do) and does not issue keys.
package auth

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Keys looks up API keys by the SHA-256 of their text.
type Keys interface {
	KeyByHash(ctx context.Context, hash [32]byte) (*comm.Key, error)
}

// Apps looks up apps.
type Apps = store.AppFinder

// Config is what an Authenticator needs.
type Config struct {
	Keys Keys
	Apps Apps
	// FailuresPerMinute is how many failed tries one address may make for one
	// app in a minute; 0 means the default of 20.
	FailuresPerMinute int
	// ProvisioningKey is the bootstrap secret; empty switches provisioning off.
	ProvisioningKey string
	// AdminKey is the administrator's secret; empty closes that door.
	AdminKey string
	// Uses is told which keys are used and what is refused, by Run; nil: nobody is.
	Uses Uses
	Log  *slog.Logger     // nil: silent
	Now  func() time.Time // nil: time.Now
}

// DefaultFailures is the number of failed tries per minute, address and app.
const DefaultFailures = 20

// provisionsPerMinute bounds calls with the correct provisioning key.
const provisionsPerMinute = 600

// Authenticator checks credentials. It is safe for concurrent use.
type Authenticator struct {
	cfg      Config
	cache    *cache
	failures *limiter
	setups   *limiter
	uses     *uses
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.FailuresPerMinute <= 0 {
		cfg.FailuresPerMinute = DefaultFailures
	}
	a := &Authenticator{cfg: cfg, failures: newLimiter(cfg.FailuresPerMinute), setups: newLimiter(provisionsPerMinute), uses: newUses(cfg.Uses, cfg.Log)}
	a.cache = newCache(a.load, cfg.Now)
	return a
}

// Invalidate forgets what is remembered of apps and keys: call it when the
// configuration version changed.
func (a *Authenticator) Invalidate() { a.cache.forget() }

// Caller is an authenticated app. It is shared: read only, and never copied.
type Caller struct {
	App *comm.App
	Key *comm.Key
	// Admin says that the administrator acts for the app: Key then has no id and every scope.
	Admin bool

	by   Visitor      // nil: whoever holds the key
	id   string       // text of the app's id, made once
	used atomic.Int64 // when the key's use was noted last, in microseconds
}

// Actor is whom the caller's changes are made by.
func (c *Caller) Actor() comm.Actor {
	if c.by != nil {
		return c.by.Actor()
	}
	if c.Admin {
		return comm.Actor{Kind: comm.ActorAdmin}
	}
	return comm.Actor{Kind: comm.ActorApp, Name: c.Key.ID.String()}
}

// Require answers insufficient_scope unless the key has every scope of want.
func (c *Caller) Require(want comm.Scopes) error {
	if c.Key.Scopes.Has(want) {
		return nil
	}
	return comm.E("insufficient_scope", "The API key lacks the scope %s.", want).With("scope", want.String()).With("granted", c.Key.Scopes.Names())
}

// App finds out which app calls, by X-App-ID (id or slug) and X-API-Key or a
// Bearer token, or for which app the administrator does, by X-App-ID and
// X-Admin-Key. From is the client's address.
func (a *Authenticator) App(ctx context.Context, h http.Header, from netip.Addr) (*Caller, error) {
	if len(h["X-Admin-Key"]) > 0 {
		return a.acting(ctx, h, from)
	}
	name, key, ok := credentials(h)
	if ok {
		caller, err := a.lookup(ctx, name, key, from)
		if err != nil || caller != nil {
			return caller, err
		}
	}
	if wait := a.failed(ctx, from, name); wait > 0 {
		return nil, tooMany(wait)
	}
	return nil, comm.E("unauthenticated")
}

// failed counts a failure at a door, or for the app of this name, and answers the
// seconds to wait if there were too many.
func (a *Authenticator) failed(ctx context.Context, from netip.Addr, name string) (wait int) {
	if wait = a.failures.take(from, name, a.cfg.Now()); wait > 0 {
		a.overLimit(ctx, from)
	}
	return wait
}

func uncheckable(err error) error {
	e := comm.E("unavailable", "The credentials cannot be checked now; retry.").Because(err)
	e.RetryAfter = 1
	return e
}

// lookup answers nil without error for anything wrong with the key or the app.
// It starts from the key: whether the named app exists is never looked at.
func (a *Authenticator) lookup(ctx context.Context, name, key string, from netip.Addr) (*Caller, error) {
	parsed, ok := apikey.Parse(key)
	if !ok {
		return nil, nil
	}
	caller, err := a.cache.get(ctx, parsed.Hash, remember)
	if err != nil {
		return nil, uncheckable(err)
	}
	if caller == nil {
		return nil, nil
	}
	matches := subtle.ConstantTimeCompare([]byte(name), []byte(caller.id)) | subtle.ConstantTimeCompare([]byte(name), []byte(caller.App.Slug))
	now := comm.At(a.cfg.Now())
	if matches != 1 || !caller.App.Active {
		return nil, nil
	}
	if !caller.Key.Usable(now) {
		a.refused(ctx, caller.Key, now, from)
		return nil, nil
	}
	a.uses.used(caller, now)
	return caller, nil
}

// load reads a key and its app; nil when there is none.
func (a *Authenticator) load(ctx context.Context, hash [32]byte) (*Caller, error) {
	key, err := a.cfg.Keys.KeyByHash(ctx, hash)
	if comm.IsKind(err, comm.Missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(key.Hash[:], hash[:]) != 1 {
		return nil, nil
	}
	app, err := a.cfg.Apps.AppByID(ctx, key.App)
	if comm.IsKind(err, comm.Missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	caller := &Caller{App: app, Key: key, id: app.ID.String()}
	caller.used.Store(int64(key.LastUsedAt))
	return caller, nil
}

// Provisioning checks X-Provisioning-Key.
func (a *Authenticator) Provisioning(ctx context.Context, h http.Header, from netip.Addr) error {
	const door = "\x00provisioning"
	if a.cfg.ProvisioningKey == "" {
		return comm.E("provisioning_disabled")
	}
	if sameSecret(h["X-Provisioning-Key"], a.cfg.ProvisioningKey) {
		if wait := a.setups.take(netip.Addr{}, door, a.cfg.Now()); wait > 0 {
			e := comm.E("rate_limited", "Provisioning is limited to %d calls per minute; retry later.", provisionsPerMinute)
			e.RetryAfter = wait
			return e
		}
		return nil
	}
	if wait := a.failed(ctx, from, door); wait > 0 {
		return tooMany(wait)
	}
	return comm.E("unauthenticated", "Missing or invalid credentials: check X-Provisioning-Key.")
}

func tooMany(wait int) error {
	e := comm.E("too_many_failures")
	e.RetryAfter = wait
	return e
}

// maxCredential bounds what is looked at; ours are far shorter.
const maxCredential = 256

// credentials reads the two headers; ok is false when one is missing, sent
// twice, or contradicts another.
func credentials(h http.Header) (name, key string, ok bool) {
	name, ok = only(h["X-App-Id"])
	if !ok {
		return name, "", false
	}
	key, direct := only(h["X-Api-Key"])
	token, bearer := bearer(h["Authorization"])
	switch {
	case len(h["X-Api-Key"]) > 0 && !direct, len(h["Authorization"]) > 0 && !bearer:
		return name, "", false
	case direct && bearer && subtle.ConstantTimeCompare([]byte(key), []byte(token)) != 1:
		return name, "", false
	case direct:
		return name, key, true
	case bearer:
		return name, token, true
	}
	return name, "", false
}

func only(values []string) (string, bool) {
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxCredential {
		return "", false
	}
	return values[0], true
}

func bearer(values []string) (string, bool) {
	value, ok := only(values)
	const scheme = "bearer "
	if !ok || len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	return value[len(scheme):], true
}
