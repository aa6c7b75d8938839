package address

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sizes in octets, RFC 5321 section 4.5.3.1 and erratum 1690 of RFC 3696 (a path
// of 256 includes its angle brackets).
const (
	maxLocal   = 64
	maxAddress = 254
	maxInput   = 1024
)

// Email is one normalised email address. The zero value is no address.
type Email struct {
	// Address is what goes on the wire: the local part as it was written, @, and
	// the domain in lower-case A-labels (xn--). Always ASCII, at most 254 octets.
	Address string
	// Key is Address in lower case, for comparing: suppression, search. Mail
	// systems that tell Ama@ from ama@ do not occur in practice.
	Key string
}

// Domain returns the part after the @: lower-case A-labels.
func (e Email) Domain() string {
	return e.Address[strings.LastIndexByte(e.Address, '@')+1:]
}

// ParseEmail reads one bare email address (RFC 5321 Mailbox without quoting,
// comments, source routes or address literals). The error is an *Error.
func ParseEmail(s string) (Email, error) {
	if err := checkShape(s); err != nil {
		return Email{}, err
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	if err := checkLocal(local); err != nil {
		return Email{}, err
	}
	ascii, err := asciiDomain(domain)
	if err != nil {
		return Email{}, err
	}
	if len(local)+1+len(ascii) > maxAddress {
		return Email{}, refuse(CodeTooLong, "an email address has at most 254 characters")
	}
	address := s
	if ascii != domain {
		address = local + "@" + ascii
	}
	return Email{Address: address, Key: strings.ToLower(address)}, nil
}

// checkShape finds what is not one bare address, most telling fault first.
func checkShape(s string) *Error {
	if strings.TrimSpace(s) == "" {
		return refuse(CodeEmpty, "the address is empty: give one address")
	}
	if len(s) > maxInput {
		return refuse(CodeTooLong, "an email address has at most 254 characters")
	}
	if err := checkText(s); err != nil {
		return err
	}
	ats := strings.Count(s, "@")
	separated := strings.ContainsAny(s, ",;")
	switch {
	case separated && (ats != 1 || s[len(s)-1] == ';'):
		return refuse(CodeSeveral, "give one address only")
	case strings.Contains(s, "<") && strings.HasSuffix(s, ">"):
		return refuse(CodeNotBare, "give the bare address, without a name and without < and >")
	case strings.Contains(s, `"`):
		return refuse(CodeQuoted, "addresses with a quoted part before the @ are not accepted")
	case separated:
		return refuse(CodeSeveral, "give one address only, without commas or semicolons")
	case ats == 0 && looksLikePhone(s):
		return refuse(CodeChannel, "this is a phone number: use channel SMS, or give an email address")
	case ats != 1:
		return refuse(CodeEmail, "an email address has the form name@example.com with exactly one @")
	}
	return nil
}

// checkText refuses what must never reach a header or a log line.
func checkText(s string) *Error {
	if !utf8.ValidString(s) {
		return refuse(CodeControl, "the address is not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return refuse(CodeControl, "remove line breaks and other control characters from the address")
		}
	}
	return nil
}

func looksLikePhone(s string) bool {
	digits := 0
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' {
			digits++
		} else if !strings.ContainsRune("+ -().", rune(s[i])) {
			return false
		}
	}
	return digits >= minDigits
}

// checkLocal accepts a Dot-string of RFC 5321 section 4.1.2.
func checkLocal(local string) *Error {
	if local == "" {
		return refuse(CodeEmail, "the part before the @ is missing")
	}
	for i := 0; i < len(local); i++ {
		if local[i] >= utf8.RuneSelf {
			return refuse(CodeUTF8, "the part before the @ must be ASCII: no provider here accepts other letters (SMTPUTF8)")
		}
	}
	if len(local) > maxLocal {
		return refuse(CodeTooLong, "the part before the @ has at most 64 characters")
	}
	last := byte('.')
	for i := 0; i < len(local); i++ {
		c := local[i]
		if c == '.' && last == '.' {
			return refuse(CodeEmail, "the part before the @ has a dot at its beginning or two in a row")
		}
		if c != '.' && !isAtext(c) {
			return refuse(CodeEmail, "the part before the @ has a character that is not allowed there, such as a space")
		}
		last = c
	}
	if last == '.' {
		return refuse(CodeEmail, "the part before the @ must not end with a dot")
	}
	return nil
}

// isAtext is atext of RFC 5322 section 3.2.3.
func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
