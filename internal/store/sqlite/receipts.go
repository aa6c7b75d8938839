package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qReceive       = &query{`INSERT INTO receipts (id, app_id, provider_id, type, at, method, query, header, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`}
	qReceived      = &query{`SELECT id, app_id, provider_id, type, at, method, query, header, body FROM receipts WHERE id > ? AND (at < ? OR at > ?) ORDER BY id LIMIT ?`}
	qReceiptDelete = &query{`DELETE FROM receipts WHERE id = ?`}
	qParked        = &query{`SELECT ` + sqlstore.ParkedColumns + ` FROM parked WHERE due <= ? ORDER BY due LIMIT ?`}
	qPark          = &query{`INSERT INTO parked (` + sqlstore.ParkedColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`}
	qParkedDelete  = &query{`DELETE FROM parked WHERE id = ?`}
	qTraced        = &query{`SELECT app_id, message_id, attempt FROM refs WHERE provider_id = ? AND ref = ?`}
	qStartedBy     = &query{`SELECT 1 FROM events WHERE message_id = ? AND app_id = ? AND type = 2 AND ? IN (0, attempt) AND provider_id = ? LIMIT 1`}
	qKnownBy       = &query{`SELECT count(*), count(CASE WHEN ref = ? THEN 1 END) FROM events WHERE message_id = ? AND app_id = ? AND attempt = ? AND provider_id = ? AND ref <> ''`}
	qQuestions     = &query{`SELECT r.provider_id, r.ref, r.app_id, r.message_id, r.attempt, r.at, r.asked, s.status FROM refs r INDEXED BY refs_ask
		LEFT JOIN state s ON s.id = r.message_id AND s.app_id = r.app_id WHERE r.ask_at <> 0 AND r.ask_at <= ? ORDER BY r.ask_at LIMIT ?`}
	qAsk = &query{`UPDATE refs SET ask_at = ?, asked = ? WHERE provider_id = ? AND ref = ? AND message_id = ?`}
)

// solid is the bytes, never NULL.
func solid(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Receive implements store.Receipts.
func (s *Store) Receive(ctx context.Context, all []store.Receipt) error {
	if len(all) == 0 {
		return s.w.refused()
	}
	if err := s.disk.check(); err != nil {
		return refuse(err)
	}
	err := s.w.hot(ctx, len(all), func(r *raw) error {
		now := s.now()
		for i := range all {
			x := &all[i]
			if _, err := r.run(qReceive, x.ID[:], x.Owner[:], x.Provider[:], x.Type, int64(min(x.At, now)), x.Method, solid(x.Query), solid(x.Header), solid(x.Body)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store receipts: %w", err)
	}
	return nil
}

// Received implements store.Receipts.
func (s *Store) Received(ctx context.Context, before comm.Micros, behind comm.ID, limit int) (out []store.Receipt, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		bytes := 0
		err := r.each(qReceived, []value{behind[:], int64(before), int64(s.now()), int64(limit)}, func(v []value) error {
			x := store.Receipt{ID: idOf(v[0]), Owner: idOf(v[1]), Provider: idOf(v[2]), Type: text(v[3]), At: comm.Micros(num(v[4])),
				Method: text(v[5]), Query: blob(v[6]), Header: blob(v[7]), Body: blob(v[8])}
			if bytes += len(x.Query) + len(x.Header) + len(x.Body); bytes > store.ReceivedBytes && len(out) > 0 {
				return errStop
			}
			out = append(out, x)
			return nil
		})
		if errors.Is(err, errStop) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return out, nil
}

// Apply implements store.Receipts.
func (s *Store) Apply(ctx context.Context, b store.ReportBatch) (out []store.ReportResult, err error) {
	if len(b.Receipts)+len(b.Reports) == 0 {
		return nil, s.w.refused()
	}
	err = s.w.hot(ctx, len(b.Receipts)+len(b.Reports), func(r *raw) error {
		a := applying{raw: r, b: &b, now: s.now(), there: make(map[comm.ID]bool, len(b.Receipts)), out: make([]store.ReportResult, len(b.Reports))}
		if err := a.run(); err != nil {
			return err
		}
		out = a.out
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("apply reports: %w", err)
	}
	return out, nil
}

// applying is one call of Apply.
type applying struct {
	*raw
	b     *store.ReportBatch
	now   comm.Micros
	there map[comm.ID]bool // requests and parked rows that this transaction removed
	out   []store.ReportResult
}

func (a *applying) run() error {
	for _, id := range a.b.Receipts {
		n, err := a.raw.run(qReceiptDelete, id[:])
		if err != nil {
			return err
		}
		a.there[id] = n == 1
	}
	for i := range a.b.Reports {
		var err error
		if a.out[i], err = a.report(&a.b.Reports[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) report(x *store.Report) (store.ReportResult, error) {
	if !x.Receipt.IsZero() && !a.there[x.Receipt] {
		return store.ReportGone, nil
	}
	if !x.Parked.IsZero() {
		if n, err := a.raw.run(qParkedDelete, x.Parked[:]); err != nil || n == 0 {
			return store.ReportGone, err
		}
	}
	if x.Later {
		return a.park(x, false)
	}
	meant, err := a.find(x)
	if err != nil {
		return 0, err
	}
	of, foreign := meant.Of()
	if of.Message.IsZero() {
		return a.park(x, false)
	}
	st, ok, err := stateOf(a.raw, of.App, of.Message)
	if err != nil {
		return 0, err
	}
	if !ok {
		return a.park(x, false)
	}
	var log []comm.Event
	if err := a.each(qEvents, []value{of.Message[:], of.App[:], int64(st.Sequence)}, func(v []value) error {
		log = append(log, eventRow(v))
		return nil
	}); err != nil {
		return 0, err
	}
	if of.Attempt == 0 {
		if of.Attempt = comm.AttemptOf(log, x.Provider, x.Ref); of.Attempt == 0 {
			return a.park(x, false)
		}
	}
	c, result := sqlstore.Report(&st, log, x, of.Attempt, foreign, a.b.Node, a.now)
	if result == store.ReportParked {
		return a.park(x, true)
	}
	return result, write(a.raw, &c)
}

// find looks up which attempt of which message the report may be about.
func (a *applying) find(x *store.Report) (m sqlstore.Meant, err error) {
	if x.Ref != "" {
		row, err := a.one(qTraced, x.Provider[:], x.Ref)
		if err != nil {
			return m, err
		}
		if row != nil {
			m.Traced = sqlstore.Attempt{App: idOf(row[0]), Message: idOf(row[1]), Attempt: int(num(row[2]))}
		}
	}
	if x.Message.IsZero() || x.App.IsZero() {
		return m, nil
	}
	row, err := a.one(qStartedBy, x.Message[:], x.App[:], int64(x.Attempt), x.Provider[:])
	if err != nil || row == nil {
		return m, err
	}
	m.Named = sqlstore.Attempt{App: x.App, Message: x.Message, Attempt: x.Attempt}
	if row, err = a.one(qKnownBy, x.Ref, x.Message[:], x.App[:], int64(x.Attempt), x.Provider[:]); err == nil && row != nil {
		m.Known, m.Same = num(row[0]) > 0, num(row[1]) > 0
	}
	return m, err
}

func (a *applying) park(x *store.Report, underWay bool) (store.ReportResult, error) {
	id, due, ok := sqlstore.Park(x, underWay, a.now)
	if !ok {
		return store.ReportDropped, nil
	}
	var correctable int64
	if x.Correctable {
		correctable = 1
	}
	_, err := a.raw.run(qPark, id[:], x.Owner[:], x.Provider[:], x.Name, x.Ref, x.Message[:], int64(x.Attempt), int64(x.Fate), correctable, x.Suppress, x.Code, x.Text,
		int64(x.Since), int64(due))
	return store.ReportParked, err
}

// Parked implements store.Receipts.
func (s *Store) Parked(ctx context.Context, at comm.Micros, limit int) (out []store.Report, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		return r.each(qParked, []value{int64(at), int64(limit)}, func(v []value) error {
			out = append(out, store.Report{Parked: idOf(v[0]), Owner: idOf(v[1]), Provider: idOf(v[2]), Name: text(v[3]), Ref: text(v[4]), Message: idOf(v[5]),
				Attempt: int(num(v[6])), Told: comm.Told{Fate: comm.Fate(num(v[7])), Correctable: num(v[8]) != 0}, Suppress: text(v[9]), Code: text(v[10]),
				Text: text(v[11]), Since: comm.Micros(num(v[12]))})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read parked reports: %w", err)
	}
	return out, nil
}

// Questions implements store.Receipts.
func (s *Store) Questions(ctx context.Context, limit int) (out []store.Question, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		return r.each(qQuestions, []value{int64(s.now()), int64(limit)}, func(v []value) error {
			out = append(out, store.Question{Provider: idOf(v[0]), Ref: text(v[1]), App: idOf(v[2]), Message: idOf(v[3]), Attempt: int(num(v[4])),
				At: comm.Micros(num(v[5])), Asked: int(num(v[6])), Status: comm.Status(num(v[7]))})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list what to ask providers: %w", err)
	}
	return out, nil
}

// Ask implements store.Receipts.
func (s *Store) Ask(ctx context.Context, next []store.Question) error {
	if len(next) == 0 {
		return s.w.refused()
	}
	err := s.w.hot(ctx, len(next), func(r *raw) error {
		for i := range next {
			x := &next[i]
			at := int64(0)
			if x.In > 0 {
				at = int64(s.now()) + x.In
			}
			if _, err := r.run(qAsk, at, int64(x.Asked), x.Provider[:], x.Ref, x.Message[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note when to ask providers next: %w", err)
	}
	return nil
}
