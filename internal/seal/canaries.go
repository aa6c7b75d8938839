package seal

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Canaries are the canaries of several keys, at most one of each.
type Canaries []Sealed

// ParseCanaries reads what String wrote; of "" there are none.
func ParseCanaries(stored string) (all Canaries, err error) {
	if stored == "" {
		return nil, nil
	}
	for entry := range strings.SplitSeq(stored, ",") {
		id, encoded, _ := strings.Cut(entry, ":")
		box, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("the stored canary of the key ring is damaged: %w", err)
		}
		all = append(all, Sealed{KeyID: id, Box: box})
	}
	return all, nil
}

// String writes the canaries for storing, as id:base64 with commas between them. They tell nothing about the keys.
func (c Canaries) String() string {
	text := make([]string, len(c))
	for i, one := range c {
		text[i] = one.KeyID + ":" + base64.StdEncoding.EncodeToString(one.Box)
	}
	return strings.Join(text, ",")
}

// Of finds the canary of a key.
func (c Canaries) Of(keyID string) (canary Sealed, found bool) {
	i := slices.IndexFunc(c, func(one Sealed) bool { return one.KeyID == keyID })
	if i < 0 {
		return Sealed{}, false
	}
	return c[i], true
}
