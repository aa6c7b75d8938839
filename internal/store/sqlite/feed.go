package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qOutboxRows  = &query{`SELECT id, at, items FROM outbox WHERE at >= 0 ORDER BY id LIMIT ?`} // the others were set aside
	qOutboxAside = &query{`UPDATE outbox SET at = -1 - at WHERE id = ? AND at >= 0`}
	qOutboxRow   = &query{`SELECT items FROM outbox WHERE id = ?`}
	qOutboxGone  = &query{`DELETE FROM outbox WHERE id = ?`}
	qOutboxRest  = &query{`UPDATE outbox SET items = ? WHERE id = ?`}
	qFeedHead    = &query{`SELECT max(last) FROM feed WHERE app_id = ?`}
	qFeedInsert  = &query{`INSERT INTO feed (app_id, last, at, items) VALUES (?, ?, ?, ?)`}
	qFeedRows    = &query{`SELECT last, items FROM feed WHERE app_id = ? AND last > ? ORDER BY last LIMIT ?`}
	qErased      = &query{`SELECT 1 FROM events WHERE message_id = ? AND app_id = ? AND sequence > ? AND type = ` + strconv.Itoa(int(comm.CauseErased))}
	qDelivery    = &query{`INSERT INTO deliveries (` + sqlstore.DeliveryColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`}
)

// Outbox implements store.Feed. Rows that were stamped leave nothing to step over, so that every look begins at the first.
func (s *Store) Outbox(ctx context.Context, shards []comm.Shard, _ store.Seen, limit int) (out store.Look, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = store.Look{}
		n := 0
		err := r.each(qOutboxRows, []value{int64(limit)}, func(v []value) error {
			n++
			row := store.Listed{Key: store.RowKey{Place: strconv.FormatInt(num(v[0]), 10), Transaction: num(v[0])}, At: comm.Micros(num(v[1]))}
			unread := sqlstore.EachRef(blob(v[2]), func(e store.EventRef) {
				if slices.Contains(shards, sqlstore.HomeOf(e.App)) {
					row.Events = append(row.Events, e)
				}
			})
			if unread != nil {
				out.Unread = append(out.Unread, row.Key)
			} else if len(row.Events) > 0 {
				row.Shard = sqlstore.HomeOf(row.Events[0].App)
				out.Rows = append(out.Rows, row)
			}
			return nil
		})
		out.More = n == limit && len(out.Rows) > 0
		return err
	})
	if err != nil {
		return store.Look{}, fmt.Errorf("look for events to stamp: %w", err)
	}
	return out, nil
}

// SetAside implements store.Feed.
func (s *Store) SetAside(ctx context.Context, unread []store.RowKey) error {
	err := s.w.hot(ctx, len(unread), func(r *raw) error {
		for _, k := range unread {
			if _, err := r.run(qOutboxAside, k.Transaction); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set events aside: %w", err)
	}
	return nil
}

// Heads implements store.Feed.
func (s *Store) Heads(ctx context.Context, apps []comm.ID) (out []int64, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make([]int64, len(apps))
		return r.snapshot(len(apps), func(i int) error {
			row, err := r.one(qFeedHead, apps[i][:])
			if err == nil && row != nil {
				out[i] = num(row[0])
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the ends of feeds: %w", err)
	}
	return out, nil
}

// Stories implements store.Feed.
func (s *Store) Stories(ctx context.Context, refs []store.EventRef) (out []comm.Message, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make([]comm.Message, 0, len(refs))
		return r.snapshot(len(refs), func(i int) error {
			app, id := refs[i].App, refs[i].Message
			m, err := message(r, app, id)
			if err != nil || m == nil {
				return err
			}
			err = r.each(qEvents, []value{id[:], app[:], int64(m.Sequence)}, func(v []value) error {
				m.Events = append(m.Events, eventRow(v))
				return nil
			})
			out = append(out, *m)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read messages with their logs: %w", err)
	}
	return out, nil
}

// Stamp implements store.Feed.
func (s *Store) Stamp(ctx context.Context, st store.Stamping) (left store.RowKey, err error) {
	g := turnGroup{t: &store.Turn{Node: st.Node, Leases: st.Leases}}
	err = s.w.hot(ctx, len(st.Rows)+len(st.Runs)+len(st.Made), func(r *raw) error {
		if err := g.fence(r); err != nil {
			return err
		}
		for _, x := range st.Told {
			if row, err := r.one(qErased, x.Message[:], x.App[:], int64(x.Sequence)); err != nil || row != nil {
				return cmp.Or[error](err, refusal{store.ErrErased})
			}
		}
		// A refusal takes nothing back: all rows are looked at before the first is changed.
		rest := make([][]byte, len(st.Rows))
		for i, k := range st.Rows {
			split := 0
			if i == len(st.Rows)-1 {
				split = st.Split
			}
			var err error
			if rest[i], err = unused(r, k.Transaction, &g, split); err != nil {
				return err
			}
		}
		for i, k := range st.Rows {
			if err := useUp(r, k.Transaction, rest[i]); err != nil {
				return err
			}
		}
		for i := range st.Runs {
			x := &st.Runs[i]
			var items []byte
			for _, e := range x.Events {
				items = sqlstore.AppendPlace(items, e.Message, e.Sequence)
			}
			if _, err := r.run(qFeedInsert, x.App[:], x.Last, int64(x.At), items); err != nil {
				return err
			}
		}
		for i := range st.Made {
			d := &st.Made[i]
			if _, err := r.run(qDelivery, d.App[:], d.Endpoint[:], d.ID[:], int64(d.Shard), d.Message[:], int64(d.Sequence), int64(d.Status), d.Position, int64(d.State),
				int64(d.Due), int64(d.Attempts), int64(d.Tries), int64(d.CreatedAt), int64(d.EndedAt), int64(d.MadeFor), int64(d.EventAt), d.Log, d.Body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return left, fmt.Errorf("stamp events: %w", err)
	}
	if st.Split > 0 {
		left = st.Rows[len(st.Rows)-1] // it is where it was
	}
	return left, nil
}

// unused is what is left of a row of the outbox without the events of the leases' shards, or without the first of them.
func unused(r *raw, id int64, g *turnGroup, split int) (rest []byte, err error) {
	row, err := r.one(qOutboxRow, id)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, refusal{store.ErrStamped}
	}
	ours, items := 0, blob(row[0])
	err = sqlstore.EachRef(items, func(e store.EventRef) {
		if g.epochs[sqlstore.HomeOf(e.App)] < 0 {
			rest = sqlstore.AppendRef(rest, e.App, e.Message, e.Sequence)
			return
		}
		if ours++; split > 0 && ours > split {
			rest = sqlstore.AppendRef(rest, e.App, e.Message, e.Sequence)
		}
	})
	if err == nil && len(rest) == len(items) {
		err = refusal{store.ErrStamped}
	}
	return rest, err
}

// useUp leaves the rest of a row of the outbox.
func useUp(r *raw, id int64, rest []byte) (err error) {
	if rest == nil {
		_, err = r.run(qOutboxGone, id)
	} else {
		_, err = r.run(qOutboxRest, rest, id)
	}
	return err
}

// Places implements store.Feed.
func (s *Store) Places(ctx context.Context, app comm.ID, after int64, limit int) (out []store.Place, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		err := r.each(qFeedRows, []value{app[:], after, int64(limit)}, func(v []value) error {
			if out = sqlstore.Behind(out, sqlstore.Places(app, num(v[0]), blob(v[1])), after); len(out) >= limit {
				return errStop
			}
			return nil
		})
		if errors.Is(err, errStop) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the feed: %w", err)
	}
	return out[:min(len(out), limit)], nil
}
