package sms

// Limits of a sender id, in characters: the address field of a short message
// holds 11 septets of text, E.164 allows 15 digits, and the shortest codes in
// use have 3.
const (
	maxSenderText   = 11
	minSenderDigits = 3
	maxSenderDigits = 15
)

// SenderError says why a sender id is refused and what would be accepted.
type SenderError struct {
	// Reason is one sentence, safe to show; it does not repeat the input.
	Reason string
}

// Error returns the reason.
func (e *SenderError) Error() string { return e.Reason }

// CheckSender accepts what every provider can show as the sender of a short
// message: 3 to 15 digits with an optional leading + (a number or short code),
// or up to 11 characters of A-Z, a-z, 0-9, space and - _ . & with at least one
// letter and no space at either end. Some operators accept less; that is for
// their provider to say. The error is a *SenderError.
func CheckSender(id string) error {
	if id == "" {
		return &SenderError{"the sender id is empty: leave it out, or give up to 11 letters and digits"}
	}
	digits, letters := 0, 0
	for i := 0; i < len(id); i++ {
		c := id[i]
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			letters++
		case c == ' ', c == '-', c == '_', c == '.', c == '&', c == '+' && i == 0:
		default:
			return &SenderError{"a sender id may hold only A-Z, a-z, 0-9, space and - _ . &"}
		}
	}
	if letters > 0 {
		return checkSenderText(id)
	}
	number := id
	if number[0] == '+' {
		number = number[1:]
	}
	if digits != len(number) {
		return &SenderError{"a sender id that is not a number needs at least one letter"}
	}
	if digits < minSenderDigits || digits > maxSenderDigits {
		return &SenderError{"a numeric sender id has 3 to 15 digits"}
	}
	return nil
}

func checkSenderText(id string) error {
	switch {
	case id[0] == '+':
		return &SenderError{"a sender id with letters must not begin with +"}
	case id[0] == ' ' || id[len(id)-1] == ' ':
		return &SenderError{"a sender id must not begin or end with a space"}
	case len(id) > maxSenderText:
		return &SenderError{"a sender id with letters has at most 11 characters"}
	}
	return nil
}
