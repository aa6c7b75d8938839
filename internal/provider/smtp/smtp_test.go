package smtp

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

func TestConformance(t *testing.T) {
	certs := providertest.NewCerts(t)
	tlsConf := certs.Server(t, "mail.test", farOff())
	// A peer that repeats what it was sent, as error messages of real servers do.
	echo := func(script string) func(testing.TB) providertest.Dialer {
		return func(t testing.TB) providertest.Dialer {
			return providertest.ServeSMTP(t, tlsConf, script, script, script).Dial
		}
	}
	const start = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250-STARTTLS\nS: 250 AUTH PLAIN\nC: STARTTLS\nS: 220 go\n<tls>\n" +
		"C: EHLO client.test\nS: 250-hi\nS: 250 AUTH PLAIN\nC~ AUTH PLAIN\n"
	plain := encode64("\x00user@mail.test\x00S3CRET-MARK-4711")
	providertest.Run(t, providertest.Subject{
		Adapter: Adapter(),
		Settings: provider.Settings{"host": "mail.test", "port": "587", "username": "user@mail.test", "password": "x",
			"from": "Shop <no-reply@shop.test>"},
		Message: func(t testing.TB) *provider.Message { return greet(t, "ama@example.com", "kofi@example.com") },
		Peer: func(t testing.TB) providertest.Dialer {
			return providertest.NewSink(t, tlsConf, "PIPELINING", "STARTTLS", "AUTH PLAIN").Dial()
		},
		Trust: func(s provider.Sender) { s.(*Sender).tls.RootCAs = certs.Pool },
		Bad: map[string]func(testing.TB) providertest.Dialer{
			"repeats the login": echo(start + "S: 535 5.7.8 bad login AUTH PLAIN " + plain + " for user@mail.test S3CRET-MARK-4711\n<close>"),
			"repeats the recipient": echo(start + "S: 235 ok\nC~ MAIL\nS: 250 ok\nC: RCPT TO:<ama@example.com>\n" +
				"S: 550 5.1.1 <ama@example.com>: ama@example.com kofi@example.com user ama unknown\n<close>"),
			"repeats the message": echo(start + "S: 235 ok\nC~ MAIL\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n<mail>\n" +
				"S: 554 5.6.0 no AMA@EXAMPLE.COM, \"kofi@example.com\" s3cret-mark-4711\n<close>"),
			"loses the answer": echo(start + "S: 235 ok\nC~ MAIL\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n<mail>\n<close>"),
		},
	})
}

func TestVectors(t *testing.T) {
	t.Parallel()
	providertest.SMTPVectors(t, Adapter(), "testdata/*.txtar")
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		s      provider.Settings
		faults string // names of wrong fields
		target string
		secure bool
	}{
		{"the guide's example", provider.Settings{"host": "mail.example.com", "port": "587", "username": "u", "password": "p", "from": "MyApp <a@b.example>"}, "", "mail.example.com:587", false},
		{"host alone", provider.Settings{"host": "mail.example.com"}, "", "mail.example.com:587", false},
		{"secure picks 465", provider.Settings{"host": "mail.example.com", "secure": "true"}, "", "mail.example.com:465", true},
		{"465 is secure", provider.Settings{"host": "mail.example.com", "port": "465"}, "", "mail.example.com:465", true},
		{"another port", provider.Settings{"host": "mail.example.com.", "port": "2525"}, "", "mail.example.com:2525", false},
		{"an IPv6 address", provider.Settings{"host": "2001:db8::1", "port": "25"}, "", "[2001:db8::1]:25", false},
		{"no host", provider.Settings{}, "host", "", false},
		{"465 in clear", provider.Settings{"host": "h", "port": "465", "secure": "false"}, "secure", "", false},
		{"587 with TLS at once", provider.Settings{"host": "h", "port": "587", "secure": "true"}, "secure", "", false},
		{"port 0", provider.Settings{"host": "h", "port": "0"}, "port", "", false},
		{"port name", provider.Settings{"host": "h", "port": "smtp"}, "port", "", false},
		{"secure maybe", provider.Settings{"host": "h", "secure": "maybe"}, "secure", "", false},
		{"no password", provider.Settings{"host": "h", "username": "u"}, "password", "", false},
		{"no user", provider.Settings{"host": "h", "password": "p"}, "username", "", false},
		{"user with a line break", provider.Settings{"host": "h", "username": "u\r\nRSET", "password": "p"}, "username", "", false},
		{"sender wrong", provider.Settings{"host": "h", "from": "nobody"}, "from", "", false},
		{"return path with a name", provider.Settings{"host": "h", "returnPath": "B <b@c.example>"}, "returnPath", "", false},
		{"return path wrong", provider.Settings{"host": "h", "returnPath": "@"}, "returnPath", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(slices.Sorted(maps.Keys(check(c.s))), " ")
			if got != c.faults {
				t.Fatalf("faults %q, want %q", got, c.faults)
			}
			if conf, _ := read(c.s); c.faults == "" && (conf.target() != c.target || conf.secure != c.secure) {
				t.Errorf("target %s secure %t", conf.target(), conf.secure)
			}
		})
	}
}
