package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// takeover measures how long the shards of a node are without an owner that has
// recovered them: after SIGKILL, after SIGSTOP, and given at SIGTERM.
func takeover(ctx context.Context, o options) error {
	f, err := newFleet(ctx, o)
	if err != nil {
		return err
	}
	defer f.close()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM} {
		var first, last []time.Duration
		for k := range o.rounds {
			time.Sleep(o.lease + 3*time.Second)
			i := k % o.nodes
			id, at := f.id(i), time.Now()
			f.kill(i, sig)
			time.Sleep(o.lease + o.lease/2 + 2*time.Second)
			a, z, err := f.gaps(ctx, id, at, sig)
			if err != nil {
				return err
			}
			first, last = append(first, a), append(last, z)
			f.kill(i, syscall.SIGKILL)
			if err := f.start(i); err != nil {
				return err
			}
		}
		fmt.Printf("takeover: lease %v, %v, %d rounds: first shard %s, last shard %s\n", o.lease, sig, o.rounds, spread(first), spread(last))
	}
	f.p.stop()
	if _, err := f.drain(ctx); err != nil {
		return err
	}
	return f.judge(ctx)
}

// gaps is the least and the greatest time that a shard of a node was without a
// recovered owner: since the signal, or since it was given after a SIGTERM.
func (f *fleet) gaps(ctx context.Context, id string, at time.Time, sig syscall.Signal) (a, z time.Duration, err error) {
	from := "$2"
	if sig == syscall.SIGTERM {
		from = "(SELECT max(at) FROM attack.moves g WHERE g.shard = m.shard AND g.kind = 'give' AND g.node = $1 AND g.at < m.at)"
	}
	var lo, hi *float64
	err = f.db.QueryRow(ctx, `WITH mine AS (SELECT DISTINCT ON (shard) shard, node FROM attack.moves WHERE kind = 'take' AND at < $2 ORDER BY shard, at DESC),
 next AS (SELECT DISTINCT ON (m.shard) extract(epoch FROM m.at - `+from+`::timestamptz)::float8 AS gap FROM attack.moves m JOIN mine USING (shard)
  WHERE mine.node = $1 AND m.kind = 'recovered' AND m.at > $2 AND m.node <> $1 ORDER BY m.shard, m.at) SELECT min(gap), max(gap) FROM next`, id, at).Scan(&lo, &hi)
	if err != nil || lo == nil {
		return 0, 0, fmt.Errorf("reading moves of %s: %w", id, err)
	}
	return time.Duration(*lo * 1e9), time.Duration(*hi * 1e9), nil
}

// spread prints median, least and greatest.
func spread(ds []time.Duration) string {
	slices.Sort(ds)
	round := time.Millisecond
	if ds[len(ds)-1] < 100*time.Millisecond {
		round = 10 * time.Microsecond
	}
	return fmt.Sprintf("%v (%v to %v)", ds[len(ds)/2].Round(round), ds[0].Round(round), ds[len(ds)-1].Round(round))
}
