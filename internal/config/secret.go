package config

import (
	"fmt"
	"log/slog"
)

// masked is what stands in place of a secret value.
const masked = "********"

// Secret is a text that masks itself wherever it is printed, logged or encoded.
// The zero value is a secret that was not set. It is safe for concurrent use.
type Secret struct{ value string }

// NewSecret wraps a text.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal is the text itself. Keep the result away from logs and errors.
func (s Secret) Reveal() string { return s.value }

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != "" }

// String is a mask, or empty when there is no value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return masked
}

// Format writes the mask for every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue masks the value in structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks the value in JSON and every other text encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
