package postgres

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Accept implements store.Intake.
func (s *Store) Accept(ctx context.Context, subs []store.Submission) ([]store.Accepted, error) {
	out := make([]store.Accepted, len(subs))
	todo := make([]int, len(subs))
	for i := range subs {
		todo[i] = i
	}
	for round := 1; len(todo) > 0; round++ {
		// After the first round only stragglers are missing: the others are stored already.
		again, err := s.acceptDistinct(ctx, subs, todo, round > 1, out)
		if err != nil {
			return nil, err
		}
		todo = again
	}
	return out, nil
}

// keyName identifies an idempotency key.
type keyName struct {
	app  comm.ID
	mode comm.Mode
	hash [16]byte
}

// acceptDistinct answers the submissions that todo names, and says which have to
// be asked again: one whose key another node stored at the same instant, and
// repeats of a key that the first one's answer does not settle. Done says that
// others of the call are stored already.
func (s *Store) acceptDistinct(ctx context.Context, subs []store.Submission, todo []int, done bool, out []store.Accepted) (again []int, err error) {
	first := make(map[keyName]int, len(todo))
	group := make([]int, 0, len(todo))
	var repeats []int
	for _, i := range todo {
		if sub := &subs[i]; sub.HasKey {
			k := keyName{sub.App, sub.Mode, sub.KeyHash}
			if _, there := first[k]; there {
				repeats = append(repeats, i)
				continue
			}
			first[k] = i
		}
		group = append(group, i)
	}
	if again, err = s.acceptGroup(ctx, subs, group, done, out); err != nil {
		return nil, err
	}
	for _, i := range repeats {
		sub := &subs[i]
		lead := first[keyName{sub.App, sub.Mode, sub.KeyHash}]
		if a, settled := repeatOf(&subs[lead], sub, out[lead]); settled {
			out[i] = a
		} else {
			again = append(again, i)
		}
	}
	slices.Sort(again)
	return again, nil
}

// repeatOf answers a submission whose key another one of the same call has, if
// that one's answer says enough: after a refusal for the rate the key is still unused,
// and a conflict does not tell what the stored request was.
func repeatOf(lead, sub *store.Submission, a store.Accepted) (_ store.Accepted, settled bool) {
	same := lead.Fingerprint == sub.Fingerprint
	a.Suppressed, a.Due = false, 0
	switch a.Result {
	case store.New, store.Replay:
		if a.Result = store.Replay; !same {
			a.Result, a.ID, a.Status = store.Conflict, comm.ID{}, comm.None
		}
		return a, true
	case store.Conflict:
		return a, same
	case store.Busy, store.Uncertain:
		return a, true
	default:
		return a, false
	}
}

// acceptGroup answers submissions with distinct keys: by the fast statement if all
// of them can be expected to be new and within their rates, else by the one that
// looks at each. It says which of them have to be looked at again.
func (s *Store) acceptGroup(ctx context.Context, subs []store.Submission, group []int, done bool, out []store.Accepted) (again []int, err error) {
	if slices.ContainsFunc(group, func(i int) bool { return len(subs[i].Caps) > 0 }) {
		return s.acceptMixed(ctx, subs, group, done, out)
	}
	return s.acceptPlain(ctx, subs, group, !done, done, out)
}

// acceptPlain is acceptGroup for those without a cap.
func (s *Store) acceptPlain(ctx context.Context, subs []store.Submission, group []int, fast, done bool, out []store.Accepted) (again []int, err error) {
	fast = fast && !plant.Active(plant.SelectThenInsert)
	return s.unlessHeld(ctx, subs, group, done, out, func(part []int, wait time.Duration) ([]int, error) {
		return s.acceptPart(ctx, subs, part, fast && !s.limited.any(subs, part), wait, out)
	})
}

// acceptPart is one transaction of acceptGroup, or two.
func (s *Store) acceptPart(ctx context.Context, subs []store.Submission, group []int, fast bool, wait time.Duration, out []store.Accepted) (again []int, err error) {
	if fast {
		if again, err = s.acceptNew(ctx, subs, group, wait, out); !groupWasRefused(err) {
			return again, err
		}
	}
	args := acceptArgs(subs, group)
	again = again[:0]
	err = s.accept(ctx, wait, acceptEach(), args, func() { again = again[:0] }, func(r *reader) {
		i := group[r.i64()-1]
		if !answer(&subs[i], r, &out[i]) {
			again = append(again, i)
		}
	})
	if err != nil {
		return nil, err
	}
	return append(again, s.overRate(ctx, subs, group, out)...), nil
}

// accept runs a statement as one transaction, which waits so long for each lock (see
// acceptTry); begin is called before the rows of each try.
func (s *Store) accept(ctx context.Context, wait time.Duration, sql string, args []any, begin func(), row func(r *reader)) error {
	return s.write(ctx, s.accepts, "store messages", func(c *session) error {
		begin()
		b := &pgx.Batch{}
		if wait > 0 {
			b.Queue(waitSQL, milliseconds(wait))
		}
		b.Queue(sql, args...)
		return s.batch(ctx, c, acceptSettings(), b, func(r pgx.BatchResults) error {
			if wait > 0 {
				if _, err := r.Exec(); err != nil {
					return err
				}
			}
			rows, err := r.Query()
			return each(rows, err, row)
		})
	})
}

// The second column of a submission's row in the answer of acceptSQL.
const (
	notStored = iota
	stored
	storedSuppressed
)

func groupWasRefused(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == groupRefused
}

// acceptNew runs acceptSQL, or acceptOneSQL. What it did not store is left to be looked at again.
func (s *Store) acceptNew(ctx context.Context, subs []store.Submission, group []int, wait time.Duration, out []store.Accepted) (again []int, err error) {
	if len(group) == 1 && len(subs[group[0]].Files) == 0 && len(subs[group[0]].Terms) == 0 {
		stored, err := s.acceptOne(ctx, &subs[group[0]], wait, &out[group[0]])
		if err != nil || stored {
			return nil, err
		}
		return group, nil
	}
	fates := make([]int64, len(group))
	used := make(map[comm.ID]int, 8)
	var now comm.Micros
	err = s.accept(ctx, wait, acceptSQL, acceptArgs(subs, group), func() {}, func(r *reader) {
		submission, ord, app, n := r.i32() == 1, r.i64(), r.id(), r.i64()
		if now = r.micros(); submission {
			fates[ord-1] = n
		} else {
			used[app] = int(n)
		}
	})
	if err != nil {
		return nil, err
	}
	// used is the count after the whole group: the last one of an app has it.
	for k, i := range slices.Backward(group) {
		sub := &subs[i]
		if fates[k] == notStored {
			again = append(again, i)
			continue
		}
		out[i] = store.Accepted{Result: store.New, ID: sub.ID, Status: comm.Queued, Due: max(now, sub.ScheduledAt), Suppressed: fates[k] == storedSuppressed,
			RateUsed: used[sub.App], RateReset: resetAfter(now)}
		used[sub.App]--
	}
	return again, nil
}

// acceptOne runs acceptOneSQL; stored is false when the key was taken.
func (s *Store) acceptOne(ctx context.Context, x *store.Submission, wait time.Duration, out *store.Accepted) (stored bool, err error) {
	var hash []byte
	if x.HasKey {
		hash = x.KeyHash[:]
	}
	args := []any{
		[16]byte(x.ID), [16]byte(x.App), int16(x.Shard), int16(x.Channel), int16(x.Lane), int16(x.Mode), int16(x.OnUnknown), x.Node,
		int64(x.ScheduledAt), x.TTL, hash, x.Fingerprint[:], x.Recipient, x.Payload, min(x.RatePerMinute, math.MaxInt32),
		x.Bytes(), tallyAccepts([]store.Submission{*x}, []int{0}), int16(sqlstore.HomeOf(x.App)),
	}
	err = s.accept(ctx, wait, acceptOneSQL, args, func() { stored = false }, func(r *reader) {
		stored = true
		now, used, suppressed := r.micros(), r.i32(), r.flag()
		*out = store.Accepted{Result: store.New, ID: x.ID, Status: comm.Queued, Due: max(now, x.ScheduledAt), Suppressed: suppressed,
			RateUsed: used, RateReset: resetAfter(now)}
	})
	return stored, err
}

// answer reads a row of acceptEachSQL; ok is false when another node stored its key at the same instant.
func answer(sub *store.Submission, r *reader, a *store.Accepted) (ok bool) {
	prior, used, stored, suppressed, now, status := r.next(), r.i64(), r.flag(), r.flag(), r.micros(), comm.Status(r.i16())
	*a = store.Accepted{RateUsed: int(used), RateReset: resetAfter(now)}
	switch {
	case len(prior) == 32 && bytes.Equal(prior[16:], sub.Fingerprint[:]):
		a.Result, a.Status = store.Replay, status
		copy(a.ID[:], prior)
	case prior != nil:
		a.Result = store.Conflict
	case stored:
		a.Result, a.ID, a.Status, a.Suppressed = store.New, sub.ID, comm.Queued, suppressed
		a.Due = max(now, sub.ScheduledAt)
	case used > int64(sub.RatePerMinute):
		a.Result = store.RateLimited
	default:
		return false
	}
	return true
}

// acceptArgs makes the arrays of acceptSQL and acceptEachSQL.
func acceptArgs(subs []store.Submission, group []int) []any {
	n := len(group)
	place := appPlaces(subs, group)
	id, app, a, shard := uuids(n), uuids(n), int4s(n), int2s(n)
	channel, lane, mode, onUnknown := int2s(n), int2s(n), int2s(n), int2s(n)
	node, scheduled, ttl, hash, fingerprint := texts(n), int8s(n), int8s(n), byteas(n), byteas(n)
	recipient, payload, files, rate, size, home := texts(2*n), byteas(20*n), int2s(n), int4s(n), int8s(n), int2s(n)
	fApp, fID, fN, fName, fType, fContent := uuids(0), uuids(0), int2s(0), texts(0), texts(0), byteas(0)
	wApp, wKind, wValue, wID := uuids(0), int2s(0), texts(0), uuids(0)
	for _, i := range group {
		x := &subs[i]
		id.id(x.ID)
		app.id(x.App)
		a.i32(place[x.App])
		shard.i16(int16(x.Shard))
		channel.i16(int16(x.Channel))
		lane.i16(int16(x.Lane))
		mode.i16(int16(x.Mode))
		onUnknown.i16(int16(x.OnUnknown))
		node.text(x.Node)
		scheduled.i64(int64(x.ScheduledAt))
		ttl.i64(x.TTL)
		if x.HasKey {
			hash.bytes(x.KeyHash[:])
		} else {
			hash.null()
		}
		fingerprint.bytes(x.Fingerprint[:])
		recipient.text(x.Recipient)
		payload.bytes(x.Payload)
		files.i16(int16(len(x.Files)))
		rate.i32(int32(min(x.RatePerMinute, math.MaxInt32)))
		size.i64(x.Bytes())
		home.i16(int16(sqlstore.HomeOf(x.App)))
		for n, f := range x.Files {
			fApp.id(x.App)
			fID.id(x.ID)
			fN.i16(int16(n))
			fName.text(f.Filename)
			fType.text(f.ContentType)
			fContent.bytes(f.Content)
		}
		for _, w := range x.Terms {
			wApp.id(x.App)
			wKind.i16(int16(w.Kind))
			wValue.text(w.Value)
			wID.id(x.ID)
		}
	}
	return []any{
		id, app, a, shard, channel, lane, mode, onUnknown, node, scheduled, ttl, hash, fingerprint, recipient, payload, files, rate, size,
		fApp, fID, fN, fName, fType, fContent, wApp, wKind, wValue, wID, tallyAccepts(subs, group), home,
	}
}

// appPlaces numbers the distinct apps of a group from 1 in the order of their ids.
func appPlaces(subs []store.Submission, group []int) map[comm.ID]int32 {
	place := make(map[comm.ID]int32, 8)
	var apps []comm.ID
	for _, i := range group {
		if _, there := place[subs[i].App]; !there {
			place[subs[i].App] = 0
			apps = append(apps, subs[i].App)
		}
	}
	slices.SortFunc(apps, comm.ID.Compare)
	for n, id := range apps {
		place[id] = int32(n + 1)
	}
	return place
}

// KnownKey implements store.Intake.
func (s *Store) KnownKey(ctx context.Context, app comm.ID, mode comm.Mode, hash [16]byte) (known store.Known, err error) {
	found := false
	err = s.read(ctx, "look an idempotency key up", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, knownKeySQL, sqlstore.UUID(app), int16(mode), hash[:])
		return each(rows, err, func(r *reader) {
			found = true
			known.ID = r.id()
			copy(known.Fingerprint[:], r.next())
			known.Status = comm.Status(r.i16())
		})
	})
	if err == nil && !found {
		err = comm.E("not_found")
	}
	return known, err
}
