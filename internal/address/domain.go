package address

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Sizes in octets, RFC 1035 section 2.3.4 (255 on the wire is 253 as text).
const (
	maxDomain = 253
	maxLabel  = 63
)

// asciiDomain returns the domain as lower-case A-labels.
func asciiDomain(domain string) (string, *Error) {
	if domain == "" {
		return "", refuse(CodeEmail, "the domain name after the @ is missing")
	}
	if domain[0] == '[' {
		return "", refuse(CodeDomain, "give a domain name, not an IP address")
	}
	if needsIDNA(domain) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", refuse(CodeEmail, "the domain name is not valid")
		}
		domain = ascii
	}
	domain = strings.ToLower(domain)
	if err := checkDomain(domain); err != nil {
		return "", err
	}
	return domain, nil
}

// needsIDNA tells whether a domain has labels that are, or claim to be, more
// than plain letters, digits and hyphens. Plain ones skip the tables, and with
// them the rule against hyphens in places 3 and 4, which real hosts break.
func needsIDNA(domain string) bool {
	start := 0
	for i := 0; i < len(domain); i++ {
		if domain[i] >= utf8.RuneSelf {
			return true
		}
		if domain[i] == '.' {
			start = i + 1
		}
		if i == start+3 && strings.EqualFold(domain[start:i+1], "xn--") {
			return true
		}
	}
	return false
}

// checkDomain holds a lower-case ASCII domain against RFC 1123 section 2.1 and
// what can be reached from the public internet.
func checkDomain(domain string) *Error {
	if len(domain) > maxDomain {
		return refuse(CodeTooLong, "a domain name has at most 253 characters")
	}
	labels, start, numeric := 0, 0, false
	for i := 0; i <= len(domain); i++ {
		if i < len(domain) && domain[i] != '.' {
			continue
		}
		label := domain[start:i]
		if len(label) > maxLabel {
			return refuse(CodeTooLong, "each part of a domain name has at most 63 characters")
		}
		if !isLabel(label) {
			return refuse(CodeEmail, "the domain name is not valid")
		}
		numeric = isNumber(label)
		labels++
		start = i + 1
	}
	switch {
	case numeric:
		return refuse(CodeDomain, "give a domain name, not an IP address")
	case labels < 2:
		return refuse(CodeDomain, "give a full domain name, such as example.com")
	}
	return nil
}

func isLabel(label string) bool {
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := 0; i < len(label); i++ {
		c := label[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

func isNumber(label string) bool {
	for i := 0; i < len(label); i++ {
		if label[i] < '0' || label[i] > '9' {
			return false
		}
	}
	return true
}
