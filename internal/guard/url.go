package guard

import (
	"net/url"
	"strconv"
	"strings"
)

// maxURL bounds a URL, in octets.
const maxURL = 2048

// CheckURL judges a URL when it is saved: https, a host that CheckHost accepts,
// a port of Ports (or the default one), no user information, no fragment. Plain
// http and other ports are accepted if the host is an address within Allow, or a
// name while Allow is not empty; what the name resolves to is then judged when
// it is dialled (OnlyAllowed). It returns the URL with a lower-case host without
// trailing dot. The error is a *Blocked.
func (d *Dialer) CheckURL(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, badURL("a URL has at most 2048 characters", "too long")
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] <= ' ' || raw[i] >= 0x7F || raw[i] == '\\' {
			return nil, badURL("a URL holds no spaces, backslashes, control characters or letters outside ASCII: percent-encode them, and write the host in its xn-- form", "character")
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, badURL("this is not a URL: write it as https://hooks.example.com/path", "malformed")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "" || u.Host == "":
		return nil, badURL("a URL begins with https:// and a host", "scheme")
	case u.User != nil:
		return nil, badURL("a URL must not contain a user name or password", "user information")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, badURL("a URL must not contain a fragment (#)", "fragment")
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		host = "[" + host + "]"
	}
	if err := d.CheckHost(host); err != nil {
		return nil, err
	}
	if err := d.checkScheme(u, host); err != nil {
		return nil, err
	}
	port := u.Port()
	u.Host = strings.TrimSuffix(strings.ToLower(host), ".")
	if port != "" {
		u.Host += ":" + port
	}
	return u, nil
}

// checkScheme holds scheme and port against what the host may use.
func (d *Dialer) checkScheme(u *url.URL, host string) error {
	port := uint64(443)
	if u.Scheme == "http" {
		port = 80
	}
	if text := u.Port(); text != "" {
		var err error
		if port, err = strconv.ParseUint(text, 10, 16); err != nil || port == 0 {
			return badURL("a port is a number from 1 to 65535", "port")
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return badURL("a port is a number from 1 to 65535", "port")
	}
	lifted := len(d.Allow) > 0
	if addr, ok := literal(host); ok {
		lifted = d.allowed(addr.Unmap())
	}
	switch {
	case lifted:
		return nil
	case u.Scheme != "https":
		return badURL(reasonPlain, "plain http")
	case !d.portListed(uint16(port)):
		return badURL(reasonPort, "port not listed")
	}
	return nil
}

func badURL(reason, detail string) *Blocked {
	return &Blocked{reason: reason, detail: "URL: " + detail}
}
