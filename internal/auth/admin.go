package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// adminDoor is what failures with the admin key are counted under: no app has such a name.
const adminDoor = "\x00admin"

// Admin checks X-Admin-Key. Whatever is wrong gets one answer; a correct key
// passes however many failures there were. From is the client's address.
func (a *Authenticator) Admin(ctx context.Context, h http.Header, from netip.Addr) error {
	if a.isAdmin(h) {
		return nil
	}
	if wait := a.failed(ctx, from, adminDoor); wait > 0 {
		return tooMany(wait)
	}
	return comm.E("unauthenticated", "Missing or invalid credentials: check X-Admin-Key, or sign in again.")
}

// isAdmin says whether the administrator calls: by the one header, and no app's key beside it.
func (a *Authenticator) isAdmin(h http.Header) bool {
	return sameSecret(h["X-Admin-Key"], a.cfg.AdminKey) && len(h["X-Api-Key"]) == 0 && len(h["Authorization"]) == 0
}

// acting finds out for which app the administrator calls: every scope, and an
// inactive app too. A wrong admin key gets the answer of a wrong API key.
func (a *Authenticator) acting(ctx context.Context, h http.Header, from netip.Addr) (*Caller, error) {
	if !a.isAdmin(h) {
		if wait := a.failed(ctx, from, adminDoor); wait > 0 {
			return nil, tooMany(wait)
		}
		return nil, comm.E("unauthenticated")
	}
	return a.For(ctx, h, nil)
}

// Visitor is somebody with a session, in whose name an app's routes are called.
type Visitor interface {
	// Actor is whom the changes are made by.
	Actor() comm.Actor
	// Holds answers the error that ends a call under way; nil: it goes on.
	Holds(ctx context.Context) error
}

// For finds the app, by X-App-ID, that a visitor acts for, or (nil) the administrator: with every scope, and an inactive one too. What
// a visitor may do is for their role to say.
func (a *Authenticator) For(ctx context.Context, h http.Header, by Visitor) (*Caller, error) {
	name, ok := only(h["X-App-Id"])
	if !ok {
		return nil, comm.E("unauthenticated", "The administrator acts for an app here: name it with X-App-ID, its id or slug.")
	}
	app, err := store.AppNamed(ctx, a.cfg.Apps, name)
	if comm.IsKind(err, comm.Missing) {
		return nil, comm.E("not_found", "There is no app with this id or slug; check X-App-ID.")
	}
	if err != nil {
		return nil, uncheckable(err)
	}
	return &Caller{App: app, Key: &comm.Key{App: app.ID, Scopes: comm.AllScopes}, Admin: true, by: by, id: app.ID.String()}, nil
}

// sameSecret compares the only value of a header with a configured key, in a time
// that tells neither the key nor its length. Without a key nothing is the same.
func sameSecret(values []string, key string) bool {
	if len(values) != 1 || key == "" {
		return false
	}
	got, want := sha256.Sum256([]byte(values[0])), sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
