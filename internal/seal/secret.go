package seal

import (
	"fmt"
	"io"
	"log/slog"
)

// Mask is what is shown of a secret. Its length tells nothing.
const Mask = "********"

// Secret is text that must not be seen: it masks itself in fmt, slog, JSON and
// text encodings. Only Reveal gives it out. An empty secret shows as empty, so
// that "not set" stays visible.
type Secret string

// Reveal returns the secret itself. Use it where the secret is used, not before.
func (s Secret) Reveal() string { return string(s) }

// String returns Mask, or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Mask
}

// GoString masks %#v.
func (s Secret) GoString() string { return `seal.Secret("` + s.String() + `")` }

// Format masks every verb, also those that would fall back to the raw value.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	// The error of a fmt.State has nowhere to go.
	_, _ = io.WriteString(f, text)
}

// LogValue masks the secret in log lines.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON masks the secret in JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalText masks the secret in text formats.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
