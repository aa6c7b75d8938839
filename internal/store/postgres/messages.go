package postgres

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	messageSQL = `SELECT ` + stateOf + `, CASE WHEN c.shown <> '' THEN c.shown ELSE c.recipient END, c.payload FROM state s JOIN content c ON c.app_id = s.app_id AND c.id = s.id WHERE s.app_id = $1 AND s.id = $2`
	eventsSQL  = `SELECT ` + eventColumns + ` FROM events WHERE app_id = $1 AND message_id = $2 ORDER BY app_id, message_id, sequence`
	lockSQL    = `SELECT ` + stateOf + `, c.payload IS NULL, ` + wallClock + `
FROM state s JOIN content c ON c.app_id = s.app_id AND c.id = s.id WHERE s.app_id = $1 AND s.id = $2 FOR UPDATE OF s`
	// aliveSQL keeps the app from being deleted until the transaction ends.
	aliveSQL = `SELECT true FROM apps WHERE id = $1 AND deleted_at = 0 FOR SHARE`
)

// Message implements store.Messages.
func (s *Store) Message(ctx context.Context, app, id comm.ID) (*comm.Message, error) {
	var m comm.Message
	found := false
	err := s.read(ctx, "read a message", func(c *pgx.Conn) error {
		found, m = false, comm.Message{}
		b := &pgx.Batch{}
		b.Queue(messageSQL, sqlstore.UUID(app), sqlstore.UUID(id))
		b.Queue(eventsSQL, sqlstore.UUID(app), sqlstore.UUID(id))
		r := c.SendBatch(ctx, b)
		defer func() { _ = r.Close() }() // whatever it says was said by the reads
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) {
			found = true
			readMessage(r, &m)
		}); err != nil {
			return err
		}
		rows, err = r.Query()
		return each(rows, err, func(r *reader) {
			var e comm.Event
			r.event(&e)
			// Events that were written between the two statements belong to a later picture.
			if e.Sequence <= m.Sequence {
				m.Events = append(m.Events, e)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, comm.E("not_found")
	}
	return &m, nil
}

// readMessage reads state, recipient and payload. A content that cannot be read takes nothing of the rest with it.
func readMessage(r *reader, m *comm.Message) {
	r.state(&m.State)
	recipient, payload := r.text(), r.next()
	m.ContentUnread = payload != nil && store.DecodeContent(payload, &m.Content) != nil
	if m.ContentGone = payload == nil || m.ContentUnread; m.ContentGone {
		m.To = recipient
	}
}

// Cancel implements store.Messages.
func (s *Store) Cancel(ctx context.Context, app, id comm.ID, actor string) (st comm.State, result comm.CancelResult, err error) {
	err = s.change(ctx, "cancel a message", nil, app, id, func(st *comm.State, _ bool, now comm.Micros) (c sqlstore.Change) {
		c, result = sqlstore.Cancel(st, actor, now)
		return c
	}, &st)
	return st, result, err
}

// Retry implements store.Messages.
func (s *Store) Retry(ctx context.Context, app, id comm.ID, actor string) (st comm.State, result comm.RetryResult, err error) {
	err = s.change(ctx, "retry a message", ofLivingApp, app, id, func(st *comm.State, gone bool, now comm.Micros) (c sqlstore.Change) {
		c, result = sqlstore.Retry(st, gone, actor, now)
		return c
	}, &st)
	return st, result, err
}

// ofLivingApp holds the app's row, so that nothing of it comes back to life once it is deleted; not_found when it is.
func ofLivingApp(ctx context.Context, tx pgx.Tx, app comm.ID) error {
	alive := false
	rows, err := tx.Query(ctx, aliveSQL, sqlstore.UUID(app))
	err = each(rows, err, func(r *reader) { alive = r.flag() })
	if err == nil && !alive {
		err = comm.E("not_found")
	}
	return err
}

// change locks a message's row, computes the change and writes it, after what must hold first, if anything.
func (s *Store) change(ctx context.Context, what string, first func(context.Context, pgx.Tx, comm.ID) error, app, id comm.ID, compute func(st *comm.State, gone bool, now comm.Micros) sqlstore.Change, after *comm.State) error {
	return s.transaction(ctx, what, func(tx pgx.Tx) error {
		if first != nil {
			if err := first(ctx, tx, app); err != nil {
				return err
			}
		}
		found := false
		var c sqlstore.Change
		rows, err := tx.Query(ctx, lockSQL, sqlstore.UUID(app), sqlstore.UUID(id))
		err = each(rows, err, func(r *reader) {
			var st comm.State
			r.state(&st)
			gone := r.flag()
			found, c = true, compute(&st, gone, r.micros())
		})
		if err != nil {
			return err
		}
		if !found {
			return comm.E("not_found")
		}
		*after = c.After
		b := &pgx.Batch{}
		queueChange(b, &c)
		return sendAll(ctx, tx, b)
	})
}

// filing is a message that late results are about: its row, locked, and its log.
type filing struct {
	st  comm.State
	log []comm.Event
}

// Late implements store.Queue. Messages are locked in one order, then all changes are written together.
func (s *Store) Late(ctx context.Context, node string, results []store.LateResult) error {
	if len(results) == 0 {
		return nil
	}
	order := order(len(results), func(a, b int) int {
		return cmp.Or(results[a].App.Compare(results[b].App), results[a].ID.Compare(results[b].ID))
	})
	return s.transaction(ctx, "file late results", func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		var f *filing
		var now comm.Micros
		for k, i := range order {
			x := &results[i]
			if k == 0 || results[order[k-1]].App != x.App || results[order[k-1]].ID != x.ID {
				var err error
				if f, now, err = lockFiling(ctx, tx, x.App, x.ID); err != nil {
					return err
				}
			}
			if f == nil {
				continue // erased meanwhile, or never ours
			}
			c := sqlstore.Late(&f.st, f.log, x, node, now)
			queueChange(b, &c)
			f.st, f.log = c.After, append(f.log, c.Events...)
		}
		return sendAll(ctx, tx, b)
	})
}

// lockFiling locks a message's row and reads its log; nil when the app has no such message.
func lockFiling(ctx context.Context, tx pgx.Tx, app, id comm.ID) (f *filing, now comm.Micros, err error) {
	b := &pgx.Batch{}
	b.Queue(lockSQL, sqlstore.UUID(app), sqlstore.UUID(id))
	b.Queue(eventsSQL, sqlstore.UUID(app), sqlstore.UUID(id))
	r := tx.SendBatch(ctx, b)
	rows, err := r.Query()
	err = each(rows, err, func(r *reader) {
		f = &filing{}
		r.state(&f.st)
		_ = r.flag() // whether the content is gone
		now = r.micros()
	})
	if err == nil && f != nil {
		rows, err = r.Query()
		err = each(rows, err, func(r *reader) {
			var e comm.Event
			r.event(&e)
			f.log = append(f.log, e)
		})
	}
	if closed := r.Close(); err == nil {
		err = closed
	}
	return f, now, err
}

const (
	updateStateSQL = `
UPDATE state SET status = $3, updated_at = $4, due = $5, generation = $6, attempts = $7, round = $8, round_since = $9, sequence = $10, epoch = $11,
  flags = $12, provider = $13, provider_id = $14, provider_ref = $15, error_code = $16, error_text = $17, sent_at = $18, delivered_at = $19
WHERE app_id = $1 AND id = $2`
	insertEventSQL = `
INSERT INTO events (` + eventColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`
	deleteQueueSQL = `DELETE FROM queue WHERE shard = $1 AND app_id = $2 AND channel = $3 AND lane = $4 AND due = $5 AND id = $6`
	insertQueueSQL = `INSERT INTO queue (shard, app_id, channel, lane, due, id, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)`
)

// queueChange adds the statements that write a change of a locked row: state, then events and what they count, then queue.
func queueChange(b *pgx.Batch, c *sqlstore.Change) {
	if len(c.Events) == 0 {
		return
	}
	a := &c.After
	app, id := sqlstore.UUID(a.App), sqlstore.UUID(a.ID)
	var tally sqlstore.Tally
	var items []byte
	b.Queue(updateStateSQL, app, id, int16(a.Status), int64(a.UpdatedAt), int64(a.Due), a.Generation, a.Attempts, a.Round, int64(a.RoundSince), a.Sequence, a.Epoch,
		int32(a.Flags), a.Provider, sqlstore.UUID(a.ProviderID), a.ProviderRef, a.ErrorCode, a.ErrorText, int64(a.SentAt), int64(a.DeliveredAt))
	for i := range c.Events {
		e := &c.Events[i]
		b.Queue(insertEventSQL, app, id, e.Sequence, int16(e.Type), int16(e.From), int16(e.To), int64(e.At), e.Generation, e.Attempt, e.Epoch, e.Node, e.Actor,
			e.Provider, sqlstore.UUID(e.ProviderID), e.Ref, e.ErrorCode, e.Detail, e.ErrorText)
		items = sqlstore.AppendRef(items, e.App, e.Message, e.Sequence)
		tally.Event(a, e)
	}
	b.Queue(tallySQL, int64(tally.At), tally.Encode())
	b.Queue(outboxSQL, int64(tally.At), items, int16(sqlstore.HomeOf(a.App)))
	if c.Suppress != "" {
		b.Queue(sqlstore.SuppressRecipient, int16(a.Channel), c.Suppress, int64(c.At()), id, app, c.Within)
	}
	queueMoves(b, c)
}

// queueMoves adds what few changes need: the provider's id that is kept, and the queue row that goes or comes.
func queueMoves(b *pgx.Batch, c *sqlstore.Change) {
	a := &c.After
	app, id := sqlstore.UUID(a.App), sqlstore.UUID(a.ID)
	if t := c.Trace; t != nil {
		b.Queue(keepTraceSQL, sqlstore.UUID(t.Provider), t.Ref, sqlstore.UUID(t.App), sqlstore.UUID(t.Message), t.Attempt, int64(t.At), int64(t.AskAt))
	}
	remove, removed, insert, inserted := c.QueueMove()
	if removed {
		b.Queue(deleteQueueSQL, int16(a.Shard), app, int16(a.Channel), int16(a.Lane), int64(remove), id)
	}
	if inserted {
		b.Queue(insertQueueSQL, int16(a.Shard), app, int16(a.Channel), int16(a.Lane), int64(insert), id, a.Bytes)
	}
}

func sendAll(ctx context.Context, tx pgx.Tx, b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, b).Close()
}
