package identity

import (
	"context"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/store"
)

// Attempt is somebody's try to sign in.
type Attempt struct {
	Name, Password string
	Code           string // of the second factor, or a recovery code; "" when none was given
	Site           Site   // where security keys sign, which may answer in place of a code: see SignInWithKey
	From           netip.Addr
}

// Wrong is the one answer to whatever is wrong with an attempt.
func Wrong() error {
	return comm.E("unauthenticated", "Wrong name or password, or wrong code of the second factor.")
}

// SignIn begins a session. Errors: unauthenticated, the same for unknown names, wrong passwords, users switched off and start
// passwords past their time; second_factor_required where the password is right and no code was given, with what a security key is to be asked; too_many_failures.
func (s *Service) SignIn(ctx context.Context, a Attempt) (*Opened, error) {
	if e := checkAttempt(&a); e != nil {
		return nil, e
	}
	name, now := strings.ToLower(a.Name), s.cfg.Now()
	if wait := s.tries.take(a.From, name, now); wait > 0 {
		return nil, s.tooMany(ctx, a.From, name, wait)
	}
	for try := 1; ; try++ {
		u, renewed, err := s.checked(ctx, name, a.Password)
		if err != nil {
			if !comm.IsKind(err, comm.Unauthenticated) {
				s.tries.back(a.From, name, now)
			}
			return nil, err
		}
		opened, err := s.admit(ctx, u, renewed, a)
		if isState(err) && try < changeTries { // the user was changed meanwhile, perhaps by somebody who signed in with the same code
			continue
		}
		switch {
		case err == nil:
			s.tries.good(a.From, name, now)
		case u.Protected() && a.Code == "":
			s.tries.back(a.From, name, now)
		}
		return opened, err
	}
}

// admit opens the session of the user whose password is right, unless a second factor is missing. renewed: with a new hash of it, which is not stored yet.
func (s *Service) admit(ctx context.Context, u *comm.User, renewed bool, a Attempt) (*Opened, error) {
	if u.Protected() && a.Code == "" {
		if renewed { // now: a security key opens the session without the password
			if err := s.cfg.Users.RenewHash(ctx, u); err != nil {
				return nil, err
			}
		}
		return nil, s.needsFactor(comm.E("second_factor_required"), u, a.Site, toSignIn, "")
	}
	if u.Protected() {
		ok, err := s.takeCode(u, a.Code)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, Wrong()
		}
	}
	u.SignedInAt = s.now()
	who := store.ActorOf(ctx)
	who.Kind, who.Name = comm.ActorUser, u.Name
	return s.open(store.WithActor(ctx, who), u)
}

func checkAttempt(a *Attempt) error {
	e := comm.E("invalid_field")
	for field, v := range map[string]struct {
		text string
		most int
	}{"name": {a.Name, maxName}, "password": {a.Password, maxPassword}, "code": {a.Code, maxCode}} {
		if utf8.RuneCountInString(v.text) > v.most {
			e.Field(field, "is longer than any there is")
		}
	}
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

// usable says whether a right password opens a session.
func (s *Service) usable(u *comm.User) bool {
	return u.Active && (u.StartUntil == 0 || s.now() < u.StartUntil)
}

// checked reads the user of a name and compares the password: where there is no such user with nobody's, which takes as long. renewed says that the cost
// was raised since the hash was stored, and that the user has a new one, which is to be stored.
func (s *Service) checked(ctx context.Context, name, password string) (u *comm.User, renewed bool, err error) {
	u, err = s.cfg.Users.UserByName(ctx, name)
	hash := s.nobody
	switch {
	case err == nil:
		hash = u.Password
	case !comm.IsKind(err, comm.Missing):
		return nil, false, err
	}
	fits, renewed, err := s.hasher.fits(ctx, password, hash)
	switch {
	case err != nil:
		return nil, false, err
	case u == nil || !fits || !s.usable(u):
		return nil, false, Wrong()
	}
	if renewed {
		if u.Password, err = s.hasher.hash(ctx, password); err != nil {
			return nil, false, err
		}
	}
	return u, renewed, nil
}

// tooMany answers that an account was tried too often from an address, and notes it, of a name that is nobody's without the name:
// it may be a password in the wrong place.
func (s *Service) tooMany(ctx context.Context, from netip.Addr, name string, wait int) error {
	if s.tries.note(from, s.cfg.Now()) {
		who := store.ActorOf(ctx)
		who.Kind, who.Name = comm.ActorClient, ""
		who.Request = httpserver.RequestID(ctx)
		if from.IsValid() {
			who.Address = from.String()
		}
		entry := store.AuditEntry{Actor: who, Action: comm.AuditSignInRefused, Detail: `{}`}
		if u, err := s.cfg.Users.UserByName(ctx, name); err == nil {
			entry.Target = u.ID.String()
		}
		s.cfg.Note(entry)
	}
	e := comm.E("too_many_failures", "Too many tries to sign in; wait and try again.")
	e.RetryAfter = wait
	return e
}

// ChangePassword sets the own password of a session's user, whose other sessions end.
func (s *Service) ChangePassword(ctx context.Context, x *Session, from netip.Addr, current, next string) error {
	u, err := s.proven(ctx, x, from, "current", current)
	if err != nil {
		return err
	}
	e := comm.E("invalid_field")
	checkPassword(e, "new", next, u.Name)
	if next == current {
		e.Field("new", "must be another one")
	}
	if len(e.Fields) > 0 {
		return e
	}
	hash, err := s.hasher.hash(ctx, next)
	if err != nil {
		return err
	}
	was := u.Password
	_, err = s.change(ctx, u, x.hash, func(u *comm.User) (bool, error) {
		if u.Password != was {
			return false, notYours("current")
		}
		u.Password, u.StartUntil = hash, 0
		return true, nil
	})
	return err
}

func notYours(field string) error {
	return comm.E("invalid_field").Field(field, "is not your password")
}

// proven reads a session's user, who shows once more that the password is known.
func (s *Service) proven(ctx context.Context, x *Session, from netip.Addr, field, password string) (*comm.User, error) {
	if x.User.IsZero() {
		return nil, comm.E("invalid_state", "This session was opened with the admin key, which has no password and no second factor here; sign in as a user.")
	}
	if utf8.RuneCountInString(password) > maxPassword {
		return nil, comm.E("invalid_field").Field(field, "is longer than any there is")
	}
	u, err := s.cfg.Users.User(ctx, x.User)
	if err != nil {
		return nil, err
	}
	account, now := "again "+u.ID.String(), s.cfg.Now()
	if wait := s.tries.take(from, account, now); wait > 0 {
		return nil, s.tooMany(ctx, from, u.Name, wait)
	}
	fits, _, err := s.hasher.fits(ctx, password, u.Password)
	switch {
	case err != nil:
		s.tries.back(from, account, now)
		return nil, err
	case !fits:
		return nil, notYours(field)
	}
	s.tries.good(from, account, now)
	return u, nil
}
