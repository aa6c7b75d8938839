package national

import (
	"testing"

	"github.com/commserver/commserver/internal/address"
)

func TestGhana(t *testing.T) {
	t.Parallel()
	read, err := For("gh")
	if err != nil {
		t.Fatal(err)
	}
	phones := address.Phones{National: read}
	tests := []struct{ name, in, want string }{
		{"trunk zero", "0241234567", "233241234567"},
		{"spaces", "024 123 4567", "233241234567"},
		{"dashes", "024-123-4567", "233241234567"},
		{"brackets and dots", "(024) 123.4567", "233241234567"},
		{"without trunk zero", "241234567", "233241234567"},
		{"international", "233241234567", "233241234567"},
		{"international with plus", "+233241234567", "233241234567"},
		{"international with spaces", "+233 24 123 4567", "233241234567"},
		{"trunk zero after the country code", "2330241234567", "233241234567"},
		{"zero zero", "00233241234567", "233241234567"},
		{"fixed line", "0302 123 456", "233302123456"},
		{"another country", "+49 30 901820", "4930901820"},
		{"another country without plus", "4915123456789", "4915123456789"},
		{"sandbox number outside the plan", "233000000001", "233000000001"},
		{"sandbox number with plus", "+233000000001", "233000000001"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, err := phones.Parse(test.in); err != nil || got != test.want {
				t.Errorf("Parse(%q) = %q, %v; want %q", test.in, got, err, test.want)
			}
		})
	}
	for _, in := range []string{"", "024 123", "0991234567", "tel:0241234567", "024 123 4567 ext 5", "0241234567;ext=1", "0800 SHOP", "٠٢٤١٢٣٤٥٦٧", "+233 99 123 4567"} {
		t.Run("refuses "+in, func(t *testing.T) {
			t.Parallel()
			if got, err := phones.Parse(in); err == nil {
				t.Errorf("Parse(%q) = %q, want a refusal", in, got)
			}
		})
	}
}

func TestSharedPlan(t *testing.T) {
	t.Parallel()
	read, err := For("US")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{"(212) 555-2368": "12125552368", "416-555-2368": "14165552368", "1 212 555 2368": "12125552368"} {
		if got, ok := read(in); !ok || got != want {
			t.Errorf("read(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestForRefusesUnknownRegions(t *testing.T) {
	t.Parallel()
	for _, region := range []string{"", "XX", "GHA", "Ghana", "233", "001"} {
		if _, err := For(region); err == nil {
			t.Errorf("For(%q) succeeds", region)
		}
	}
}

func FuzzRead(f *testing.F) {
	read, err := For("GH")
	if err != nil {
		f.Fatal(err)
	}
	phones := address.Phones{National: read}
	f.Add("024 123 4567")
	f.Add("+1 (212) 555-2368")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := phones.Parse(s)
		if err != nil {
			return
		}
		if strict, err := (address.Phones{}).Parse(got); err != nil || strict != got {
			t.Fatalf("%q became %q, which is no international number: %v", s, got, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	read, err := For("GH")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		read("024 123 4567")
	}
}
