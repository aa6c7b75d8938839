package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	remember   = 5 * time.Second // how long a session is believed without asking
	underWay   = time.Second     // and for a call that is under way, which is looked after every three seconds
	touchEvery = time.Minute     // how often its use is noted
	touchTime  = 2 * time.Second // how long noting it may take
	maxKnown   = 10_000
)

// AdminName is what a session is called that was opened with the admin key. No user has such a name.
const AdminName = "admin key"

// Session is somebody who is signed in.
type Session struct {
	User      comm.ID // zero: the holder of the admin key
	Name      string
	Role      comm.Role
	ExpiresAt comm.Micros // at the latest; earlier when it is not used for comm.SessionIdle
	// MustChange says that the user has to choose a password before anything else.
	MustChange bool
	// Protected says that a second factor is asked for.
	Protected bool

	hash    [32]byte
	service *Service
}

// Opened is a session that began just now. ID is what the cookie is to hold, known this once.
type Opened struct {
	*Session
	ID string
}

// Actor is whom the session's changes are made by.
func (s *Session) Actor() comm.Actor {
	if s.User.IsZero() {
		return comm.Actor{Kind: comm.ActorAdmin}
	}
	return comm.Actor{Kind: comm.ActorUser, Name: s.Name}
}

// Require answers insufficient_role unless the session's role is at least want, and password_change_required
// where the password is an administrator's still.
func (s *Session) Require(want comm.Role) error {
	switch {
	case s.MustChange:
		return comm.E("password_change_required")
	case s.Role < want:
		return comm.E("insufficient_role", "This needs the role %s; yours is %s.", want, s.Role).With("role", want.String()).With("granted", s.Role.String())
	}
	return nil
}

// Holds answers the error that ends a call under way, because the session ended; nil: it goes on, also while that cannot be found out.
func (s *Session) Holds(ctx context.Context) error {
	now, err := s.service.find(ctx, s.hash, underWay)
	if err != nil || now != nil && s.service.session(now).Role == s.Role {
		return nil
	}
	return comm.E("unauthenticated", "The session ended while this call was under way: the call was stopped. What it had stored before stays stored.")
}

// The ids of sessions say by which door they came.
const (
	userDoor  = "u."
	adminDoor = "k."
	idBytes   = 32
	idLength  = 2 + 43
)

// hashOf is what is stored of a session's id; ok is false for what cannot be one. With the admin key
// goes every session that it opened: their hashes cannot be made without it.
func (s *Service) hashOf(id string) (hash [32]byte, ok bool) {
	if len(id) != idLength {
		return hash, false
	}
	switch door := id[:2]; {
	case door == userDoor:
		return sha256.Sum256([]byte(id)), true
	case door == adminDoor && s.cfg.AdminKey != "":
		mac := hmac.New(sha256.New, []byte(s.cfg.AdminKey))
		mac.Write([]byte(id))
		return [32]byte(mac.Sum(nil)), true
	}
	return hash, false
}

// FormToken is what forms of a session's pages carry, so that a page of another site cannot have made them. It follows from
// the session's id, which no page can read.
func FormToken(id string) string {
	sum := sha256.Sum256([]byte("commserver form " + id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// open begins a session; by is the user as they were read, with what their signing in used up, nil for the admin key.
func (s *Service) open(ctx context.Context, by *comm.User) (*Opened, error) {
	now := s.now()
	row := &store.Session{CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(comm.SessionLifetime)}
	door := adminDoor
	if by != nil {
		door = userDoor
		row.User, row.Name, row.Role, row.StartUntil, row.Protected = by.ID, by.Name, by.Role, by.StartUntil, by.Protected()
	}
	id := door + base64.RawURLEncoding.EncodeToString(random(idBytes))
	row.Hash, _ = s.hashOf(id)
	if err := s.cfg.Sessions.StartSession(ctx, row, by); err != nil {
		return nil, err
	}
	return &Opened{s.session(row), id}, nil
}

func (s *Service) session(row *store.Session) *Session {
	x := &Session{User: row.User, Name: row.Name, Role: row.Role, ExpiresAt: row.ExpiresAt, MustChange: row.StartUntil != 0, Protected: row.Protected, hash: row.Hash, service: s}
	if row.User.IsZero() {
		x.Name, x.Role = AdminName, comm.Admin
	}
	return x
}

// OpenForAdmin begins a session for whoever has shown the admin key.
func (s *Service) OpenForAdmin(ctx context.Context) (*Opened, error) {
	who := store.ActorOf(ctx)
	who.Kind, who.Name = comm.ActorAdmin, ""
	return s.open(store.WithActor(ctx, who), nil)
}

// Session finds the session of an id and notes that it was used; nil without error when there is none, or none any more.
func (s *Service) Session(ctx context.Context, id string) (*Session, error) {
	hash, ok := s.hashOf(id)
	if !ok {
		return nil, nil
	}
	row, err := s.find(ctx, hash, remember)
	if err != nil {
		e := comm.E("unavailable", "The session cannot be checked now; retry.").Because(err)
		e.RetryAfter = 1
		return nil, e
	}
	if row == nil {
		return nil, nil
	}
	s.touch(ctx, row)
	return s.session(row), nil
}

// find reads a session that holds, as it was less than age ago.
func (s *Service) find(ctx context.Context, hash [32]byte, age time.Duration) (*store.Session, error) {
	row, fresh, err := s.known.get(ctx, hash, age)
	if row != nil && !fresh && !holds(row, s.now()) { // another node may have seen it used
		row, _, err = s.known.get(ctx, hash, 0)
	}
	if err != nil || row == nil || !holds(row, s.now()) {
		return nil, err
	}
	return row, nil
}

func holds(row *store.Session, now comm.Micros) bool {
	return now < row.ExpiresAt && now < row.SeenAt.Add(comm.SessionIdle) && (row.StartUntil == 0 || now < row.StartUntil)
}

// touch notes that a session was used, once in a while. Where that fails the session goes on: it may end early.
func (s *Service) touch(ctx context.Context, row *store.Session) {
	now := s.now()
	if now < row.SeenAt.Add(touchEvery) || !s.known.seen(row.Hash, row.SeenAt, now) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), touchTime)
	defer cancel()
	if err := s.cfg.Sessions.TouchSession(ctx, row.Hash, now); err != nil {
		s.touches.Failed(err)
		return
	}
	s.touches.Worked()
}

// SignOut ends a session.
func (s *Service) SignOut(ctx context.Context, x *Session) error {
	_, err := s.cfg.Sessions.EndSession(ctx, x.hash)
	s.known.forget()
	return err
}

// known remembers sessions. Those that do not exist are not remembered: a stranger would choose what fills the memory.
type known struct {
	load func(ctx context.Context, hash [32]byte) (*store.Session, error)
	now  func() time.Time

	mu         sync.Mutex
	generation int
	byHash     map[[32]byte]remembered
}

type remembered struct {
	row   store.Session
	asked time.Time
}

func newKnown(load func(context.Context, [32]byte) (*store.Session, error), now func() time.Time) *known {
	return &known{load: load, now: now, byHash: map[[32]byte]remembered{}}
}

// forget makes every session be asked for again.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.generation++
	clear(k.byHash)
}

// get answers a copy of a session as it was less than age ago, nil when there is none; fresh says that it was asked for.
func (k *known) get(ctx context.Context, hash [32]byte, age time.Duration) (row *store.Session, fresh bool, err error) {
	k.mu.Lock()
	got, ok := k.byHash[hash]
	generation := k.generation
	k.mu.Unlock()
	if ok && k.now().Sub(got.asked) < age {
		return &got.row, false, nil
	}
	asked := k.now() // the answer is as old as the question
	row, err = k.load(ctx, hash)
	if comm.IsKind(err, comm.Missing) {
		row, err = nil, nil
	}
	if err != nil {
		return nil, true, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.generation != generation: // something changed meanwhile
	case row == nil:
		delete(k.byHash, hash)
	default:
		if len(k.byHash) >= maxKnown {
			clear(k.byHash)
		}
		k.byHash[hash] = remembered{*row, asked}
	}
	return row, true, nil
}

// seen says that a session is used now, and whether it falls to the caller to store that: of those who saw it as of the instant was, one.
func (k *known) seen(hash [32]byte, was, now comm.Micros) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	got, ok := k.byHash[hash]
	if !ok {
		return true
	}
	if got.row.SeenAt != was {
		return false
	}
	got.row.SeenAt = now
	k.byHash[hash] = got
	return true
}

func asComm(err error) (*comm.Error, bool) { return errors.AsType[*comm.Error](err) }
