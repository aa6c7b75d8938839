package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// firstMiddleLast returns three addresses of a range.
func firstMiddleLast(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	middle, last := first.AsSlice(), first.AsSlice()
	for bit := p.Bits(); bit < first.BitLen(); bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
		if bit == p.Bits() {
			middle[bit/8] |= 1 << (7 - bit%8)
		}
	}
	m, _ := netip.AddrFromSlice(middle)
	l, _ := netip.AddrFromSlice(last)
	return []netip.Addr{first, m, l}
}

// embed4 returns the IPv6 forms that carry an IPv4 address.
func embed4(v4 netip.Addr) []netip.Addr {
	a := v4.As4()
	at := func(prefix string, offset int) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[offset:], a[:])
		return netip.AddrFrom16(b)
	}
	teredo := netip.MustParseAddr("2001:0:4136:e378:8000:63bf::").As16()
	for i := range a {
		teredo[12+i] = a[i] ^ 0xFF
	}
	return []netip.Addr{
		at("::", 12), at("::ffff:0:0", 12), at("::ffff:0:0:0", 12),
		at("64:ff9b::", 12), at("64:ff9b:1::", 12), at("64:ff9b:1:a:b:c::", 12),
		at("2002::", 2), at("2002:0:0:1::1", 2), netip.AddrFrom16(teredo),
		at("2a00:1450::5efe:0:0", 12), at("2a00:1450::200:5efe:0:0", 12), at("fe80::5efe:0:0", 12),
	}
}

// notations4 writes an IPv4 address as programs besides ours may read it.
func notations4(v4 netip.Addr) []string {
	a := v4.As4()
	n := binary.BigEndian.Uint32(a[:])
	dotted := v4.String()
	return []string{
		dotted, dotted + ".", "[" + dotted + "]",
		fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%X", n), fmt.Sprintf("0%o", n),
		fmt.Sprintf("0%o.0%o.0%o.0%o", a[0], a[1], a[2], a[3]),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", a[0], a[1], a[2], a[3]),
		fmt.Sprintf("%d.%d", a[0], n&0xFFFFFF), fmt.Sprintf("%d.%d.%d", a[0], a[1], n&0xFFFF),
		fmt.Sprintf("0x%x.%d", a[0], n&0xFFFFFF), fmt.Sprintf("%d.0%o.%d.0x%x", a[0], a[1], a[2], a[3]),
		fmt.Sprintf("%03d.%03d.%03d.%03d", a[0], a[1], a[2], a[3]),
		strings.ReplaceAll(dotted, ".", "。"), strings.ReplaceAll(dotted, ".", "．"), strings.ReplaceAll(dotted, ".", "%2e"),
		strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r - '0' + '０'
			}
			return r
		}, dotted),
		strings.Map(func(r rune) rune {
			if r >= '1' && r <= '9' {
				return r - '1' + '①'
			}
			return r
		}, "1"+dotted)[len("①"):] + "\u200b",
		" " + dotted, dotted + " ", dotted + "\n", dotted + "\x00", dotted + ":80", dotted + "/", dotted + "#", "a@" + dotted,
	}
}

func notations6(v6 netip.Addr) []string {
	text, long := v6.String(), v6.StringExpanded()
	return []string{
		text, "[" + text + "]", strings.ToUpper(text), long, "[" + long + "]",
		"[" + text, text + "]", "[[" + text + "]]", text + "%eth0", "[" + text + "%25eth0]", "[" + text + "%0]",
		text + ".", "[" + text + "].", "[" + text + "]:80",
	}
}

// badHosts is the corpus: whatever must be refused when saved.
func badHosts() []string {
	var hosts []string
	for _, d := range denied4() {
		for _, addr := range firstMiddleLast(d.prefix) {
			hosts = append(hosts, notations4(addr)...)
			for _, carrier := range embed4(addr) {
				hosts = append(hosts, notations6(carrier)[:2]...)
			}
		}
	}
	for _, d := range denied6() {
		for _, addr := range firstMiddleLast(d.prefix) {
			hosts = append(hosts, notations6(addr)...)
		}
	}
	for _, addr := range []string{
		"169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "255.255.255.255", "0.0.0.0",
	} {
		hosts = append(hosts, notations4(netip.MustParseAddr(addr))...)
	}
	for _, addr := range []string{
		"fd00:ec2::254", "fd20:ce::254", "4000::1", "1fff::1", "5f00::1", "8000::1", "c000::1", "200::1", "400::1", "e000::1",
	} {
		hosts = append(hosts, notations6(netip.MustParseAddr(addr))...)
	}
	for _, known := range localNames() {
		name := strings.TrimPrefix(known.name, ".")
		hosts = append(hosts, name, name+".", strings.ToUpper(name), name+"..", "."+name)
	}
	return append(hosts,
		"a.localhost", "a.b.LOCALHOST.", "ⓛocalhost", "localhost。", "ｌｏｃａｌｈｏｓｔ", "loc\u00adalhost", "127.1", "127.0.1", "0", "0x0", "00", "1", "0x7f.1",
		"", ".", "..", "-", "-a.com", "a-.com", "a..com", ".a.com", "a b.com", "a\tb.com", "a\r\nb.com", "a/b", "a\\b", "a?b", "a#b", "a@b.com",
		"a:80", "[]", "[::1", "::1]", ":", "::", "[::]", "%31%32%37.0.0.1", "a%00.com", "münchen.example", "*.example.com", "a,b.com", "a;b.com",
		"http://example.com", "//example.com", "example.com/", "example.com:443", "1.2.3.4.5", "1.2.3.256", "1.2.3", "256.256.256.256", "a.0x1f", "a.1",
		"0x", "a.0x", "99999999999999999999", "0x7f000001ffffffffffffffff", "[v1.fe80::a]", "[1.1.1.1]", "::ffff:8.8.8.8", "[::ffff:8.8.8.8]", "::8.8.8.8",
		strings.Repeat("a", 64)+".com", strings.Repeat("a.", 127)+"com", strings.Repeat("a", 1<<16),
	)
}

func goodHosts() []string {
	hosts := []string{
		"example.com", "EXAMPLE.com", "example.com.", "hooks.example.com", "a.b.c.d.e.example", "xn--mnchen-3ya.example", "xn--bcher-kva.xn--p1ai",
		"1password.com", "0x.com", "0x7f.example", "127.0.0.1.nip.io", "10.example", "3com.com", "1e100.net", "a-b.example", "a--b.example",
		"my_hooks.example", "smtp", "redis", "mail.corp.internal", "printer.local", "localhosting.com", "notlocalhost", "metadata.example.com", "localhost.example.com",
		"a.0xg", "example.x0", "deadbeef", "0xdeadbeef.com", "cafe.babe", strings.Repeat("a", 63) + ".com",
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "168.63.129.15", "168.63.129.17",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "192.31.196.1", "192.52.193.1", "192.175.48.1",
		"2000::1", "2001:200::1", "2001:4860:4860::8888", "[2001:4860:4860::8888]", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2606:4700:4700::1111", "[2606:4700:4700::1111]",
		"2620:fe::fe", "2a00:1450:4009::200e", "2a03:2880::1", "3ffe:ffff::1", "3fff:1000::1", "2A00:1450:4009::200E", "2a00:1450:0000:0000:0000:0000:0000:0001", "2a00:1450::5eff:a00:1", "2a00:1450::5efe",
	}
	for i := range 30 {
		hosts = append(hosts, fmt.Sprintf("host-%d.example.org", i), fmt.Sprintf("%d.example.org", i))
	}
	return hosts
}

// refused fails unless err is a Blocked whose text has no address in it.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	var blocked *Blocked
	if !errors.As(err, &blocked) {
		t.Errorf("%q: got %v, want a *Blocked", what, err)
		return
	}
	if blocked.Code() != "blocked_address" || blocked.Detail() == "" || len(blocked.Error()) < 20 {
		t.Errorf("%q: code %q, detail %q, text %q", what, blocked.Code(), blocked.Detail(), blocked.Error())
	}
	for _, word := range strings.FieldsFunc(blocked.Error(), func(r rune) bool { return strings.ContainsRune(" :,()", r) }) {
		if addr, parseErr := netip.ParseAddr(word); parseErr == nil && addr.String() != "192.0.2.1" {
			t.Errorf("%q: the text tells the address: %q", what, blocked.Error())
		}
	}
}

func TestCorpusOfHosts(t *testing.T) {
	t.Parallel()
	d := &Dialer{}
	distinct := map[string]bool{}
	for _, host := range badHosts() {
		distinct[host] = true
		refused(t, host, d.CheckHost(host))
		// Within a URL some of them would not be the whole host.
		if strings.ContainsAny(host, "/?#@") || strings.Contains(host, ":") && host[0] != '[' {
			continue
		}
		_, err := d.CheckURL("https://" + host + "/hook")
		refused(t, "https://"+host, err)
	}
	if len(distinct) < 600 {
		t.Errorf("the corpus has %d bad hosts, want at least 600", len(distinct))
	}
	t.Logf("%d distinct bad hosts", len(distinct))
	good := map[string]bool{}
	for _, host := range goodHosts() {
		good[host] = true
		if err := d.CheckHost(host); err != nil {
			var blocked *Blocked
			errors.As(err, &blocked)
			t.Errorf("good host %q: %v (%s)", host, err, blocked.Detail())
		}
	}
	if len(good) < 100 {
		t.Errorf("the corpus has %d good hosts, want at least 100", len(good))
	}
}

func TestCorpusOfAddresses(t *testing.T) {
	t.Parallel()
	d := &Dialer{}
	for _, table := range [][]denial{denied4(), denied6()} {
		for _, r := range table {
			for _, addr := range firstMiddleLast(r.prefix) {
				// A mapped address is judged as the IPv4 address that it means.
				if addr.Is4In6() {
					continue
				}
				refused(t, addr.String(), d.CheckAddr(addr))
				if !addr.Is4() {
					continue
				}
				for _, carrier := range embed4(addr) {
					refused(t, carrier.String(), d.CheckAddr(carrier))
				}
			}
		}
	}
	refused(t, "invalid", d.CheckAddr(netip.Addr{}))
	refused(t, "zone", d.CheckAddr(netip.MustParseAddr("2a00:1450::1%eth0")))
	for _, host := range goodHosts() {
		if addr, ok := literal(host); ok {
			if err := d.CheckAddr(addr); err != nil {
				t.Errorf("good address %v: %v", addr, err)
			}
		}
	}
	if err := d.CheckAddr(netip.MustParseAddr("::ffff:8.8.8.8")); err != nil {
		t.Errorf("a resolver's mapped form of a public address: %v", err)
	}
}

func FuzzCheckHost(f *testing.F) {
	for _, host := range badHosts() {
		if len(host) < 100 {
			f.Add(host)
		}
	}
	for _, host := range goodHosts() {
		f.Add(host)
	}
	d := &Dialer{}
	f.Fuzz(func(t *testing.T, host string) {
		if d.CheckHost(host) != nil {
			return
		}
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && special(addr.Unmap()) != "" {
			t.Fatalf("accepted %q", host)
		}
		for i := 0; i < len(host); i++ {
			if c := host[i]; c <= ' ' || c >= 0x7F || strings.IndexByte(`/\?#@%,;`, c) >= 0 {
				t.Fatalf("accepted %q", host)
			}
		}
		if _, err := d.CheckURL("https://" + host + "/"); err != nil && !strings.Contains(host, ":") {
			t.Fatalf("CheckHost accepts %q, CheckURL does not: %v", host, err)
		}
	})
}
