package auth

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
)

// Uses stores which keys were used, and what was seen at the door.
type Uses interface {
	UseKeys(ctx context.Context, uses []store.KeyUse) error
	Note(ctx context.Context, notes []store.AuditEntry) error
}

const (
	usedEvery  = time.Minute     // a key's use is noted once in
	notedEvery = time.Hour       // a refused key, or an address over the limit, is noted once in
	flushEvery = 2 * time.Second // what was gathered is written once in
	atOnce     = 50              // in one transaction
	maxKept    = 10_000          // keys, and subjects of notes, that are remembered
	maxNotes   = 200             // notes that wait; of an attack by many addresses the first ones count
)

// uses gathers what is written behind the requests: it is lost with the process, without harm.
type uses struct {
	to     Uses
	report outage.Report

	mu    sync.Mutex
	keys  map[comm.ID]store.KeyUse // to be written
	notes []store.AuditEntry       // to be written
	noted map[subject]time.Time
}

// subject is what a note is about.
type subject struct {
	key  comm.ID
	from netip.Addr
}

func newUses(to Uses, log *slog.Logger) *uses {
	u := &uses{to: to, keys: map[comm.ID]store.KeyUse{}, noted: map[subject]time.Time{}}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	u.report.Log, u.report.Level = log, slog.LevelWarn
	u.report.Failing, u.report.Works = "the use of keys cannot be noted", "the use of keys is noted again"
	return u
}

// used notes that the caller's key was used, if the last note of it is old enough.
// It is called for every request: all but the first in a minute cost one look.
func (u *uses) used(c *Caller, now comm.Micros) {
	last := c.used.Load()
	if u.to == nil || int64(now)-last < usedEvery.Microseconds() || !c.used.CompareAndSwap(last, int64(now)) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.keys) < maxKept {
		u.keys[c.Key.ID] = store.KeyUse{App: c.Key.App, ID: c.Key.ID, At: now}
	}
}

// note keeps a note for writing, unless there was one of the subject within the hour.
func (u *uses) note(s subject, now time.Time, e store.AuditEntry) {
	if u.to == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, known := u.noted[s]; known && now.Sub(at) < notedEvery || len(u.notes) >= maxNotes {
		return
	}
	if len(u.noted) >= maxKept {
		clear(u.noted)
	}
	u.noted[s] = now
	u.notes = append(u.notes, e)
}

// Note keeps what another part of the process saw, for writing with the notes of the doors. It does not block.
func (a *Authenticator) Note(e store.AuditEntry) {
	u := a.uses
	if u.to == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.notes) < 2*maxNotes { // an attack on the doors does not crowd it out
		u.notes = append(u.notes, e)
	}
}

// refused notes that a key was refused which would have opened the door once.
func (a *Authenticator) refused(ctx context.Context, k *comm.Key, now comm.Micros, from netip.Addr) {
	why := `{"reason":{"to":"revoked"}}`
	if k.RevokedAt == 0 || now < k.RevokedAt {
		why = `{"reason":{"to":"expired"}}`
	}
	a.uses.note(subject{key: k.ID}, a.cfg.Now(), store.AuditEntry{Actor: client(ctx, from), App: k.App, Action: comm.AuditKeyRefused, Target: k.ID.String(), Detail: why})
}

// overLimit notes that an address failed too often. What it tried is not told: it may be a secret in the wrong place.
func (a *Authenticator) overLimit(ctx context.Context, from netip.Addr) {
	a.uses.note(subject{from: httpserver.Client(from)}, a.cfg.Now(), store.AuditEntry{Actor: client(ctx, from), Action: comm.AuditTooManyFailures, Detail: `{}`})
}

func client(ctx context.Context, from netip.Addr) comm.Actor {
	a := comm.Actor{Kind: comm.ActorClient, Request: httpserver.RequestID(ctx)}
	if from.IsValid() {
		a.Address = from.String()
	}
	return a
}

// Run writes what was gathered, every two seconds and once more when ctx ends.
func (a *Authenticator) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.flush(ctx)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushEvery)
			defer cancel()
			a.flush(ctx)
			return nil
		}
	}
}

func (a *Authenticator) flush(ctx context.Context) {
	if err := a.Flush(ctx); err != nil {
		a.uses.report.Failed(err)
		return
	}
	a.uses.report.Worked()
}

// Flush writes what was gathered. What cannot be written is dropped but for notes, which wait for the next time.
func (a *Authenticator) Flush(ctx context.Context) error {
	u := a.uses
	u.mu.Lock()
	keys := make([]store.KeyUse, 0, len(u.keys))
	for _, k := range u.keys {
		keys = append(keys, k)
	}
	clear(u.keys)
	notes := u.notes
	u.notes = nil
	u.mu.Unlock()
	// In one order on every node, so that two of them never wait for each other.
	slices.SortFunc(keys, func(a, b store.KeyUse) int { return cmp.Or(a.App.Compare(b.App), a.ID.Compare(b.ID)) })
	for part := range slices.Chunk(keys, atOnce) {
		if err := u.to.UseKeys(ctx, part); err != nil {
			return err
		}
	}
	for len(notes) > 0 {
		part := notes[:min(atOnce, len(notes))]
		if err := u.to.Note(ctx, part); err != nil {
			u.mu.Lock()
			u.notes = append(notes, u.notes...)
			u.mu.Unlock()
			return err
		}
		notes = notes[len(part):]
	}
	return nil
}
