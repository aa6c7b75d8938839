package web

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/commserver/commserver/internal/provider"
)

// Callback is the address that a provider is given with a message to report to
// (provider.Named). It is "" while the server does not know its own, and where it
// knows one of this machine or network alone while the provider is on the internet:
// nobody could call it there, and a provider may refuse the message for it.
func (c *Client) Callback(s provider.Settings, m *provider.Message) string {
	address := s[provider.CallbackURL]
	u, err := url.Parse(address)
	if address == "" || err != nil || near(u.Hostname()) && !near(c.base.Hostname()) {
		return ""
	}
	return provider.Named(address, m)
}

// near says that a host is known on this machine or in this network alone.
func near(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsUnspecified() || addr.IsLinkLocalUnicast()
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}
