package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/commserver/commserver/internal/seal"
)

// rules checks what no option can check alone.
func rules(c Config) Problems {
	var all Problems
	refuse := func(name, text string) { all = append(all, Problem{name, text}) }

	if (c.TLSCert == "") != (c.TLSKey == "") {
		name := "COMMS_TLS_CERT"
		if c.TLSKey == "" {
			name = "COMMS_TLS_KEY"
		}
		refuse(name, "it is missing; COMMS_TLS_CERT and COMMS_TLS_KEY must be set together")
	}
	if c.InternalAddr != "" && c.InternalAddr == c.Addr && !strings.HasSuffix(c.Addr, ":0") {
		refuse("COMMS_INTERNAL_ADDR", "it equals COMMS_ADDR; give the private listener an address of its own")
	}
	if c.InternalAddr != "" && !c.InternalOpen && !isPrivate(c.InternalAddr) {
		refuse("COMMS_INTERNAL_ADDR", "others may reach it, and it serves metrics and profiles without a key; write a loopback or private address, such as localhost:3009 or 10.0.0.5:3009, or set COMMS_INTERNAL_OPEN=yes if something else keeps strangers away")
	}
	if c.Heartbeat*3 > c.Lease {
		refuse("COMMS_HEARTBEAT", fmt.Sprintf("%s is more than a third of COMMS_LEASE (%s), so one lost heartbeat could cost the shards; make it at most %s",
			formatDuration(c.Heartbeat), formatDuration(c.Lease), formatDuration(third(c.Lease))))
	}
	switch {
	case c.RetainMessages < leastMessages:
		refuse("COMMS_RETAIN_MESSAGES", fmt.Sprintf("%s is less than %s, for which an idempotency key is promised to answer; it goes with its message",
			formatDuration(c.RetainMessages), formatDuration(leastMessages)))
	case c.RetainMessages < c.RetainContent:
		refuse("COMMS_RETAIN_MESSAGES", "it is shorter than COMMS_RETAIN_CONTENT; content cannot outlive its message")
	}
	if c.AdminKey != "" && c.AdminKey == c.ProvisioningKey {
		refuse("COMMS_PROVISIONING_KEY", "it equals COMMS_ADMIN_KEY; setup jobs must not hold the admin key, so give them one of their own")
	}
	all = append(all, alertRules(c)...)
	return append(all, databaseRules(c)...)
}

// leastMessages is how long an idempotency key is promised to answer (promise 7): it lives as long as its message.
const leastMessages = 30 * day

// third is a third of a lease, rounded down to what people write.
func third(lease dur) dur {
	if lease >= 10*second {
		return (lease / 3).Truncate(second / 10)
	}
	return (lease / 3).Truncate(millisecond)
}

func databaseRules(c Config) Problems {
	var all Problems
	refuse := func(name, text string) { all = append(all, Problem{name, text}) }
	if c.Database.Kind == SQLite {
		if c.Role != RoleAll {
			refuse("COMMS_ROLE", fmt.Sprintf("role %s needs PostgreSQL, because SQLite belongs to one process; set COMMS_DATABASE_URL or use role all", c.Role))
		}
		if c.Database.DirectURL != "" {
			refuse("COMMS_DATABASE_DIRECT_URL", "it is only used with PostgreSQL; set COMMS_DATABASE_URL as well, or unset it")
		}
		return all
	}
	if c.AdminKey == "" {
		refuse("COMMS_ADMIN_KEY", "it is required with PostgreSQL, so that every node knows the same key; set 32 random characters, for example from `openssl rand -hex 32`")
	}
	if c.EncryptionKeys == "" {
		refuse("COMMS_ENCRYPTION_KEYS", "it is required with PostgreSQL, so that every node reads the same secrets; set k1: followed by the output of `openssl rand -base64 32`")
	}
	return all
}

// Warnings lists what is allowed but unwise, one sentence each, for the log of the
// start.
func (c Config) Warnings() []string {
	var all []string
	for _, k := range []struct {
		name string
		key  seal.Secret
	}{{"COMMS_ADMIN_KEY", c.AdminKey}, {"COMMS_PROVISIONING_KEY", c.ProvisioningKey}} {
		if n := len(k.key.Reveal()); n > 0 && n < goodKeyLength {
			all = append(all, fmt.Sprintf("%s has only %d characters; use at least %d random ones", k.name, n, goodKeyLength))
		}
	}
	if !isLoopback(c.Addr) && c.TLSCert == "" && !strings.HasPrefix(c.PublicURL, "https://") {
		all = append(all, "COMMS_ADDR is reachable from other machines over plain HTTP, so keys can be read on the way; set COMMS_TLS_CERT and COMMS_TLS_KEY, or put a TLS proxy in front and set COMMS_PUBLIC_URL to its https address")
	}
	if c.InternalAddr != "" && !isLoopback(c.InternalAddr) {
		all = append(all, "COMMS_INTERNAL_ADDR is not a loopback address; it serves metrics and profiles without a key, so keep it inside a private network")
	}
	for _, p := range c.AllowPrivateTargets {
		if p.Bits() == 0 {
			all = append(all, "COMMS_ALLOW_PRIVATE_TARGETS allows every address, so any app can reach your internal network; name the networks that are meant")
			break
		}
	}
	return all
}

// isPrivate says whether an address is one that only this machine or a private network reaches.
func isPrivate(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
