package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Turn implements store.Queue: content, fence, finishes and starts in one round trip.
func (s *Store) Turn(ctx context.Context, t store.Turn) (store.TurnResult, error) {
	epochs, err := epochsOf(&t)
	if err != nil {
		return store.TurnResult{}, err
	}
	var res store.TurnResult
	finishes, starts := finishOrder(t.Finishes), startOrder(t.Starts)
	queued := s.turnStatements(&t, epochs, finishes, starts)
	also := extras{traces: slices.ContainsFunc(t.Finishes, isTraced), bounces: slices.ContainsFunc(t.Finishes, isBounce), days: slices.ContainsFunc(t.Starts, isDaily)}
	err = s.write(ctx, s.turns, "record a turn", func(c *session) error {
		res = store.TurnResult{Finished: make([]bool, len(t.Finishes)), Started: make([]store.Started, len(t.Starts))}
		for i := range res.Started {
			res.Started[i].Verdict = store.Gone
		}
		return s.batch(ctx, c, turnSettings(), queued, func(r pgx.BatchResults) error { return readTurn(r, &t, finishes, starts, also, &res) })
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == turnRefused {
		return store.TurnResult{}, lostShards(refused.Detail)
	}
	if err != nil {
		return store.TurnResult{}, err
	}
	for i := range res.Started {
		if x := &res.Started[i]; x.Verdict != store.Go {
			x.Payload, x.Files = nil, nil
		}
	}
	return res, nil
}

// epochsOf is the leases by shard. An item of a shard that no lease covers is the
// caller's mistake: the fence would not guard it.
func epochsOf(t *store.Turn) (map[comm.Shard]int64, error) {
	epochs := make(map[comm.Shard]int64, len(t.Leases))
	for _, l := range t.Leases {
		if e, twice := epochs[l.Shard]; twice && e != l.Epoch {
			return nil, fmt.Errorf("a turn names shard %d under epochs %d and %d", l.Shard, e, l.Epoch)
		}
		epochs[l.Shard] = l.Epoch
	}
	for i := range t.Finishes {
		if _, ok := epochs[t.Finishes[i].Unit.Shard]; !ok {
			return nil, fmt.Errorf("a turn finishes a message of shard %d without its lease", t.Finishes[i].Unit.Shard)
		}
	}
	for i := range t.Starts {
		if _, ok := epochs[t.Starts[i].Unit.Shard]; !ok {
			return nil, fmt.Errorf("a turn starts a message of shard %d without its lease", t.Starts[i].Unit.Shard)
		}
	}
	return epochs, nil
}

// Rows are locked in the order of app and id, by every transaction that locks
// several: that is what keeps transactions from waiting for each other in a circle.

func finishOrder(items []store.Finish) []int {
	return order(len(items), func(a, b int) int {
		return cmp.Or(items[a].App.Compare(items[b].App), items[a].ID.Compare(items[b].ID))
	})
}

func startOrder(items []store.Start) []int {
	return order(len(items), func(a, b int) int {
		return cmp.Or(items[a].Unit.App.Compare(items[b].Unit.App), items[a].Head.ID.Compare(items[b].Head.ID))
	})
}

func order(n int, compare func(a, b int) int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	slices.SortStableFunc(out, compare)
	return out
}

// turnStatements puts the statements of a turn together. Content comes before the fence.
func (s *Store) turnStatements(t *store.Turn, epochs map[comm.Shard]int64, finishes, starts []int) *pgx.Batch {
	b := &pgx.Batch{}
	if len(starts) > 0 {
		app, id := uuids(len(starts)), uuids(len(starts))
		for _, i := range starts {
			app.id(t.Starts[i].Unit.App)
			id.id(t.Starts[i].Head.ID)
		}
		b.Queue(contentSQL, app, id)
	}
	shard, epoch := int2s(len(epochs)), int8s(len(epochs))
	for sh, e := range epochs {
		shard.i16(int16(sh))
		epoch.i64(e)
	}
	b.Queue(fence(), t.Node, shard, epoch)
	if len(finishes) > 0 {
		args, alternatives := finishArgs(t, finishes)
		switch {
		case alternatives:
			b.Queue(s.finishElse, args...)
		case slices.ContainsFunc(t.Finishes, isRequeue):
			b.Queue(s.finishMoves, args...)
		default:
			b.Queue(s.finish, args...)
		}
	}
	if args := traceArgs(t, finishes); args != nil {
		b.Queue(traceSQL, args...)
	}
	if args := bounceArgs(t, finishes); args != nil {
		b.Queue(bounceSQL, args...)
	}
	if len(starts) > 0 {
		args, failed := startArgs(t, epochs, starts)
		if failed {
			b.Queue(s.startFailed, args...)
		} else {
			b.Queue(s.start, args...)
		}
	}
	if args := dayArgs(t, starts); args != nil {
		b.Queue(daySQL, args...)
	}
	return b
}

func isRequeue(f store.Finish) bool { return f.Want.To == comm.Queued }

func isRetry(x store.Start) bool { return x.Attempt > 0 && x.Failed != nil }

// extras are the statements that few turns have.
type extras struct{ traces, bounces, days bool }

// readTurn reads the answers to turnStatements.
func readTurn(r pgx.BatchResults, t *store.Turn, finishes, starts []int, also extras, res *store.TurnResult) error {
	if len(starts) > 0 {
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) { readContent(r, &res.Started[starts[r.i64()-1]]) }); err != nil {
			return err
		}
	}
	rows, err := r.Query()
	if err := each(rows, err, func(r *reader) { res.Now = r.micros() }); err != nil {
		return err
	}
	if len(finishes) > 0 {
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) { res.Finished[r.i32()] = true }); err != nil {
			return err
		}
	}
	for _, more := range []bool{also.traces, also.bounces} {
		if more {
			if _, err := r.Exec(); err != nil {
				return err
			}
		}
	}
	if len(starts) > 0 {
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) {
			i := r.i32()
			x, changed := &res.Started[i], r.i32() == 1
			r.state(&x.State)
			switch start := &t.Starts[i]; {
			case !changed && start.Careful && start.Attempt == 0 && x.State.Flags.Has(comm.UnknownInGeneration):
				x.Verdict, x.State = store.Doubted, comm.State{}
			case !changed && sqlstore.OwesRepeat(&x.State, start):
				x.Verdict = store.RepeatFirst
			case !changed:
				x.Verdict = store.ModeChanged
			case x.State.Status == comm.Sending:
				x.Verdict = store.Go
			default:
				x.Verdict = store.Ended
			}
		}); err != nil {
			return err
		}
	}
	if also.days {
		_, err := r.Exec()
		return err
	}
	return nil
}

// readContent reads a row of contentSQL: the payload, and one file if there are any.
func readContent(r *reader, x *store.Started) {
	if p := r.bytes(); p != nil {
		x.Payload = p
	}
	if r.next() == nil { // f.n
		return
	}
	x.Files = append(x.Files, comm.Attachment{Filename: r.text(), ContentType: r.text(), Content: r.bytes()})
}

// lostShards reads the detail of the fence's refusal.
func lostShards(detail string) *store.LostShards {
	lost := &store.LostShards{}
	for n := range strings.SplitSeq(detail, ",") {
		if v, err := strconv.ParseUint(n, 10, 8); err == nil {
			lost.Shards = append(lost.Shards, comm.Shard(v))
		}
	}
	slices.Sort(lost.Shards)
	return lost
}

// outcomes is the arrays of outcomes, in the order of the columns in finishSQL.
type outcomes struct {
	to, cause                 *list
	due                       *list
	round, set                *list
	provider                  *list
	providerID                *list
	ref, code, errText, extra *list
}

func newOutcomes(n int) *outcomes {
	return &outcomes{to: int2s(n), cause: int2s(n), due: int8s(n), round: int4s(n), set: int4s(n), provider: texts(n), providerID: uuids(n),
		ref: texts(n), code: texts(n), errText: texts(n), extra: texts(n)}
}

func (l *outcomes) add(o *store.Outcome) {
	l.to.i16(int16(o.To))
	l.cause.i16(int16(o.Cause))
	l.due.i64(int64(o.Due))
	l.round.i32(int32(o.Round))
	l.set.i32(int32(o.Set))
	l.provider.text(o.Provider)
	l.providerID.id(o.ProviderID)
	l.ref.text(o.Ref)
	l.code.text(o.ErrorCode)
	l.errText.text(o.ErrorText)
	l.extra.text(o.Detail)
}

func (l *outcomes) args() []any {
	return []any{l.to, l.cause, l.due, l.round, l.set, l.provider, l.providerID, l.ref, l.code, l.errText, l.extra}
}

// finishArgs makes the arrays of finishSQL.
func finishArgs(t *store.Turn, finishes []int) (args []any, alternatives bool) {
	n := len(finishes)
	app, id, shard, from, attempt, expected, ord, home := uuids(n), uuids(n), int2s(n), int2s(n), int4s(n), int8s(n), int4s(n), int2s(n)
	want := newOutcomes(n)
	for _, i := range finishes {
		f := &t.Finishes[i]
		app.id(f.App)
		id.id(f.ID)
		shard.i16(int16(f.Unit.Shard))
		from.i16(int16(f.From))
		if f.From == comm.Sending {
			attempt.i32(int32(f.Attempt))
			expected.i64(f.Epoch)
		} else {
			attempt.i32(0)
			expected.i64(int64(f.Due))
		}
		want.add(&f.Want)
		ord.i32(int32(i))
		home.i16(int16(sqlstore.HomeOf(f.App)))
		alternatives = alternatives || f.IfCancelled != nil
	}
	args = append([]any{t.Node, app, id, shard, from, attempt, expected}, want.args()...)
	args = append(args, ord)
	if !alternatives {
		return append(args, tallyFinishes(t.Finishes), home), false
	}
	has, other := int2s(n), newOutcomes(n)
	for _, i := range finishes {
		if alt := t.Finishes[i].IfCancelled; alt != nil {
			has.i16(1)
			other.add(alt)
		} else {
			has.i16(0)
			other.add(&store.Outcome{})
		}
	}
	return append(append(append(args, has), other.args()...), tallyFinishes(t.Finishes), home), true
}

// startArgs makes the arrays of startSQL.
func startArgs(t *store.Turn, epochs map[comm.Shard]int64, starts []int) (args []any, anyFailed bool) {
	n := len(starts)
	app, id, shard, channel, lane, due := uuids(n), uuids(n), int2s(n), int2s(n), int2s(n), int8s(n)
	attempt, epoch, lease, provider, providerID, asks, ord, said := int4s(n), int8s(n), int8s(n), texts(n), uuids(n), int2s(n), int4s(n), texts(n)
	home, elsewhere, failed := int2s(n), int2s(n), newOutcomes(0)
	anyFailed = slices.ContainsFunc(t.Starts, isRetry)
	for _, i := range starts {
		x := &t.Starts[i]
		app.id(x.Unit.App)
		id.id(x.Head.ID)
		shard.i16(int16(x.Unit.Shard))
		channel.i16(int16(x.Unit.Channel))
		lane.i16(int16(x.Unit.Lane))
		due.i64(int64(x.Head.Due))
		attempt.i32(int32(x.Attempt))
		epoch.i64(x.Epoch)
		lease.i64(epochs[x.Unit.Shard])
		provider.text(x.Provider)
		providerID.id(x.ProviderID)
		asks.i16(bit(x.Live) | bit(x.Careful && x.Attempt == 0)<<1)
		said.text(x.Detail)
		ord.i32(int32(i))
		home.i16(int16(sqlstore.HomeOf(x.Unit.App)))
		elsewhere.i16(bit(x.Elsewhere))
		switch {
		case !anyFailed:
		case isRetry(*x):
			failed.add(x.Failed)
		default:
			failed.add(&store.Outcome{})
		}
	}
	args = []any{t.Node, app, id, shard, channel, lane, due, attempt, epoch, lease, provider, providerID, asks, ord, said}
	if anyFailed {
		args = append(args, failed.cause, failed.set, failed.provider, failed.providerID, failed.ref, failed.code, failed.errText, failed.extra)
	}
	return append(args, tallyStarts(t.Starts), home, elsewhere), anyFailed
}

func bit(b bool) int16 {
	if b {
		return 1
	}
	return 0
}
