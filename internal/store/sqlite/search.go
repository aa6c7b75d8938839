package sqlite

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qByTerm = &query{`SELECT id FROM terms WHERE app_id = ?1 AND id >= ?2 AND id < ?3 AND kind = ?5 AND value = ?6 ORDER BY id DESC LIMIT ?4`}
	// What a candidate's rows must say.
	qFits = &query{`SELECT 1 FROM state WHERE id = ?1 AND app_id = ?2 AND (?3 = 0 OR status = ?3) AND (?4 = 0 OR channel = ?4)
		AND created_at >= ?5 AND created_at < ?6 AND (?7 = 0 OR provider = 'sandbox' AND sent_at <> 0)`}
	qHasTerm = &query{`SELECT 1 FROM terms WHERE app_id = ?2 AND kind = ?3 AND value = ?4 AND id = ?1`}
)

// Search implements store.Messages: ids of every source, then the rows of what
// is in all of them, in one snapshot.
func (s *Store) Search(ctx context.Context, app comm.ID, f store.Filter) (found store.Found, err error) {
	span := sqlstore.SpanOf(f, idsAhead)
	if f.Limit <= 0 || f.Recipient == "" && len(f.Terms) == 0 || lists.of(f, false) == nil {
		return found, s.w.refused()
	}
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() (err error) {
			found, err = search(r, app, f, span)
			return err
		})
	})
	if err != nil {
		return store.Found{}, fmt.Errorf("search messages: %w", err)
	}
	return found, nil
}

func search(r *raw, app comm.ID, f store.Filter, span sqlstore.Span) (store.Found, error) {
	budget, states := sqlstore.Sources(f, span.Timed)
	if f.Recipient != "" { // a term like others, here
		f.Terms = append([]store.Term{{Kind: recipientTerm, Value: f.Recipient}}, f.Terms...)
	}
	var sources [][]comm.ID
	source := func(q *query, more ...value) error {
		ids, err := idsOf(r, q, append([]value{app[:], span.Low[:], span.High[:], int64(budget)}, more...))
		sources = append(sources, ids)
		return err
	}
	for _, term := range f.Terms {
		if err := source(qByTerm, int64(term.Kind), term.Value); err != nil {
			return store.Found{}, err
		}
	}
	if states {
		// By the ids' span alone: created_at is not in the index, and where few of a
		// busy minute are in time, all its rows would be read for the budget.
		if err := source(lists.of(f, false)); err != nil {
			return store.Found{}, err
		}
	}
	candidates, end := sqlstore.Candidates(sources, budget)
	out := make([]comm.Message, 0, min(len(candidates), f.Limit+1))
	for _, id := range candidates {
		if ok, err := fits(r, app, id, f, span); err != nil || !ok {
			if err != nil {
				return store.Found{}, err
			}
			continue
		}
		m, err := message(r, app, id)
		if err != nil {
			return store.Found{}, err
		}
		if out = append(out, *m); len(out) > f.Limit {
			break
		}
	}
	return sqlstore.PageOf(out, f, end), nil
}

func idsOf(r *raw, q *query, args []value) (ids []comm.ID, err error) {
	err = r.each(q, args, func(v []value) error {
		ids = append(ids, idOf(v[0]))
		return nil
	})
	return ids, err
}

// fits says whether a message of the app passes every filter.
func fits(r *raw, app, id comm.ID, f store.Filter, span sqlstore.Span) (bool, error) {
	captured := int64(0)
	if f.Captured {
		captured = 1
	}
	row, err := r.one(qFits, id[:], app[:], int64(f.Status), int64(f.Channel), int64(span.From), int64(span.To), captured)
	for _, term := range f.Terms {
		if err == nil && row != nil {
			row, err = r.one(qHasTerm, id[:], app[:], int64(term.Kind), term.Value)
		}
	}
	return row != nil, err
}
