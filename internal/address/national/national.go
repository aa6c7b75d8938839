// Package national reads phone numbers as people of one region write them:
// without the country code, with spaces, dashes, dots and brackets.
//
// It wraps the numbering plans of github.com/nyaruka/phonenumbers and promises
// to accept only numbers that are valid in their plan. It is apart from package
// address because linking the plans costs every process about 2.5 MB of heap
// and 6 ms at start, used or not.
//
// It does not guess: a text without + that is valid in the region (or in the
// plan the region shares, such as +1) is that region's number; any other number
// must be written with its + and country code.
package national

import (
	"errors"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// For returns a reader for one region, named by its ISO 3166-1 code ("GH"; case
// does not matter), to be used as address.Phones.National. The reader returns
// digits with country code and without +, and false if the text is no valid
// number. It is safe for concurrent use.
func For(region string) (func(s string) (digits string, ok bool), error) {
	region = strings.ToUpper(region)
	if !phonenumbers.GetSupportedRegions()[region] {
		return nil, errors.New("unknown region: use a two-letter country code such as GH")
	}
	return func(s string) (string, bool) {
		number, err := phonenumbers.Parse(s, region)
		if err != nil || !phonenumbers.IsValidNumber(number) {
			return "", false
		}
		return strings.TrimPrefix(phonenumbers.Format(number, phonenumbers.E164), "+"), true
	}, nil
}
