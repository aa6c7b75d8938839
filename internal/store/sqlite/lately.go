package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qFeedEnd    = &query{`SELECT max(rowid) FROM feed`}
	qFeedNewest = &query{`SELECT app_id, last, items FROM feed WHERE rowid > ? ORDER BY rowid DESC LIMIT ?`}
	qFeedLast   = &query{`SELECT app_id, last, items FROM feed WHERE app_id = ? AND last > ? ORDER BY last DESC LIMIT ?`}
	qGlimpse    = &query{`SELECT ` + sqlstore.EventColumns + ` FROM events WHERE message_id = ? AND sequence = ? AND app_id = ?`}
	qKindOf     = &query{`SELECT channel, mode FROM state WHERE id = ? AND app_id = ?`}
)

// Newest implements store.Lately. Rows are numbered in the order in which they were written; Seen.From is the last one's number, or of an app its position.
func (s *Store) Newest(ctx context.Context, app comm.ID, seen store.Seen, limit int) (out store.Newest, err error) {
	end, rows, args := qFeedEnd, qFeedNewest, []value(nil)
	if !app.IsZero() {
		end, rows, args = qFeedHead, qFeedLast, []value{app[:]}
	}
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() error {
			out = store.Newest{}
			last, err := r.one(end, args...)
			if err != nil || last == nil {
				return err
			}
			if out.Seen.From = num(last[0]); out.Seen.From < seen.From {
				seen = store.Seen{} // it was set back
			}
			n := 0
			err = r.each(rows, append(slices.Clone(args), seen.From, int64(limit)), func(v []value) error {
				n++
				out.Events = append(out.Events, sqlstore.NewestFirst(sqlstore.Places(idOf(v[0]), num(v[1]), blob(v[2])))...)
				return nil
			})
			out.More = n == limit
			return err
		})
	})
	if err != nil {
		return store.Newest{}, fmt.Errorf("read what happened last: %w", err)
	}
	return out, nil
}

// Glimpses implements store.Lately.
func (s *Store) Glimpses(ctx context.Context, events []store.EventRef) (out []store.Glimpse, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make([]store.Glimpse, 0, len(events))
		return r.snapshot(len(events), func(i int) error {
			e := &events[i]
			row, err := r.one(qGlimpse, e.Message[:], int64(e.Sequence), e.App[:])
			if err != nil || row == nil {
				return err
			}
			g := store.Glimpse{Event: eventRow(row)}
			kind, err := r.one(qKindOf, e.Message[:], e.App[:])
			if err != nil || kind == nil {
				return err
			}
			g.Channel, g.Mode = comm.Channel(num(kind[0])), comm.Mode(num(kind[1]))
			out = append(out, g)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return out, nil
}

// Recipients implements store.Lately.
func (s *Store) Recipients(ctx context.Context, messages []store.EventRef) (out map[comm.ID]string, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make(map[comm.ID]string, len(messages))
		return r.snapshot(len(messages), func(i int) error {
			row, err := r.one(qShown, messages[i].Message[:], messages[i].App[:])
			if row != nil {
				out[messages[i].Message] = text(row[0])
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	return out, nil
}
