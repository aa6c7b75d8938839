// Package providertest is what every adapter is held against: checks of its
// declared fields, a conformance suite for its senders (errors with a class, no
// secret or address in errors and logs, obedience to contexts, concurrency),
// peers that follow a script, and vectors kept as files. That no goroutine is
// left is for each adapter's TestMain to check, with goleak.
//
// It promises that a peer listens on loopback only and ends with its test. Only
// tests import it; it knows no adapter, and it does not replace a test against
// a real server.
package providertest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider"
)

// Dialer opens a connection to a test's peer whatever address is asked for.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// DialTo answers a Dialer to one loopback address, through the product's own door.
func DialTo(addr string) Dialer {
	door := guard.Dialer{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, OnlyAllowed: true}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return door.DialContext(ctx, network, addr)
	}
}

// MessageID is the id of the messages that Email makes.
const MessageID = "c0mzz8h2k1234567890abcdef"

// Email makes a message with fixed id and date, so that its bytes are known.
func Email(t testing.TB, c comm.Content, files ...comm.Attachment) *provider.Message {
	t.Helper()
	id, err := comm.ParseID(MessageID)
	if err != nil {
		t.Fatal(err)
	}
	c.Files = len(files)
	return &provider.Message{
		ID: id, App: id, Attempt: 1, Channel: comm.Email, Content: &c, Files: files,
		Date: time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC),
	}
}

// Fields checks what an adapter declares about itself and its settings.
func Fields(t *testing.T, a provider.Adapter) {
	t.Helper()
	if a.Type == "" || a.Type != strings.ToUpper(a.Type) {
		t.Errorf("type %q is not upper case", a.Type)
	}
	if a.Title == "" || comm.Channel(a.Channel).String() == "UNKNOWN" {
		t.Errorf("title or channel is missing")
	}
	seen := map[string]bool{}
	for _, f := range a.Fields {
		if seen[f.Name] {
			t.Errorf("field %s is declared twice", f.Name)
		}
		seen[f.Name] = true
		for _, fault := range fieldFaults(f) {
			t.Errorf("field %q: %s", f.Name, fault)
		}
	}
}

func fieldFaults(f provider.Field) (faults []string) {
	say := func(bad bool, text string) {
		if bad {
			faults = append(faults, text)
		}
	}
	lower := strings.ToLower(f.Name)
	say(f.Name == "" || strings.ToLower(f.Name[:1]) != f.Name[:1] || strings.ContainsAny(f.Name, " _-."), "the name is no lowerCamelCase word")
	say(f.Label == "", "no label")
	say(len(f.Help) < 20 || !strings.HasSuffix(f.Help, "."), "the help is no sentence")
	say(f.Kind < provider.Text || f.Kind > provider.SenderID, "no kind")
	say(f.Secret && f.Kind != provider.Text && f.Kind != provider.Token, "a secret is text")
	say(slices.Contains(slices.Concat(provider.CallbackTokens(), comm.CallbackEnds(), []string{comm.CallbackRotatedAt}), f.Name), "the name is taken")
	say(f.Secret && f.Default != "", "a secret has a default")
	say(f.Kind == provider.Int && f.Min >= f.Max, "no bounds")
	say((f.Kind == provider.Text || f.Kind == provider.Token) && f.Max <= 0, "no greatest length")
	say(f.Required && f.Default != "", "required and with a default")
	for _, word := range []string{"password", "secret", "apikey", "authkey", "token"} {
		say(strings.Contains(lower, word) && !f.Secret, "looks like a secret but is not marked as one")
	}
	return faults
}
