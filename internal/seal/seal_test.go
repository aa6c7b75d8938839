package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func ring(t testing.TB, text Secret) *Ring {
	t.Helper()
	r, err := ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func generated(t testing.TB, id string) Secret {
	t.Helper()
	text, err := GenerateRing(id)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	s := ring(t, generated(t, "k1")).For("provider-config")
	place := Place{App: "app", Record: "record", Field: "password"}
	for _, plain := range [][]byte{nil, {}, []byte("x"), []byte("correct horse"), bytes.Repeat([]byte{0}, 100_000)} {
		sealed, err := s.Seal(plain, place)
		if err != nil {
			t.Fatal(err)
		}
		if sealed.KeyID != "k1" || len(sealed.Box) != len(plain)+28 {
			t.Errorf("key id %q, box of %d bytes for %d", sealed.KeyID, len(sealed.Box), len(plain))
		}
		if len(plain) > 4 && bytes.Contains(sealed.Box, plain[:4]) && plain[0] != 0 {
			t.Error("the box contains the content")
		}
		got, err := s.Open(sealed, place)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Open = %d bytes, %v", len(got), err)
		}
	}
}

func TestNoncesDiffer(t *testing.T) {
	t.Parallel()
	s := ring(t, generated(t, "k1")).For("p")
	seen := map[string]bool{}
	for range 1000 {
		sealed, err := s.Seal([]byte("same"), Place{})
		if err != nil {
			t.Fatal(err)
		}
		seen[string(sealed.Box[:12])] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different nonces of 1000", len(seen))
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	text := generated(t, "k1")
	r := ring(t, text)
	s := r.For("provider-config")
	place := Place{App: "app", Record: "record", Field: "password"}
	plain := []byte("PLANTED-SECRET")
	sealed, err := s.Seal(plain, place)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(i int) Sealed {
		box := bytes.Clone(sealed.Box)
		box[i] ^= 1
		return Sealed{sealed.KeyID, box}
	}
	tests := []struct {
		name   string
		s      *Sealer
		sealed Sealed
		place  Place
		want   error
	}{
		{"other app", s, sealed, Place{"app2", "record", "password"}, ErrCannotOpen},
		{"other record", s, sealed, Place{"app", "record2", "password"}, ErrCannotOpen},
		{"other field", s, sealed, Place{"app", "record", "username"}, ErrCannotOpen},
		{"parts shifted", s, sealed, Place{"appr", "ecord", "password"}, ErrCannotOpen},
		{"no place", s, sealed, Place{}, ErrCannotOpen},
		{"other purpose", r.For("webhook-secret"), sealed, place, ErrCannotOpen},
		{"same id, other key", ring(t, generated(t, "k1")).For("provider-config"), sealed, place, ErrCannotOpen},
		{"changed nonce", s, changed(0), place, ErrCannotOpen},
		{"changed content", s, changed(12), place, ErrCannotOpen},
		{"changed tag", s, changed(len(sealed.Box) - 1), place, ErrCannotOpen},
		{"cut short", s, Sealed{"k1", sealed.Box[:27]}, place, ErrCannotOpen},
		{"empty", s, Sealed{"k1", nil}, place, ErrCannotOpen},
		{"unknown key", s, Sealed{"k2", sealed.Box}, place, ErrUnknownKey},
		{"no key id", s, Sealed{"", sealed.Box}, place, ErrUnknownKey},
		{"key id with rubbish", s, Sealed{"k1\nk2\x00", sealed.Box}, place, ErrUnknownKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := test.s.Open(test.sealed, test.place)
			if !errors.Is(err, test.want) || got != nil {
				t.Fatalf("Open = %q, %v; want %v", got, err, test.want)
			}
			if strings.Contains(err.Error(), "PLANTED") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), text.Reveal()[3:]) {
				t.Errorf("the error shows too much: %q", err)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	old, fresh := generated(t, "old"), generated(t, "new")
	before := ring(t, old)
	sealed, err := before.For("p").Seal([]byte("v"), Place{})
	if err != nil {
		t.Fatal(err)
	}
	// Step 1: the new key is added everywhere, the old one still seals.
	added := ring(t, old+","+fresh)
	if added.Primary() != "old" {
		t.Errorf("Primary = %q", added.Primary())
	}
	// Step 2: the new key seals; a node at step 1 reads it.
	promoted := ring(t, fresh+","+old)
	resealed, err := promoted.For("p").Seal([]byte("v"), Place{})
	if err != nil || resealed.KeyID != "new" {
		t.Fatalf("sealed with %q, %v", resealed.KeyID, err)
	}
	for _, r := range []*Ring{added, promoted} {
		for _, v := range []Sealed{sealed, resealed} {
			if got, err := r.For("p").Open(v, Place{}); err != nil || string(got) != "v" {
				t.Errorf("%v cannot open a value of %q: %v", r, v.KeyID, err)
			}
		}
	}
	// Step 3: the old key is gone.
	after := ring(t, fresh)
	if _, err := after.For("p").Open(resealed, Place{}); err != nil {
		t.Error(err)
	}
	if _, err := after.For("p").Open(sealed, Place{}); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("value of the removed key: %v", err)
	}
}

func TestParseRing(t *testing.T) {
	t.Parallel()
	raw := []byte{0xfb, 0xff, 0x00, 0x91, 0x3e, 0xc7, 0x55, 0x0a, 0xd2, 0x6b, 0x87, 0xf4, 0x19, 0xe0, 0x33, 0xa8, 0x7c, 0x02, 0xbd, 0x48, 0x96, 0x5f, 0xea, 0x21, 0xcc, 0x74, 0x0f, 0xb3, 0x68, 0xd9, 0x12, 0x8e}
	for name, text := range map[string]string{
		"standard":          "k:" + base64.StdEncoding.EncodeToString(raw),
		"standard unpadded": "k:" + base64.RawStdEncoding.EncodeToString(raw),
		"url":               "k:" + base64.URLEncoding.EncodeToString(raw),
		"line end":          " k:" + base64.StdEncoding.EncodeToString(raw) + "\n",
	} {
		if r := ring(t, Secret(text)); r.keys["k"]() != [32]byte(raw) {
			t.Errorf("%s: wrong key", name)
		}
	}
	good := generated(t, "a").Reveal()
	other := generated(t, "b").Reveal()
	encode := func(b []byte) string { return "k:" + base64.StdEncoding.EncodeToString(b) }
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i)
	}
	tests := []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"spaces", " \n", "empty"},
		{"no colon", base64.StdEncoding.EncodeToString(raw), "entry 1"},
		{"no id", ":" + base64.StdEncoding.EncodeToString(raw), "1 to 32"},
		{"bad id", "a b:" + base64.StdEncoding.EncodeToString(raw), "1 to 32"},
		{"long id", strings.Repeat("a", 33) + good[1:], "1 to 32"},
		{"no key", "k:", "0 bytes"},
		{"not base64", "k:PLANTED!SECRET", "not base64"},
		{"16 bytes", encode(raw[:16]), "16 bytes"},
		{"33 bytes", encode(append(bytes.Clone(raw), 1)), "33 bytes"},
		{"trailing comma", good + ",", "entry 2"},
		{"same id twice", good + ",a:" + other[2:], "entry 2"},
		{"same key twice", good + ",b:" + good[2:], "entry 2"},
		{"zeros", encode(make([]byte, 32)), "not random"},
		{"counting", encode(counting), "not random"},
		{"text", encode([]byte("ThisIsMyVeryOwnPassword:Qu1z-42!")), "not random"},
		{"hex digits", encode([]byte("0123456789abcdef0123456789abcdef")), "not random"},
		{"half repeated", encode(append(bytes.Clone(raw[:16]), raw[:16]...)), "not random"},
		{"seventeen keys", strings.Repeat(good+",", 16) + good, "17 entries"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseRing(Secret(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("err = %v, want one with %q", err, test.want)
			}
			if _, key, found := strings.Cut(test.text, ":"); found && len(key) > 8 && strings.Contains(err.Error(), key[:8]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestGenerateRing(t *testing.T) {
	t.Parallel()
	for range 2000 {
		if _, err := ParseRing(generated(t, "k-1_A")); err != nil {
			t.Fatalf("a generated ring is refused: %v", err)
		}
	}
	if one, two := generated(t, "k"), generated(t, "k"); one == two {
		t.Error("two generated rings are the same")
	}
	if _, err := GenerateRing("a:b"); err == nil {
		t.Error("a bad id is accepted")
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	text := generated(t, "k1")
	canary, err := ring(t, text).Canary()
	if err != nil {
		t.Fatal(err)
	}
	if err := ring(t, generated(t, "k2")+","+text).CheckCanary(canary); err != nil {
		t.Errorf("ring with the key: %v", err)
	}
	if err := ring(t, generated(t, "k1")).CheckCanary(canary); !errors.Is(err, ErrCannotOpen) {
		t.Errorf("other key of the same id: %v", err)
	}
	if err := ring(t, generated(t, "k2")).CheckCanary(canary); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("other ring: %v", err)
	}
	forged, err := ring(t, text).For(canaryPurpose).Seal([]byte("other text"), Place{Record: canaryPurpose})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring(t, text).CheckCanary(forged); !errors.Is(err, ErrCannotOpen) {
		t.Errorf("other content: %v", err)
	}
}

func TestDeriveKey(t *testing.T) {
	t.Parallel()
	r := ring(t, generated(t, "a")+","+generated(t, "b"))
	seen := map[string]string{}
	for _, id := range r.IDs() {
		for _, purpose := range []string{"sessions", "addresses"} {
			key, err := r.DeriveKey(id, purpose)
			if err != nil || len(key) != 32 {
				t.Fatalf("DeriveKey = %d bytes, %v", len(key), err)
			}
			if other, twice := seen[string(key)]; twice {
				t.Errorf("%s/%s has the key of %s", id, purpose, other)
			}
			seen[string(key)] = id + "/" + purpose
			if again, _ := r.DeriveKey(id, purpose); !bytes.Equal(again, key) {
				t.Error("DeriveKey is not stable")
			}
		}
	}
	if _, err := r.DeriveKey("c", "sessions"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown id: %v", err)
	}
}

func TestExhausted(t *testing.T) {
	t.Parallel()
	s := ring(t, generated(t, "k1")).For("p")
	if _, err := s.Seal(nil, Place{}); err != nil {
		t.Fatal(err)
	}
	s.keys["k1"].seals.Store(maxSeals - 1)
	sealed, err := s.Seal(nil, Place{})
	if err != nil {
		t.Errorf("the last allowed value: %v", err)
	}
	if _, err := s.Seal(nil, Place{}); !errors.Is(err, ErrExhausted) {
		t.Errorf("one more: %v, want ErrExhausted", err)
	}
	if _, err := s.Open(sealed, Place{}); err != nil {
		t.Errorf("opening stays possible: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	s := ring(t, generated(t, "k1")).For("p")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			place := Place{Record: fmt.Sprint(i)}
			for range 50 {
				sealed, err := s.Seal([]byte("v"), place)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Open(sealed, place); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRingPrintsNoKeys(t *testing.T) {
	t.Parallel()
	text := generated(t, "k1")
	r := ring(t, text)
	raw := r.keys["k1"]()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		out := fmt.Sprintf(format, r) + fmt.Sprintf(format, *r) + fmt.Sprintf(format, struct{ R Ring }{*r}) + fmt.Sprintf(format, r.For("p"))
		if strings.Contains(out, fmt.Sprint(raw[0])+" "+fmt.Sprint(raw[1])) || strings.Contains(out, fmt.Sprintf("%x", raw[:4])) || strings.Contains(out, text.Reveal()[3:]) {
			t.Errorf("%s prints the key: %s", format, out)
		}
	}
}

func FuzzParseRing(f *testing.F) {
	f.Add("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add(generated(f, "a").Reveal() + "," + generated(f, "b").Reveal())
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRing(Secret(text))
		if err != nil {
			return
		}
		canary, err := r.Canary()
		if err != nil || r.CheckCanary(canary) != nil {
			t.Fatalf("a parsed ring does not work: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	s := ring(f, generated(f, "k1")).For("p")
	sealed, err := s.Seal([]byte("v"), Place{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("k1", []byte("too short"))
	f.Fuzz(func(t *testing.T, id string, box []byte) {
		if bytes.Equal(box, sealed.Box) {
			return
		}
		if _, err := s.Open(Sealed{id, box}, Place{}); err == nil {
			t.Fatal("opens a forged box")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := ring(b, generated(b, "k1")).For("p")
	place := Place{"app", "record", "field"}
	sealed, err := s.Seal(make([]byte, 64), place)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(sealed, place); err != nil {
			b.Fatal(err)
		}
	}
}
