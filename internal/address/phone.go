package address

import "strings"

// Digits of an international number without its +, ITU-T E.164; shorter ones
// than 7 are no subscriber's number anywhere.
const (
	minDigits = 7
	maxDigits = 15
)

// maxPhoneInput bounds what is looked at, in octets.
const maxPhoneInput = 64

// Phones reads phone numbers. The zero value accepts international numbers
// only. It is safe for concurrent use if National is.
type Phones struct {
	// National, if set, reads numbers as people of one region write them, and
	// returns the digits of the international form. It sees only texts made of
	// digits, spaces and + - ( ) . with at most 64 characters. ok is false if the
	// text is not a number of that region or of the world.
	National func(s string) (digits string, ok bool)
}

// Parse returns the number as digits with country code and without +, the one
// form that is stored, compared and given to providers. Without National only
// digits with an optional + before them are accepted: 7 to 15 of them, the first
// not 0. The error is an *Error.
func (p Phones) Parse(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", refuse(CodeEmpty, "the number is empty: give one number")
	}
	if p.National != nil && isWrittenNumber(s) {
		if digits, ok := p.National(s); ok && isInternational(digits) {
			return digits, nil
		}
		if !isNumber(strings.TrimPrefix(s, "+")) {
			return "", refuse(CodePhone, "this is not a valid number here: write it with country code, as digits only, such as 233241234567")
		}
	}
	digits := strings.TrimPrefix(s, "+")
	if isInternational(digits) {
		return digits, nil
	}
	return "", explainPhone(s)
}

func isInternational(digits string) bool {
	return len(digits) >= minDigits && len(digits) <= maxDigits && digits[0] != '0' && isNumber(digits)
}

// isWrittenNumber keeps letters, extensions, URIs and foreign digits away from
// National, whose library would read some of them.
func isWrittenNumber(s string) bool {
	if len(s) > maxPhoneInput {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		digit := c >= '0' && c <= '9'
		if !digit && c != ' ' && c != '-' && c != '(' && c != ')' && c != '.' && (c != '+' || i != 0) {
			return false
		}
	}
	return true
}

// explainPhone finds the most helpful thing to say about a refused number.
func explainPhone(s string) *Error {
	digits := strings.TrimPrefix(s, "+")
	switch {
	case strings.Contains(s, "@"):
		return refuse(CodeChannel, "this is an email address: use channel EMAIL, or give a phone number")
	case len(s) > maxPhoneInput:
		return refuse(CodePhone, "a phone number has at most 15 digits")
	case !isNumber(digits) && isWrittenNumber(s):
		return refuse(CodePhone, "write the number as digits only, with country code, without spaces, dashes or brackets, such as 233241234567")
	case !isNumber(digits):
		return refuse(CodePhone, "a phone number holds only the digits 0 to 9, with an optional + before them")
	case strings.HasPrefix(digits, "00"):
		return refuse(CodePhone, "leave out the leading 00 and begin with the country code, such as 233241234567")
	case strings.HasPrefix(digits, "0"):
		return refuse(CodePhone, "write the number internationally: country code instead of the leading 0, such as 233241234567")
	case len(digits) > maxDigits:
		return refuse(CodePhone, "a phone number has at most 15 digits")
	}
	return refuse(CodePhone, "a phone number has at least 7 digits, beginning with the country code, such as 233241234567")
}
