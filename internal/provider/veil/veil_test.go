package veil

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	v := Veil{Secrets: []string{"hunter22", "bob"}, Words: []string{"info", "ab"}}
	for in, want := range map[string]string{
		"<ama@example.com>: no":          "[address] no",
		"pw HUNTER22x bobby":             "pw [hidden]x [hidden]by",
		"User info unknown, information": "User [hidden] unknown, information",
		"tab\tand\x00nul\r\nline":        "tab and nul line",
		"bad \xff utf8":                  "bad utf8",
		"ab stays":                       "ab stays",
		"info":                           "[hidden]",
		"+233 24 400 0000 stays":         "+233 24 400 0000 stays",
	} {
		if got := v.Redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestAWholeBeforeItsParts: of a text that holds another one nothing is left, in whichever order the veil was told of them.
func TestAWholeBeforeItsParts(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{{"hunter22", "bob:hunter22!"}, {"bob:hunter22!", "hunter22"}} {
		if got := (Veil{Secrets: secrets}).Redact("login bob:hunter22! and hunter22"); got != "login [hidden] and [hidden]" {
			t.Errorf("%q: %q", secrets, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"The number +233244000000 is not valid": "The number [number] is not valid",
		"to=233244000000.":                      "to=[number].",
		"024 400 0000, 024-400-0000":            "[number], [number]",
		"error 21211 of 30":                     "error 21211 of 30",
		"2026-11":                               "2026-11",
		"+ and - and 1":                         "+ and - and 1",
		"é 233244000000 é":                      "é [number] é",
		"1234567":                               "[number]",
		"123456":                                "123456",
		"++233244000000":                        "+[number]",
	} {
		if got := (Veil{Numbers: true}).Redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aé", 2, "a"}, {"", 0, ""}} {
		if got := Cut(tt.text, tt.n); got != tt.want {
			t.Errorf("%q to %d: %q", tt.text, tt.n, got)
		}
	}
}

// FuzzRedact: what comes out is one line of valid text, without addresses and long numbers, with nothing hidden
// left in it, and the same when it goes through again.
func FuzzRedact(f *testing.F) {
	f.Add("no +233244000000", "hunter22")
	f.Fuzz(func(t *testing.T, text, secret string) {
		v := Veil{Numbers: true, Secrets: []string{secret}, Words: []string{secret}}
		got := v.Redact(text)
		if strings.ContainsAny(got, "\r\n\x00@") || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		digits := 0
		for i := range len(got) {
			switch {
			case digit(got[i]):
				digits++
			default:
				digits = 0
			}
			if digits >= minNumber {
				t.Fatalf("a number is left in %q", got)
			}
		}
		if plain(secret) && strings.Contains(strings.ToLower(strings.ReplaceAll(got, "[hidden]", "\x00")), strings.ToLower(secret)) {
			t.Errorf("%q is left in %q", secret, got)
		}
	})
}

// plain says of a secret that it is long enough to be hidden, and none of what is written in the place of others.
func plain(secret string) bool {
	for i := range len(secret) {
		if secret[i] <= ' ' || secret[i] > '~' || secret[i] == '[' || secret[i] == ']' {
			return false
		}
	}
	return len(secret) >= minHidden && !strings.Contains("address number hidden", strings.ToLower(secret))
}
