package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// The second factor is TOTP (RFC 6238) as every authenticator app knows it: SHA-1, six digits, 30 seconds, and the code before and after.
const (
	factorPeriod = 30 // seconds
	factorBytes  = 20
	codeDigits   = 6
	maxCode      = 32

	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits: a fast hash is enough
)

// Enrolment is a second factor that is not confirmed yet, for the user's authenticator app.
type Enrolment struct {
	Secret string // base32
	URI    string // otpauth://…, which apps read as a QR code
}

// Enrol makes a secret for a second factor, which is asked for once Confirm has seen a code of it.
func (s *Service) Enrol(ctx context.Context, x *Session, p Proof) (*Enrolment, error) {
	if x.User.IsZero() {
		return nil, adminKeyHasNone()
	}
	u, err := s.cfg.Users.User(ctx, x.User)
	if err != nil {
		return nil, err
	}
	if u.Codes() {
		return nil, hasCodes()
	}
	raw := random(factorBytes)
	key, err := totp.Generate(totp.GenerateOpts{Issuer: s.cfg.Issuer, AccountName: u.Name, Secret: raw, Period: factorPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return nil, fmt.Errorf("make a second factor: %w", err)
	}
	sealed, err := s.factors.Seal(raw, store.SecondFactors().Place(u.ID, u.ID))
	if err != nil {
		return nil, fmt.Errorf("seal a second factor: %w", err)
	}
	_, err = s.again(ctx, x, p, func(u *comm.User) (bool, error) {
		if u.Codes() {
			return false, hasCodes()
		}
		u.Factor = sealed.Pack()
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	return &Enrolment{Secret: key.Secret(), URI: key.URL()}, nil
}

func hasCodes() error {
	return comm.E("invalid_state", "You have an authenticator app; remove it before you enrol another one.")
}

// Confirm puts the enrolled second factor to work. Where there are no recovery codes, or none are left, it brings some, known this once: those that came with a security key stay. The user's other sessions end.
func (s *Service) Confirm(ctx context.Context, x *Session, from netip.Addr, code string) (codes []string, err error) {
	if x.User.IsZero() {
		return nil, adminKeyHasNone()
	}
	if err := checkCode(code); err != nil {
		return nil, err
	}
	u, err := s.cfg.Users.User(ctx, x.User)
	if err != nil {
		return nil, err
	}
	account, now := "confirm "+u.ID.String(), s.cfg.Now()
	if wait := s.tries.take(from, account, now); wait > 0 {
		return nil, s.tooMany(ctx, from, u.Name, wait)
	}
	fresh, hashes := newRecovery()
	_, err = s.change(ctx, u, x.hash, func(u *comm.User) (bool, error) {
		if u.Codes() || u.Factor == nil {
			return false, comm.E("invalid_state", "There is no second factor to confirm; enrol one first.")
		}
		step, err := s.matches(u, tidy(code))
		if err != nil {
			return false, err
		}
		if step == 0 {
			return false, comm.E("invalid_field").Field("code", "is not the present one; check the clock of your device")
		}
		codes = nil
		if u.Recovery == "" {
			u.Recovery, codes = hashes, fresh
		}
		u.FactorAt, u.FactorStep = s.now(), step
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	s.tries.good(from, account, now)
	return codes, nil
}

// RemoveFactor takes the own authenticator app away; security keys stay. The user's other sessions end.
func (s *Service) RemoveFactor(ctx context.Context, x *Session, p Proof) error {
	_, err := s.again(ctx, x, p, func(u *comm.User) (bool, error) {
		if !u.Codes() {
			return false, comm.E("invalid_state", "There is no authenticator app to remove.")
		}
		u.Factor, u.FactorAt, u.FactorStep = nil, 0, 0
		dropRecovery(u)
		return true, nil
	})
	return err
}

// checkCode refuses what is longer than any code, as signing in does: nothing is counted for it, and no password compared.
func checkCode(code string) error {
	if utf8.RuneCountInString(code) > maxCode {
		return comm.E("invalid_field").Field("code", "is longer than any there is")
	}
	return nil
}

// takeCode says whether a code is right, of the second factor or a recovery code, and uses it up in u.
func (s *Service) takeCode(u *comm.User, code string) (bool, error) {
	code = tidy(code)
	if len(code) != codeDigits {
		return takeRecovery(u, code), nil
	}
	if !u.Codes() { // one that was begun and not confirmed makes none
		return false, nil
	}
	step, err := s.matches(u, code)
	if err != nil || step == 0 {
		return false, err
	}
	u.FactorStep = step
	return true, nil
}

// matches is the period whose code this is and that was not used yet; 0: none.
func (s *Service) matches(u *comm.User, code string) (step int64, err error) {
	raw, err := s.factors.Open(seal.Unpack(u.Factor), store.SecondFactors().Place(u.ID, u.ID))
	if err != nil {
		return 0, comm.E("unavailable", "The second factor cannot be checked now: the server lacks the key that it is sealed under. Tell the operator.").Because(err)
	}
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	now := s.cfg.Now().Unix() / factorPeriod
	for _, at := range []int64{now - 1, now, now + 1} {
		want, err := totp.GenerateCode(secret, time.Unix(at*factorPeriod, 0))
		if err != nil {
			return 0, fmt.Errorf("make a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && at > u.FactorStep {
			step = at
		}
	}
	return step, nil
}

// newRecovery draws codes and answers them with what is stored of them.
func newRecovery() (codes []string, hashes string) {
	all := make([]string, recoveryCodes)
	for i := range all {
		text := base32.StdEncoding.EncodeToString(random(recoveryBytes))
		all[i] = recoveryHash(text)
		codes = append(codes, strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-"))
	}
	return codes, strings.Join(all, " ")
}

func recoveryHash(code string) string {
	h := digest("recovery " + code)
	return hex.EncodeToString(h[:])
}

// takeRecovery uses a recovery code up.
func takeRecovery(u *comm.User, code string) bool {
	left := strings.Fields(u.Recovery)
	i := slices.Index(left, recoveryHash(code))
	if i < 0 {
		return false
	}
	u.Recovery = strings.Join(slices.Delete(left, i, i+1), " ")
	return true
}

// tidy is a code as it is compared, however people write it.
func tidy(code string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))
}
