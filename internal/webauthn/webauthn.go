// Package webauthn asks security keys and passkeys to sign, and checks what they signed, as W3C Web Authentication
// Level 2 says (https://www.w3.org/TR/webauthn-2/, sections 7.1 and 7.2), for one use: a second factor after a password.
//
// It takes the keys that browsers have: signatures by ES256, EdDSA and RS256. Who made a key is not asked for, and what
// is said of it all the same is not believed: the password has shown whose it is. It promises to take no answer that its
// challenge, its origin, its host or its signature does not fit, and no more of the answer than the specification gives
// meaning to. It keeps nothing, and knows no clock: challenges, and that each is used once, are the caller's.
package webauthn

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Party is who asks.
type Party struct {
	Name    string   // for people
	Host    string   // that keys are made for: the "RP ID"
	Origins []string // of its pages, such as https://comms.example.com
}

// IsHost says whether browsers make keys for a host of that name: none at an address, nor for a name without a dot but localhost.
func IsHost(name string) bool {
	labels := strings.Split(name, ".")
	if _, err := netip.ParseAddr(name); err == nil || len(name) > 253 || len(labels) < 2 && name != "localhost" {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != "" // else browsers read it as an address
}

// Key is a registered one.
type Key struct {
	ID        []byte // of the credential
	PublicKey []byte // as COSE writes it
	Count     uint32 // of its signatures; 0: it does not count
}

type descriptor struct {
	Type string `json:"type"`
	ID   text   `json:"id"`
}

func descriptors(keys []Key) []descriptor {
	out := make([]descriptor, 0, len(keys))
	for _, k := range keys {
		out = append(out, descriptor{keyType, k.ID})
	}
	return out
}

const keyType = "public-key"

// Ask are the options for navigator.credentials.get: one of the keys is to sign the challenge.
func (p Party) Ask(challenge []byte, keys []Key, lasts time.Duration) (string, error) {
	b, err := json.Marshal(map[string]any{"challenge": text(challenge), "rpId": p.Host, "timeout": lasts.Milliseconds(), "userVerification": "preferred", "allowCredentials": descriptors(keys)})
	return string(b), err
}

// AskNew are the options for navigator.credentials.create: a key is to be made for the user, which is none of those that there are.
func (p Party) AskNew(challenge, user []byte, name string, but []Key, lasts time.Duration) (string, error) {
	params := make([]map[string]any, 0, len(algorithms))
	for _, a := range algorithms {
		params = append(params, map[string]any{"type": keyType, "alg": a})
	}
	b, err := json.Marshal(map[string]any{"challenge": text(challenge), "rp": map[string]any{"id": p.Host, "name": p.Name}, "user": map[string]any{"id": text(user), "name": name, "displayName": name},
		"pubKeyCredParams": params, "timeout": lasts.Milliseconds(), "excludeCredentials": descriptors(but), "attestation": "none",
		"authenticatorSelection": map[string]any{"residentKey": "discouraged", "requireResidentKey": false, "userVerification": "preferred"}})
	return string(b), err
}

// text is bytes as WebAuthn writes them in JSON: base64url without padding.
type text []byte

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(t))
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) (err error) {
	var s string
	if err = json.Unmarshal(b, &s); err == nil {
		*t, err = base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
	}
	return err
}

// Answer is what a browser tells of a key: of a new one, or of a signature.
type Answer struct {
	id     []byte
	client client
	hash   [32]byte // of what the browser says, which is signed
	data   []byte   // what the key says of itself
	object []byte   // of a new key: what holds data
	sign   []byte
	user   []byte
}

// client is what the browser says.
type client struct {
	Type        string `json:"type"`
	Challenge   text   `json:"challenge"`
	Origin      string `json:"origin"`
	CrossOrigin bool   `json:"crossOrigin"`
}

var errAnswer = errors.New("it is no answer of a security key")

// Read reads an answer as PublicKeyCredential.toJSON writes it.
func Read(answer string) (*Answer, error) {
	var in struct {
		ID, RawID text
		Type      string
		Response  struct{ ClientDataJSON, AttestationObject, AuthenticatorData, Signature, UserHandle text }
	}
	if err := json.Unmarshal([]byte(answer), &in); err != nil {
		return nil, errAnswer
	}
	r := &in.Response
	a := &Answer{id: in.RawID, hash: sha256.Sum256(r.ClientDataJSON), data: r.AuthenticatorData, object: r.AttestationObject, sign: r.Signature, user: r.UserHandle}
	if in.Type != keyType || len(a.id) == 0 || !bytes.Equal(a.id, in.ID) || json.Unmarshal(r.ClientDataJSON, &a.client) != nil {
		return nil, errAnswer
	}
	return a, nil
}

// Challenge is the one that is answered, as the browser says.
func (a *Answer) Challenge() []byte { return a.client.Challenge }

// Errors of Register and Check.
var (
	ErrClient    = errors.New("another act, challenge or page than it was asked for")
	ErrHost      = errors.New("made for another host")
	ErrAbsent    = errors.New("nobody touched it")
	ErrMalformed = errors.New("not as the specification says")
	ErrUnknown   = errors.New("none of the keys that were asked")
	ErrSignature = errors.New("the signature does not fit")
)

// said checks what the browser says.
func (p Party) said(a *Answer, act string, challenge []byte) error {
	if a.client.Type != "webauthn."+act || len(challenge) < 16 || subtle.ConstantTimeCompare(a.client.Challenge, challenge) != 1 || a.client.CrossOrigin || !slices.Contains(p.Origins, a.client.Origin) {
		return ErrClient
	}
	return nil
}

// Register checks the answer of a new key to the challenge.
func (p Party) Register(a *Answer, challenge []byte) (*Key, error) {
	if err := p.said(a, "create", challenge); err != nil {
		return nil, err
	}
	data, err := authData(a.object)
	if err != nil {
		return nil, err
	}
	d, err := p.read(data)
	switch {
	case err != nil:
		return nil, err
	case d.id == nil || !bytes.Equal(d.id, a.id):
		return nil, ErrMalformed
	}
	if _, err := readKey(d.key); err != nil {
		return nil, err
	}
	return &Key{ID: d.id, PublicKey: d.key, Count: d.count}, nil
}

// Check says which of the keys has signed the challenge for the user, and its count since. copied: it counts no further than it did, which of one that
// is on several devices says nothing. Whether it is may change: makers began to say so after the keys were made.
func (p Party) Check(a *Answer, challenge, user []byte, keys []Key) (which int, count uint32, copied bool, err error) {
	which = slices.IndexFunc(keys, func(k Key) bool { return bytes.Equal(k.ID, a.id) })
	if which < 0 || len(a.user) > 0 && !bytes.Equal(a.user, user) {
		return -1, 0, false, ErrUnknown
	}
	if err := p.said(a, "get", challenge); err != nil {
		return -1, 0, false, err
	}
	d, err := p.read(a.data)
	switch {
	case err != nil:
		return -1, 0, false, err
	case d.id != nil:
		return -1, 0, false, ErrMalformed
	}
	k, err := readKey(keys[which].PublicKey)
	if err != nil {
		return -1, 0, false, err
	}
	if !k.signed(append(slices.Clone(a.data), a.hash[:]...), a.sign) {
		return -1, 0, false, ErrSignature
	}
	was := keys[which].Count
	return which, d.count, d.flags&eligible == 0 && (was != 0 || d.count != 0) && d.count <= was, nil
}

// What a key says of itself, in a byte.
const (
	present    = 1 << 0 // somebody touched it
	eligible   = 1 << 3 // it may be on several devices
	backedUp   = 1 << 4 // it is
	attested   = 1 << 6 // a new key follows
	extensions = 1 << 7 // more follows
)

// own is what a key says of itself.
type own struct {
	flags byte
	count uint32
	id    []byte // of a new key, else nil
	key   []byte
}

// read reads it, for the party: section 6.1.
func (p Party) read(b []byte) (d own, err error) {
	const head, made = 32 + 1 + 4, 16 + 2
	if len(b) < head {
		return d, ErrMalformed
	}
	host := sha256.Sum256([]byte(p.Host))
	if subtle.ConstantTimeCompare(b[:32], host[:]) != 1 {
		return d, ErrHost
	}
	d.flags, d.count = b[32], binary.BigEndian.Uint32(b[33:])
	switch {
	case d.flags&present == 0:
		return d, ErrAbsent
	case d.flags&backedUp != 0 && d.flags&eligible == 0:
		return d, ErrMalformed
	}
	r := reader{b[head:]}
	if d.flags&attested != 0 {
		if len(r.b) < made {
			return d, ErrMalformed
		}
		n := int(binary.BigEndian.Uint16(r.b[16:]))
		if r.b = r.b[made:]; n == 0 || n > maxID || n > len(r.b) {
			return d, ErrMalformed
		}
		d.id, r.b = slices.Clone(r.b[:n]), r.b[n:]
		key, err := r.item()
		if err != nil {
			return d, err
		}
		d.key = slices.Clone(key)
	}
	if d.flags&extensions != 0 { // nobody asked for any
		if _, err := r.item(); err != nil {
			return d, err
		}
	}
	if len(r.b) > 0 {
		return d, ErrMalformed
	}
	return d, nil
}

// maxID is the longest identifier of a credential: section 7.1, step 17.
const maxID = 1023
