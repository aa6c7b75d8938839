// Package softkey is a security key and its browser in software, for tests: it answers what a server asks as they do (WebAuthn),
// or wrongly where a test makes it.
package softkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// Key is one. Its fields may be changed between two answers.
type Key struct {
	ID     []byte // of the credential
	User   []byte // whose it is, as it was told
	Host   string // that it was made for; the browser tells it, and it signs it
	Origin string // of the page
	Count  uint32 // of signatures; the next one has one more
	Still  bool   // it does not count

	private *ecdsa.PrivateKey
}

// New makes a key, not registered yet, in the hands of who is at a page of the origin.
func New(t testing.TB, origin string) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	return &Key{ID: id, Origin: origin, private: private}
}

// asked is what a server asks for.
type asked struct {
	Challenge string
	RPID      string `json:"rpId"`
	RP        struct{ ID string }
	User      struct{ ID string }
}

func read(t testing.TB, options string) (a asked) {
	t.Helper()
	if err := json.Unmarshal([]byte(options), &a); err != nil {
		t.Fatalf("options %q: %v", options, err)
	}
	return a
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// client is what the browser says of an act.
func (k *Key) client(act, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": "webauthn." + act, "challenge": challenge, "origin": k.Origin, "crossOrigin": false})
	if err != nil {
		panic(err) // three strings
	}
	return b
}

func (k *Key) answer(response map[string]string) string {
	b, err := json.Marshal(map[string]any{"id": text(k.ID), "rawId": text(k.ID), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response})
	if err != nil {
		panic(err) // strings
	}
	return string(b)
}

// What authenticator data say: somebody was there, who was recognised, and a new key follows.
const (
	present  = 1
	verified = 4
	attested = 0x40
)

func (k *Key) data(flags byte) []byte {
	host := sha256.Sum256([]byte(k.Host))
	return binary.BigEndian.AppendUint32(append(host[:], flags), k.Count)
}

// Make answers the options of navigator.credentials.create.
func (k *Key) Make(t testing.TB, options string) string {
	t.Helper()
	a := read(t, options)
	k.Host = a.RP.ID
	var err error
	if k.User, err = base64.RawURLEncoding.DecodeString(a.User.ID); err != nil {
		t.Fatal(err)
	}
	point, err := k.private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	// COSE, in CBOR by hand: {1: 2, 3: -7, -1: 1, -2: x, -3: y}
	cose := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32}, point[1:33]...)
	cose = append(append(cose, 0x22, 0x58, 32), point[33:]...)
	data := append(k.data(present|verified|attested), make([]byte, 16)...) // of no make
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.ID)))
	data = append(append(data, k.ID...), cose...)
	// {"fmt": "none", "attStmt": {}, "authData": data}
	object := append([]byte{0xa3, 0x63}, "fmt\x64none\x67attStmt\xa0\x68authData\x58"...)
	object = append(append(object, byte(len(data))), data...)
	return k.answer(map[string]string{"clientDataJSON": text(k.client("create", a.Challenge)), "attestationObject": text(object)})
}

// Sign answers the options of navigator.credentials.get.
func (k *Key) Sign(t testing.TB, options string) string {
	t.Helper()
	if !k.Still {
		k.Count++
	}
	data, client := k.data(present|verified), k.client("get", read(t, options).Challenge)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return k.answer(map[string]string{"clientDataJSON": text(client), "authenticatorData": text(data), "signature": text(signature), "userHandle": text(k.User)})
}
