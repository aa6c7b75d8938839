package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	// outboxRowsSQL looks at the outbox: $1 the shards, $2 the transactions that the last look found open, $3 the first one that it
	// knew nothing of, $4 how many rows; where it goes on with what an earlier look could see, $5 is the first one that that knew nothing of, and $6 those that it found open. A row that is there was committed by a transaction that this snapshot sees;
	// the snapshot's own bounds are what the next look begins from, so that no row that was stamped is met again, however
	// long somebody's old snapshot keeps it, and none is missed, however long its transaction was open.
	outboxRowsSQL = `
WITH o AS (
  (SELECT 0 AS part, o.xid, o.shard, o.at, o.items, o.ctid::text AS place FROM outbox o WHERE o.xid = ANY ($2::bigint[]) AND o.shard = ANY ($1::smallint[]))
  UNION ALL
  (SELECT 1, o.xid, o.shard, o.at, o.items, o.ctid::text FROM outbox o WHERE o.xid >= $3 AND o.xid < $5 AND o.xid <> ALL ($6::bigint[]) AND o.shard = ANY ($1::smallint[])
    ORDER BY o.xid FETCH FIRST $4 ROWS WITH TIES))
SELECT s.snapshot, o.part, o.xid, o.shard, o.at, o.items, o.place FROM (SELECT pg_current_snapshot()::text AS snapshot) s LEFT JOIN o ON true ORDER BY o.part, o.xid`
	// asideSQL gives rows the numbers of no transactions that there are, each row named as in usedUpSQL.
	asideSQL = `UPDATE outbox SET xid = -1 - xid WHERE ctid = ANY ($1::text[]::tid[]) AND xid + 0 = ANY ($2::bigint[])`
	// writtenBySQL answers which transactions wrote some events, by the low half of their numbers: $1 the apps, $2 the messages, $3 the sequences.
	writtenBySQL = `
SELECT e.writer FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS x (app, id, n)
CROSS JOIN LATERAL (SELECT e.xmin::text::bigint AS writer FROM events e WHERE e.app_id = x.app AND e.message_id = x.id AND e.sequence = x.n OFFSET 0) e`
)

// Outbox implements store.Feed.
func (s *Store) Outbox(ctx context.Context, shards []comm.Shard, seen store.Seen, limit int) (out store.Look, err error) {
	if len(shards) == 0 {
		return out, nil
	}
	open := int8s(len(seen.Open))
	for _, x := range seen.Open {
		open.i64(x)
	}
	out, top, err := s.outbox(ctx, shards, seen, open, limit)
	if err == nil && top < seen.From {
		// Transactions are numbered from lower on than they were: another server took over that had not heard of the last ones, or this one lost
		// them with its memory. What was seen says nothing of the new ones.
		out, _, err = s.outbox(ctx, shards, store.Seen{}, int8s(0), limit)
	}
	return out, err
}

// outbox is one look, and the first transaction that its snapshot knew nothing of.
func (s *Store) outbox(ctx context.Context, shards []comm.Shard, seen store.Seen, open *list, limit int) (out store.Look, top int64, err error) {
	// What the first of a row of looks could not see is left to the look after them.
	first := store.Seen{From: math.MaxInt64}
	if seen.Next != nil {
		first = *seen.Next
	}
	err = s.read(ctx, "look for events to stamp", func(c *pgx.Conn) error {
		out = store.Look{}
		n, last, err := outboxPage(ctx, c, &out, shards, open, seen.From, limit, first)
		if err != nil {
			return err
		}
		next := out.Seen
		top = next.From
		if seen.Next != nil {
			next = *seen.Next
		}
		if out.Seen, out.More = next, n >= limit; !out.More {
			return nil
		}
		if last, err = earlierToo(ctx, c, &out, shards, last, next); err != nil {
			return err
		}
		out.Seen = store.Seen{From: last + 1, Next: &next}
		return nil
	})
	return out, top, err
}

// outboxPage adds to a look the rows of the transactions open, and those from a number on that a snapshot could see, as many as there are or a few more than limit;
// Seen is the snapshot then. It answers how many those were, and the last one's number.
func outboxPage(ctx context.Context, c *pgx.Conn, out *store.Look, shards []comm.Shard, open *list, from int64, limit int, could store.Seen) (n int, last int64, err error) {
	unseen := int8s(len(could.Open))
	for _, x := range could.Open {
		unseen.i64(x)
	}
	var bad error
	rows, err := c.Query(ctx, outboxRowsSQL, shardList(shards), open, from, int64(limit), could.From, unseen)
	err = each(rows, err, func(r *reader) {
		at, err := bounds(r.text())
		bad = errors.Join(bad, err)
		if out.Seen = at; r.columns[r.at] == nil {
			return
		}
		part := r.i32()
		row := store.Listed{Key: store.RowKey{Transaction: r.i64()}, Shard: comm.Shard(r.i16()), At: r.micros()}
		unread := sqlstore.EachRef(r.next(), func(e store.EventRef) { row.Events = append(row.Events, e) })
		row.Key.Place = r.text()
		if part == 1 {
			n, last = n+1, row.Key.Transaction
		}
		if unread != nil {
			out.Unread = append(out.Unread, row.Key)
		} else {
			out.Rows = append(out.Rows, row)
		}
	})
	return n, last, errors.Join(err, bad)
}

// earlierToo goes on with a look that ended behind a transaction, until it has all earlier events of its messages that the snapshot could see, and answers behind which one it ends
// then: of two transactions of one message, the one that waited for the other may have the lower number.
func earlierToo(ctx context.Context, c *pgx.Conn, out *store.Look, shards []comm.Shard, last int64, could store.Seen) (int64, error) {
	known := map[store.EventRef]bool{}
	for done := 0; done < len(out.Rows); {
		fresh := out.Rows[done:]
		done = len(out.Rows)
		until, err := writtenUntil(ctx, c, fresh, known, could.From)
		if err != nil || until <= last {
			return last, err
		}
		could := store.Seen{From: min(could.From, until+1), Open: could.Open}
		if _, _, err := outboxPage(ctx, c, out, shards, int8s(0), last+1, math.MaxInt32, could); err != nil {
			return last, err
		}
		last = until
	}
	return last, nil
}

// writtenUntil is the last transaction, of those before top, that wrote an event which comes before one of these rows and is not known; 0: there is none.
func writtenUntil(ctx context.Context, c *pgx.Conn, rows []store.Listed, known map[store.EventRef]bool, top int64) (last int64, err error) {
	for i := range rows {
		for _, e := range rows[i].Events {
			known[e] = true
		}
	}
	app, id, sequence := uuids(0), uuids(0), int4s(0)
	for i := range rows {
		for _, e := range rows[i].Events {
			if e.Sequence--; e.Sequence > 0 && !known[e] {
				app.id(e.App)
				id.id(e.Message)
				sequence.i32(int32(e.Sequence))
			}
		}
	}
	found, err := c.Query(ctx, writtenBySQL, app, id, sequence)
	err = each(found, err, func(r *reader) {
		last = max(last, top-int64(uint32(top)-uint32(r.i64()))) // the whole number; a row that is older than that is taken for a young one, which costs a longer look
	})
	return last, err
}

// bounds reads a snapshot: the first transaction that it knows nothing of, and those before that were open.
func bounds(text string) (s store.Seen, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("the server's snapshot is %q", text)
	}
	if s.From, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return s, err
	}
	for x := range strings.SplitSeq(parts[2], ",") {
		if x == "" {
			continue
		}
		open, err := strconv.ParseInt(x, 10, 64)
		if err != nil {
			return s, err
		}
		s.Open = append(s.Open, open)
	}
	return s, nil
}

// SetAside implements store.Feed.
func (s *Store) SetAside(ctx context.Context, unread []store.RowKey) error {
	place, xid := texts(len(unread)), int8s(len(unread))
	for _, k := range unread {
		place.text(k.Place)
		xid.i64(k.Transaction)
	}
	return s.transaction(ctx, "set events aside", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, asideSQL, place, xid)
		return err
	})
}
