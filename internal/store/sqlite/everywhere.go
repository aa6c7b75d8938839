package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qAppOf = &query{`SELECT app_id FROM state WHERE id = ? LIMIT 1`}
	// The rows of all apps are in the order of their ids.
	qNewest = &query{`SELECT app_id, id FROM state WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3`}
	// From app to app of those that a word was written for.
	qNextApp   = &query{`SELECT app_id FROM terms WHERE kind = ?1 AND value = ?2 AND app_id > ?3 ORDER BY app_id LIMIT 1`}
	qSentBy    = &query{`SELECT 1 FROM state WHERE id = ? AND app_id = ? AND provider_id = ?`}
	qLately    = &query{`SELECT 1 FROM content WHERE rowid > ? AND recipient = ? LIMIT 1`}
	qStateFits = &query{`SELECT status, channel, created_at FROM state WHERE id = ? AND app_id = ?`}
)

// AppOf implements store.Everywhere.
func (s *Store) AppOf(ctx context.Context, message comm.ID) (app comm.ID, err error) {
	var row []value
	err = s.readers.with(ctx, func(r *raw) error {
		row, err = r.one(qAppOf, message[:])
		return err
	})
	if err != nil {
		return app, fmt.Errorf("look up a message's app: %w", err)
	}
	if row == nil {
		return app, comm.E("not_found")
	}
	return idOf(row[0]), nil
}

// AllMessages implements store.Everywhere.
func (s *Store) AllMessages(ctx context.Context, f store.Filter) (found store.Found, err error) {
	span := sqlstore.SpanOf(f, idsAhead)
	if f.Limit <= 0 || len(f.Terms) > 0 || lists.of(f, false) == nil {
		return found, s.w.refused()
	}
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() error {
			x := everyone{r: r, f: f, span: span, alive: map[comm.ID]bool{}}
			found, err = x.page(sqlstore.AllBudget(f, span.Timed))
			return err
		})
	})
	if err != nil {
		if comm.IsKind(err, comm.Invalid) {
			return store.Found{}, err
		}
		return store.Found{}, fmt.Errorf("list all messages: %w", err)
	}
	return found, nil
}

// everyone reads one page of all apps' messages.
type everyone struct {
	r     *raw
	f     store.Filter
	span  sqlstore.Span
	alive map[comm.ID]bool
}

// page looks at the newest budget messages.
func (x *everyone) page(budget int) (store.Found, error) {
	refs, err := x.newest(budget)
	if err != nil {
		return store.Found{}, err
	}
	var end comm.ID
	if len(refs) >= budget {
		end = refs[len(refs)-1].ID
	}
	out := make([]comm.Message, 0, min(len(refs), x.f.Limit+1))
	for _, ref := range refs {
		ok, err := x.fits(ref)
		if err != nil {
			return store.Found{}, err
		}
		if !ok {
			continue
		}
		m, err := message(x.r, ref.App, ref.ID)
		if err != nil {
			return store.Found{}, err
		}
		if out = append(out, *m); len(out) > x.f.Limit {
			break
		}
	}
	return sqlstore.PageOf(out, x.f, end), nil
}

// newest answers the newest ids within the span, of the recipient if there is one.
func (x *everyone) newest(budget int) (refs []sqlstore.Ref, err error) {
	if x.f.Recipient == "" {
		err = x.r.each(qNewest, []value{x.span.Low[:], x.span.High[:], int64(budget)}, func(v []value) error {
			refs = append(refs, sqlstore.Ref{App: idOf(v[0]), ID: idOf(v[1])})
			return nil
		})
		return refs, err
	}
	var app comm.ID
	var heads []sqlstore.Ref
	for n := 0; ; n++ {
		row, err := x.r.one(qNextApp, int64(recipientTerm), x.f.Recipient, app[:])
		if err != nil {
			return nil, err
		}
		if row == nil {
			break
		}
		if n == store.AllApps {
			return nil, comm.E("too_many_apps")
		}
		app = idOf(row[0])
		ids, err := x.of(app, 1)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			heads = append(heads, sqlstore.Ref{App: app, ID: id})
		}
	}
	// The newest so many messages are of no more apps than that, those whose newest ones are.
	for _, head := range sqlstore.NewestRefs(heads, budget) {
		ids, err := x.of(head.App, budget)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			refs = append(refs, sqlstore.Ref{App: head.App, ID: id})
		}
	}
	return sqlstore.NewestRefs(refs, budget), nil
}

// of answers an app's newest messages to the recipient.
func (x *everyone) of(app comm.ID, limit int) ([]comm.ID, error) {
	return idsOf(x.r, qByTerm, []value{app[:], x.span.Low[:], x.span.High[:], int64(limit), int64(recipientTerm), x.f.Recipient})
}

// fits says whether a message passes every filter and its app is not deleted.
func (x *everyone) fits(ref sqlstore.Ref) (bool, error) {
	row, err := x.r.one(qStateFits, ref.ID[:], ref.App[:])
	if err != nil || row == nil {
		return false, err
	}
	status, channel, created := comm.Status(num(row[0])), comm.Channel(num(row[1])), comm.Micros(num(row[2]))
	if x.f.Status != comm.None && status != x.f.Status || x.f.Channel != 0 && channel != x.f.Channel || created < x.span.From || created >= x.span.To {
		return false, nil
	}
	alive, known := x.alive[ref.App]
	if !known {
		row, err := x.r.one(qAlive, ref.App[:])
		if err != nil {
			return false, err
		}
		alive = row != nil
		x.alive[ref.App] = alive
	}
	return alive, nil
}

// Writers implements store.Receipts.
func (s *Store) Writers(ctx context.Context, config comm.ID, address string, after comm.ID, limit int) (apps []comm.ID, next comm.ID, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() error {
			apps, next = nil, after
			if lately, err := acceptedLately(r, address); err != nil || lately {
				return cmp.Or(err, errLately)
			}
			for range limit {
				row, err := r.one(qNextApp, int64(recipientTerm), address, next[:])
				if err != nil || row == nil {
					next = comm.ID{}
					return err
				}
				next = idOf(row[0])
				wrote, err := wroteThrough(r, config, address, next)
				if err != nil {
					return err
				}
				if wrote {
					apps = append(apps, next)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, comm.ID{}, fmt.Errorf("look for who wrote to an address: %w", err)
	}
	return apps, next, nil
}

// errLately says that messages to an address were accepted a moment ago, and are not found by it yet.
var errLately = errors.New("messages to the address are not indexed yet")

// acceptedLately says whether a message to an address waits to be indexed.
func acceptedLately(r *raw, address string) (bool, error) {
	row, err := r.one(qMark, indexMark)
	if err != nil {
		return false, err
	}
	at := int64(0)
	if row != nil {
		if _, err := fmt.Sscanf(text(row[0]), "%d ", &at); err != nil {
			return false, fmt.Errorf("read the mark: %w", err)
		}
	}
	row, err = r.one(qLately, at, address)
	return row != nil, err
}

// wroteThrough says whether an app wrote to an address through a configuration, as far as it can be seen.
func wroteThrough(r *raw, config comm.ID, address string, app comm.ID) (bool, error) {
	alive, err := r.one(qAlive, app[:])
	if err != nil || alive == nil {
		return false, err
	}
	all := sqlstore.SpanOf(store.Filter{}, idsAhead)
	ids, err := idsOf(r, qByTerm, []value{app[:], all.Low[:], all.High[:], int64(store.WriterDepth), int64(recipientTerm), address})
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		if row, err := r.one(qSentBy, id[:], app[:], config[:]); err != nil || row != nil {
			return row != nil, err
		}
	}
	return len(ids) >= store.WriterDepth, nil
}
