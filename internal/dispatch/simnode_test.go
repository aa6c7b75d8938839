package dispatch

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func (n *simNode) Orphans(ctx context.Context, leases []store.Lease, limit int) (out []comm.State, err error) {
	err = n.tx(ctx, "orphans", func() error {
		for _, l := range leases {
			for id := range n.open[l.Shard] {
				if m := n.msgs[id]; m.state.Epoch <= l.Epoch && len(out) < limit {
					out = append(out, m.state)
				}
			}
		}
		return nil
	})
	return out, err
}

func (n *simNode) Overdue(ctx context.Context, shards []comm.Shard, horizon int64, limit int) (out []comm.State, err error) {
	err = n.tx(ctx, "overdue", func() error {
		n.overdues++
		now := n.now()
		for _, m := range n.msgs {
			st := &m.state
			over := st.ExpiresAt > 0 && st.ExpiresAt <= now || st.ExpiresAt == 0 && st.RoundSince > 0 && st.RoundSince < now-comm.Micros(horizon)
			if over && st.Status == comm.Queued && slices.Contains(shards, st.Shard) {
				out = append(out, *st)
			}
		}
		slices.SortFunc(out, func(a, b comm.State) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		out = out[:min(limit, len(out))]
		return nil
	})
	return out, err
}

func (n *simNode) Late(ctx context.Context, node string, results []store.LateResult) error {
	return n.tx(ctx, "late", func() error {
		n.lates++
		if slices.ContainsFunc(results, func(r store.LateResult) bool { return n.refuses(r.ID, "late") }) {
			return n.refusal
		}
		for _, r := range results {
			m := n.msgs[r.ID]
			cause, settles := comm.ProofSettles(&m.state)
			n.log(m, m.state.Status, m.state.Status, comm.CauseLateResult, node, 0)
			// A SENDING attempt that is not the one proved stays with its owner unless an attempt is unknown.
			if r.Accepted && settles && (m.state.Flags.Has(comm.UnknownInGeneration) || m.state.Attempts == r.Attempt) {
				n.move(m, store.Outcome{To: comm.Sent, Cause: cause, Ref: r.Outcome.Ref}, node, 0)
			}
		}
		return nil
	})
}

func (n *simNode) SetHolds(ctx context.Context, _ string, _ []store.Hold) error {
	return n.tx(ctx, "holds", func() error { n.holds++; return nil })
}

func (n *simNode) Beat(ctx context.Context, i store.NodeInfo) (c store.Cluster, err error) {
	err = n.tx(ctx, "beat", func() error {
		now := n.now()
		if until, ok := n.nodes[i.Node]; ok && until <= now {
			return store.ErrLeaseLost
		}
		n.nodes[i.Node] = now + comm.Micros(i.Lease)
		c = store.Cluster{Now: now, Owners: n.owner, ConfigVersion: n.version}
		for name, until := range n.nodes {
			if until > now {
				c.Workers = append(c.Workers, name)
			}
		}
		sort.Strings(c.Workers)
		for k := range c.Owners {
			c.Owners[k].Free = n.nodes[c.Owners[k].Node] <= now
		}
		return nil
	})
	return c, err
}

func (n *simNode) Take(ctx context.Context, node string, shards []comm.Shard) (out []store.Lease, err error) {
	err = n.tx(ctx, "take", func() error {
		now := n.now()
		if n.nodes[node] <= now {
			return nil
		}
		for _, sh := range shards {
			if o := &n.owner[sh]; o.Node == node || n.nodes[o.Node] <= now {
				o.Node = node
				o.Epoch++
				out = append(out, store.Lease{Shard: sh, Epoch: o.Epoch})
			}
		}
		return nil
	})
	return out, err
}

func (n *simNode) Release(ctx context.Context, node string, leases []store.Lease) error {
	return n.tx(ctx, "release", func() error {
		for _, l := range leases {
			if o := &n.owner[l.Shard]; o.Node == node && o.Epoch == l.Epoch {
				o.Node = ""
			}
		}
		return nil
	})
}

func (n *simNode) Leave(ctx context.Context, node string) error {
	return n.tx(ctx, "leave", func() error {
		delete(n.nodes, node)
		for k := range n.owner {
			if n.owner[k].Node == node {
				n.owner[k].Node = ""
			}
		}
		return nil
	})
}

func (n *simNode) AppsByID(ctx context.Context, ids []comm.ID) (out []comm.App, err error) {
	err = n.tx(ctx, "apps", func() error {
		for _, id := range ids {
			if a := n.apps[id]; a != nil {
				out = append(out, *a)
			}
		}
		return nil
	})
	return out, err
}

func (n *simNode) ProviderConfigs(ctx context.Context, apps ...comm.ID) (out []comm.ProviderConfig, err error) {
	err = n.tx(ctx, "configs", func() error {
		for _, id := range apps {
			out = append(out, n.configs[id]...)
		}
		return nil
	})
	return out, err
}

func (n *simNode) DaysUsed(ctx context.Context, apps ...comm.ID) (out []store.DayUse, err error) {
	err = n.tx(ctx, "days", func() error {
		for _, d := range n.days {
			if slices.Contains(apps, d.App) {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

// countDay counts the begun attempt; an app that lives in one shard never exceeds the limit of its own configuration.
func (s *simStore) countDay(x *store.Start, a *comm.App) {
	limit := 0
	for _, c := range s.configs[x.Owner] {
		if c.ID == x.ProviderID {
			limit = c.Limits.RatePerDay
		}
	}
	if x.Live && x.Daily != (limit > 0) {
		s.broken("a start says Daily %v of a configuration with %d per day", x.Daily, limit)
	}
	if !x.Daily {
		return
	}
	ref := configRef{App: x.Owner, ID: x.ProviderID}
	d := s.days[ref]
	if day := int64(s.now()) / (24 * time.Hour).Microseconds(); d.Day != day {
		d = store.DayUse{App: x.Owner, Provider: x.ProviderID, Day: day}
	}
	d.Used++
	s.days[ref] = d
	if d.Used > limit && x.Owner == a.ID && a.ShardSpread == 1 {
		s.broken("attempt %d of day %d with a limit of %d", d.Used, d.Day, limit)
	}
	if d.Used == limit {
		s.dayFull++
	}
}

func (n *simNode) Announce(ctx context.Context, wakes []store.Wake) error {
	var all []func([]store.Wake)
	err := n.tx(ctx, "announce", func() error {
		for other, f := range n.listen {
			if other != n {
				all = append(all, f)
			}
		}
		return nil
	})
	for _, f := range all {
		f(wakes)
	}
	return err
}

func (n *simNode) Listen(ctx context.Context, heard func([]store.Wake)) error {
	n.simStore.mu.Lock()
	n.listen[n] = heard
	n.simStore.mu.Unlock()
	heard(nil)
	<-ctx.Done()
	n.simStore.mu.Lock()
	delete(n.listen, n)
	n.simStore.mu.Unlock()
	return ctx.Err()
}
