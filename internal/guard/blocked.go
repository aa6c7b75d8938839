// Package guard holds the one dialer for connections whose target other people
// choose: webhook addresses, base URLs and mail servers of tenants.
//
// It promises that nothing is sent to an address that is not on the public
// internet, whatever name, notation or redirect of the DNS led there: the check
// runs on the address that the socket is about to connect to. Deployments that
// need private targets list their ranges.
//
// It also judges hosts and URLs when they are saved, so that people see the
// mistake early. That is a courtesy; only the dialer is the protection. It does
// not follow proxies of the environment, does not speak TLS or HTTP, and
// does not limit redirects, sizes or times of what runs over the connection.
package guard

import "log/slog"

// Code is the stable code of a Blocked error.
const Code = "blocked_address"

// Blocked is the error for every target that is refused. Its text is meant for
// the tenant and says how to fix the setting; it does not tell what a name
// resolved to, and so cannot be used to explore the operator's network.
type Blocked struct {
	reason string
	detail string
}

// Error returns the reason, without any address.
func (b *Blocked) Error() string { return b.reason }

// Code returns "blocked_address".
func (b *Blocked) Code() string { return Code }

// Detail tells the operator what was refused, such as
// "10.0.0.1: private network". For the operator's log only, never for tenants.
func (b *Blocked) Detail() string { return b.detail }

// LogValue makes a log line hold the detail.
func (b *Blocked) LogValue() slog.Value {
	return slog.GroupValue(slog.String("code", Code), slog.String("detail", b.detail))
}

const (
	reasonAddress = "this address is not allowed: use a host on the public internet, or ask the operator to allow its network"
	reasonPort    = "this port is not allowed for a host on the public internet"
	reasonPlain   = "this target needs an encrypted connection: use https"
)
