package sqlite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qState       = &query{`SELECT ` + stateColumns + ` FROM state s WHERE s.id = ? AND s.app_id = ?`}
	qStateUpdate = &query{`UPDATE state SET status = ?, updated_at = ?, due = ?, generation = ?, attempts = ?, round = ?, round_since = ?, sequence = ?,
		epoch = ?, flags = ?, provider = ?, provider_id = ?, provider_ref = ?, error_code = ?, error_text = ?, sent_at = ?, delivered_at = ?
		WHERE id = ? AND app_id = ? AND sequence = ?`}
	qEventInsert = &query{`INSERT INTO events (` + sqlstore.EventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`}
	qTrace       = &query{`INSERT INTO refs (` + sqlstore.TraceColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, 0)` + sqlstore.TraceAgain}
	qSuppressTo  = &query{sqlstore.SuppressRecipient}
	qQueueDelete = &query{`DELETE FROM queue WHERE shard = ? AND app_id = ? AND channel = ? AND lane = ? AND due = ? AND id = ?`}

	// The two changes that nearly every message goes through, with the columns that they touch alone.
	qStarted = &query{`UPDATE state SET status = 2, updated_at = ?, attempts = ?, round_since = ?, sequence = ?, epoch = ?, flags = ?, provider = ?,
		provider_id = ?, provider_ref = '' WHERE id = ? AND app_id = ? AND sequence = ? AND NOT EXISTS (SELECT 1 FROM suppressions p
		WHERE p.app_id = state.app_id AND p.channel = state.channel AND p.address = ?)`}
	qStartedEvent = &query{`INSERT INTO events (` + sqlstore.EventColumns + `) VALUES (?, ?, ?, 2, 1, 2, ?, ?, ?, ?, ?, '', ?, ?, '', '', ?, ?)`}
	qSent         = &query{`UPDATE state SET status = 3, updated_at = ?, due = 0, round = ?, sequence = ?, flags = ?, provider = ?, provider_id = ?,
		provider_ref = ?, error_code = '', error_text = '', sent_at = ? WHERE id = ? AND app_id = ? AND sequence = ?`}
)

// stateColumns are sqlstore.StateColumns of the alias s, without app_id and id,
// which every look-up knows. As expressions ("+") they have no declared types,
// which the driver would copy for every row set.
var stateColumns = "+s." + strings.ReplaceAll(strings.TrimPrefix(sqlstore.StateColumns, "app_id, id, "), ", ", ", +s.")

// stateRow reads stateColumns.
func stateRow(app, id comm.ID, v []value) comm.State {
	return comm.State{
		App: app, ID: id,
		Shard: comm.Shard(num(v[0])), Channel: comm.Channel(num(v[1])), Lane: comm.Lane(num(v[2])), Mode: comm.Mode(num(v[3])),
		OnUnknown: comm.UnknownPolicy(num(v[4])), Status: comm.Status(num(v[5])), CreatedAt: comm.Micros(num(v[6])),
		UpdatedAt: comm.Micros(num(v[7])), ScheduledAt: comm.Micros(num(v[8])), Due: comm.Micros(num(v[9])), ExpiresAt: comm.Micros(num(v[10])),
		Generation: int(num(v[11])), Attempts: int(num(v[12])), Round: int(num(v[13])), RoundSince: comm.Micros(num(v[14])),
		Sequence: int(num(v[15])), Epoch: num(v[16]), Flags: comm.Flags(num(v[17])), Provider: text(v[18]), ProviderID: idOf(v[19]),
		ProviderRef: text(v[20]), ErrorCode: text(v[21]), ErrorText: text(v[22]), SentAt: comm.Micros(num(v[23])), DeliveredAt: comm.Micros(num(v[24])), Bytes: num(v[25]),
	}
}

// stateOf reads a message's row; ok is false when the app has no such message.
func stateOf(r *raw, app, id comm.ID) (s comm.State, ok bool, err error) {
	row, err := r.one(qState, id[:], app[:])
	if err != nil || row == nil {
		return s, false, err
	}
	return stateRow(app, id, row), true, nil
}

// errMoved says that the row is not the one that a change was made from.
var errMoved = errors.New("the row has changed")

// write stores what a pure function of sqlstore made of a message, if the row is
// still the one that it was made from (errMoved, and nothing is written,
// otherwise): every change of a row writes an event, so that the sequence tells.
// A change without events is none.
func write(r *raw, c *sqlstore.Change) error {
	if len(c.Events) == 0 {
		return nil
	}
	if err := writeState(r, c); err != nil {
		return err
	}
	for i := range c.Events {
		e := &c.Events[i]
		if _, err := r.run(qEventInsert, e.App[:], e.Message[:], int64(e.Sequence), int64(e.Type), int64(e.From), int64(e.To), int64(e.At),
			int64(e.Generation), int64(e.Attempt), e.Epoch, e.Node, e.Actor, e.Provider, e.ProviderID[:], e.Ref, e.ErrorCode, e.Detail, e.ErrorText); err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		logged(r, &c.After, e)
	}
	a := &c.After
	if t := c.Trace; t != nil {
		if _, err := r.run(qTrace, t.Provider[:], t.Ref, t.App[:], t.Message[:], int64(t.Attempt), int64(t.At), int64(t.AskAt)); err != nil {
			return fmt.Errorf("keep the provider's id: %w", err)
		}
	}
	if c.Suppress != "" {
		if _, err := r.run(qSuppressTo, int64(a.Channel), c.Suppress, int64(c.At()), a.ID[:], a.App[:], c.Within); err != nil {
			return fmt.Errorf("suppress the recipient: %w", err)
		}
	}
	remove, removed, insert, inserted := c.QueueMove()
	if removed {
		if _, err := r.run(qQueueDelete, int64(a.Shard), a.App[:], int64(a.Channel), int64(a.Lane), int64(remove), a.ID[:]); err != nil {
			return fmt.Errorf("remove queue row: %w", err)
		}
	}
	if inserted {
		if _, err := r.run(qQueueInsert, int64(a.Shard), a.App[:], int64(a.Channel), int64(a.Lane), int64(insert), a.ID[:], a.Bytes); err != nil {
			return fmt.Errorf("write queue row: %w", err)
		}
	}
	return nil
}

func writeState(r *raw, c *sqlstore.Change) error {
	a, seq := &c.After, int64(c.Before.Sequence)
	var n int64
	var err error
	if isSent(c) {
		n, err = r.run(qSent, int64(a.UpdatedAt), int64(a.Round), int64(a.Sequence), int64(a.Flags), a.Provider, a.ProviderID[:], a.ProviderRef,
			int64(a.SentAt), a.ID[:], a.App[:], seq)
	} else {
		n, err = r.run(qStateUpdate, int64(a.Status), int64(a.UpdatedAt), int64(a.Due), int64(a.Generation), int64(a.Attempts), int64(a.Round),
			int64(a.RoundSince), int64(a.Sequence), a.Epoch, int64(a.Flags), a.Provider, a.ProviderID[:], a.ProviderRef, a.ErrorCode, a.ErrorText,
			int64(a.SentAt), int64(a.DeliveredAt), a.ID[:], a.App[:], seq)
	}
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if n != 1 {
		return errMoved
	}
	return nil
}

// isSent says whether the change touches no more than what qSent writes.
func isSent(c *sqlstore.Change) bool {
	x, a := c.Before, &c.After
	x.Status, x.UpdatedAt, x.Due, x.Round, x.Sequence, x.Flags = comm.Sent, a.UpdatedAt, 0, a.Round, a.Sequence, a.Flags
	x.Provider, x.ProviderID, x.ProviderRef, x.ErrorCode, x.ErrorText, x.SentAt = a.Provider, a.ProviderID, a.ProviderRef, "", "", a.SentAt
	return x == *a
}

// writeStart stores the start of a queued message's attempt if its row is the
// one that the change was made from and the recipient is not suppressed.
func writeStart(r *raw, c *sqlstore.Change, recipient string) (written bool, err error) {
	a := &c.After
	n, err := r.run(qStarted, int64(a.UpdatedAt), int64(a.Attempts), int64(a.RoundSince), int64(a.Sequence), a.Epoch, int64(a.Flags), a.Provider, a.ProviderID[:],
		a.ID[:], a.App[:], int64(c.Before.Sequence), recipient)
	if err != nil || n != 1 {
		return false, err
	}
	e := &c.Events[0]
	_, err = r.run(qStartedEvent, e.App[:], e.Message[:], int64(e.Sequence), int64(e.At), int64(e.Generation), int64(e.Attempt), e.Epoch, e.Node,
		e.Provider, e.ProviderID[:], e.Detail, e.ErrorText)
	if err != nil {
		return false, fmt.Errorf("write event: %w", err)
	}
	logged(r, a, e)
	return true, nil
}
