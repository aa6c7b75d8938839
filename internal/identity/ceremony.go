package identity

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/webauthn"
)

// Site is where browsers find this server. A security key is made for the name of its host, and signs for no other.
type Site struct {
	host    string
	origins []string // none: browsers have no keys there
}

// SiteOf is the site at publicURL; where that is "", what a request names, if that is localhost: whoever asks may name any other host, and any port of it.
// Browsers have keys where connections are encrypted, and on localhost, and for hosts with a name alone.
func SiteOf(publicURL, host string) (s Site) {
	schemes := []string{"https", "http"} // an encrypting proxy may stand before this server
	scheme, rest, known := strings.Cut(publicURL, "://")
	if known {
		schemes, host = []string{scheme}, rest
	}
	host = strings.ToLower(host)
	s.host = host
	if name, _, err := net.SplitHostPort(host); err == nil {
		s.host = name
	}
	if !webauthn.IsHost(s.host) {
		return s
	}
	local := s.host == "localhost" || strings.HasSuffix(s.host, ".localhost")
	for _, scheme := range schemes {
		if local || known && scheme == "https" {
			s.origins = append(s.origins, scheme+"://"+strings.TrimSuffix(host, usualPort(scheme)))
		}
	}
	return s
}

// usualPort is what browsers leave out.
func usualPort(scheme string) string {
	if scheme == "https" {
		return ":443"
	}
	return ":80"
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
func (s *Service) asked(ctx context.Context, challenge []byte, what, session string) (*comm.User, error) {
	plain, err := s.challenges.Open(seal.Unpack(challenge), seal.Place{Record: session, Field: what})
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

// keysAt are the user's keys that sign for the site.
func keysAt(u *comm.User, site Site) (all []webauthn.Key) {
	for _, k := range u.Keys {
		if k.Site == site.host {
			all = append(all, webauthn.Key{ID: k.Credential, PublicKey: k.PublicKey, Count: k.Count})
		}
	}
	return all
}

// party is who asks keys at a site.
func (s *Service) party(site Site) webauthn.Party {
	return webauthn.Party{Name: s.cfg.Issuer, Host: site.host, Origins: site.origins}
}

// ask makes what a browser hands to the user's keys; "": none of them signs for the site.
func (s *Service) ask(u *comm.User, site Site, what, session string) (string, error) {
	keys := keysAt(u, site)
	if len(site.origins) == 0 || len(keys) == 0 {
		return "", nil
	}
	challenge, err := s.challenge(u, what, session)
	if err != nil {
		return "", err
	}
	return s.party(site).Ask(challenge, keys, challengeLasts)
}

// askForNew makes what a browser hands to a key that is to be registered.
func (s *Service) askForNew(u *comm.User, site Site, session string) (string, error) {
	challenge, err := s.challenge(u, toRegister, session)
	if err != nil {
		return "", err
	}
	return s.party(site).AskNew(challenge, u.ID[:], u.Name, keysAt(u, site), challengeLasts)
}

// takeKey says whether a key of u's has signed, for the site, the challenge that the answer names, which asked u; and notes in u that it did. A key that
// counts fewer signatures than it did is a copy.
func (s *Service) takeKey(u *comm.User, site Site, x *webauthn.Answer) bool {
	keys := keysAt(u, site)
	if len(site.origins) == 0 || len(keys) == 0 {
		return false
	}
	which, count, copied, err := s.party(site).Check(x, x.Challenge(), u.ID[:], keys)
	if err == nil && copied {
		s.cfg.Log.Warn("a security key counts fewer signatures than it did: it may have been copied, and was refused", "user", u.ID.String())
	}
	if err != nil || copied {
		return false // whatever is wrong with it has one answer
	}
	for i := range u.Keys {
		if k := &u.Keys[i]; k.Site == site.host && slices.Equal(k.Credential, keys[which].ID) {
			k.Count, k.UsedAt = count, s.now()
			return true
		}
	}
	return false
}

// newKey makes the security key that answered for the site a challenge of the user's; nil: it did not.
func (s *Service) newKey(site Site, x *webauthn.Answer) *comm.SecurityKey {
	if len(site.origins) == 0 {
		return nil
	}
	made, err := s.party(site).Register(x, x.Challenge())
	if err != nil || len(made.PublicKey) > maxPublicKey {
		return nil // whatever is wrong with it has one answer
	}
	now := s.now()
	return &comm.SecurityKey{ID: comm.NewID(now), Credential: made.ID, PublicKey: made.PublicKey, Site: site.host, Count: made.Count, CreatedAt: now}
}
