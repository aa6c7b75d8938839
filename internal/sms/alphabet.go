package sms

import (
	"strings"
	"unicode/utf8"
)

// basic is the GSM 7-bit default alphabet of 3GPP TS 23.038, in code order.
// Code 0x1B is the escape to the extension table; it is not a character, and
// stands here as utf8.RuneError, which never matches text.
//
// Code 0x09 is Ç (3GPP), not ç (the Unicode consortium's table).
const basic = "@£$¥èéùìòÇ\nØø\rÅå" +
	"Δ_ΦΓΛΩΠΨΣΘΞ\uFFFDÆæßÉ" +
	" !\"#¤%&'()*+,-./" +
	"0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNO" +
	"PQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmno" +
	"pqrstuvwxyzäöñüà"

// escape introduces a character of the extension table.
const escape = 0x1B

// septets tells how a character is written in the 7-bit alphabet: its code and
// how many septets it takes (1, or 2 with the escape before it). Zero septets
// means that the alphabet lacks the character.
func septets(r rune) (code byte, count int) {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9',
		r >= '%' && r <= '?', r >= ' ' && r <= '#', r == '\n', r == '\r':
		return byte(r), 1
	case r < utf8.RuneSelf:
		return asciiOddities(r)
	}
	return beyondASCII(r)
}

// asciiOddities covers the ASCII characters whose GSM code differs from their
// ASCII code, and those of the extension table.
func asciiOddities(r rune) (code byte, count int) {
	switch r {
	case '@':
		return 0x00, 1
	case '$':
		return 0x02, 1
	case '_':
		return 0x11, 1
	case '\f':
		return 0x0A, 2
	case '^':
		return 0x14, 2
	case '{':
		return 0x28, 2
	case '}':
		return 0x29, 2
	case '\\':
		return 0x2F, 2
	case '[':
		return 0x3C, 2
	case '~':
		return 0x3D, 2
	case ']':
		return 0x3E, 2
	case '|':
		return 0x40, 2
	}
	return 0, 0
}

func beyondASCII(r rune) (code byte, count int) {
	switch r {
	case '€':
		return 0x65, 2
	case utf8.RuneError:
		return 0, 0
	}
	if r > 'Ω' {
		return 0, 0
	}
	at := strings.IndexRune(basic, r)
	if at < 0 {
		return 0, 0
	}
	return byte(utf8.RuneCountInString(basic[:at])), 1
}

// fromSeptet is the reverse of septets for one code of the basic or, after an
// escape, of the extension table. ok is false for a code without a character.
func fromSeptet(code byte, extension bool) (r rune, ok bool) {
	if extension {
		switch code {
		case 0x0A:
			return '\f', true
		case 0x14:
			return '^', true
		case 0x28:
			return '{', true
		case 0x29:
			return '}', true
		case 0x2F:
			return '\\', true
		case 0x3C:
			return '[', true
		case 0x3D:
			return '~', true
		case 0x3E:
			return ']', true
		case 0x40:
			return '|', true
		case 0x65:
			return '€', true
		}
		// A receiver that does not know the extension shows the basic character.
	}
	if code > 0x7F || code == escape {
		return 0, false
	}
	n := byte(0)
	for _, c := range basic {
		if n == code {
			return c, true
		}
		n++
	}
	return 0, false
}
