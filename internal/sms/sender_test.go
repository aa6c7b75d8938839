package sms

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckSender(t *testing.T) {
	t.Parallel()
	good := []string{"SHOP", "My Shop", "A", "Shop24", "24Shop", "a-b_c.d&e", "ELEVENCHARS", "123", "1400", "233241234567", "+233241234567", "123456789012345"}
	for _, id := range good {
		t.Run("accepts "+id, func(t *testing.T) {
			t.Parallel()
			if err := CheckSender(id); err != nil {
				t.Errorf("CheckSender(%q) = %v", id, err)
			}
		})
	}
	bad := []struct{ name, id string }{
		{"empty", ""},
		{"twelve characters", "TWELVECHARSX"},
		{"leading space", " SHOP"},
		{"trailing space", "SHOP "},
		{"only spaces", "   "},
		{"two digits", "12"},
		{"sixteen digits", strings.Repeat("1", 16)},
		{"plus alone", "+"},
		{"plus before letters", "+SHOP"},
		{"plus inside", "12+34"},
		{"digits with space", "123 456"},
		{"emoji", "SHOP😀"},
		{"accent", "CAFÉ"},
		{"line break", "SHOP\r\n"},
		{"at sign", "a@b"},
		{"dollar", "CA$H"},
		{"nul", "SHOP\x00"},
		{"marks only", "--"},
		{"full-width digits", "１２３４"},
	}
	for _, test := range bad {
		t.Run("refuses "+test.name, func(t *testing.T) {
			t.Parallel()
			err := CheckSender(test.id)
			var refused *SenderError
			if !errors.As(err, &refused) {
				t.Fatalf("CheckSender(%q) = %v, want a *SenderError", test.id, err)
			}
			if len(test.id) > 2 && strings.Contains(refused.Error(), test.id) {
				t.Errorf("the reason repeats the input: %q", refused.Error())
			}
		})
	}
}

func FuzzCheckSender(f *testing.F) {
	f.Add("SHOP")
	f.Add("+233241234567")
	f.Fuzz(func(t *testing.T, id string) {
		if CheckSender(id) != nil {
			return
		}
		if size := Measure(id); size.Encoding != GSM7 || size.Segments != 1 || len(id) > 1+maxSenderDigits {
			t.Fatalf("accepted %q", id)
		}
	})
}
