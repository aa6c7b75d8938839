//go:build linux

package ssrf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// row is an address that nobody may set. What is a name is refused when it is used, everything else when it is saved.
type row struct {
	url  string // for webhooks and baseUrls; "": it concerns mail servers alone
	host string // for mail servers; "": it concerns URLs alone
	port int    // of the mail server
}

// mailPort is of mail servers that are bad for another reason.
const mailPort = 587

// ranges are what no public host has: RFC 6890 and the registries that follow it, and the forms of IPv6 that carry an IPv4 address.
func ranges() []netip.Prefix {
	var out []netip.Prefix
	for text := range strings.FieldsSeq(`0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
		192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
		::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:2::/48 2001:10::/28 2001:db8::/32 2002::/16
		3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 4000::/3 8000::/1`) {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// addresses are the first, the middle and the last one of each range, and those that are known for what they give away.
func addresses() []netip.Addr {
	var out []netip.Addr
	for _, p := range ranges() {
		first := p.Addr().AsSlice()
		middle, last := append([]byte(nil), first...), append([]byte(nil), first...)
		for bit := p.Bits(); bit < len(first)*8; bit++ {
			last[bit/8] |= 128 >> (bit % 8)
			if bit == p.Bits() {
				middle[bit/8] |= 128 >> (bit % 8)
			}
		}
		for _, b := range [][]byte{first, middle, last} {
			if addr, ok := netip.AddrFromSlice(b); ok && !strings.Contains(fmt.Sprint(out), addr.String()+" ") {
				out = append(out, addr)
			}
		}
	}
	return append(out, known()...)
}

func known() []netip.Addr {
	var out []netip.Addr
	for text := range strings.FieldsSeq("127.0.0.1 127.0.0.53 127.1.2.3 169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 10.0.0.1 192.168.1.1 172.17.0.1 fd00:ec2::254 fd20:ce::254 fe80::1") {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// carriers are the forms of IPv6 that lead to an IPv4 address.
func carriers(v4 netip.Addr) []netip.Addr {
	a := v4.As4()
	at := func(prefix string, offset int, mask byte) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		for i := range a {
			b[offset+i] = a[i] ^ mask
		}
		return netip.AddrFrom16(b)
	}
	return []netip.Addr{
		at("::ffff:0:0", 12, 0), at("::", 12, 0), at("::ffff:0:0:0", 12, 0), at("64:ff9b::", 12, 0), at("64:ff9b:1::", 12, 0), at("2002::", 2, 0), at("2002:0:0:1::1", 2, 0),
		at("2001:0:4136:e378:8000:63bf::", 12, 0xff), at("2a00:1450::5efe:0:0", 12, 0), at("2a00:1450::200:5efe:0:0", 12, 0),
	}
}

// notations write an IPv4 address as some program or other reads it.
func notations(v4 netip.Addr) []string {
	a, dotted := v4.As4(), v4.String()
	n := binary.BigEndian.Uint32(a[:])
	shift := func(to rune) string {
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r - '0' + to
			}
			return r
		}, dotted)
	}
	return []string{
		dotted + ".", fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%X", n), fmt.Sprintf("0%o", n), fmt.Sprintf("%d.%d", a[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", a[0], a[1], n&0xffff),
		fmt.Sprintf("0%o.0%o.0%o.0%o", a[0], a[1], a[2], a[3]), fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", a[0], a[1], a[2], a[3]), fmt.Sprintf("0x%x.%d", a[0], n&0xffffff),
		fmt.Sprintf("%d.0%o.%d.0x%x", a[0], a[1], a[2], a[3]), fmt.Sprintf("%03d.%03d.%03d.%03d", a[0], a[1], a[2], a[3]), fmt.Sprintf("%d", uint64(n)+1<<32), fmt.Sprintf("%d.%d.%d.%d", int(a[0])+256, a[1], a[2], a[3]),
		strings.ReplaceAll(dotted, ".", "。"), strings.ReplaceAll(dotted, ".", "．"), strings.ReplaceAll(dotted, ".", "｡"), strings.ReplaceAll(dotted, ".", "%2e"), strings.ReplaceAll(dotted, ".", "%2E"),
		"%" + fmt.Sprintf("%02x", dotted[0]) + dotted[1:], shift('０'), shift('𝟎'), shift('٠'), shift('०'), "[" + dotted + "]", dotted + "\u200b", dotted[:1] + "\u00ad" + dotted[1:],
	}
}

// localWords are names that mean this machine or a cloud's metadata, whatever a resolver says.
func localWords() []string {
	return strings.Fields(`localhost localhost.localdomain localhost4 localhost6 localhost6.localdomain6 ip6-localhost ip6-loopback a.localhost a.b.localhost
		metadata metadata.google.internal metadata.goog metadata.internal instance-data instance-data.ec2.internal metadata.ec2.internal metadata.azure.internal
		metadata.azure.com metadata.packet.net metadata.platformequinix.com metadata.tencentyun.com metadata.hetzner.cloud metadata.oraclecloud.com`)
}

// inURL writes a host as URLs do.
func inURL(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return host
}

// refusedWhenSaved is the corpus of what is seen to be bad without asking anybody.
func refusedWhenSaved() []row {
	var rows []row
	host := func(h string) { rows = append(rows, row{url: "https://" + inURL(h) + "/in", host: h, port: mailPort}) }
	for _, addr := range addresses() {
		host(addr.String())
	}
	for _, addr := range known() {
		if addr.Is6() {
			host("[" + addr.String() + "]")
			host(addr.StringExpanded())
			host(strings.ToUpper(addr.String()))
			for _, zone := range []string{"%eth0", "%25eth0", "%0", "%25lo"} {
				rows = append(rows, row{url: "https://[" + addr.String() + zone + "]/in", host: addr.String() + zone, port: mailPort})
			}
			continue
		}
		for _, text := range notations(addr) {
			host(text)
		}
		for _, carrier := range carriers(addr) {
			host(carrier.String())
		}
		host("::ffff:" + addr.String())
		host("64:ff9b::" + addr.String())
	}
	for _, name := range localWords() {
		host(name)
		host(strings.ToUpper(name) + ".")
	}
	for text := range strings.FieldsSeq("127.1 127.0.1 0 00 0x0 0x7f.1 0177.1 017700000001 2130706433. 1.2.3.4.5 256.1.1.1 ⓛocalhost localhost。 ｌｏｃａｌｈｏｓｔ loc\u00adalhost ①⑦.0.0.1 [::] [::1 ::1] [[::1]] [v1.fe80::a] [127.0.0.1] a..com .a.com -a.com a-.com *.example.com münchen.example exаmple.com 127.0.0.1.. a.0x7f a.1") {
		host(text)
	}
	return append(append(append(rows, tricks()...), schemes()...), ports()...)
}

// tricks are URLs that two programs read in two ways, and hosts that are more than hosts.
func tricks() (rows []row) {
	for _, u := range []string{
		"https://good.example.com@10.0.0.1/", "https://good.example.com:443@10.0.0.1/", "https://user:pass@hooks.example.com/", "https://@hooks.example.com/", "https://:@10.0.0.1/", "https://10.0.0.1#@good.example.com/",
		"https://10.0.0.1?@good.example.com/", `https://10.0.0.1\@good.example.com/`, `https://good.example.com\@10.0.0.1/`, `https://good.example.com\.10.0.0.1/`, `https:\\10.0.0.1\`, `\\10.0.0.1\share`, "https://good.example.com%4010.0.0.1/",
		"https://good.example.com%2f@10.0.0.1/", "https://good.example.com%23@10.0.0.1/", "https://10.0.0.1%00.example.com/", "https://10.0.0.1%0d%0a.example.com/", "https://10.0.0.1%09/", "https:///10.0.0.1/", "https:/10.0.0.1/", "https:10.0.0.1/",
		"https:////10.0.0.1/", "https://hooks.example.com/#x", "https://hooks.example.com/#", "https://hooks.example.com/\r\nHost: 10.0.0.1", "https://hooks.example.com/ HTTP/1.1", "https://hooks.\texample.com/", "https://ho oks.example.com/",
		" https://hooks.example.com/", "https://hooks.example.com/ ", "\thttps://hooks.example.com/", "https://hooks.example.com/\x00", "https://hooks.example.com/\x7f", "https://hooks.example.com/ü", "https://hooks.example.com:443:22/",
		"https://127.0.0.1:443\\@hooks.example.com/", "https://[::1]@hooks.example.com/", "https://hooks.example.com[::1]/", "https://[::1]hooks.example.com/", "https://[::1]:443x/", "https://0/", "https://", "https://?", "https://#", "https://.", "https://%",
		"https://%31%30.0.0.1/", "https://%6c%6f%63%61%6c%68%6f%73%74/", "https://[%3a%3a1]/", "https://[::1%2525lo]/", "https://1.1.1.1 &@10.0.0.1# @8.8.8.8/", "https://hooks.example.com;@10.0.0.1/", "https://hooks.example.com,10.0.0.1/",
		"https://{hooks}.example.com/", "https://hooks.example.com/%zz", "https://hooks.example.com/" + strings.Repeat("a", 2048), "hooks.example.com/in", "//hooks.example.com/in", "/in", "10.0.0.1", "127.0.0.1:443",
	} {
		rows = append(rows, row{url: u})
	}
	for _, h := range []string{
		"https://mail.example.com", "smtp://10.0.0.1", "//10.0.0.1", "10.0.0.1/", "10.0.0.1:587", "mail.example.com:587", "[::1]:25", "user@10.0.0.1", "mail.example.com/x", "mail.example.com#", "mail.example.com?", `mail.example.com\`, "mail example.com",
		" 10.0.0.1", "10.0.0.1 ", " mail.example.com", "mail.example.com\n", "mail.example.com\r\nRCPT TO:<a@b>", "mail.example.com\x00", "\tmail.example.com", "a,b.example.com", "a;b.example.com", "a|b", "$(id)", "`id`", "mail.example.com\u2028", "@", ":", "/", "%",
		strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 127) + "com",
	} {
		rows = append(rows, row{host: h, port: mailPort})
	}
	return rows
}

// schemes are other ways to speak than https.
func schemes() (rows []row) {
	for s := range strings.FieldsSeq("http HTTP ws wss ftp ftps sftp scp ssh file gopher dict ldap ldaps tftp telnet smb cifs nfs imap pop3 smtp redis mysql postgres amqp mqtt netdoc jar git svn rtsp sip unix") {
		rows = append(rows, row{url: s + "://hooks.example.com/in"}, row{url: s + "://127.0.0.1/in"})
	}
	for _, u := range []string{"data:text/plain,x", "javascript:alert(1)", "mailto:a@b.example", "unix:/run/docker.sock", "file:///etc/passwd", "file:/etc/passwd", "about:blank", "blob:https://a.example/1", "urn:x:y",
		"view-source:https://10.0.0.1/", "https+unix://%2Frun%2Fdocker.sock/", "http+unix://x/", "url:https://10.0.0.1/", "jar:https://10.0.0.1!/", "HTTPS ://hooks.example.com/", "h\ttps://hooks.example.com/"} {
		rows = append(rows, row{url: u})
	}
	return rows
}

// ports are what is not there for webhooks, providers' APIs or the submission of mail, also at public hosts.
func ports() (rows []row) {
	for _, p := range []int{1, 7, 21, 22, 23, 53, 80, 110, 111, 135, 139, 143, 389, 444, 445, 514, 993, 995, 1433, 1521, 2049, 2375, 2376, 3000, 3008, 3306, 3389, 4443, 5000, 5432, 5672, 6379, 6443, 8000, 8080, 8443, 9000, 9090, 9200, 10250, 11211, 27017, 50051, 65535} {
		rows = append(rows, row{url: fmt.Sprintf("https://hooks.example.com:%d/in", p), host: "mail.example.com", port: p})
	}
	rows = append(rows, row{host: "mail.example.com", port: 443}, row{host: "8.8.8.8", port: 22}, row{host: "mail.example.com", port: -1}, row{host: "mail.example.com", port: 65536 + 587})
	for _, p := range []string{"25", "465", "587", "2525", "0", "00", "0x1bb", "-1", "+443", "65979", "99999999999", "4 43", "443;22", "４４３", "", "%34%34%33"} {
		rows = append(rows, row{url: "https://hooks.example.com:" + p + "/in"})
	}
	for _, p := range []int{25, 443, 3008, 6379} { // 3008 is where the program itself listens
		rows = append(rows, row{url: fmt.Sprintf("https://127.0.0.1:%d/in", p)}, row{url: fmt.Sprintf("https://[::1]:%d/in", p)})
	}
	return rows
}

// goodHosts are what must be taken.
func goodHosts() []string {
	out := strings.Fields(`example.com EXAMPLE.com example.com. hooks.example.com a.b.c.d.e.example xn--mnchen-3ya.example xn--bcher-kva.xn--p1ai 1password.com 0x.com 0x7f.example 127.0.0.1.nip.io
		10.example 3com.com 1e100.net a-b.example a--b.example my_hooks.example mail.corp.internal localhosting.com notlocalhost.example metadata.example.com localhost.example.com deadbeef.example cafe.babe
		1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0
		192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
		2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2606:4700:4700::1111 2620:fe::fe 2a00:1450:4009::200e 2a03:2880::1 3ffe:ffff::1 3fff:1000::1 2a00:1450::5efe 2a00:1450::5eff:a00:1`)
	for i := range 36 {
		out = append(out, fmt.Sprintf("h%d.example.org", i))
	}
	return out
}
