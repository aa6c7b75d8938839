package comm

import "time"

// Role is what a user of the console may do. A higher one may do all that a lower one may.
type Role uint8

// The roles. Values are stored: never renumber.
const (
	Viewer   Role = 1
	Operator Role = 2
	Admin    Role = 3
)

// Roles is every role with its meaning, the lowest first.
func Roles() []Word { return roleWords[:] }

var roleWords = [...]Word{
	{"VIEWER", "Reads everything but users, of every app, and changes nothing."},
	{"OPERATOR", "Also sends, and acts on messages, the queue, suppressions, provider configurations, templates and webhooks of every app, and exports persons."},
	{"ADMIN", "Also changes apps, keys, users and settings, and erases persons."},
}

func (r Role) String() string {
	if r == 0 || int(r) > len(roleWords) {
		return ""
	}
	return roleWords[r-1].Code
}

// ParseRole reads a role's name, exactly.
func ParseRole(s string) (Role, bool) {
	for i, w := range roleWords {
		if w.Code == s {
			return Role(i + 1), true
		}
	}
	return 0, false
}

// User is somebody who signs in by name. Nothing of the password but its hash is known.
type User struct {
	ID         ID
	Name       string // what is signed in with; unique, lower case
	Role       Role
	Active     bool
	Password   string // argon2id, in the form that PHC strings have
	StartUntil Micros // 0: the password is the user's own; else an administrator set it, and it opens sessions until then
	// Factor is the sealed secret of the second factor, nil: none. FactorAt is when it was confirmed; 0: not yet, and it is not asked for.
	Factor   []byte
	FactorAt Micros
	// FactorStep is the last period of 30 seconds whose code was taken: none is taken twice.
	FactorStep int64
	// Keys are security keys, each of which does in place of a code.
	Keys []SecurityKey
	// Recovery is the hashes of the codes that open in place of the second factor, once each, as hexadecimals with spaces between them.
	Recovery   string
	CreatedAt  Micros
	UpdatedAt  Micros
	SignedInAt Micros // 0 = never
	Version    int    // +1 at every change
}

// Protected says whether a second factor is asked for.
func (u *User) Protected() bool { return u.Codes() || len(u.Keys) > 0 }

// Codes says whether an authenticator app makes codes that are taken.
func (u *User) Codes() bool { return u.FactorAt != 0 }

// MaxSecurityKeys is how many a user may have.
const MaxSecurityKeys = 10

// SecurityKey is what signs a challenge in place of a code: a security key or a passkey (WebAuthn). Nothing of it is secret.
type SecurityKey struct {
	ID         ID     `json:"id"`
	Name       string `json:"name"`
	Credential []byte `json:"credential"` // what the key calls itself
	PublicKey  []byte `json:"publicKey"`  // as COSE writes it
	Site       string `json:"site"`       // the host that it was made for: it signs for no other
	Count      uint32 `json:"count"`      // of its signatures, as it said last; 0: it does not count
	CreatedAt  Micros `json:"createdAt"`
	UsedAt     Micros `json:"usedAt"` // 0 = never
}

// How long a session lasts: since it was used last, and at all.
const (
	SessionIdle     = 30 * time.Minute
	SessionLifetime = 12 * time.Hour
)
