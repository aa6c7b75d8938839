package providertest

import (
	"bufio"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/provider"
)

// TestFieldFaults: the check of fields finds each mistake that it is there for.
func TestFieldFaults(t *testing.T) {
	t.Parallel()
	good := provider.Field{Name: "senderId", Label: "Sender id", Help: "Shown as the sender of messages.", Kind: provider.Text, Max: 11}
	if faults := fieldFaults(good); len(faults) > 0 {
		t.Fatalf("a good field: %v", faults)
	}
	for want, edit := range map[string]func(*provider.Field){
		"lowerCamelCase":       func(f *provider.Field) { f.Name = "Sender_ID" },
		"no label":             func(f *provider.Field) { f.Label = "" },
		"no sentence":          func(f *provider.Field) { f.Help = "sender" },
		"no kind":              func(f *provider.Field) { f.Kind = 0 },
		"a secret is text":     func(f *provider.Field) { f.Secret, f.Kind = true, provider.Bool },
		"has a default":        func(f *provider.Field) { f.Secret, f.Default = true, "x" },
		"no bounds":            func(f *provider.Field) { f.Kind = provider.Int; f.Max = 0 },
		"no greatest length":   func(f *provider.Field) { f.Max = 0 },
		"required and with":    func(f *provider.Field) { f.Required, f.Default = true, "x" },
		"looks like a secret":  func(f *provider.Field) { f.Name = "apiKey" },
		"but is not marked as": func(f *provider.Field) { f.Name = "clientSecret" },
	} {
		f := good
		edit(&f)
		if got := strings.Join(fieldFaults(f), "; "); !strings.Contains(got, want) {
			t.Errorf("faults %q, want one about %q", got, want)
		}
	}
}

func TestBase64Core(t *testing.T) {
	t.Parallel()
	for shift := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 3+shift) + mark + "tail"))
		if core := base64Core(mark, shift); len(core) < 12 || !strings.Contains(whole, core) {
			t.Errorf("shift %d: %q is not in %q", shift, core, whole)
		}
	}
}

func TestReadMail(t *testing.T) {
	t.Parallel()
	mail, err := readMail(bufio.NewReader(strings.NewReader("a\r\n..b\r\n\r\n.\r\nrest")))
	if err != nil || string(mail) != "a\r\n.b\r\n\r\n" {
		t.Errorf("%q %v", mail, err)
	}
	for _, bad := range []string{"a\n.\r\n", "a\r\n", "\n"} {
		if _, err := readMail(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseSections(t *testing.T) {
	t.Parallel()
	got := parseSections("why\n-- a --\none\n\ntwo\n-- b c --\n-- d --\nlast")
	if got["a"] != "one\n\ntwo\n" || got["b c"] != "" || got["d"] != "last" || got[""] != "why\n" {
		t.Errorf("%q", got)
	}
}
