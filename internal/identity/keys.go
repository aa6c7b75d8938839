package identity

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/webauthn"
)

// A security key is a second factor like the codes of an authenticator app (factor.go), by WebAuthn (ceremony.go).
const (
	maxAnswer  = 16 << 10 // of a key, as the browser tells it
	maxKeyName = 64
)

// noKey is the one answer to whatever is wrong with a key at the door.
func noKey() error {
	return comm.E("unauthenticated", "The security key was not accepted, or it took too long; begin again with name and password.")
}

// notTaken is the same for who is signed in.
func notTaken() error {
	return comm.E("invalid_field").Field("securityKey", "was not accepted, or it took too long; begin again")
}

func adminKeyHasNone() error {
	return comm.E("invalid_state", "This session was opened with the admin key, which has no second factor; sign in as a user.")
}

// checkAnswer refuses what is longer than any answer of a key.
func checkAnswer(text string) error {
	if utf8.RuneCountInString(text) > maxAnswer {
		return comm.E("invalid_field").Field("securityKey", "is longer than any there is")
	}
	return nil
}

// needsFactor is the answer to a password that is right and not enough, with what a key is to be asked.
func (s *Service) needsFactor(e *comm.Error, u *comm.User, site Site, what, session string) error {
	options, err := s.ask(u, site, what, session)
	switch {
	case err != nil:
		return err
	case options != "":
		return e.With("securityKey", options)
	}
	return e
}

// SignInWithKey begins a session for who gave the right password a moment ago and was asked for a key: answer is the key's. Errors: unauthenticated, the same
// whatever is wrong; too_many_failures.
func (s *Service) SignInWithKey(ctx context.Context, answer string, from netip.Addr, site Site) (*Opened, error) {
	if err := checkAnswer(answer); err != nil {
		return nil, err
	}
	x, err := webauthn.Read(answer)
	if err != nil {
		return nil, noKey()
	}
	u, err := s.asked(ctx, x.Challenge(), toSignIn, "")
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, noKey()
	}
	now := s.cfg.Now()
	if wait := s.tries.take(from, u.Name, now); wait > 0 {
		return nil, s.tooMany(ctx, from, u.Name, wait)
	}
	if !s.takeKey(u, site, x) || !s.usable(u) {
		return nil, noKey()
	}
	u.SignedInAt = s.now()
	who := store.ActorOf(ctx)
	who.Kind, who.Name = comm.ActorUser, u.Name
	opened, err := s.open(store.WithActor(ctx, who), u)
	switch {
	case err == nil:
		s.tries.good(from, u.Name, now)
	case isState(err): // somebody was faster, perhaps with this very answer
		err = noKey()
	}
	return opened, err
}

// Proof is what somebody who is signed in shows once more before second factors are changed: the password, with a code where one is asked for, or the answer of
// a security key that was asked for when the password was right.
type Proof struct {
	Password, Code, Key string
	From                netip.Addr
	Site                Site
}

// check refuses what is longer than any proof: nothing is counted for it, and no password compared.
func (p *Proof) check() error {
	if err := checkCode(p.Code); err != nil {
		return err
	}
	return checkAnswer(p.Key)
}

// again lets who proves it make a change of the own user, in one transaction with what the proof uses up. Without a change nothing is stored but that.
func (s *Service) again(ctx context.Context, x *Session, p Proof, change func(u *comm.User) (ends bool, err error)) (*comm.User, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	prove := s.byPassword
	if p.Key != "" {
		prove = s.byKey
	}
	u, use, err := prove(ctx, x, p)
	if err != nil || change == nil && !u.Protected() {
		return u, err
	}
	account, now := "confirm "+u.ID.String(), s.cfg.Now()
	if wait := s.tries.take(p.From, account, now); wait > 0 {
		return nil, s.tooMany(ctx, p.From, u.Name, wait)
	}
	u, err = s.change(ctx, u, x.hash, func(u *comm.User) (bool, error) {
		if err := use(u); err != nil || change == nil {
			return false, err
		}
		return change(u)
	})
	if err == nil {
		s.tries.good(p.From, account, now)
	}
	return u, err
}

// mark is what challenges of a session are bound to.
func (s *Session) mark() string { return hex.EncodeToString(s.hash[:]) }

// byPassword reads the user whose password was shown. use says whether they may change something, and uses the code up.
func (s *Service) byPassword(ctx context.Context, x *Session, p Proof) (u *comm.User, use func(*comm.User) error, err error) {
	if u, err = s.proven(ctx, x, p.From, "password", p.Password); err != nil {
		return nil, nil, err
	}
	if u.Protected() && p.Code == "" {
		e := comm.E("invalid_field").Field("code", "is missing: give a code of your authenticator or a recovery code, or use a security key")
		return nil, nil, s.needsFactor(e, u, p.Site, toChange, x.mark())
	}
	was := u.Password
	return u, func(u *comm.User) error {
		switch {
		case u.Password != was:
			return notYours("password")
		case !u.Protected():
			return nil
		}
		ok, err := s.takeCode(u, p.Code)
		if err == nil && !ok {
			err = comm.E("invalid_field").Field("code", "is wrong, or was used already")
		}
		return err
	}, nil
}

// byKey reads the user whose key answers what it was asked after the password. use says whether it is one, and notes its use.
func (s *Service) byKey(ctx context.Context, x *Session, p Proof) (u *comm.User, use func(*comm.User) error, err error) {
	if x.User.IsZero() {
		return nil, nil, adminKeyHasNone()
	}
	answer, err := webauthn.Read(p.Key)
	if err != nil {
		return nil, nil, notTaken()
	}
	if u, err = s.asked(ctx, answer.Challenge(), toChange, x.mark()); err != nil {
		return nil, nil, err
	}
	if u == nil || u.ID != x.User {
		return nil, nil, notTaken()
	}
	version := u.Version
	return u, func(u *comm.User) error {
		if u.Version != version || !s.takeKey(u, p.Site, answer) {
			return notTaken()
		}
		return nil
	}, nil
}

// KeyOptions answers what a browser is to hand to a new security key, for AddKey.
func (s *Service) KeyOptions(ctx context.Context, x *Session, p Proof) (string, error) {
	if x.User.IsZero() {
		return "", adminKeyHasNone()
	}
	if err := p.check(); err != nil {
		return "", err
	}
	if len(p.Site.origins) == 0 {
		return "", comm.E("invalid_state", "Browsers use security keys where the server is reached by https and by name, which COMMS_PUBLIC_URL has to say, or as localhost; here it is not.")
	}
	u, err := s.cfg.Users.User(ctx, x.User)
	if err != nil {
		return "", err
	}
	if len(u.Keys) >= comm.MaxSecurityKeys {
		return "", tooManyKeys()
	}
	if u, err = s.again(ctx, x, p, nil); err != nil {
		return "", err
	}
	return s.askForNew(u, p.Site, x.mark())
}

func tooManyKeys() error {
	return comm.E("invalid_state", "You have as many security keys as there can be (%d); remove one first.", comm.MaxSecurityKeys)
}

// AddKey registers the security key that answers what KeyOptions asked. Where there are no recovery codes, or none are left, it
// brings some, known this once. The first second factor ends the user's other sessions.
func (s *Service) AddKey(ctx context.Context, x *Session, site Site, name, answer string) (key *comm.SecurityKey, codes []string, err error) {
	if x.User.IsZero() {
		return nil, nil, adminKeyHasNone()
	}
	if err := CheckKeyName(name); err != nil {
		return nil, nil, err
	}
	if err := checkAnswer(answer); err != nil {
		return nil, nil, err
	}
	made, err := webauthn.Read(answer)
	if err != nil {
		return nil, nil, notTaken()
	}
	u, err := s.asked(ctx, made.Challenge(), toRegister, x.mark())
	if err != nil {
		return nil, nil, err
	}
	if u == nil || u.ID != x.User {
		return nil, nil, notTaken()
	}
	if key = s.newKey(site, made); key == nil {
		return nil, nil, notTaken()
	}
	key.Name = name
	fresh, hashes := newRecovery()
	version := u.Version
	_, err = s.change(ctx, u, x.hash, func(u *comm.User) (first bool, err error) {
		switch {
		case u.Version != version:
			return false, notTaken()
		case len(u.Keys) >= comm.MaxSecurityKeys:
			return false, tooManyKeys()
		case slices.ContainsFunc(u.Keys, func(k comm.SecurityKey) bool { return bytes.Equal(k.Credential, key.Credential) }):
			return false, comm.E("invalid_field").Field("securityKey", "is registered already")
		}
		codes = nil
		if u.Recovery == "" {
			u.Recovery, codes = hashes, fresh
		}
		if first = !u.Protected(); first {
			u.Factor = nil // whoever began to enrol an authenticator showed no second factor
		}
		u.Keys = append(slices.Clone(u.Keys), *key)
		return first, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return key, codes, nil
}

// CheckKeyName refuses what AddKey refuses as a name: asked beforehand it keeps a device from making a key that nobody can register.
func CheckKeyName(name string) error {
	if !isKeyName(name) {
		return comm.E("invalid_field").Field("name", "must be 1 to 64 characters that can be seen, without spaces around them")
	}
	return nil
}

// joiner makes one picture of the emoji beside it.
const joiner = '\u200d'

// isKeyName says whether a key can be called so.
func isKeyName(name string) bool {
	all := []rune(name)
	if len(all) == 0 || len(all) > maxKeyName || name != strings.TrimSpace(name) {
		return false
	}
	for i, c := range all {
		joins := c == joiner && i > 0 && i+1 < len(all) && unicode.In(all[i-1], unicode.So, unicode.Sk, unicode.Mn) && unicode.Is(unicode.So, all[i+1])
		if !unicode.IsPrint(c) && !joins {
			return false
		}
	}
	return true
}

// RemoveKey takes an own security key away. The user's other sessions end.
func (s *Service) RemoveKey(ctx context.Context, x *Session, id comm.ID, p Proof) error {
	_, err := s.again(ctx, x, p, func(u *comm.User) (bool, error) {
		i := slices.IndexFunc(u.Keys, func(k comm.SecurityKey) bool { return k.ID == id })
		if i < 0 {
			return false, comm.E("not_found", "You have no such security key.")
		}
		u.Keys = slices.Delete(slices.Clone(u.Keys), i, i+1)
		dropRecovery(u)
		return true, nil
	})
	return err
}

// dropRecovery takes the recovery codes away with the last second factor.
func dropRecovery(u *comm.User) {
	if !u.Protected() {
		u.Recovery = ""
	}
}

// Factors is what a session's user has beside the password.
type Factors struct {
	Codes    bool // of an authenticator app
	Recovery int  // how many recovery codes are left
	Keys     []comm.SecurityKey
}

// Factors reads the own ones.
func (s *Service) Factors(ctx context.Context, x *Session) (*Factors, error) {
	if x.User.IsZero() {
		return nil, adminKeyHasNone()
	}
	u, err := s.cfg.Users.User(ctx, x.User)
	if err != nil {
		return nil, err
	}
	return &Factors{u.Codes(), len(strings.Fields(u.Recovery)), u.Keys}, nil
}
