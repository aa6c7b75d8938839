package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/reach"
	"github.com/commserver/commserver/internal/provider/veil"
)

// fault is what went wrong and when: a reply, or no reply and an error.
type fault struct {
	phase phase
	reply reply // code 0: none
	err   error
}

func newFault(p phase, r reply, err error) *fault {
	if err != nil {
		return &fault{phase: p, err: err}
	}
	return &fault{phase: p, reply: r}
}

// keepsSession says whether the connection is still in step after the fault. A
// reply that is a fault and no refusal (250 to DATA, 354 to the dot) answers something else.
func (f *fault) keepsSession() bool {
	return f.err == nil && f.reply.code >= 400 && f.reply.code != 421
}

// stale says that a reused session was dead or dying before the server took
// the sender: nothing of the message has left, a new session may serve it.
func (f *fault) stale(ctx context.Context) bool {
	return f.phase == mailFrom && !f.keepsSession() && ctx.Err() == nil
}

// problem is one row of what can fail without a reply.
type problem struct {
	code  string
	class provider.Class
	what  string
}

// interrupted notes that a connection failed because ctx ended.
func (f *fault) interrupted(ctx context.Context) *fault {
	if f.err != nil && ctx.Err() != nil {
		f.err = fmt.Errorf("%w: %w", ctx.Err(), f.err)
	}
	return f
}

// hurried notes that a connection failed because hurry ended.
func (f *fault) hurried(hurry context.Context) *fault {
	if f.err != nil && f.phase < final && hurry != nil && hurry.Err() != nil {
		f.err = fmt.Errorf("%w: %w", errSilent, f.err)
	}
	return f
}

// asError turns the fault into the contract's error; v hides what must not be shown.
func (f *fault) asError(v veil.Veil) *provider.Error {
	if f.err == nil {
		row := judge(f.phase, &f.reply)
		text := row.what
		if said := v.Redact(f.reply.text); said != "" {
			text += ": " + said
		}
		return &provider.Error{Class: row.class, Code: f.reply.String(), Text: veil.Cut(text, veil.MaxText), RetryAfter: row.after, HardBounce: row.hard, Healthy: row.works}
	}
	p := diagnose(f.phase, f.err)
	return &provider.Error{Class: p.class, Code: p.code, Text: p.what, Cause: f.err}
}

// diagnose names a failure without a reply. Before the final dot nothing can
// have been sent; after it nobody can tell.
func diagnose(p phase, err error) problem {
	if p == final && errors.Is(err, errTwice) {
		return problem{"outcome_unknown", provider.Ambiguous, "the server gave the mail two answers that contradict each other; it may have been sent"}
	}
	if p == final && !plant.Active(plant.TimeoutIsClean) {
		return problem{"outcome_unknown", provider.Ambiguous, "the connection failed after the mail was handed over and before the server's answer; it may have been sent"}
	}
	if errors.Is(err, errSilent) {
		return problem{"no_answer", provider.Transient, "the mail server has stopped answering; nothing of the mail was handed over"}
	}
	if cause, found := reach.Name(err, "mail server"); found && !errors.Is(err, context.Canceled) {
		return problem{cause.Code, cause.Class, cause.What}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return problem{"cancelled", provider.Transient, "the attempt was stopped before the mail was handed over"}
	case errors.Is(err, errNoTLS):
		return problem{"tls_required", provider.Account, "the server offers no encryption, so the password was not sent"}
	case errors.Is(err, errNoMechanism):
		return problem{"auth_unsupported", provider.Account, "the server offers no login that is supported (PLAIN, LOGIN, CRAM-MD5)"}
	case errors.Is(err, errEarly):
		return problem{"protocol_error", provider.Transient, "the server answered before it was asked; nothing was sent"}
	case errors.Is(err, errProtocol):
		return problem{"protocol_error", provider.Transient, "the server's answer is no SMTP"}
	case errors.Is(err, errInjected):
		return problem{"tls_error", provider.Transient, "something was said in clear after the answer to STARTTLS, as an attacker in between would do; nothing was sent"}
	case errors.As(err, new(tls.RecordHeaderError)):
		return problem{"tls_error", provider.Account, "the server does not speak TLS here: check port and secure"}
	case reach.TimedOut(err):
		return problem{timeoutCode(p), provider.Transient, "the server did not answer in time; nothing was sent"}
	case p == startTLS:
		return problem{"tls_error", provider.Transient, "encryption with the server failed; nothing was sent"}
	case p == connecting:
		return problem{"connect_failed", provider.Transient, "no connection to the mail server"}
	}
	return problem{"connection_lost", provider.Transient, "the connection broke before the mail was handed over; nothing was sent"}
}

func timeoutCode(p phase) string {
	if p == connecting {
		return "connect_timeout"
	}
	return "timeout"
}
