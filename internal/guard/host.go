package guard

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxHost is the longest domain name as text, RFC 1035.
const maxHost = 253

// CheckHost judges a host, without port, when it is saved or before it is
// looked up: a name, an IPv4 address in dotted decimal, or an IPv6 address with
// or without brackets. Refused are addresses that the dialer would refuse; every
// other notation of an address (octal, hexadecimal, shortened, with a zone, in
// letters that are not ASCII), because programs read them differently; names
// that stand for the machine itself or a cloud's metadata service; and what is
// no host at all. A name in another script is given in its xn-- form. The error
// is a *Blocked.
func (d *Dialer) CheckHost(host string) error {
	if addr, ok := literal(host); ok {
		if addr.Is4In6() {
			return notation("IPv4-mapped literal")
		}
		if err := d.CheckAddr(addr); err != nil {
			return err
		}
		return nil
	}
	if strings.ContainsAny(host, "[]:%") && !holdsName(host) {
		return notation("IPv6 notation")
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if !isName(name) {
		return &Blocked{reason: "this is not a host name: give a name such as hooks.example.com, without scheme, port or path", detail: "malformed host"}
	}
	if looksNumeric(name) {
		return notation("IPv4 notation")
	}
	for _, known := range local {
		if !known.matches(name) {
			continue
		}
		if slices.ContainsFunc(known.addrs, d.allowed) {
			return nil
		}
		return &Blocked{reason: reasonAddress, detail: "name of " + known.what}
	}
	return nil
}

// holdsName says that a host name comes with more: a scheme or a port.
func holdsName(host string) bool {
	name, _, more := strings.Cut(host, ":")
	return more && (isName(name) && strings.Contains(name, ".") || strings.Contains(host, "://"))
}

func notation(detail string) *Blocked {
	return &Blocked{reason: "write the address in its usual form (192.0.2.1 or 2001:db8::1), or better give a host name", detail: detail}
}

// literal reads an address in the usual form. IPv6 may have brackets; IPv4 may
// not, nor leading zeros. A trailing dot or a zone makes it no literal.
func literal(host string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || bracketed && addr.Is4() {
		return netip.Addr{}, false
	}
	return addr, true
}

// isName accepts letters, digits, hyphens and underscores (container networks
// use them) in labels of 1 to 63.
func isName(name string) bool {
	if name == "" || len(name) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// looksNumeric tells whether some program would read the name as an IPv4
// address: its last label is a number in any base (WHATWG URL, "ends in a
// number"). No top-level domain is.
func looksNumeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	digits, hex := strings.CutPrefix(last, "0x")
	if !hex {
		return false
	}
	_, err := strconv.ParseUint(digits, 16, 64)
	return err == nil || strings.Trim(digits, "0123456789abcdef") == ""
}

// localName is a name, or with a leading dot a family of names, that stands for
// something that must not be reached, and the addresses that lift it if allowed.
type localName struct {
	name  string
	what  string
	addrs []netip.Addr
}

func (l localName) matches(name string) bool {
	return name == l.name || l.name[0] == '.' && (strings.HasSuffix(name, l.name) || name == l.name[1:])
}

// local is a fixed table, built once and never changed.
var local = localNames()

func localNames() []localName {
	loopback := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	metadata := []netip.Addr{netip.AddrFrom4([4]byte{169, 254, 169, 254})}
	names := []localName{
		{".localhost", "this machine", loopback},
		{".localhost.localdomain", "this machine", loopback},
		{"localhost4", "this machine", loopback},
		{"localhost6", "this machine", loopback},
		{"localhost6.localdomain6", "this machine", loopback},
		{"ip6-localhost", "this machine", loopback},
		{"ip6-loopback", "this machine", loopback},
	}
	for _, name := range []string{
		"metadata", "metadata.google.internal", "metadata.goog", "metadata.internal",
		"instance-data", "instance-data.ec2.internal", "metadata.ec2.internal",
		"metadata.azure.internal", "metadata.azure.com", "metadata.packet.net",
		"metadata.platformequinix.com", "metadata.tencentyun.com", "metadata.hetzner.cloud",
		"metadata.nebius.cloud", "metadata.oraclecloud.com", "metadata.cloud.ibm.com", "api.metadata.cloud.ibm.com",
	} {
		names = append(names, localName{name, "a metadata service", metadata})
	}
	return names
}
