package guard

import "net/netip"

// denial is a range that nobody reaches through the guard unless it is listed.
type denial struct {
	prefix netip.Prefix
	why    string
}

// denied4 follows the IANA registry of special-purpose IPv4 addresses, without
// the ranges of it that are ordinary public hosts (AS112, AMT).
func denied4() []denial {
	return []denial{
		{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
		{netip.MustParsePrefix("10.0.0.0/8"), "private network"},
		{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
		{netip.MustParsePrefix("168.63.129.16/32"), "cloud platform service"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
		{netip.MustParsePrefix("172.16.0.0/12"), "private network"},
		{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
		{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
		{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
		{netip.MustParsePrefix("192.168.0.0/16"), "private network"},
		{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
		{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
		{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	}
}

// denied6 names what of IPv6 is special. Whatever lies outside 2000::/3 is
// refused besides, named or not: only that part is given to public hosts.
func denied6() []denial {
	return []denial{
		{netip.MustParsePrefix("::/128"), "unspecified"},
		{netip.MustParsePrefix("::1/128"), "loopback"},
		{netip.MustParsePrefix("::/96"), "IPv4-compatible"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4-mapped"},
		{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated"},
		{netip.MustParsePrefix("64:ff9b::/96"), "NAT64"},
		{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64"},
		{netip.MustParsePrefix("100::/64"), "discard"},
		{netip.MustParsePrefix("2001::/32"), "Teredo"},
		{netip.MustParsePrefix("2001::/23"), "protocol assignments"},
		{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
		{netip.MustParsePrefix("2002::/16"), "6to4"},
		{netip.MustParsePrefix("3fff::/20"), "documentation"},
		{netip.MustParsePrefix("5f00::/16"), "segment routing"},
		{netip.MustParsePrefix("fc00::/7"), "unique local"},
		{netip.MustParsePrefix("fe80::/10"), "link-local"},
		{netip.MustParsePrefix("fec0::/10"), "site-local"},
		{netip.MustParsePrefix("ff00::/8"), "multicast"},
	}
}

// ranges are the fixed tables, built once and never changed.
var ranges = struct {
	v4, v6 []denial
	global netip.Prefix
}{denied4(), denied6(), netip.MustParsePrefix("2000::/3")}

// special tells why an address is not an ordinary public host; "" if it is one.
// An IPv4-mapped address must have been unmapped before, else it is special.
func special(addr netip.Addr) string {
	if !addr.IsValid() {
		return "no address"
	}
	if addr.Zone() != "" {
		return "scoped address"
	}
	table := ranges.v4
	if !addr.Is4() {
		table = ranges.v6
	}
	for _, d := range table {
		if d.prefix.Contains(addr) {
			return d.why
		}
	}
	if addr.Is4() {
		return ""
	}
	if !ranges.global.Contains(addr) {
		return "not globally reachable"
	}
	if isISATAP(addr) {
		return "ISATAP"
	}
	return ""
}

// isISATAP recognises the interface identifier of RFC 5214 section 6.1, which
// carries an IPv4 address behind any prefix.
func isISATAP(addr netip.Addr) bool {
	b := addr.As16()
	return b[8]&^0x03 == 0 && b[9] == 0 && b[10] == 0x5E && b[11] == 0xFE
}
