package dispatch

import (
	"context"
	"errors"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	// recoverTries bounds how often a recovery that makes no progress is repeated
	// before the shards are opened anyway; the sweep goes on with what is left.
	recoverTries = 5
	// recoverRefusals bounds how many orphans that the store refuses are looked for one
	// by one before the shards are opened; the sweep sees to them, beside everything else.
	recoverRefusals = 16
	// recoverDoubts bounds how many turns in a row, nothing stored between them, are refused
	// as if by an outage before it is one: more than it takes to get from a page to one row.
	recoverDoubts = 12
)

// budget is what a recovery may still spend on rows of which the store refuses the end.
type budget struct{ refusals, doubts int }

// doubt says whether a refusal that looks like an outage may still be about a row.
func (b *budget) doubt(ctx context.Context, err error) bool {
	b.doubts--
	return b.doubts >= 0 && doubtful(ctx, err)
}

// recover brings freshly taken shards into service: whatever is SENDING there
// has an outcome that nobody recorded, and is decided before anything of the
// shard starts.
func (d *Dispatcher) recover(ctx context.Context, shards []*shard) {
	d.loops.Go(func() {
		for tries := 0; ctx.Err() == nil; {
			left, err := d.settleOrphans(ctx, shards)
			var lost *store.LostShards
			switch {
			case errors.As(err, &lost):
				d.sched.mu.Lock()
				for _, id := range lost.Shards {
					if sh := d.sched.shards[id%comm.ShardCount]; sh != nil {
						d.sched.lose(sh)
					}
				}
				d.sched.mu.Unlock()
				continue
			case err != nil:
				d.unopened(ctx, shards, err)
				sleep(ctx, readRetry)
				continue
			case left > 0 && tries < recoverTries:
				tries++
				sleep(ctx, readRetry)
				continue
			}
			break
		}
		d.activate(ctx, shards)
	})
}

// unopened notes that the store keeps these shards from starting anything.
func (d *Dispatcher) unopened(ctx context.Context, shards []*shard, err error) {
	if ctx.Err() != nil {
		return
	}
	d.outages.recovery.Failed(err)
	d.sched.mu.Lock()
	defer d.sched.mu.Unlock()
	for _, sh := range shards {
		if sh.refused.IsZero() {
			sh.refused = d.sched.clock.now()
		}
	}
}

// settleOrphans decides the orphans of these shards and answers how many could not be
// settled for now. What the store refuses is left to the sweep.
func (d *Dispatcher) settleOrphans(ctx context.Context, shards []*shard) (left int, err error) {
	const page = 500
	s := d.sched
	skip := map[comm.ID]bool{}
	b := &budget{refusals: recoverRefusals, doubts: recoverDoubts}
	for {
		s.mu.Lock()
		var leases []store.Lease
		home := map[comm.Shard]*shard{}
		for _, sh := range shards {
			if !sh.lost {
				// Under the epoch before ours: nothing has been started under ours yet.
				leases = append(leases, store.Lease{Shard: sh.id, Epoch: sh.epoch - 1})
				home[sh.id] = sh
			}
		}
		s.mu.Unlock()
		if len(leases) == 0 {
			return 0, nil
		}
		found, err := d.cfg.Queue.Orphans(ctx, leases, page+len(skip))
		if err != nil {
			return 0, err
		}
		turn := d.orphanTurn(found, home, skip)
		if len(turn.Finishes) == 0 {
			return left, nil
		}
		missed, err := d.settleTurn(ctx, turn, b, skip)
		if err != nil {
			return 0, err // uncertain too: what was stored is not found again
		}
		left += missed
	}
}

// settleTurn stores the ends of orphans and answers how many were not, for now; these
// and what is refused go into skip. A turn that is refused for what is in it is halved,
// as long as there are refusals left: an orphan that cannot be stored stays SENDING and
// keeps no shard closed. What looks like an outage is halved, too, until it is one: then
// everything waits.
func (d *Dispatcher) settleTurn(ctx context.Context, turn store.Turn, b *budget, skip map[comm.ID]bool) (missed int, err error) {
	res, err := d.cfg.Queue.Turn(ctx, turn)
	switch lost := (*store.LostShards)(nil); {
	case err == nil:
		b.doubts = recoverDoubts
		for i, f := range turn.Finishes {
			if i >= len(res.Finished) || !res.Finished[i] {
				skip[f.ID] = true
				missed++
			}
		}
		return missed, nil
	case errors.As(err, &lost) || !rowsOwn(ctx, err) && !b.doubt(ctx, err):
		return 0, err
	case len(turn.Finishes) == 1 || b.refusals <= 0:
		b.refusals--
		for _, f := range turn.Finishes {
			skip[f.ID] = true
		}
		d.log.Error("ends of attempts cannot be stored; their messages stay SENDING until they can", "messages", len(turn.Finishes),
			"first", turn.Finishes[0].ID.String(), "err", err)
		return 0, nil
	}
	half := len(turn.Finishes) / 2
	for _, part := range [][]store.Finish{turn.Finishes[:half], turn.Finishes[half:]} {
		some, err := d.settleTurn(ctx, store.Turn{Node: turn.Node, Leases: turn.Leases, Finishes: part}, b, skip)
		if err != nil {
			return 0, err
		}
		missed += some
	}
	return missed, nil
}

// orphanTurn decides what was found, except calls of this process that still run.
func (d *Dispatcher) orphanTurn(found []comm.State, home map[comm.Shard]*shard, skip map[comm.ID]bool) store.Turn {
	s := d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	turn := store.Turn{Node: s.node}
	var seen [comm.ShardCount]bool
	for i := range found {
		st := &found[i]
		sh := home[st.Shard]
		if sh == nil || skip[st.ID] {
			continue
		}
		if s.adopt(sh, st) {
			skip[st.ID] = true
			continue
		}
		if !seen[sh.id] {
			seen[sh.id] = true
			turn.Leases = append(turn.Leases, sh.lease())
		}
		now := s.clock.db()
		turn.Finishes = append(turn.Finishes, orphanFinish(st, s.rules.orphan(st, now, now < s.keyEnds(st))))
		s.count.orphans++
	}
	return turn
}

func orphanFinish(st *comm.State, dec decision) store.Finish {
	return store.Finish{App: st.App, ID: st.ID, Unit: comm.Unit{Shard: st.Shard, App: st.App, Channel: st.Channel, Lane: st.Lane},
		From: comm.Sending, Attempt: st.Attempts, Epoch: st.Epoch, Due: st.Due, Want: dec.want, IfCancelled: dec.ifCancelled}
}

// activate lists the units of recovered shards and lets them start. A few shards
// at a time, so that a listing of very many units stays small.
func (d *Dispatcher) activate(ctx context.Context, shards []*shard) {
	const group = 8
	for len(shards) > 0 && ctx.Err() == nil {
		n := min(group, len(shards))
		if err := d.openGroup(ctx, shards[:n]); err != nil {
			d.unopened(ctx, shards, err)
			sleep(ctx, readRetry)
			continue
		}
		d.outages.recovery.Worked()
		shards = shards[n:]
	}
}

func (d *Dispatcher) openGroup(ctx context.Context, shards []*shard) error {
	ids := make([]comm.Shard, 0, len(shards))
	for _, sh := range shards {
		ids = append(ids, sh.id)
	}
	listed, err := d.cfg.Queue.Units(ctx, ids)
	if err != nil {
		return err
	}
	s := d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range shards {
		if sh.lost || sh.active {
			continue
		}
		sh.active = true
		s.found(sh, listed)
		early := sh.early
		sh.early = nil
		for _, w := range early {
			s.notice(w)
		}
	}
	s.poke()
	return nil
}
