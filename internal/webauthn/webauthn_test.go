package webauthn

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/test/softkey"
)

var here = Party{Name: "Comms", Host: "comms.example.com", Origins: []string{"https://comms.example.com"}}

var asked, person = bytes.Repeat([]byte{7}, 32), []byte("0123456789abcdef")

// made is a registered key of the tests.
func made(t *testing.T) (*softkey.Key, Key) {
	t.Helper()
	soft := softkey.New(t, here.Origins[0])
	options, err := here.AskNew(asked, person, "ama", nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Read(soft.Make(t, options))
	if err != nil {
		t.Fatal(err)
	}
	k, err := here.Register(a, asked)
	if err != nil {
		t.Fatal(err)
	}
	return soft, *k
}

func sign(t *testing.T, soft *softkey.Key, keys ...Key) *Answer {
	t.Helper()
	options, err := here.Ask(asked, keys, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Read(soft.Sign(t, options))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAKeySigns: the one of several that signed is found, with its count; one that counts no further is told.
func TestAKeySigns(t *testing.T) {
	t.Parallel()
	_, other := made(t)
	soft, k := made(t)
	for count := uint32(1); count < 3; count++ {
		which, n, copied, err := here.Check(sign(t, soft, other, k), asked, person, []Key{other, k})
		if err != nil || which != 1 || n != count || copied {
			t.Fatalf("%d %d %t %v", which, n, copied, err)
		}
		k.Count = n
	}
	soft.Count = 1
	if _, n, copied, err := here.Check(sign(t, soft, k), asked, person, []Key{k}); err != nil || !copied || n != 2 {
		t.Errorf("counted back: %d %t %v", n, copied, err)
	}
	soft.Count, soft.Still = 0, true
	k.Count = 0
	if _, n, copied, err := here.Check(sign(t, soft, k), asked, person, []Key{k}); err != nil || copied || n != 0 {
		t.Errorf("one that does not count: %d %t %v", n, copied, err)
	}
}

// TestWhatDoesNotFitIsRefused changes one thing of a good answer at a time.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	soft, k := made(t)
	for name, tc := range map[string]struct {
		edit func(a *Answer, p *Party, challenge, user *[]byte, keys *[]Key)
		want error
	}{
		"another challenge":      {func(_ *Answer, _ *Party, c, _ *[]byte, _ *[]Key) { *c = bytes.Repeat([]byte{8}, 32) }, ErrClient},
		"a short challenge":      {func(a *Answer, _ *Party, c, _ *[]byte, _ *[]Key) { *c, a.client.Challenge = nil, nil }, ErrClient},
		"another page":           {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.client.Origin += ".evil.example" }, ErrClient},
		"by http":                {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.client.Origin = "http://comms.example.com" }, ErrClient},
		"inside another page":    {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.client.CrossOrigin = true }, ErrClient},
		"a new key's":            {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.client.Type = "webauthn.create" }, ErrClient},
		"another host":           {func(_ *Answer, p *Party, _, _ *[]byte, _ *[]Key) { p.Host = "other.example.com" }, ErrHost},
		"nobody there":           {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.data[32] &^= present }, ErrAbsent},
		"backed up, and cannot":  {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.data[32] |= backedUp }, ErrMalformed},
		"of several devices now": {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.data[32] |= eligible }, ErrSignature}, // which holds it
		"another count":          {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.data[36]++ }, ErrSignature},
		"another text":           {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.hash[0]++ }, ErrSignature},
		"another signature":      {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.sign[8]++ }, ErrSignature},
		"no signature":           {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.sign = nil }, ErrSignature},
		"too short":              {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.data = a.data[:36] }, ErrMalformed},
		"too long":               {func(a *Answer, _ *Party, _, _ *[]byte, _ *[]Key) { a.data = append(a.data, 0) }, ErrMalformed},
		"another user's":         {func(_ *Answer, _ *Party, _, u *[]byte, _ *[]Key) { *u = []byte("another") }, ErrUnknown},
		"not asked":              {func(_ *Answer, _ *Party, _, _ *[]byte, keys *[]Key) { *keys = nil }, ErrUnknown},
		"another's public key": {func(_ *Answer, _ *Party, _, _ *[]byte, keys *[]Key) {
			_, other := made(t)
			*keys = []Key{{ID: k.ID, PublicKey: other.PublicKey}}
		}, ErrSignature},
		"nothing": {func(*Answer, *Party, *[]byte, *[]byte, *[]Key) {}, nil},
	} {
		a, p, challenge, user, keys := sign(t, soft, k), here, asked, person, []Key{k}
		tc.edit(a, &p, &challenge, &user, &keys)
		if _, _, _, err := p.Check(a, challenge, user, keys); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// object wraps what a key says of itself as an attestation object.
func object(data []byte) []byte {
	out := append([]byte{0xa3, 0x63}, "fmt\x64none\x67attStmt\xa0\x68authData\x59"...)
	return append(binary.BigEndian.AppendUint16(out, uint16(len(data))), data...)
}

func dataOf(flags byte, id, key []byte) []byte {
	host := sha256.Sum256([]byte(here.Host))
	out := append(append(host[:], flags), 0, 0, 0, 9)
	out = binary.BigEndian.AppendUint16(append(out, make([]byte, 16)...), uint16(len(id)))
	return append(append(out, id...), key...)
}

// number and octets write CBOR.
func number(n int64) []byte {
	if n < 0 {
		return head(negative, uint64(-1-n))
	}
	return head(unsigned, uint64(n))
}

func octets(b []byte) []byte { return append(head(byteString, uint64(len(b))), b...) }

func head(kind byte, n uint64) []byte {
	if n < 24 {
		return []byte{kind<<5 | byte(n)}
	}
	return binary.BigEndian.AppendUint32([]byte{kind<<5 | 26}, uint32(n))
}

func cose(pairs ...any) []byte {
	out := head(mapping, uint64(len(pairs)/2))
	for i, p := range pairs {
		switch v := p.(type) {
		case int:
			out = append(out, number(int64(v))...)
		case []byte:
			out = append(out, octets(v)...)
		default:
			panic(fmt.Sprint(i))
		}
	}
	return out
}

// TestEveryAlgorithm: keys that sign by EdDSA and RS256 sign as the others do.
func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key  []byte
		sign func(said []byte) []byte
	}{
		"EdDSA": {cose(keyKind, 1, keyAlg, eddsa, keyCurve, 6, keyX, []byte(public)), func(said []byte) []byte { return ed25519.Sign(private, said) }},
		"RS256": {cose(keyKind, 3, keyAlg, rs256, keyCurve, long.N.Bytes(), keyX, []byte{1, 0, 1}), func(said []byte) []byte {
			sum := sha256.Sum256(said)
			out, err := rsa.SignPKCS1v15(nil, long, crypto.SHA256, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return out
		}},
	} {
		id := []byte("the id")
		a := &Answer{id: id, client: client{Type: "webauthn.create", Challenge: asked, Origin: here.Origins[0]}, object: object(dataOf(present|attested|eligible|backedUp, id, tc.key))}
		k, err := here.Register(a, asked)
		if err != nil || k.Count != 9 || !bytes.Equal(k.PublicKey, tc.key) {
			t.Fatalf("%s: %+v %v", name, k, err)
		}
		a = &Answer{id: id, client: client{Type: "webauthn.get", Challenge: asked, Origin: here.Origins[0]}, data: dataOf(present|eligible, nil, nil)[:37]}
		a.data[36] = 10
		a.sign = tc.sign(append(slices.Clone(a.data), a.hash[:]...))
		for _, k := range []Key{*k, {ID: k.ID, PublicKey: k.PublicKey, Count: 12}} { // it says only now that it is on several devices, which count each for itself
			if _, n, copied, err := here.Check(a, asked, person, []Key{k}); err != nil || n != 10 || copied {
				t.Errorf("%s: %d %t %v", name, n, copied, err)
			}
		}
		a.sign[5]++
		if _, _, _, err := here.Check(a, asked, person, []Key{*k}); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNewKeysThatAreNone: what says of itself what a key does not is not registered.
func TestNewKeysThatAreNone(t *testing.T) {
	t.Parallel()
	_, k := made(t)
	good := k.PublicKey
	x, y := good[10:42], good[45:77]
	id := bytes.Repeat([]byte{3}, 16)
	small := bytes.Repeat([]byte{255}, 128)
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"good":                   {dataOf(present|attested, id, good), nil},
		"with more after it":     {append(dataOf(present|attested|extensions, id, good), 0xa1, 0x61, 'x', 0xf5), nil},
		"no key":                 {dataOf(present, id, good)[:37], ErrMalformed},
		"more than it says":      {append(dataOf(present|attested, id, good), 0), ErrMalformed},
		"less than it says":      {dataOf(present|attested|extensions, id, good), ErrMalformed},
		"another id":             {dataOf(present|attested, id[1:], good), ErrMalformed},
		"a long id":              {dataOf(present|attested, bytes.Repeat([]byte{3}, 1024), good), ErrMalformed},
		"an id that ends early":  {dataOf(present|attested, id, nil)[:60], ErrMalformed},
		"not on the curve":       {dataOf(present|attested, id, cose(keyKind, 2, keyAlg, es256, keyCurve, 1, keyX, x, keyY, x)), ErrMalformed},
		"a short number":         {dataOf(present|attested, id, cose(keyKind, 2, keyAlg, es256, keyCurve, 1, keyX, x[1:], keyY, y)), ErrMalformed},
		"another curve":          {dataOf(present|attested, id, cose(keyKind, 2, keyAlg, es256, keyCurve, 2, keyX, x, keyY, y)), ErrAlgorithm},
		"another algorithm":      {dataOf(present|attested, id, cose(keyKind, 2, keyAlg, -35, keyCurve, 1, keyX, x, keyY, y)), ErrAlgorithm},
		"the algorithm of RSA":   {dataOf(present|attested, id, cose(keyKind, 2, keyAlg, rs256, keyCurve, 1, keyX, x, keyY, y)), ErrAlgorithm},
		"a member twice":         {dataOf(present|attested, id, cose(keyKind, 2, keyKind, 2, keyAlg, es256, keyCurve, 1, keyX, x, keyY, y)), ErrMalformed},
		"few bits":               {dataOf(present|attested, id, cose(keyKind, 3, keyAlg, rs256, keyCurve, small, keyX, []byte{1, 0, 1})), ErrAlgorithm},
		"many bits":              {dataOf(present|attested, id, cose(keyKind, 3, keyAlg, rs256, keyCurve, bytes.Repeat(small, 9), keyX, []byte{1, 0, 1})), ErrAlgorithm},
		"the exponent 1":         {dataOf(present|attested, id, cose(keyKind, 3, keyAlg, rs256, keyCurve, bytes.Repeat(small, 2), keyX, []byte{1})), ErrAlgorithm},
		"a list in place of one": {dataOf(present|attested, id, []byte{0x81, 1}), ErrMalformed},
		"nothing":                {nil, ErrMalformed},
	} {
		a := &Answer{id: id, client: client{Type: "webauthn.create", Challenge: asked, Origin: here.Origins[0]}, object: object(tc.data)}
		if name == "a long id" {
			a.id = bytes.Repeat([]byte{3}, 1024)
		}
		if _, err := here.Register(a, asked); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	for name, object := range map[string]string{"empty": "", "no mapping": "\x80", "twice": "\xa2\x68authData\x41\x00\x68authData\x41\x00", "without end": "\xbf\x68authData\x41\x00\xff", "more behind": "\xa1\x68authData\x41\x00\x00",
		"longer than it is": "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "deep": "\xa1\x61x" + strings.Repeat("\x81", 9) + "\x00", "a text": "\xa1\x68authData\x61x"} {
		if data, err := authData([]byte(object)); err == nil {
			t.Errorf("%s: %x", name, data)
		}
	}
}

func TestAnswersAsBrowsersWriteThem(t *testing.T) {
	t.Parallel()
	said := base64.RawURLEncoding.EncodeToString([]byte(`{"type":"webauthn.get","challenge":"BwcHBwcHBwcHBwcHBwcHBw","origin":"https://comms.example.com","other_keys_can_be_added_here":"do not compare"}`))
	for answer, want := range map[string]bool{
		`{"id":"AQ","rawId":"AQ","type":"public-key","response":{"clientDataJSON":"` + said + `","userHandle":null}}`:               true,
		`{"id":"AQ","rawId":"AQ==","type":"public-key","authenticatorAttachment":"x","response":{"clientDataJSON":"` + said + `"}}`: true,
		`{"id":"AQ","rawId":"Ag","type":"public-key","response":{"clientDataJSON":"` + said + `"}}`:                                 false,
		`{"id":"AQ","rawId":"AQ","type":"password","response":{"clientDataJSON":"` + said + `"}}`:                                   false,
		`{"id":"","rawId":"","type":"public-key","response":{"clientDataJSON":"` + said + `"}}`:                                     false,
		`{"id":"AQ","rawId":"AQ","type":"public-key","response":{"clientDataJSON":"AQ"}}`:                                           false,
		`{"id":"AQ","rawId":"A+/","type":"public-key","response":{"clientDataJSON":"` + said + `"}}`:                                false,
		`{"id":1}`: false, `null`: false, `[]`: false, ``: false,
	} {
		a, err := Read(answer)
		if (err == nil) != want || want && (len(a.Challenge()) != 16 || a.client.Origin != here.Origins[0]) {
			t.Errorf("%s: %+v %v", answer, a, err)
		}
	}
}

func TestHostsThatKeysAreMadeFor(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"comms.example.com": true, "localhost": true, "a.localhost": true, "xn--bcher-kva.example": true, "intranet": false, "": false, "10.0.0.1": false, "::1": false, "1.2": false, "a..b": false, ".a": false, "a.": false,
		"a_b.example": false, "-a.example": false, "a-.example": false, "A.example": false, strings.Repeat("a", 64) + ".example": false, strings.Repeat("a.", 127) + "aa": false} {
		if IsHost(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}

func TestOptionsAsBrowsersReadThem(t *testing.T) {
	t.Parallel()
	made, err := here.AskNew(asked, person, "ama", []Key{{ID: []byte{255, 254}}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal([]byte(made), &o); err != nil || fmt.Sprint(o["excludeCredentials"]) != "[map[id:__4 type:public-key]]" || o["attestation"] != "none" || fmt.Sprint(o["timeout"]) != "60000" ||
		fmt.Sprint(o["pubKeyCredParams"]) != "[map[alg:-7 type:public-key] map[alg:-8 type:public-key] map[alg:-257 type:public-key]]" {
		t.Errorf("%s %v", made, err)
	}
	got, err := here.Ask(asked, nil, time.Minute)
	if err != nil || !strings.Contains(got, `"rpId":"comms.example.com"`) || !strings.Contains(got, `"allowCredentials":[]`) {
		t.Errorf("%s %v", got, err)
	}
}

// FuzzNewKey: whatever a key answers, nothing is registered that cannot sign, and nothing breaks.
func FuzzNewKey(f *testing.F) {
	f.Add(object(dataOf(present|attested, []byte("id"), cose(keyKind, 1, keyAlg, eddsa, keyCurve, 6, keyX, make([]byte, 32)))))
	f.Add([]byte{0xa1, 0x68})
	f.Fuzz(func(t *testing.T, object []byte) {
		a := &Answer{id: []byte("id"), client: client{Type: "webauthn.create", Challenge: asked, Origin: here.Origins[0]}, object: object}
		k, err := here.Register(a, asked)
		if err != nil {
			return
		}
		if p, err := readKey(k.PublicKey); err != nil || p.signed([]byte("x"), []byte("y")) {
			t.Errorf("%x", object)
		}
	})
}
