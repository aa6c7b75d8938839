package apikey

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
)

func TestMint(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^cs_(test|live)_[0-9A-Za-z]{36}$`)
	seen := map[string]bool{}
	counts := map[byte]int{}
	for i := range 4000 {
		live := i%2 == 0
		m := Mint(live)
		if !form.MatchString(m.Text) || strings.HasPrefix(m.Text, "cs_live_") != live || m.Live != live {
			t.Fatalf("minted %v, live %v", m, live)
		}
		if m.Hash != Hash(sha256.Sum256([]byte(m.Text))) {
			t.Fatal("the hash is not the SHA-256 of the key")
		}
		if m.Prefix != m.Text[:12] || m.Last4 != m.Text[40:] {
			t.Fatalf("Prefix %q, Last4 %q", m.Prefix, m.Last4)
		}
		parsed, ok := Parse(m.Text)
		if !ok || parsed.Live != live || !parsed.Hash.Equal(m.Hash) || !Valid(m.Text) {
			t.Fatalf("Parse of a minted key = %+v, %v", parsed, ok)
		}
		seen[m.Text] = true
		for j := prefixSize; j < prefixSize+randomSize; j++ {
			counts[m.Text[j]]++
		}
	}
	if len(seen) != 4000 {
		t.Errorf("%d different keys of 4000", len(seen))
	}
	// 120,000 draws from 62 characters: 1935 each, standard deviation 44.
	for i := range len(alphabet) {
		if n := counts[alphabet[i]]; n < 1935-6*44 || n > 1935+6*44 {
			t.Errorf("%q drawn %d times, want about 1935", alphabet[i], n)
		}
	}
}

// TestChecksumIsCRC32 pins the algorithm for secret scanners, with one key
// worked out by the standard library and a fixed example.
func TestChecksumIsCRC32(t *testing.T) {
	t.Parallel()
	for range 100 {
		body := Mint(true).Text[:Size-sumSize]
		sum := crc32.ChecksumIEEE([]byte(body))
		want := ""
		for range sumSize {
			want = string(alphabet[sum%62]) + want
			sum /= 62
		}
		if got := checksum(body); string(got[:]) != want {
			t.Fatalf("checksum = %s, want %s", got, want)
		}
	}
	if !Valid(vector) {
		t.Errorf("the published example %q is not valid", vector)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := Mint(false).Text
	swapped := []byte(good)
	for i := prefixSize; i < Size; i++ {
		if swapped[i] != swapped[i+1] {
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			break
		}
	}
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"prefix only", "cs_test_"},
		{"mode changed", "cs_live_" + good[8:]},
		{"prefix in capitals", "CS_TEST_" + good[8:]},
		{"all capitals", strings.ToUpper(good)},
		{"unknown mode", "cs_prod_" + good[8:]},
		{"trailing space", good + " "},
		{"leading space", " " + good},
		{"trailing newline", good + "\n"},
		{"space for the last", good[:Size-1] + " "},
		{"cut short", good[:Size-1]},
		{"one more", good + "0"},
		{"two characters swapped", string(swapped)},
		{"underscore inside", good[:20] + "_" + good[21:]},
		{"non-ASCII inside", good[:20] + "é" + good[22:]},
		{"nul inside", good[:20] + "\x00" + good[21:]},
		{"bearer", "Bearer " + good},
		{"guide's placeholder", "cs_test_..."},
		{"ten kilobytes", strings.Repeat("a", 10_000)},
		{"zeros", "cs_test_" + strings.Repeat("0", 36)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if key, ok := Parse(test.text); ok || key != (Parsed{}) || Valid(test.text) {
				t.Errorf("Parse accepts it: %+v", key)
			}
		})
	}
}

func TestEveryTypoIsFound(t *testing.T) {
	t.Parallel()
	good := Mint(true).Text
	for i := prefixSize; i < Size; i++ {
		for j := range len(alphabet) {
			if alphabet[j] != good[i] && Valid(good[:i]+alphabet[j:j+1]+good[i+1:]) {
				t.Fatalf("character %d may be replaced unnoticed", i)
			}
		}
	}
}

func TestMintedHidesItself(t *testing.T) {
	t.Parallel()
	m := Mint(true)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if out := fmt.Sprintf(format, m); strings.Contains(out, m.Text) || !strings.Contains(out, m.Prefix) {
			t.Errorf("%s prints %s", format, out)
		}
	}
}

func TestHashEqual(t *testing.T) {
	t.Parallel()
	a, b := Mint(true).Hash, Mint(true).Hash
	if !a.Equal(a) || a.Equal(b) || a.Equal(Hash{}) {
		t.Error("Equal is wrong")
	}
}

func TestAllocations(t *testing.T) {
	key := Mint(true).Text
	if got := testing.AllocsPerRun(100, func() { Parse(key) }); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Mint(true).Text)
	f.Add(Mint(false).Text)
	f.Add(vector)
	f.Fuzz(func(t *testing.T, text string) {
		key, ok := Parse(text)
		if ok != Valid(text) {
			t.Fatal("Parse and Valid disagree")
		}
		if ok && (len(text) != Size || key.Hash != Hash(sha256.Sum256([]byte(text)))) {
			t.Fatalf("accepted %q", text)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	key := Mint(true).Text
	b.ReportAllocs()
	for b.Loop() {
		Parse(key)
	}
}

func BenchmarkMint(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Mint(true)
	}
}

// vector is an example computed apart from this package.
const vector = "cs_test_ExampleExampleExampleExample001NLD9v"
