package smtp

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
)

// Verify implements provider.Verifier: it connects, greets, encrypts, logs in, asks
// for nothing (NOOP) and leaves. The session is its own and is not kept.
func (s *Sender) Verify(ctx context.Context) []provider.Check {
	ses, f := s.begin(ctx, nil)
	if f == nil {
		f = s.noop(ctx, ses)
	}
	var out []provider.Check
	for _, step := range s.steps(ses, f) {
		if f != nil && step.at == f.phase {
			e := f.interrupted(ctx).asError(s.veil(&job{}))
			text := e.Text
			if e.Code != "" {
				text += " (" + e.Code + ")"
			}
			out = append(out, provider.Check{Name: step.name, Detail: veil.Cut(text, veil.MaxText)})
			break
		}
		out = append(out, provider.Check{Name: step.name, OK: true, Detail: step.good})
	}
	switch {
	case ses == nil:
	case f == nil:
		ses.quit()
	default:
		ses.drop()
	}
	return out
}

// noop shows that the server takes commands after the login.
func (s *Sender) noop(ctx context.Context, ses *session) *fault {
	if err := ses.within(ctx, s.times.command); err != nil {
		return &fault{phase: ready, err: err}
	}
	r, err := ses.ask("NOOP")
	if err != nil || r.code != 250 {
		return newFault(ready, r, err)
	}
	return nil
}

// step is one check and what to say when it passed.
type step struct {
	at   phase
	name string
	good string
}

// steps are the checks in the order in which the dialogue makes them. ses is nil if there was no connection.
func (s *Sender) steps(ses *session, f *fault) []step {
	secured := step{startTLS, "tls", "encrypted"}
	if ses != nil {
		if c, ok := ses.conn.(*tls.Conn); ok && ses.encrypted {
			secured.good = "encrypted, " + tls.VersionName(c.ConnectionState().Version)
		} else if f == nil || f.phase != startTLS {
			secured.good = "the server offers no encryption: mail goes in clear, and no password crosses the network"
		}
	}
	out := []step{{connecting, "connect", fmt.Sprintf("connected to port %d", s.config.port)}}
	if s.config.secure {
		out = append(out, secured)
	}
	out = append(out, step{greeting, "greeting", "the server greets"}, step{hello, "ehlo", "the server answers EHLO"})
	if !s.config.secure {
		out = append(out, secured)
	}
	if s.config.username != "" {
		out = append(out, step{authentication, "login", "the server accepts user name and password"})
	}
	return append(out, step{ready, "noop", "the server takes commands"})
}
