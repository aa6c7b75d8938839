package identity

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
)

// Site is where browsers find this server. A security key is made for the name of its host, and signs for no other.
type Site struct {
	host    string
	origins []string // none: browsers have no keys there
}

// SiteOf is the site at publicURL; where that is "", at the host that a request names. Browsers have keys where connections are encrypted,
// and on localhost, and for hosts with a name alone.
func SiteOf(publicURL, host string) (s Site) {
	schemes := []string{"https", "http"} // an encrypting proxy may stand before this server
	if scheme, rest, found := strings.Cut(publicURL, "://"); found {
		schemes, host = []string{scheme}, rest
	}
	host = strings.ToLower(host)
	s.host = host
	if name, _, err := net.SplitHostPort(host); err == nil {
		s.host = name
	}
	if protocol.ValidateRPID(s.host) != nil {
		return s
	}
	local := s.host == "localhost" || strings.HasSuffix(s.host, ".localhost")
	for _, scheme := range schemes {
		if scheme == "https" || local {
			s.origins = append(s.origins, scheme+"://"+host)
		}
	}
	return s
}

// What a challenge may be for. It does for nothing else.
const (
	toSignIn   = "sign in"
	toChange   = "change second factors"
	toRegister = "register"
)

// maxPublicKey is more than the longest that is in use takes: one of RSA with 8192 bits has some 1100 bytes.
const maxPublicKey = 2048

// challengeLasts is how long a challenge may be answered.
const challengeLasts = 5 * time.Minute

// challenge makes one for the user as they are now; session is the mark of the one that it belongs to, "" before there is one. It is sealed, so that every node knows
// its own ones and nobody else makes any. Whatever uses it changes the user, so that it is used once.
func (s *Service) challenge(u *comm.User, what, session string) ([]byte, error) {
	plain := binary.BigEndian.AppendUint64(slices.Clone(u.ID[:]), uint64(u.Version))
	plain = binary.BigEndian.AppendUint64(plain, uint64(s.now().Add(challengeLasts)))
	sealed, err := s.challenges.Seal(plain, seal.Place{Record: session, Field: what})
	if err != nil {
		return nil, fmt.Errorf("seal a challenge: %w", err)
	}
	return sealed.Pack(), nil
}

// asked reads the user whom a challenge asked; nil: it is none of ours, was for something else or is past its time, or the user was changed since. Nobody is looked up
// for one that this server did not make.
func (s *Service) asked(ctx context.Context, challenge, what, session string) (*comm.User, error) {
	raw, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil {
		return nil, nil
	}
	plain, err := s.challenges.Open(seal.Unpack(raw), seal.Place{Record: session, Field: what})
	var id comm.ID
	if err != nil || len(plain) != len(id)+16 {
		return nil, nil
	}
	copy(id[:], plain)
	version, until := binary.BigEndian.Uint64(plain[len(id):]), comm.Micros(binary.BigEndian.Uint64(plain[len(id)+8:]))
	if s.now() >= until {
		return nil, nil
	}
	u, err := s.cfg.Users.User(ctx, id)
	switch {
	case comm.IsKind(err, comm.Missing):
		return nil, nil
	case err != nil:
		return nil, err
	case uint64(u.Version) != version:
		return nil, nil
	}
	return u, nil
}

// holder is a user as the library sees one, with the keys that sign for the site.
type holder struct {
	u    *comm.User
	site Site
}

// WebAuthnID implements webauthn.User.
func (h holder) WebAuthnID() []byte { return h.u.ID[:] }

// WebAuthnName implements webauthn.User.
func (h holder) WebAuthnName() string { return h.u.Name }

// WebAuthnDisplayName implements webauthn.User.
func (h holder) WebAuthnDisplayName() string { return h.u.Name }

// WebAuthnCredentials implements webauthn.User.
func (h holder) WebAuthnCredentials() (all []webauthn.Credential) {
	for _, k := range h.u.Keys {
		if k.Site == h.site.host {
			all = append(all, webauthn.Credential{ID: k.Credential, PublicKey: k.PublicKey, Flags: webauthn.CredentialFlags{BackupEligible: k.Synced},
				Authenticator: webauthn.Authenticator{SignCount: k.Count}})
		}
	}
	return all
}

func (h holder) descriptors() (all []protocol.CredentialDescriptor) {
	for _, c := range h.WebAuthnCredentials() {
		all = append(all, c.Descriptor())
	}
	return all
}

// party is the library, told of a site that offers keys. Who made a key is not asked for: whose it is, the password has shown.
func (s *Service) party(site Site) (*webauthn.WebAuthn, error) {
	lasts := webauthn.TimeoutConfig{Timeout: challengeLasts, TimeoutUVD: challengeLasts}
	p, err := webauthn.New(&webauthn.Config{RPID: site.host, RPDisplayName: s.cfg.Issuer, RPOrigins: site.origins, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementDiscouraged, UserVerification: protocol.VerificationPreferred},
		Timeouts:               webauthn.TimeoutsConfig{Login: lasts, Registration: lasts}})
	if err != nil {
		return nil, fmt.Errorf("prepare for security keys: %w", err)
	}
	return p, nil
}

// ask makes what a browser hands to the user's keys; "": none of them signs for the site.
func (s *Service) ask(u *comm.User, site Site, what, session string) (string, error) {
	h := holder{u, site}
	if len(site.origins) == 0 || len(h.WebAuthnCredentials()) == 0 {
		return "", nil
	}
	challenge, err := s.challenge(u, what, session)
	if err != nil {
		return "", err
	}
	p, err := s.party(site)
	if err != nil {
		return "", err
	}
	options, _, err := p.BeginLogin(h, webauthn.WithChallenge(challenge))
	if err != nil {
		return "", fmt.Errorf("ask for a security key: %w", err)
	}
	text, err := json.Marshal(options.Response)
	return string(text), err
}

// askForNew makes what a browser hands to a key that is to be registered.
func (s *Service) askForNew(u *comm.User, site Site, session string) (string, error) {
	challenge, err := s.challenge(u, toRegister, session)
	if err != nil {
		return "", err
	}
	p, err := s.party(site)
	if err != nil {
		return "", err
	}
	h := holder{u, site}
	options, _, err := p.BeginRegistration(h, webauthn.WithExclusions(h.descriptors()), func(o *protocol.PublicKeyCredentialCreationOptions) error {
		o.Challenge = challenge
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("ask for a new security key: %w", err)
	}
	text, err := json.Marshal(options.Response)
	return string(text), err
}

// signature is the answer of a key that was asked.
type signature struct {
	*protocol.ParsedCredentialAssertionData
}

// readSignature reads one as a browser tells it; ok is false for what is none.
func readSignature(text string) (x signature, ok bool) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(text))
	return signature{parsed}, err == nil
}

func (x signature) challenge() string { return x.Response.CollectedClientData.Challenge }

// takeKey says whether a key of u's has signed, for the site, the challenge that the signature names, which asked u; and notes in u that it did. A key that
// counts fewer signatures than it did is a copy.
func (s *Service) takeKey(u *comm.User, site Site, x signature) (bool, error) {
	h := holder{u, site}
	if len(site.origins) == 0 || len(h.WebAuthnCredentials()) == 0 {
		return false, nil
	}
	p, err := s.party(site)
	if err != nil {
		return false, err
	}
	of := webauthn.SessionData{Challenge: x.challenge(), RelyingPartyID: site.host, UserID: u.ID[:], UserVerification: protocol.VerificationPreferred}
	used, err := p.ValidateLogin(h, of, x.ParsedCredentialAssertionData)
	if err != nil || used.Authenticator.CloneWarning {
		return false, nil // whatever is wrong with it has one answer
	}
	for i := range u.Keys {
		if k := &u.Keys[i]; k.Site == site.host && slices.Equal(k.Credential, used.ID) {
			k.Count, k.UsedAt = used.Authenticator.SignCount, s.now()
			return true, nil
		}
	}
	return false, nil
}

// attestation is the answer of a new key.
type attestation struct {
	*protocol.ParsedCredentialCreationData
}

// readAttestation reads one as a browser tells it; ok is false for what is none.
func readAttestation(text string) (x attestation, ok bool) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(text))
	return attestation{parsed}, err == nil
}

func (x attestation) challenge() string { return x.Response.CollectedClientData.Challenge }

// newKey makes the security key that answered for the site a challenge of u's; nil: it did not.
func (s *Service) newKey(u *comm.User, site Site, x attestation) (*comm.SecurityKey, error) {
	if len(site.origins) == 0 {
		return nil, nil
	}
	p, err := s.party(site)
	if err != nil {
		return nil, err
	}
	of := webauthn.SessionData{Challenge: x.challenge(), RelyingPartyID: site.host, UserID: u.ID[:], UserVerification: protocol.VerificationPreferred, CredParams: webauthn.CredentialParametersDefault()}
	made, err := p.CreateCredential(holder{u, site}, of, x.ParsedCredentialCreationData)
	if err != nil || len(made.PublicKey) > maxPublicKey {
		return nil, nil // whatever is wrong with it has one answer
	}
	now := s.now()
	return &comm.SecurityKey{ID: comm.NewID(now), Credential: made.ID, PublicKey: made.PublicKey, Site: site.host, Synced: made.Flags.BackupEligible, Count: made.Authenticator.SignCount, CreatedAt: now}, nil
}
