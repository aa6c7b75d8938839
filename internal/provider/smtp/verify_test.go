package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/provider/veil"
)

// told writes checks as one line: + passed, - failed.
func told(checks []provider.Check) string {
	var out []string
	for _, c := range checks {
		mark := "-"
		if c.OK {
			mark = "+"
		}
		out = append(out, mark+c.Name)
	}
	return strings.Join(out, " ")
}

// TestVerify: every way in which a configuration does or does not work, told by the step at which it shows.
func TestVerify(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	conf := certs.Server(t, "mail.test", farOff())
	const (
		ehlo   = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\n"
		login  = ehlo + "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dS1uYW1l\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\n"
		end    = "C: NOOP\nS: 250 ok\nC: QUIT"
		secure = ehlo + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n<tls>\nC: EHLO client.test\nS: 250-hi\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 x\nC: dS1uYW1l\nS: 334 x\nC: c2VjcmV0\n"
	)
	account := []string{"username=u-name", "password=secret"}
	for name, c := range map[string]struct {
		script string
		far    bool
		edit   []string
		want   string
		last   string // within the last check's detail
	}{
		"no login needed":     {script: ehlo + "S: 250 OK\n" + end, want: "+connect +greeting +ehlo +tls +noop", last: "takes commands"},
		"login in clear here": {script: login + "S: 235 ok\n" + end, edit: account, want: "+connect +greeting +ehlo +tls +login +noop", last: "takes commands"},
		"STARTTLS":            {script: secure + "S: 235 ok\n" + end, edit: account, want: "+connect +greeting +ehlo +tls +login +noop", last: "takes commands"},
		"TLS from the start":  {script: "<tls>\n" + login + "S: 235 ok\n" + end, edit: append(account, "port=465"), want: "+connect +tls +greeting +ehlo +login +noop", last: "takes commands"},
		"wrong password":      {script: login + "S: 535 5.7.8 bad credentials for u-name secret\n<end>", edit: account, want: "+connect +greeting +ehlo +tls -login", last: "bad credentials for [hidden] [hidden] (535 5.7.8)"},
		"no TLS for a login":  {script: ehlo + "S: 250 AUTH PLAIN\n<end>", far: true, edit: account, want: "+connect +greeting +ehlo -tls", last: "offers no encryption"},
		"no known login":      {script: ehlo + "S: 250 AUTH X\n<end>", edit: account, want: "+connect +greeting +ehlo +tls -login", last: "no login that is supported"},
		"TLS where none is":   {script: "S: 220 hi\n<hang>", edit: []string{"port=465"}, want: "+connect -tls", last: "does not speak TLS"},
		"refused":             {script: "S: 554 go away\n<end>", want: "+connect -greeting", last: "refuses connections"},
		"EHLO refused":        {script: "S: 220 hi\nC: EHLO client.test\nS: 550 no\n<end>", want: "+connect +greeting -ehlo", last: "550"},
		"closes":              {script: "<close>", want: "+connect -greeting", last: "connection"},
		"silent":              {script: "<hang>", want: "+connect -greeting", last: "in time"},
		"silent after login":  {script: login + "S: 235 ok\nC: NOOP\n<hang>", edit: account, want: "+connect +greeting +ehlo +tls +login -noop", last: "in time"},
		"lost after login":    {script: login + "S: 235 ok\nC: NOOP\n<close>", edit: account, want: "+connect +greeting +ehlo +tls +login -noop", last: "broke"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := providertest.ServeSMTP(t, conf, c.script)
			dial := server.Dial
			if c.far {
				dial = farAway(dial)
			}
			s := newSender(t, dial, c.edit...)
			s.tls.RootCAs = certs.Pool
			within := 30 * time.Second
			if strings.Contains(c.script, "<hang>") { // it ends by that
				within = 4 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			got := s.Verify(ctx)
			last := got[len(got)-1]
			if told(got) != c.want || !strings.Contains(last.Detail, c.last) || strings.Contains(fmt.Sprint(got), "secret") || strings.Contains(fmt.Sprint(got), "u-name") {
				t.Errorf("%s: %+v", told(got), got)
			}
			for _, check := range got {
				if check.Detail == "" || len(check.Detail) > veil.MaxText {
					t.Errorf("%s says %q", check.Name, check.Detail)
				}
			}
			if n := server.Conns(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
	refused := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	if got := newSender(t, refused).Verify(t.Context()); told(got) != "-connect" {
		t.Errorf("%+v", got)
	}
	strangers := newSender(t, providertest.ServeSMTP(t, conf, ehlo+"S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n<tls>").Dial)
	if got := strangers.Verify(t.Context()); told(got) != "+connect +greeting +ehlo -tls" || !strings.Contains(got[3].Detail, "certificate") {
		t.Errorf("%+v", got)
	}
}
