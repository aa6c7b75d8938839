package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/provider"
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

// asError turns the fault into the contract's error; v hides what must not be shown.
func (f *fault) asError(v veil) *provider.Error {
	if f.err == nil {
		row := judge(f.phase, &f.reply)
		text := row.what
		if said := v.redact(f.reply.text); said != "" {
			text += ": " + said
		}
		return &provider.Error{Class: row.class, Code: f.reply.String(), Text: cut(text, maxText), RetryAfter: row.after, HardBounce: row.hard, Healthy: row.works}
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
	var blocked interface {
		error
		Code() string
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return problem{"cancelled", provider.Transient, "the attempt was stopped before the mail was handed over"}
	case errors.As(err, &blocked):
		return problem{blocked.Code(), provider.Account, "connections to the configured mail server are not allowed"}
	case errors.Is(err, errNoTLS):
		return problem{"tls_required", provider.Account, "the server offers no encryption, so the password was not sent"}
	case errors.Is(err, errNoMechanism):
		return problem{"auth_unsupported", provider.Account, "the server offers no login that is supported (PLAIN, LOGIN, CRAM-MD5)"}
	case errors.Is(err, errEarly):
		return problem{"protocol_error", provider.Transient, "the server answered before it was asked; nothing was sent"}
	case errors.Is(err, errProtocol):
		return problem{"protocol_error", provider.Transient, "the server's answer is no SMTP"}
	case badCertificate(err):
		return problem{"tls_certificate", provider.Account, "the server's certificate " + certificateFault(err)}
	case errors.Is(err, errInjected):
		return problem{"tls_error", provider.Transient, "something was said in clear after the answer to STARTTLS, as an attacker in between would do; nothing was sent"}
	case errors.As(err, new(tls.RecordHeaderError)):
		return problem{"tls_error", provider.Account, "the server does not speak TLS here: check port and secure"}
	case timedOut(err):
		return problem{timeoutCode(p), provider.Transient, "the server did not answer in time; nothing was sent"}
	case p == startTLS:
		return problem{"tls_error", provider.Transient, "encryption with the server failed; nothing was sent"}
	case errors.As(err, &dns):
		return problem{"dns_error", provider.Transient, "the mail server's name cannot be resolved"}
	case p == connecting:
		return problem{"connect_failed", provider.Transient, "no connection to the mail server"}
	}
	return problem{"connection_lost", provider.Transient, "the connection broke before the mail was handed over; nothing was sent"}
}

func badCertificate(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.CertificateInvalidError))
}

// certificateFault says what is wrong with a certificate, and how to mend it.
func certificateFault(err error) string {
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case errors.As(err, new(x509.HostnameError)):
		return "is for another name than the configured host: use the name that it is for"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "is signed by an authority that this machine does not know, or by itself: add the authority to the machine's certificates"
	case invalid.Cert != nil && invalid.Reason == x509.Expired:
		return "has expired or is not valid yet: renew it, or check this machine's clock"
	}
	return "cannot be verified for the configured host"
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func timeoutCode(p phase) string {
	if p == connecting {
		return "connect_timeout"
	}
	return "timeout"
}

// maxText bounds a sentence shown to people.
const maxText = 256

// cut shortens text to n octets at a rune's edge.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
