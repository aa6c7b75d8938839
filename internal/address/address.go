// Package address reads the addresses people write to: one email address, one
// mailbox for a From or Reply-To header, one phone number.
//
// It promises one normal form per address, so that comparing keys is comparing
// recipients, and that whatever it accepts can be put into an SMTP command or a
// header without quoting: no control characters, no second address, no syntax
// that two programs could read differently. Refusals are *Error values with a
// stable code and a reason that says how to fix the input and never repeats it.
//
// It does not look anything up (no DNS, no mailbox check), does not know which
// provider is able to do what, and does not carry the numbering plans of
// countries: see the national package for numbers without a country code.
package address

// The codes of Error. They are part of the API: clients switch on them.
const (
	// CodeEmpty: there is no address at all.
	CodeEmpty = "address_missing"
	// CodeEmail: the text is not an email address.
	CodeEmail = "invalid_email"
	// CodeQuoted: the part before the @ is in quotes.
	CodeQuoted = "quoted_local_part"
	// CodeSeveral: more than one address, or a group.
	CodeSeveral = "single_recipient"
	// CodeControl: a line break or another control character.
	CodeControl = "control_character"
	// CodeNotBare: a display name where only the address may stand.
	CodeNotBare = "bare_address_only"
	// CodeDomain: the domain cannot exist on the public internet.
	CodeDomain = "domain_not_public"
	// CodeTooLong: longer than RFC 5321 section 4.5.3.1 allows.
	CodeTooLong = "address_too_long"
	// CodeUTF8: the part before the @ is not ASCII (needs RFC 6531).
	CodeUTF8 = "smtputf8_unsupported"
	// CodePhone: the text is not a phone number in the accepted form.
	CodePhone = "invalid_phone"
	// CodeChannel: an email address where a phone number belongs, or the reverse.
	CodeChannel = "channel_mismatch"
)

// Error says why an address is refused.
type Error struct {
	// Code is one of the constants above.
	Code string
	// Reason is a sentence for the person who has to fix it. It never contains
	// the input or a part of it, so it may be logged.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

func refuse(code, reason string) *Error { return &Error{Code: code, Reason: reason} }
