package address

import (
	"errors"
	"strings"
	"testing"
)

// wantRefusal checks the code, and that the reason is a helpful sentence which
// repeats nothing of the input.
func wantRefusal(t *testing.T, err error, code, input string) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want an *Error with code %s", err, code)
	}
	if refused.Code != code {
		t.Errorf("code = %s (%s), want %s", refused.Code, refused.Reason, code)
	}
	if len(refused.Error()) < 20 {
		t.Errorf("the reason %q is too short to help", refused.Error())
	}
	if trimmed := strings.TrimSpace(input); len(trimmed) > 6 && strings.Contains(refused.Error(), trimmed) {
		t.Errorf("the reason repeats the input: %q", refused.Error())
	}
}

func TestParseEmail(t *testing.T) {
	t.Parallel()
	local64 := strings.Repeat("l", 64)
	domain189 := strings.Repeat("d", 61) + "." + strings.Repeat("d", 61) + "." + strings.Repeat("d", 61) + ".exa"
	tests := []struct{ name, in, address, key string }{
		{"plain", "ama@example.com", "ama@example.com", "ama@example.com"},
		{"case of the local part is kept", "Ama.Mensah@Example.COM", "Ama.Mensah@example.com", "ama.mensah@example.com"},
		{"plus tag", "ama+shop@example.com", "ama+shop@example.com", "ama+shop@example.com"},
		{"every atext", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},
		{"digits", "1@2.co", "1@2.co", "1@2.co"},
		{"hyphens", "a@b-c.d--e.example", "a@b-c.d--e.example", "a@b-c.d--e.example"},
		{"hyphens in places 3 and 4", "a@r3---sn.example", "a@r3---sn.example", "a@r3---sn.example"},
		{"B34 umlaut domain", "user@münchen.example", "user@xn--mnchen-3ya.example", "user@xn--mnchen-3ya.example"},
		{"umlaut domain in capitals", "User@MÜNCHEN.Example", "User@xn--mnchen-3ya.example", "user@xn--mnchen-3ya.example"},
		{"decomposed umlaut", "user@mu\u0308nchen.example", "user@xn--mnchen-3ya.example", "user@xn--mnchen-3ya.example"},
		{"A-label in capitals", "user@XN--MNCHEN-3YA.example", "user@xn--mnchen-3ya.example", "user@xn--mnchen-3ya.example"},
		{"B36 cyrillic e", "a@еxample.com", "a@xn--xample-2of.com", "a@xn--xample-2of.com"},
		{"full-width domain", "a@ｅｘａｍｐｌｅ.com", "a@example.com", "a@example.com"},
		{"ideographic dot", "a@example。com", "a@example.com", "a@example.com"},
		{"sharp s is not ss", "a@straße.example", "a@xn--strae-oqa.example", "a@xn--strae-oqa.example"},
		{"64 octets before the @", local64 + "@example.com", local64 + "@example.com", local64 + "@example.com"},
		{"254 octets", local64 + "@" + domain189, local64 + "@" + domain189, local64 + "@" + domain189},
		{"sandbox", "delivered@sandbox.commserver.test", "delivered@sandbox.commserver.test", "delivered@sandbox.commserver.test"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseEmail(test.in)
			if err != nil {
				t.Fatalf("ParseEmail(%q): %v", test.in, err)
			}
			if got.Address != test.address || got.Key != test.key {
				t.Errorf("got %q, key %q; want %q, key %q", got.Address, got.Key, test.address, test.key)
			}
			if !strings.HasSuffix(got.Address, "@"+got.Domain()) || strings.Contains(got.Domain(), "@") {
				t.Errorf("%q is not the domain of %q", got.Domain(), got.Address)
			}
		})
	}
}

func TestParseEmailRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d", 61)
	tests := []struct{ name, in, code string }{
		{"B26 empty", "", CodeEmpty},
		{"B26 spaces", "   ", CodeEmpty},
		{"B27 no at", "plain", CodeEmail},
		{"B27 no domain", "a@", CodeEmail},
		{"B27 no local part", "@b.c", CodeEmail},
		{"B27 two ats", "a@b@c", CodeEmail},
		{"B27 space", "a b@c.d", CodeEmail},
		{"B27 two dots in the domain", "a@b..c", CodeEmail},
		{"B27 hyphen first", "a@-b.c", CodeEmail},
		{"B27 dot first", ".a@b.c", CodeEmail},
		{"B27 dot last", "a.@b.c", CodeEmail},
		{"two dots", "a..b@c.example", CodeEmail},
		{"hyphen last", "a@b-.c", CodeEmail},
		{"dot at the end of the domain", "a@b.c.", CodeEmail},
		{"dot at the start of the domain", "a@.b.c", CodeEmail},
		{"leading space", " a@b.example", CodeEmail},
		{"trailing space", "a@b.example ", CodeEmail},
		{"underscore in the domain", "a@b_c.example", CodeEmail},
		{"uri", "mailto:a@b.example", CodeEmail},
		{"percent-encoded domain", "a@b%2ec.example", CodeEmail},
		{"comment", "a(x)@b.example", CodeEmail},
		{"backslash", `a\@b.example`, CodeEmail},
		{"broken A-label", "a@xn--.example", CodeEmail},
		{"fake A-label", "a@xn--example-.com", CodeEmail},
		{"A-label that hides ASCII", "a@xn--abc-.example", CodeEmail},
		{"B28 quoted", `"x@evil.com> ORCPT=a"@ok.com`, CodeQuoted},
		{"B28 quoted simple", `"a b"@ok.com`, CodeQuoted},
		{"B28 quoted empty", `""@ok.com`, CodeQuoted},
		{"B29 comma", "a@x.com,b@y.com", CodeSeveral},
		{"B29 comma and space", "a@x.com, b@y.com", CodeSeveral},
		{"B29 semicolon", "a@x.com;b@y.com", CodeSeveral},
		{"B29 group", "G: a@x.com;", CodeSeveral},
		{"B29 empty group", "G:;", CodeSeveral},
		{"B29 names", "A <a@x.com>, B <b@y.com>", CodeSeveral},
		{"source route", "<@a.example,@b.example:c@d.example>", CodeSeveral},
		{"trailing comma", "a@x.com,", CodeSeveral},
		{"B30 header injection", "a@x.com\r\nBcc: b@y.com", CodeControl},
		{"B30 newline at the end", "a@x.com\n", CodeControl},
		{"nul", "a\x00@x.com", CodeControl},
		{"delete", "a\x7f@x.com", CodeControl},
		{"C1 control", "a\u0085@x.com", CodeControl},
		{"line separator", "a@x\u2028.com", CodeControl},
		{"invalid utf-8", "a\xff@x.com", CodeControl},
		{"B31 name", "Name <a@x.com>", CodeNotBare},
		{"B31 brackets", "<a@x.com>", CodeNotBare},
		{"B31 quoted name", `"Name" <a@x.com>`, CodeNotBare},
		{"B32 literal", "a@[127.0.0.1]", CodeDomain},
		{"B32 ipv6 literal", "a@[IPv6:::1]", CodeDomain},
		{"B32 localhost", "a@localhost", CodeDomain},
		{"B32 single label", "a@intranet", CodeDomain},
		{"dotted address", "a@127.0.0.1", CodeDomain},
		{"full-width dotted address", "a@１２７.０.０.１", CodeDomain},
		{"numeric top level", "a@example.123", CodeDomain},
		{"B33 65 octets before the @", strings.Repeat("l", 65) + "@example.com", CodeTooLong},
		{"B33 255 octets", strings.Repeat("l", 64) + "@" + long + "." + long + "." + long + ".exam", CodeTooLong},
		{"label of 64", "a@" + strings.Repeat("d", 64) + ".example", CodeTooLong},
		{"a megabyte", strings.Repeat("a", 1<<20) + "@example.com", CodeTooLong},
		{"255 octets after conversion", "a@" + strings.Repeat("ü."+long[:50]+".", 4) + "müüüüüüüüüüüüüü.example", CodeTooLong},
		{"B35 umlaut before the @", "jürgen@example.com", CodeUTF8},
		{"emoji before the @", "😀@example.com", CodeUTF8},
		{"zero width space before the @", "a\u200bb@example.com", CodeUTF8},
		{"bidi domain that breaks the rule", "a@\u05d0a.example", CodeEmail},
		{"B42 phone number", "233241234567", CodeChannel},
		{"B42 phone number written out", "+233 24-123 (4567)", CodeChannel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseEmail(test.in)
			wantRefusal(t, err, test.code, test.in)
			if got != (Email{}) {
				t.Errorf("a refused address still returns %+v", got)
			}
		})
	}
}

func TestParseMailbox(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, display, address, text string }{
		{"bare", "a@x.com", "", "a@x.com", "a@x.com"},
		{"bare with spaces around", "  a@x.com ", "", "a@x.com", "a@x.com"},
		{"brackets", "<a@x.com>", "", "a@x.com", "a@x.com"},
		{"name", "MyApp <a@X.com>", "MyApp", "a@x.com", "MyApp <a@x.com>"},
		{"no space", "MyApp<a@x.com>", "MyApp", "a@x.com", "MyApp <a@x.com>"},
		{"several words", "My Great  App <a@x.com>", "My Great  App", "a@x.com", "My Great  App <a@x.com>"},
		{"non-ASCII", "Ɔkyerɛma 😀 <a@x.com>", "Ɔkyerɛma 😀", "a@x.com", "Ɔkyerɛma 😀 <a@x.com>"},
		{"quoted", `"Mensah, Ama" <a@x.com>`, "Mensah, Ama", "a@x.com", `"Mensah, Ama" <a@x.com>`},
		{"quoted without need", `"Ama" <a@x.com>`, "Ama", "a@x.com", "Ama <a@x.com>"},
		{"escapes", `"A \"B\" \\ C" <a@x.com>`, `A "B" \ C`, "a@x.com", `"A \"B\" \\ C" <a@x.com>`},
		{"address as quoted name", `"b@y.com" <a@x.com>`, "b@y.com", "a@x.com", `"b@y.com" <a@x.com>`},
		{"dot in the name", "Shop Ltd. <a@x.com>", "Shop Ltd.", "a@x.com", `"Shop Ltd." <a@x.com>`},
		{"empty quoted name", `"" <a@x.com>`, "", "a@x.com", "a@x.com"},
		{"bracket in the quoted name", `"a<b>" <a@x.com>`, "a<b>", "a@x.com", `"a<b>" <a@x.com>`},
		{"name of 256 bytes", strings.Repeat("n", 256) + " <a@x.com>", strings.Repeat("n", 256), "a@x.com", strings.Repeat("n", 256) + " <a@x.com>"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseMailbox(test.in)
			if err != nil {
				t.Fatalf("ParseMailbox(%q): %v", test.in, err)
			}
			if got.Name != test.display || got.Email.Address != test.address || got.String() != test.text {
				t.Errorf("got %q, %q, String %q", got.Name, got.Email.Address, got.String())
			}
			if again, err := ParseMailbox(got.String()); err != nil || again != got {
				t.Errorf("String does not parse back: %+v, %v", again, err)
			}
		})
	}
}

func TestParseMailboxRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, code string }{
		{"empty", "", CodeEmpty},
		{"empty brackets", "Name <>", CodeEmpty},
		{"header injection", "Name\r\nBcc: b@y.com <a@x.com>", CodeControl},
		{"newline in a quoted name", "\"Na\nme\" <a@x.com>", CodeControl},
		{"nul in the name", "Na\x00me <a@x.com>", CodeControl},
		{"two addresses", "a@x.com, b@y.com", CodeSeveral},
		{"two mailboxes", "A <a@x.com>, B <b@y.com>", CodeSeveral},
		{"two in brackets", "A <a@x.com,b@y.com>", CodeSeveral},
		{"comma in a bare name", "Mensah, Ama <a@x.com>", CodeSeveral},
		{"address as bare name", "b@y.com <a@x.com>", CodeSeveral},
		{"second bracket", "A <b@y.com> <a@x.com>", CodeSeveral},
		{"quote inside a bare name", `A "B" <a@x.com>`, CodeEmail},
		{"quote not closed", `"A <a@x.com>`, CodeEmail},
		{"quote closed by an escape only", `"A\" <a@x.com>`, CodeEmail},
		{"nothing after the quoted name", `"A" a@x.com>`, CodeEmail},
		{"bracket never opened", "a@x.com>", CodeEmail},
		{"quoted local part in brackets", `A <"a b"@x.com>`, CodeQuoted},
		{"name of 257 bytes", strings.Repeat("n", 257) + " <a@x.com>", CodeTooLong},
		{"two kilobytes", strings.Repeat("n", 2048) + " <a@x.com>", CodeTooLong},
		{"umlaut before the @", "A <jürgen@x.com>", CodeUTF8},
		{"localhost", "A <a@localhost>", CodeDomain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseMailbox(test.in)
			wantRefusal(t, err, test.code, test.in)
		})
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"email", "ama@example.com", "a***@example.com"},
		{"two characters", "am@example.com", "a***@example.com"},
		{"one character", "a@example.com", "***@example.com"},
		{"phone", "233241234567", "23324***4567"},
		{"phone with plus", "+233241234567", "23324***4567"},
		{"longest phone", "123456789012345", "12345***2345"},
		{"eleven digits", "12125551234", "12125***34"},
		{"shortest phone", "1234567", "1***67"},
		{"too short", "123456", "***"},
		{"empty", "", "***"},
		{"word", "plain", "***"},
		{"line break", "a\nb@example.com", "***"},
		{"name and address", "Ama <ama@example.com>", "***"},
		{"non-ASCII", "jürgen@example.com", "***"},
		{"two ats", "a@b@c.example", "a***@c.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Mask(test.in); got != test.want {
				t.Errorf("Mask(%q) = %q, want %q", test.in, got, test.want)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	for name, call := range map[string]func(){
		"email": func() { _, _ = ParseEmail("ama.mensah@mail.example.com") },
		"phone": func() { _, _ = parsePhone("+233241234567") },
	} {
		if got := testing.AllocsPerRun(100, call); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
}

func FuzzParseEmail(f *testing.F) {
	for _, seed := range []string{"ama@example.com", "user@münchen.example", `"x"@y.z`, "a@b,c@d", "a@[1.2.3.4]", "a@xn--mnchen-3ya.example", "A <a@b.c>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		email, err := ParseEmail(s)
		if err != nil {
			return
		}
		if len(email.Address) > maxAddress || strings.Count(email.Address, "@") != 1 {
			t.Fatalf("%q became %q", s, email.Address)
		}
		for i := 0; i < len(email.Address); i++ {
			if c := email.Address[i]; c <= ' ' || c >= 0x7F || strings.IndexByte("<>()[]\\,;:\"", c) >= 0 {
				t.Fatalf("%q became %q", s, email.Address)
			}
		}
		if email.Key != strings.ToLower(email.Address) {
			t.Fatalf("key %q of %q", email.Key, email.Address)
		}
		if again, err := ParseEmail(email.Address); err != nil || again != email {
			t.Fatalf("%q is not stable: %+v, %v", email.Address, again, err)
		}
		if masked := Mask(email.Address); masked == email.Address {
			t.Fatalf("Mask leaves %q as it is", masked)
		}
	})
}

func FuzzParseMailbox(f *testing.F) {
	for _, seed := range []string{"a@b.c", "A <a@b.c>", `"A, \"B\"" <a@b.c>`, "Ɔ <a@b.c>", `"\`, `" " <a@b.c>`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		box, err := ParseMailbox(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(box.String(), "\r\n\x00") {
			t.Fatalf("%q became %q", s, box.String())
		}
		again, err := ParseMailbox(box.String())
		if err != nil && len(box.String()) <= maxInput || err == nil && again != box {
			t.Fatalf("%q is not stable: %+v, %v", box.String(), again, err)
		}
	})
}

func BenchmarkParseEmail(b *testing.B) {
	for name, in := range map[string]string{"ascii": "ama.mensah@mail.example.com", "mixed case": "Ama@Example.com", "idn": "user@münchen.example"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ParseEmail(in)
			}
		})
	}
}
