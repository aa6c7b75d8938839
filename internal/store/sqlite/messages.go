package sqlite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qMessage = &query{`SELECT ` + stateColumns + `, (SELECT payload FROM content c WHERE c.id = s.id AND c.app_id = s.app_id)
		FROM state s WHERE s.id = ? AND s.app_id = ?`}
	qEvents = &query{`SELECT ` + sqlstore.EventColumns + ` FROM events WHERE message_id = ? AND app_id = ? AND sequence <= ? ORDER BY sequence`}
	qAlive  = &query{`SELECT 1 FROM apps WHERE id = ? AND deleted_at = 0`}
	qShown  = &query{`SELECT CASE WHEN shown <> '' THEN shown ELSE recipient END FROM content WHERE id = ? AND app_id = ?`}
	qPurged = &query{`SELECT payload IS NULL FROM content WHERE id = ? AND app_id = ?`}
)

// Message implements store.Messages. Events are append-only: those up to the
// row's sequence are one picture with it.
func (s *Store) Message(ctx context.Context, app, id comm.ID) (*comm.Message, error) {
	var m *comm.Message
	err := s.readers.with(ctx, func(r *raw) (err error) {
		if m, err = message(r, app, id); err != nil || m == nil {
			return err
		}
		return r.each(qEvents, []value{id[:], app[:], int64(m.Sequence)}, func(v []value) error {
			m.Events = append(m.Events, eventRow(v))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	if m == nil {
		return nil, comm.E("not_found")
	}
	return m, nil
}

// message reads one without events; nil when the app has no such message. A content that cannot be read takes nothing of the rest with it.
func message(r *raw, app, id comm.ID) (*comm.Message, error) {
	row, err := r.one(qMessage, id[:], app[:])
	if err != nil || row == nil {
		return nil, err
	}
	m := &comm.Message{State: stateRow(app, id, row)}
	payload := row[len(row)-1]
	m.ContentUnread = payload != nil && store.DecodeContent(blob(payload), &m.Content) != nil
	if m.ContentGone = payload == nil || m.ContentUnread; m.ContentGone {
		shown, err := r.one(qShown, id[:], app[:])
		if shown != nil {
			m.To = text(shown[0])
		}
		return m, err
	}
	return m, nil
}

func eventRow(v []value) comm.Event {
	return comm.Event{
		App: idOf(v[0]), Message: idOf(v[1]), Sequence: int(num(v[2])), Type: comm.Cause(num(v[3])), From: comm.Status(num(v[4])),
		To: comm.Status(num(v[5])), At: comm.Micros(num(v[6])), Generation: int(num(v[7])), Attempt: int(num(v[8])), Epoch: num(v[9]),
		Node: text(v[10]), Actor: text(v[11]), Provider: text(v[12]), ProviderID: idOf(v[13]), Ref: text(v[14]), ErrorCode: text(v[15]), Detail: text(v[16]), ErrorText: text(v[17]),
	}
}

// List implements store.Messages: the ids come from index ranges, merged newest
// first; rows and contents are read for the page alone.
func (s *Store) List(ctx context.Context, app comm.ID, f store.Filter) ([]comm.Message, error) {
	out, err := s.page(ctx, app, f, &lists)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return out, nil
}

// Captures implements store.Messages: what the sandbox accepted.
func (s *Store) Captures(ctx context.Context, app comm.ID, f store.Filter) ([]comm.Message, error) {
	out, err := s.page(ctx, app, f, &captureLists)
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	return out, nil
}

// A filter's query is one range of each index for each status and channel that it
// lets through, merged by SQLite. There is one for each combination, so that
// connections can keep them prepared.
type listQueries [8][3][2]*query

var lists, captureLists = makeQueries(listFrom), makeQueries(captureFrom)

// The partial indexes with their own conditions, word for word.
const (
	fromList     = `state_list WHERE status <> 2 AND (provider <> 'sandbox' OR sent_at = 0) AND`
	fromSending  = `state_sending WHERE`
	fromCaptures = `state_captures WHERE provider = 'sandbox' AND sent_at <> 0 AND`
)

// listFrom is where a status is listed from. SENDING has an index of its own;
// of the other messages, those that the sandbox took are in theirs alone.
func listFrom(st comm.Status) []string {
	if st == comm.Sending {
		return []string{fromSending}
	}
	return []string{fromList, fromCaptures}
}

// captureFrom is the same for what the sandbox took.
func captureFrom(comm.Status) []string { return []string{fromCaptures} }

func makeQueries(from func(comm.Status) []string) (q listQueries) {
	for status := range q {
		for channel := range q[status] {
			q[status][channel] = [2]*query{
				{merged(comm.Status(status), comm.Channel(channel), false, from)},
				{merged(comm.Status(status), comm.Channel(channel), true, from)},
			}
		}
	}
	return q
}

// of is the query of a filter; nil for a status or channel that does not exist.
func (q *listQueries) of(f store.Filter, timed bool) *query {
	switch {
	case int(f.Status) >= len(q) || int(f.Channel) >= len(q[0]):
		return nil
	case timed:
		return q[f.Status][f.Channel][1]
	}
	return q[f.Status][f.Channel][0]
}

// idsAhead is how far an id may be minted after its message is created: both go by
// the clock of this process, so only as far as somebody sets that back. It is a small part of comm.IDSlack.
const idsAhead = 100 * time.Millisecond

// merged makes SQLite merge the ranges, newest first. Status and channel are
// enumerations, written as numbers so that the partial indexes apply.
func merged(status comm.Status, channel comm.Channel, timed bool, from func(comm.Status) []string) string {
	created := ""
	if timed {
		created = ` AND created_at >= ?5 AND created_at < ?6`
	}
	statuses, channels := comm.Statuses(), comm.Channels()
	if status != comm.None {
		statuses = []comm.Status{status}
	}
	if channel != 0 {
		channels = []comm.Channel{channel}
	}
	var arms []string
	for _, st := range statuses {
		for _, ch := range channels {
			for _, index := range from(st) {
				arms = append(arms, fmt.Sprintf(`SELECT id FROM state INDEXED BY %s app_id = ?1 AND status = %d AND channel = %d AND id >= ?2 AND id < ?3%s`, index, st, ch, created))
			}
		}
	}
	return strings.Join(arms, " UNION ALL ") + ` ORDER BY id DESC LIMIT ?4`
}

// page reads the ids of a query and then their rows.
func (s *Store) page(ctx context.Context, app comm.ID, f store.Filter, queries *listQueries) (out []comm.Message, err error) {
	span := sqlstore.SpanOf(f, idsAhead)
	q, args := queries.of(f, span.Timed), []value{app[:], span.Low[:], span.High[:], int64(f.Limit)}
	if f.Limit <= 0 || q == nil {
		return nil, s.w.refused()
	}
	if span.Timed {
		args = append(args, int64(span.From), int64(span.To))
	}
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		var ids []comm.ID
		err := r.each(q, args, func(v []value) error {
			ids = append(ids, idOf(v[0]))
			return nil
		})
		if err != nil {
			return err
		}
		out = make([]comm.Message, 0, len(ids))
		for _, id := range ids {
			m, err := message(r, app, id)
			if err != nil {
				return err
			}
			if m != nil {
				out = append(out, *m)
			}
		}
		return nil
	})
	return out, err
}

// Cancel implements store.Messages.
func (s *Store) Cancel(ctx context.Context, app, id comm.ID, actor string) (st comm.State, result comm.CancelResult, err error) {
	err = s.change(ctx, app, id, func(_ *raw, before *comm.State, now comm.Micros) (c sqlstore.Change, err error) {
		c, result = sqlstore.Cancel(before, actor, now)
		st = c.After
		return c, nil
	})
	if err != nil {
		return comm.State{}, 0, fmt.Errorf("cancel: %w", err)
	}
	return st, result, nil
}

// Retry implements store.Messages.
func (s *Store) Retry(ctx context.Context, app, id comm.ID, actor string) (st comm.State, result comm.RetryResult, err error) {
	err = s.change(ctx, app, id, func(r *raw, before *comm.State, now comm.Micros) (c sqlstore.Change, err error) {
		alive, err := r.one(qAlive, app[:])
		if err != nil {
			return c, err
		}
		if alive == nil {
			return c, refusal{comm.E("not_found")}
		}
		row, err := r.one(qPurged, id[:], app[:])
		if err != nil {
			return c, err
		}
		c, result = sqlstore.Retry(before, row == nil || num(row[0]) != 0, actor, now)
		st = c.After
		return c, nil
	})
	if err != nil {
		return comm.State{}, 0, fmt.Errorf("retry: %w", err)
	}
	return st, result, nil
}

// change applies a pure function to one message in a transaction.
func (s *Store) change(ctx context.Context, app, id comm.ID, fn func(*raw, *comm.State, comm.Micros) (sqlstore.Change, error)) error {
	return s.w.hot(ctx, 1, func(r *raw) error {
		before, ok, err := stateOf(r, app, id)
		if err != nil {
			return err
		}
		if !ok {
			return refusal{comm.E("not_found")}
		}
		c, err := fn(r, &before, s.now())
		if err != nil {
			return err
		}
		return write(r, &c)
	})
}
