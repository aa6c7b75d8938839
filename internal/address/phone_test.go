package address

import (
	"strings"
	"testing"
)

// parsePhone reads international numbers only.
func parsePhone(s string) (string, error) { return Phones{}.Parse(s) }

func TestParsePhone(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"B37 with plus", "+233241234567", "233241234567"},
		{"B37 without plus", "233241234567", "233241234567"},
		{"seven digits", "2901234", "2901234"},
		{"fifteen digits", "123456789012345", "123456789012345"},
		{"sandbox number", "233000000001", "233000000001"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, err := parsePhone(test.in); err != nil || got != test.want {
				t.Errorf("parsePhone(%q) = %q, %v; want %q", test.in, got, err, test.want)
			}
		})
	}
}

func TestParsePhoneRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, code, hint string }{
		{"empty", "", CodeEmpty, "give one"},
		{"spaces", "  ", CodeEmpty, "give one"},
		{"B38 national", "0241234567", CodePhone, "leading 0"},
		{"B38 short", "123", CodePhone, "at least 7"},
		{"B38 long", "2332412345678901234", CodePhone, "at most 15"},
		{"B38 letters", "23324abc4567", CodePhone, "digits 0 to 9"},
		{"B38 plus alone", "+", CodePhone, "digits"},
		{"six digits", "123456", CodePhone, "at least 7"},
		{"sixteen digits", "1234567890123456", CodePhone, "at most 15"},
		{"two plusses", "++233241234567", CodePhone, "digits"},
		{"plus and zero", "+0241234567", CodePhone, "leading 0"},
		{"zero zero", "00233241234567", CodePhone, "leading 00"},
		{"B39 arabic-indic digits", "٢٣٣٢٤١٢٣٤٥٦٧", CodePhone, "digits 0 to 9"},
		{"B39 full-width digits", "２３３２４１２３４５６７", CodePhone, "digits 0 to 9"},
		{"B40 spaces", "233 24 123 4567", CodePhone, "without spaces"},
		{"B40 brackets and dashes", "(233)-24-123-4567", CodePhone, "without spaces"},
		{"B41 uri", "tel:+233241234567", CodePhone, "digits 0 to 9"},
		{"B41 extension", "233241234567;ext=5", CodePhone, "digits 0 to 9"},
		{"B41 percent", "233241234567%0a", CodePhone, "digits 0 to 9"},
		{"newline", "233241234567\n", CodePhone, "digits 0 to 9"},
		{"nul", "233241234567\x00", CodePhone, "digits 0 to 9"},
		{"two numbers", "233241234567,233241234568", CodePhone, "digits 0 to 9"},
		{"a megabyte", strings.Repeat("1", 1<<20), CodePhone, "at most 15"},
		{"B42 email", "ama@example.com", CodeChannel, "channel EMAIL"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := parsePhone(test.in)
			wantRefusal(t, err, test.code, test.in)
			if got != "" {
				t.Errorf("a refused number still returns %q", got)
			}
			if !strings.Contains(err.Error(), test.hint) {
				t.Errorf("the reason %q does not mention %q", err, test.hint)
			}
		})
	}
}

func TestPhonesNational(t *testing.T) {
	t.Parallel()
	var seen []string
	phones := Phones{National: func(s string) (string, bool) {
		seen = append(seen, s)
		switch s {
		case "024 123 4567":
			return "233241234567", true
		case "1":
			return "not digits", true
		}
		return "", false
	}}
	if got, err := phones.Parse("024 123 4567"); err != nil || got != "233241234567" {
		t.Errorf("national form: %q, %v", got, err)
	}
	if got, err := phones.Parse("233241234567"); err != nil || got != "233241234567" {
		t.Errorf("international form that National does not know: %q, %v", got, err)
	}
	for _, in := range []string{"1", "024 12", "0241234567", "024 (x)", "tel:0241234567", "٠٢٤١٢٣٤٥٦٧", "024+1234567", strings.Repeat("1 ", 40)} {
		_, err := phones.Parse(in)
		wantRefusal(t, err, CodePhone, in)
	}
	for _, s := range seen {
		if !isWrittenNumber(s) {
			t.Errorf("National was shown %q", s)
		}
	}
}

func FuzzParsePhone(f *testing.F) {
	for _, seed := range []string{"+233241234567", "0241234567", "+", "00", "٢٣"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		digits, err := parsePhone(s)
		if err != nil {
			return
		}
		if !isInternational(digits) || strings.TrimPrefix(s, "+") != digits {
			t.Fatalf("%q became %q", s, digits)
		}
		if len(Mask(digits)) > len(digits) || Mask(digits) == digits {
			t.Fatalf("Mask(%q) = %q", digits, Mask(digits))
		}
	})
}
