// Package identity is named users, who they are and what they are signed in
// with: passwords, second factors and sessions.
//
// It promises that of a password only an argon2id hash is stored and of a session only the
// hash of its id; that nobody learns from an answer or its time whether a name is a user's;
// that a session that ended anywhere, or whose user was deleted, switched off or given
// another role, is noticed on every node within five seconds; and that guessing is slowed
// down without ever locking anybody out for good.
//
// It does not decide what a role may do (the routes do), and knows no cookies.
package identity

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Config is what a Service needs.
type Config struct {
	Users    store.Users
	Sessions store.Sessions
	Ring     *seal.Ring
	// AdminKey is the administrator's key: sessions that it opened end when it is another one.
	AdminKey string
	// Note keeps what is seen at the door for the audit log. It must not block. nil: nobody keeps it.
	Note func(store.AuditEntry)
	// Issuer is what an authenticator app shows beside the user's name; "" means CommServer.
	Issuer string
	Log    *slog.Logger     // nil: silent
	Now    func() time.Time // nil: time.Now
}

// Service keeps users and their sessions. It is safe for concurrent use.
type Service struct {
	cfg     Config
	hasher  *hasher
	tries   *tries
	known   *known
	factors *seal.Sealer
	// challenges are what security keys are asked to sign.
	challenges *seal.Sealer
	touches    outage.Report
	nobody     string // a hash that no password has: what unknown names are compared with
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "CommServer"
	}
	if cfg.Note == nil {
		cfg.Note = func(store.AuditEntry) {}
	}
	s := &Service{cfg: cfg, hasher: newHasher(), tries: newTries(), factors: cfg.Ring.For(store.SecondFactors().Purpose), challenges: cfg.Ring.For("security-key-challenge")}
	s.known = newKnown(cfg.Sessions.Session, cfg.Now)
	s.touches.Log, s.touches.Level = cfg.Log, slog.LevelWarn
	s.touches.Failing, s.touches.Works = "the use of sessions cannot be noted", "the use of sessions is noted again"
	s.nobody = nobodysHash()
	return s
}

func (s *Service) now() comm.Micros { return comm.At(s.cfg.Now()) }

// UserSpec asks for a new user.
type UserSpec struct {
	Name, Role string
	Password   string // one to begin with: the user chooses their own at the first sign-in
}

// startLasts is how long a password opens sessions that an administrator set.
const startLasts = 7 * 24 * time.Hour

// CreateUser makes a user.
func (s *Service) CreateUser(ctx context.Context, spec UserSpec) (*comm.User, error) {
	e := comm.E("invalid_field")
	checkUserName(e, spec.Name)
	role, ok := comm.ParseRole(spec.Role)
	if !ok {
		e.Field("role", "must be VIEWER, OPERATOR or ADMIN")
	}
	checkPassword(e, "password", spec.Password, spec.Name)
	if len(e.Fields) > 0 {
		return nil, e
	}
	hash, err := s.hasher.hash(ctx, spec.Password)
	if err != nil {
		return nil, err
	}
	now := s.now()
	u := &comm.User{ID: comm.NewID(now), Name: spec.Name, Role: role, Active: true, Password: hash, StartUntil: now.Add(startLasts), CreatedAt: now, UpdatedAt: now}
	if err := s.cfg.Users.CreateUser(ctx, u); err != nil {
		return nil, err
	}
	return u, nil
}

// UserChange is what an administrator changes of a user; nil stays as it is.
type UserChange struct {
	Name, Role *string
	Active     *bool
	Password   *string // one to begin with, as in UserSpec
	// DropFactor takes the second factor away, security keys too, for whoever lost theirs.
	DropFactor bool
}

// changeTries is how often a change is made again that another one of the same user overtook.
const changeTries = 5

// UpdateUser changes a user. Their sessions end where the password is set, the second factor taken away, or the user switched off.
func (s *Service) UpdateUser(ctx context.Context, id comm.ID, c UserChange) (*comm.User, error) {
	e := comm.E("invalid_field")
	if c.Name != nil {
		checkUserName(e, *c.Name)
	}
	var role comm.Role
	if c.Role != nil {
		var ok bool
		if role, ok = comm.ParseRole(*c.Role); !ok {
			e.Field("role", "must be VIEWER, OPERATOR or ADMIN")
		}
	}
	u, err := s.cfg.Users.User(ctx, id)
	if err != nil {
		return nil, err
	}
	hash := ""
	if c.Password != nil {
		name := u.Name
		if c.Name != nil {
			name = *c.Name
		}
		checkPassword(e, "password", *c.Password, name)
	}
	if len(e.Fields) > 0 {
		return nil, e
	}
	if c.Password != nil {
		if hash, err = s.hasher.hash(ctx, *c.Password); err != nil {
			return nil, err
		}
	}
	return s.change(ctx, u, [32]byte{}, func(u *comm.User) (ends bool, err error) {
		if c.Name != nil {
			u.Name = *c.Name
		}
		if c.Role != nil {
			u.Role = role
		}
		if c.Active != nil {
			ends = u.Active && !*c.Active
			u.Active = *c.Active
		}
		if hash != "" {
			u.Password, u.StartUntil, ends = hash, s.now().Add(startLasts), true
		}
		if c.DropFactor {
			ends = ends || u.Protected()
			u.Factor, u.FactorAt, u.FactorStep, u.Recovery, u.Keys = nil, 0, 0, "", nil
		}
		return ends, nil
	})
}

// change makes a change of u, who was read just now, again where another one was faster. Of their sessions the one of the hash keep stays.
func (s *Service) change(ctx context.Context, u *comm.User, keep [32]byte, make func(u *comm.User) (ends bool, err error)) (*comm.User, error) {
	for try := 1; ; try++ {
		ends, err := make(u)
		if err != nil {
			return nil, err
		}
		u.UpdatedAt = max(s.now(), u.UpdatedAt+1)
		err = s.cfg.Users.UpdateUser(ctx, u, ends, keep)
		if err == nil {
			s.known.forget()
			return u, nil
		}
		if !isState(err) || try == changeTries {
			return nil, err
		}
		if u, err = s.cfg.Users.User(ctx, u.ID); err != nil {
			return nil, err
		}
	}
}

// isState says whether a change was overtaken, as opposed to one that nothing mends.
func isState(err error) bool {
	e, ok := asComm(err)
	return ok && e.Code == "invalid_state"
}

// User reads one; not_found when there is none.
func (s *Service) User(ctx context.Context, id comm.ID) (*comm.User, error) {
	return s.cfg.Users.User(ctx, id)
}

// Users pages through all users by id.
func (s *Service) Users(ctx context.Context, after comm.ID, limit int) ([]comm.User, error) {
	return s.cfg.Users.UserList(ctx, after, limit)
}

// DeleteUser removes a user; their sessions end.
func (s *Service) DeleteUser(ctx context.Context, id comm.ID) error {
	if err := s.cfg.Users.DeleteUser(ctx, id); err != nil {
		return err
	}
	s.known.forget()
	return nil
}

// maxName is how long a user's name may be.
const maxName = 64

// checkUserName notes what is wrong with a name: it is what is signed in with, and what the audit log shows.
func checkUserName(e *comm.Error, name string) {
	const want = "must be 2 to 64 lower-case letters, digits and . _ - + @, and begin with a letter or digit"
	if len(name) < 2 || len(name) > maxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-+@") != "" || strings.ContainsRune("._-+@", rune(name[0])) {
		e.Field("name", want)
		return
	}
	for _, c := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-+@", c) {
			e.Field("name", want)
			return
		}
	}
	for _, kind := range comm.ActorKinds() { // the audit log would tell them apart, a reader might not
		if name == kind.Code {
			e.Field("name", "is what the audit log calls somebody else; choose another one")
		}
	}
}

// random is n bytes that nobody can guess.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: the process would end
	return b
}
