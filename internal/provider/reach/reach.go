// Package reach names why a provider could not be reached: what every adapter that
// opens connections must tell apart before anything was sent.
//
// It promises a stable code, a class and a sentence that holds no address and tells
// nothing of the operator's network. It judges failures of connecting alone; what
// happens after bytes have left is for each protocol to judge.
package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/commserver/commserver/internal/provider"
)

// Problem is a failure without an answer.
type Problem struct {
	Code  string
	Class provider.Class
	What  string // a sentence for people
}

// Name names a failure of connecting to a peer, such as "mail server", that has a cause
// which people can mend; false for one of the network's.
func Name(err error, peer string) (Problem, bool) {
	var blocked interface {
		error
		Code() string
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &blocked):
		return Problem{blocked.Code(), provider.Account, "connections to the configured " + peer + " are not allowed"}, true
	case BadCertificate(err):
		return Problem{"tls_certificate", provider.Account, "the server's certificate " + certificateFault(err)}, true
	case errors.As(err, &dns) && !TimedOut(err):
		return Problem{"dns_error", provider.Transient, "the " + peer + "'s name cannot be resolved"}, true
	}
	return Problem{}, false
}

// BadCertificate says that the peer's certificate was not accepted.
func BadCertificate(err error) bool {
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

// TimedOut says that the time was over, the caller's or the network's.
func TimedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
