package sms

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func TestMeasure(t *testing.T) {
	t.Parallel()
	emoji := "😀" // two UTF-16 units
	tests := []struct {
		name     string
		text     string
		encoding Encoding
		segments int
		units    int
		forced   string
	}{
		{"empty", "", GSM7, 1, 0, ""},
		{"plain", "Hello from CommServer", GSM7, 1, 21, ""},
		{"160 fill one segment", strings.Repeat("a", 160), GSM7, 1, 160, ""},
		{"161 need two", strings.Repeat("a", 161), GSM7, 2, 161, ""},
		{"306 fill two", strings.Repeat("a", 306), GSM7, 2, 306, ""},
		{"307 need three", strings.Repeat("a", 307), GSM7, 3, 307, ""},
		{"1530 fill ten", strings.Repeat("a", 1530), GSM7, MaxSegments, 1530, ""},
		{"1531 need eleven", strings.Repeat("a", 1531), GSM7, 11, 1531, ""},
		{"extension costs two", "€^{}\\[~]|\f", GSM7, 1, 20, ""},
		{"80 euros fill one segment", strings.Repeat("€", 80), GSM7, 1, 160, ""},
		{"81 euros need two", strings.Repeat("€", 81), GSM7, 2, 162, ""},
		{"extension pair is not split", strings.Repeat("a", 152) + "€" + strings.Repeat("b", 152), GSM7, 3, 306, ""},
		{"euros only: 76 a part", strings.Repeat("€", 153), GSM7, 3, 306, ""},
		{"greek capitals", "ΔΦΓΛΩΠΨΣΘΞ", GSM7, 1, 10, ""},
		{"accents of the alphabet", "èéùìòÇØøÅåÆæßÉÄÖÑÜ§äöñüà¡¿£¥¤", GSM7, 1, 29, ""},
		{"small c cedilla", "garçon", UCS2, 1, 6, "ç"},
		{"backtick", "a`b", UCS2, 1, 3, "`"},
		{"tab", "a\tb", UCS2, 1, 3, "\t"},
		{"escape is no character", "a\x1bb", UCS2, 1, 3, "\x1b"},
		{"delete", "\x7f", UCS2, 1, 1, "\x7f"},
		{"nbsp", "a\u00a0b", UCS2, 1, 3, "\u00a0"},
		{"typographic", "“it’s” – …", UCS2, 1, 10, "“’”–…"},
		{"cedi sign", "GH₵ 5", UCS2, 1, 5, "₵"},
		{"ghanaian letters", "ɛƐɔƆŋɖƒɣ", UCS2, 1, 8, "ɛƐɔƆŋɖƒɣ"},
		{"70 fill one", strings.Repeat("ɛ", 70), UCS2, 1, 70, "ɛ"},
		{"71 need two", strings.Repeat("ɛ", 71), UCS2, 2, 71, "ɛ"},
		{"134 fill two", strings.Repeat("ɛ", 134), UCS2, 2, 134, "ɛ"},
		{"670 fill ten", strings.Repeat("ɛ", 670), UCS2, MaxSegments, 670, "ɛ"},
		{"671 need eleven", strings.Repeat("ɛ", 671), UCS2, 11, 671, "ɛ"},
		{"surrogate pair counts two", emoji, UCS2, 1, 2, emoji},
		{"35 emoji fill one", strings.Repeat(emoji, 35), UCS2, 1, 70, emoji},
		{"emoji are 33 a part", strings.Repeat(emoji, 67), UCS2, 3, 134, emoji},
		{"pair at the border", strings.Repeat("ɛ", 66) + emoji + strings.Repeat("ɛ", 66), UCS2, 3, 134, "ɛ" + emoji},
		{"zero width joiner", "👩\u200d🚀", UCS2, 1, 5, "👩\u200d🚀"},
		{"flood of marks", "a" + strings.Repeat("\u0301", 1000), UCS2, 15, 1001, "\u0301"},
		{"invalid utf-8", "a\xff", UCS2, 1, 2, "\uFFFD"},
		{"replacement character", "\uFFFD", UCS2, 1, 1, "\uFFFD"},
		{"gsm characters are not blamed", "é€ɛa", UCS2, 1, 4, "ɛ"},
		{"forced is bounded", "一丁丂七丄丅丆万丈三上下丌不与丏丐丑", UCS2, 1, 18, "一丁丂七丄丅丆万丈三上下丌不与丏"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := Measure(test.text)
			if got.Encoding != test.encoding || got.Segments != test.segments || got.Units != test.units {
				t.Errorf("Measure = %v %d segments %d units, want %v %d %d",
					got.Encoding, got.Segments, got.Units, test.encoding, test.segments, test.units)
			}
			if string(got.Forced) != test.forced {
				t.Errorf("Forced = %q, want %q", string(got.Forced), test.forced)
			}
			checkAgreement(t, test.text)
		})
	}
}

// checkAgreement holds what Measure, Split, Encode and Decode promise together.
func checkAgreement(t *testing.T, text string) {
	t.Helper()
	size := Measure(text)
	parts := Split(text)
	if joined := strings.Join(parts, ""); joined != text {
		t.Fatalf("Split loses text: %q from %q", joined, text)
	}
	if len(parts) != size.Segments {
		t.Fatalf("Split makes %d parts, Measure counts %d", len(parts), size.Segments)
	}
	e, payloads := Encode(text)
	if e != size.Encoding || len(payloads) != len(parts) {
		t.Fatalf("Encode = %v, %d payloads; Measure = %v, %d", e, len(payloads), size.Encoding, size.Segments)
	}
	units := 0
	for i, payload := range payloads {
		n := len(payload)
		if e == UCS2 {
			n /= 2
		}
		units += n
		limit := map[Encoding]int{GSM7: gsmPart, UCS2: ucs2Part}[e]
		if size.Segments == 1 {
			limit = map[Encoding]int{GSM7: gsmAlone, UCS2: ucs2Alone}[e]
		}
		if n > limit {
			t.Fatalf("segment %d has %d units, limit %d", i, n, limit)
		}
		want := strings.ToValidUTF8(parts[i], "\uFFFD")
		if got := Decode(e, payload); utf8.ValidString(parts[i]) && got != want {
			t.Fatalf("segment %d decodes to %q, want %q", i, got, want)
		}
	}
	if units != size.Units {
		t.Fatalf("payloads hold %d units, Measure says %d", units, size.Units)
	}
}

func TestAlphabetIsComplete(t *testing.T) {
	t.Parallel()
	if n := utf8.RuneCountInString(basic); n != 128 {
		t.Fatalf("the basic table has %d codes, want 128", n)
	}
	known := 0
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r >= 0xD800 && r <= 0xDFFF {
			continue
		}
		code, n := septets(r)
		if n == 0 {
			continue
		}
		known++
		if back, ok := fromSeptet(code, n == 2); !ok || back != r {
			t.Errorf("%q -> %#x (%d septets) -> %q", r, code, n, back)
		}
	}
	if known != 127+10 {
		t.Errorf("%d characters are known, want 127 basic and 10 extension", known)
	}
}

// TestKnownCodes pins codes that are easy to get wrong; the table of
// 3GPP TS 23.038 section 6.2.1 is the source.
func TestKnownCodes(t *testing.T) {
	t.Parallel()
	for r, want := range map[rune]byte{
		'@': 0x00, '£': 0x01, '$': 0x02, 'Ç': 0x09, '\n': 0x0A, 'Ø': 0x0B, '\r': 0x0D, 'å': 0x0F,
		'Δ': 0x10, '_': 0x11, 'Φ': 0x12, 'Γ': 0x13, 'Λ': 0x14, 'Ω': 0x15, 'Π': 0x16, 'Ψ': 0x17, 'Σ': 0x18,
		'Θ': 0x19, 'Ξ': 0x1A, 'Æ': 0x1C, 'æ': 0x1D, 'ß': 0x1E, 'É': 0x1F, ' ': 0x20, '#': 0x23, '¤': 0x24, '%': 0x25,
		'?': 0x3F, '¡': 0x40, 'A': 0x41, 'Z': 0x5A, 'Ä': 0x5B, 'Ö': 0x5C, 'Ñ': 0x5D, 'Ü': 0x5E, '§': 0x5F,
		'¿': 0x60, 'a': 0x61, 'z': 0x7A, 'ä': 0x7B, 'ö': 0x7C, 'ñ': 0x7D, 'ü': 0x7E, 'à': 0x7F,
	} {
		if code, n := septets(r); n != 1 || code != want {
			t.Errorf("septets(%q) = %#x, %d; want %#x, 1", r, code, n, want)
		}
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		text     string
		encoding Encoding
		want     []byte
	}{
		{"gsm", "@a€", GSM7, []byte{0x00, 0x61, 0x1B, 0x65}},
		{"ucs2", "aɛ", UCS2, []byte{0x00, 0x61, 0x02, 0x5B}},
		{"surrogates", "😀", UCS2, []byte{0xD8, 0x3D, 0xDE, 0x00}},
		{"invalid byte", "\xff", UCS2, []byte{0xFF, 0xFD}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e, parts := Encode(test.text)
			if e != test.encoding || len(parts) != 1 || !slices.Equal(parts[0], test.want) {
				t.Errorf("Encode = %v % x, want %v % x", e, parts, test.encoding, test.want)
			}
		})
	}
}

func TestDecodeDamaged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		e       Encoding
		payload []byte
		want    string
	}{
		{"lone escape at the end", GSM7, []byte{0x61, 0x1B}, "a\uFFFD"},
		{"code above 7 bits", GSM7, []byte{0x61, 0x80}, "a\uFFFD"},
		{"unknown extension shows the basic character", GSM7, []byte{0x1B, 0x61}, "a"},
		{"two escapes", GSM7, []byte{0x1B, 0x1B, 0x61}, "\uFFFDa"},
		{"odd octet", UCS2, []byte{0x00, 0x61, 0x00}, "a\uFFFD"},
		{"half a pair", UCS2, []byte{0xD8, 0x3D, 0x00, 0x61}, "\uFFFDa"},
		{"nothing", UCS2, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Decode(test.e, test.payload); got != test.want {
				t.Errorf("Decode = %q, want %q", got, test.want)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"nothing to do", "Hi é ɛ 😀", "Hi é ɛ 😀"},
		{"crlf", "a\r\nb\rc\n\r\nd", "a\nb\nc\n\nd"},
		{"acute", "cafe\u0301 E\u0301", "café É"},
		{"all letters of the alphabet", "a\u0300e\u0300i\u0300o\u0300u\u0300e\u0301n\u0303N\u0303a\u0308o\u0308u\u0308A\u0308O\u0308U\u0308a\u030aA\u030aC\u0327", "àèìòùéñÑäöüÄÖÜåÅÇ"},
		{"singletons", "\u212b\u2126", "ÅΩ"},
		{"mark without its letter stays", "\u0301x\u0301", "\u0301x\u0301"},
		{"small c cedilla is left decomposed", "c\u0327", "c\u0327"},
		{"second mark stays", "e\u0301\u0301", "é\u0301"},
		{"invalid byte stays", "\xff\r", "\xff\n"},
		{"mark at the end of letters", "\u0301", "\u0301"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := Normalize(test.text)
			if got != test.want {
				t.Errorf("Normalize(%q) = %q, want %q", test.text, got, test.want)
			}
			if again := Normalize(got); again != got {
				t.Errorf("not stable: %q then %q", got, again)
			}
		})
	}
}

func TestEncodingString(t *testing.T) {
	t.Parallel()
	for e, want := range map[Encoding]string{GSM7: "GSM7", UCS2: "UCS2", 0: "UNKNOWN"} {
		if e.String() != want {
			t.Errorf("Encoding(%d) = %q, want %q", e, e.String(), want)
		}
	}
}

func TestMeasureAllocations(t *testing.T) {
	text := strings.Repeat("Hi Ama, your code is 123456. €5 é ", 10)
	for name, want := range map[string]struct {
		text   string
		allocs float64
	}{
		"gsm":  {text, 0},
		"ucs2": {text + "ɛ", 1}, // the Forced slice
	} {
		if got := testing.AllocsPerRun(100, func() { Measure(want.text) }); got > want.allocs {
			t.Errorf("%s: %v allocations, want %v", name, got, want.allocs)
		}
	}
	if got := testing.AllocsPerRun(100, func() { Normalize(text) }); got != 0 {
		t.Errorf("Normalize of a normal text: %v allocations, want 0", got)
	}
}

func FuzzMeasure(f *testing.F) {
	for _, seed := range []string{"", "a", "€", "ɛ", "😀", strings.Repeat("a", 152) + "€€", strings.Repeat("ɛ", 66) + "😀😀", "\xff\xfe", "e\u0301\r\n"} {
		f.Add(seed, 1)
		f.Add(seed, 40)
	}
	f.Fuzz(func(t *testing.T, text string, times int) {
		if times < 1 || times > 100 || len(text) > 2000 {
			return
		}
		text = strings.Repeat(text, times)
		checkAgreement(t, text)
		size := Measure(text)
		if utf8.ValidString(text) && size.Encoding == UCS2 && size.Units != len(utf16.Encode([]rune(text))) {
			t.Fatalf("%d units, want %d", size.Units, len(utf16.Encode([]rune(text))))
		}
		normal := Normalize(text)
		if Normalize(normal) != normal {
			t.Fatalf("Normalize is not stable for %q", text)
		}
		if n := Measure(normal); n.Segments > size.Segments {
			t.Fatalf("Normalize made %q longer: %d segments, then %d", text, size.Segments, n.Segments)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x1B, 0x65, 0x00}, true)
	f.Add([]byte{0xD8, 0x3D, 0xDE, 0x00}, false)
	f.Fuzz(func(t *testing.T, payload []byte, gsm bool) {
		e := UCS2
		if gsm {
			e = GSM7
		}
		if !utf8.ValidString(Decode(e, payload)) {
			t.Fatalf("Decode(% x) is not valid UTF-8", payload)
		}
	})
}

func BenchmarkMeasure(b *testing.B) {
	for name, text := range map[string]string{
		"ascii160": strings.Repeat("a", 160),
		"accents":  strings.Repeat("é€", 200),
		"ucs2":     strings.Repeat("aɛ", 200),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Measure(text)
			}
		})
	}
}
