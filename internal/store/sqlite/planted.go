package sqlite

import (
	"context"
	"slices"
)

// What is in this file is called only where a bug of package plant is active:
// no other build has it in its binary.

// selectFirst looks idempotency keys up before the transaction, and stores what
// had none then without asking again: two racing clients are both told "new".
func (s *Store) selectFirst(ctx context.Context, g *acceptGroup, o *op) {
	asked := g.subs
	g.subs = slices.Clone(asked)
	for i := range g.subs {
		if sub := &g.subs[i]; sub.HasKey {
			_, err := s.KnownKey(ctx, sub.App, sub.Mode, sub.KeyHash)
			sub.HasKey = err == nil
		}
	}
	run := o.hot
	o.hot = func(r *raw) error {
		if err := run(r); err != nil {
			return err
		}
		for i := range asked {
			if sub := &asked[i]; sub.HasKey && !g.subs[i].HasKey {
				if _, err := r.run(qKeyInsert, sub.App[:], int64(sub.Mode), sub.KeyHash[:], sub.ID[:], sub.Fingerprint[:]); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// events writes the first events of a group, in a transaction of their own.
func (g *acceptGroup) events(r *raw) error {
	for i := range g.subs {
		if sub := &g.subs[i]; g.out[i].ID == sub.ID {
			if _, err := r.run(qAcceptedEvent, sub.App[:], sub.ID[:], int64(g.now), sub.Node); err != nil {
				return err
			}
			counted(r, sub, g.now)
		}
	}
	return nil
}
