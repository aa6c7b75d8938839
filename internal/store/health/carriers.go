package health

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/commserver/commserver/internal/comm"
)

// Carrier is a configuration that took messages while one before it in the chain did not work.
type Carrier struct {
	ID       comm.ID `json:"id"`
	Name     string  `json:"name"` // as it was then
	Messages int64   `json:"messages"`
}

// MostCarriers is how many of them are kept of a trouble, those that took most.
const MostCarriers = 5

// EncodeCarriers writes the first MostCarriers of all, those that took most first; "" for none.
func EncodeCarriers(all []Carrier) (string, error) {
	if len(all) == 0 {
		return "", nil
	}
	b, err := json.Marshal(topCarriers(all))
	return string(b), err
}

// DecodeCarriers reads what EncodeCarriers wrote.
func DecodeCarriers(s string) (all []Carrier, err error) {
	if s == "" {
		return nil, nil
	}
	return all, json.Unmarshal([]byte(s), &all)
}

// AddCarriers is a and b together, those that took most first.
func AddCarriers(a, b []Carrier) []Carrier {
	return mergeCarriers(a, b, func(x, y int64) int64 { return x + y })
}

// LatestCarriers is b, and of what a knew already the higher figure: whoever counts begins anew after a restart.
func LatestCarriers(a, b []Carrier) []Carrier {
	return mergeCarriers(a, b, func(x, y int64) int64 { return max(x, y) })
}

func mergeCarriers(a, b []Carrier, join func(x, y int64) int64) []Carrier {
	out := slices.Clone(a)
	for _, c := range b {
		if at := slices.IndexFunc(out, func(x Carrier) bool { return x.ID == c.ID }); at >= 0 {
			out[at].Name, out[at].Messages = c.Name, join(out[at].Messages, c.Messages)
		} else {
			out = append(out, c)
		}
	}
	return topCarriers(out)
}

func topCarriers(all []Carrier) []Carrier {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b Carrier) int { return cmp.Or(cmp.Compare(b.Messages, a.Messages), a.ID.Compare(b.ID)) })
	return out[:min(len(out), MostCarriers)]
}
