package address

import "strings"

// maxName bounds a display name, in octets of UTF-8. Encoded for a header it
// still fits a handful of lines.
const maxName = 256

// Mailbox is an address with an optional display name, as in From and Reply-To.
type Mailbox struct {
	// Name is the display name without quoting, in UTF-8; empty if there is none.
	// Encoding it for the wire (RFC 2047) is the composer's work.
	Name string
	// Email is the address.
	Email Email
}

// ParseMailbox reads `ama@example.com`, `<ama@example.com>`,
// `Ama Mensah <ama@example.com>` or `"Mensah, Ama" <ama@example.com>`. The name
// may be of any script but holds no control characters, and must be quoted if
// it contains a comma, semicolon, @, quote or backslash. The error is an *Error.
func ParseMailbox(s string) (Mailbox, error) {
	if len(s) > maxInput {
		return Mailbox{}, refuse(CodeTooLong, "the address is too long: 254 characters, and 256 for the name before it")
	}
	if err := checkText(s); err != nil {
		return Mailbox{}, err
	}
	s = strings.Trim(s, " ")
	if !strings.HasSuffix(s, ">") {
		email, err := ParseEmail(s)
		if err != nil {
			return Mailbox{}, err
		}
		return Mailbox{Email: email}, nil
	}
	name, rest, err := cutName(s[:len(s)-1])
	if err != nil {
		return Mailbox{}, err
	}
	if len(name) > maxName {
		return Mailbox{}, refuse(CodeTooLong, "the name before the address has at most 256 bytes")
	}
	email, parseErr := ParseEmail(rest)
	if parseErr != nil {
		return Mailbox{}, parseErr
	}
	return Mailbox{Name: name, Email: email}, nil
}

// cutName separates the name from what follows the opening bracket. s lacks
// its closing bracket.
func cutName(s string) (name, rest string, err *Error) {
	if strings.HasPrefix(s, `"`) {
		return cutQuotedName(s)
	}
	name, rest, found := strings.Cut(s, "<")
	if !found {
		return "", "", refuse(CodeEmail, "write the address as Name <name@example.com>")
	}
	name = strings.Trim(name, " ")
	if strings.ContainsAny(name, ",;@") || strings.Contains(rest, "<") {
		return "", "", refuse(CodeSeveral, "give one address only; a name that contains a comma, semicolon or @ stands in double quotes")
	}
	if strings.ContainsAny(name, `"\>`) {
		return "", "", refuse(CodeEmail, "put the name before the address in double quotes")
	}
	return name, rest, nil
}

func cutQuotedName(s string) (name, rest string, err *Error) {
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i == len(s) {
				return "", "", refuse(CodeEmail, "the quoted name before the address is not closed")
			}
			out.WriteByte(s[i])
		case '"':
			after := strings.TrimLeft(s[i+1:], " ")
			if !strings.HasPrefix(after, "<") {
				return "", "", refuse(CodeEmail, "after the quoted name write the address as <name@example.com>")
			}
			return strings.Trim(out.String(), " "), after[1:], nil
		default:
			out.WriteByte(s[i])
		}
	}
	return "", "", refuse(CodeEmail, "the quoted name before the address is not closed")
}

// String writes the mailbox so that ParseMailbox reads it back: the bare
// address, or the name, quoted where needed, before the address in brackets.
// It is not encoded for a header.
func (m Mailbox) String() string {
	if m.Name == "" {
		return m.Email.Address
	}
	if !strings.ContainsAny(m.Name, `,;@"\<>()[]:.`) {
		return m.Name + " <" + m.Email.Address + ">"
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(m.Name)
	return `"` + quoted + `" <` + m.Email.Address + ">"
}
