package comm

import (
	"cmp"
	"slices"
	"time"
)

// MaxReplaced is how many replaced secrets hold at most beside the one that took their place.
const MaxReplaced = 2

// Replaced is a secret that another one took the place of. It holds beside that one until its own end, whatever is rotated meanwhile.
// T is its form: sealed, or opened.
type Replaced[T any] struct {
	Secret T
	Until  Micros
}

// Holding is what holds of a list at a moment, in the list's order.
func Holding[T any](list []Replaced[T], now Micros) (out []Replaced[T]) {
	for _, r := range list {
		if r.Until > now {
			out = append(out, r)
		}
	}
	return out
}

// LastEnd is when the last of those ends that hold at a moment: from then on the current secret is alone. 0: it is alone already.
func LastEnd[T any](list []Replaced[T], now Micros) (end Micros) {
	for _, r := range Holding(list, now) {
		end = max(end, r.Until)
	}
	return end
}

// Replace is what holds beside a new secret, the newest first: the one that was current until now, for the overlap, and those before it
// until their own ends. Without an overlap nothing does, as befits a secret that has leaked. It is invalid_state while as many hold as
// may: taking one more in would cut one of them off.
func Replace[T any](list []Replaced[T], current T, overlap time.Duration, now Micros) ([]Replaced[T], error) {
	if overlap <= 0 {
		return nil, nil
	}
	held := Holding(list, now)
	if len(held) >= MaxReplaced {
		first := slices.MinFunc(held, func(a, b Replaced[T]) int { return cmp.Compare(a.Until, b.Until) })
		return nil, E("invalid_state", "The last %d that were replaced hold until their own ends: the next rotation is possible at %s. One without an overlap ends them at once.", len(held), first.Until)
	}
	return slices.Insert(held, 0, Replaced[T]{current, now.Add(overlap)}), nil
}
