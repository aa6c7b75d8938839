// Package sms knows the two alphabets of short messages, how many segments a
// text takes, and what a sender id may look like.
//
// It promises that Measure, Split and Encode agree with each other and never
// cut a character in two: an extension character (escape and code) and a
// surrogate pair always travel in one segment. The facts are those of
// 3GPP TS 23.038 and TS 23.040 with an 8-bit concatenation reference.
//
// It does not send, does not know national language shift tables (most HTTP
// providers do not offer them), and never replaces characters by lookalikes:
// Normalize changes only how a character is spelled, not which one it is.
package sms

import (
	"slices"
	"unicode/utf16"
)

// MaxSegments is the longest message that is accepted, in segments.
const MaxSegments = 10

// MaxForced bounds Size.Forced.
const MaxForced = 16

// Units per segment: alone, and as part of a longer message, where a header of
// 6 octets takes its share.
const (
	gsmAlone  = 160
	gsmPart   = 153
	ucs2Alone = 70
	ucs2Part  = 67
)

// Encoding is the alphabet in which a whole message is sent.
type Encoding uint8

const (
	// GSM7 is the 7-bit default alphabet; its unit is the septet.
	GSM7 Encoding = 1
	// UCS2 is UTF-16BE in practice; its unit is the UTF-16 code unit.
	UCS2 Encoding = 2
)

// String returns "GSM7" or "UCS2", the names used in the API.
func (e Encoding) String() string {
	switch e {
	case GSM7:
		return "GSM7"
	case UCS2:
		return "UCS2"
	}
	return "UNKNOWN"
}

// Size says what a text costs to send.
type Size struct {
	// Encoding is GSM7 if every character is in the 7-bit alphabet, else UCS2.
	Encoding Encoding
	// Segments is the number of short messages; at least 1, also for an empty text.
	Segments int
	// Units is the length in septets (GSM7) or UTF-16 code units (UCS2).
	Units int
	// Forced lists the distinct characters that forced UCS2, in the order of
	// their first appearance and at most MaxForced of them; nil for GSM7.
	// Invalid UTF-8 appears as U+FFFD.
	Forced []rune
}

// Measure returns the size of text exactly as given; see Normalize for what to
// do before. It does not allocate for a text in the 7-bit alphabet.
func Measure(text string) Size {
	total := 0
	for _, r := range text {
		_, n := septets(r)
		if n == 0 {
			return measureUCS2(text)
		}
		total += n
	}
	return Size{Encoding: GSM7, Units: total, Segments: segments(text, total, GSM7)}
}

func measureUCS2(text string) Size {
	size := Size{Encoding: UCS2}
	for _, r := range text {
		size.Units += utf16.RuneLen(r)
		if len(size.Forced) == MaxForced {
			continue
		}
		if _, n := septets(r); n == 0 && !slices.Contains(size.Forced, r) {
			size.Forced = append(size.Forced, r)
		}
	}
	size.Segments = segments(text, size.Units, UCS2)
	return size
}

// segments counts the parts greedily, because a character of two units that
// does not fit ends the part one unit early.
func segments(text string, units int, e Encoding) int {
	alone, part := limits(e)
	if units <= alone {
		return 1
	}
	count, used := 1, 0
	for _, r := range text {
		n := width(r, e)
		if used+n > part {
			count++
			used = 0
		}
		used += n
	}
	return count
}

func limits(e Encoding) (alone, part int) {
	if e == GSM7 {
		return gsmAlone, gsmPart
	}
	return ucs2Alone, ucs2Part
}

func width(r rune, e Encoding) int {
	if e == GSM7 {
		_, n := septets(r)
		return n
	}
	return utf16.RuneLen(r)
}

// Split returns the text of each segment. Joined they are text, and there are
// as many as Measure counts.
func Split(text string) []string {
	size := Measure(text)
	if size.Segments == 1 {
		return []string{text}
	}
	_, part := limits(size.Encoding)
	parts := make([]string, 0, size.Segments)
	start, used := 0, 0
	for at, r := range text {
		n := width(r, size.Encoding)
		if used+n > part {
			parts = append(parts, text[start:at])
			start, used = at, 0
		}
		used += n
	}
	return append(parts, text[start:])
}

// Encode returns the payload of each segment without any header: for GSM7 one
// septet per byte, unpacked, escapes included; for UCS2 big-endian octets.
// Invalid UTF-8 is sent as U+FFFD.
func Encode(text string) (Encoding, [][]byte) {
	e := Measure(text).Encoding
	parts := Split(text)
	out := make([][]byte, len(parts))
	for i, part := range parts {
		out[i] = appendPart(nil, part, e)
	}
	return e, out
}

func appendPart(dst []byte, part string, e Encoding) []byte {
	for _, r := range part {
		if e == GSM7 {
			code, n := septets(r)
			if n == 2 {
				dst = append(dst, escape)
			}
			dst = append(dst, code)
			continue
		}
		if r >= 0x10000 {
			high, low := utf16.EncodeRune(r)
			dst = append(dst, byte(high>>8), byte(high), byte(low>>8), byte(low))
			continue
		}
		dst = append(dst, byte(r>>8), byte(r))
	}
	return dst
}

// Decode is the reverse of Encode for one payload. What cannot be read
// (an unknown code, a lone escape, an odd octet, half a surrogate pair) becomes
// U+FFFD, so that a received message is never lost over one bad byte.
func Decode(e Encoding, payload []byte) string {
	if e == GSM7 {
		return decodeGSM(payload)
	}
	units := make([]uint16, 0, len(payload)/2+1)
	for len(payload) >= 2 {
		units = append(units, uint16(payload[0])<<8|uint16(payload[1]))
		payload = payload[2:]
	}
	if len(payload) == 1 {
		units = append(units, 0xFFFD)
	}
	return string(utf16.Decode(units))
}

func decodeGSM(payload []byte) string {
	out := make([]rune, 0, len(payload))
	for i := 0; i < len(payload); i++ {
		extension := payload[i] == escape && i+1 < len(payload)
		if extension {
			i++
		}
		r, ok := fromSeptet(payload[i], extension)
		if !ok {
			r = 0xFFFD
		}
		out = append(out, r)
	}
	return string(out)
}
