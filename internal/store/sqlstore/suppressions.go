package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const suppressionColumns = `app_id, channel, address, reason, source, note, created_at`

func scanSuppression(r Row, s *store.Suppression) error {
	return r.Scan((*ID)(&s.App), &s.Channel, &s.Address, &s.Reason, &s.Source, &s.Note, &s.CreatedAt)
}

// Suppress implements store.Suppressions.
func (c *Cold) Suppress(ctx context.Context, s store.Suppression) (added bool, err error) {
	n, err := c.SuppressAll(ctx, []store.Suppression{s})
	return n > 0, err
}

// SuppressAll implements store.Suppressions. The rows go in in one order, so that two
// imports of one list do not wait for each other in a circle.
func (c *Cold) SuppressAll(ctx context.Context, all []store.Suppression) (added int, err error) {
	if len(all) == 0 {
		return 0, nil
	}
	if len(all) > store.SuppressMost {
		return 0, fmt.Errorf("add suppressions: %d in one transaction", len(all))
	}
	all = slices.SortedStableFunc(slices.Values(all), func(a, b store.Suppression) int {
		return cmp.Or(a.App.Compare(b.App), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Address, b.Address))
	})
	var q args
	var rows []string
	for i := range all {
		s := &all[i]
		rows = append(rows, "("+strings.Join([]string{q.add(c.d.ID(s.App)), q.add(int64(s.Channel)), q.add(s.Address), q.add(s.Reason),
			q.add(cmp.Or(s.Source, comm.SuppressByAPI)), q.add(s.Note), q.add(int64(s.CreatedAt))}, ", ")+")")
	}
	insert := `INSERT INTO suppressions (` + suppressionColumns + `) VALUES ` + strings.Join(rows, ", ") + ` ON CONFLICT (app_id, channel, address) DO NOTHING`
	err = c.db.Write(ctx, func(w Querier) error {
		if err := c.replaceErased(ctx, w, all); err != nil {
			return err
		}
		n, err := affected(ctx, w, insert, q...)
		if added = int(n); err != nil || n == 0 {
			return err
		}
		// Never the addresses: what erases them does not reach the log. The rows of a call are one app's.
		return c.record(ctx, w, did{all[0].App, comm.AuditSuppressed, all[0].Channel.String(), detail{}.with("added", n).with("source", cmp.Or(all[0].Source, comm.SuppressByAPI))})
	})
	if err != nil {
		return 0, wrap(err, "add suppressions")
	}
	return added, nil
}

// replaceErased takes away what was kept of addresses that are about to be added: their hashes, and where there
// is one the address too, so that what is added is new. The hashes first: DropSuppression waits there.
func (c *Cold) replaceErased(ctx context.Context, q Querier, all []store.Suppression) error {
	var h, l args
	var hashes, listed []string
	of := map[string]*store.Suppression{}
	for i := range all {
		if s := &all[i]; s.Hash != "" {
			of[s.Hash] = s
			hashes = append(hashes, "("+c.noID(h.add(c.d.ID(s.App)))+", CAST("+h.add(int64(s.Channel))+" AS integer), CAST("+h.add([]byte(s.Hash))+" AS "+c.d.BytesType+"))")
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	gone, err := collect(ctx, q, func(r Row, hash *[]byte) error { return r.Scan(hash) },
		c.d.deleteRows(`erased_suppressions`, []string{"app_id", "channel", "hash"}, hashes)+` RETURNING hash`, h...)
	if err != nil || len(gone) == 0 {
		return err
	}
	for _, hash := range gone {
		s := of[string(hash)]
		listed = append(listed, "("+c.noID(l.add(c.d.ID(s.App)))+", CAST("+l.add(int64(s.Channel))+" AS integer), CAST("+l.add(s.Address)+" AS text))")
	}
	_, err = q.ExecContext(ctx, c.d.deleteRows(`suppressions`, []string{"app_id", "channel", "address"}, listed), l...)
	return err
}

// args collects a statement's parameters.
type args []any

// add answers the place of the parameter in the statement.
func (a *args) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprint("$", len(*a))
}

// Unsuppress implements store.Suppressions.
func (c *Cold) Unsuppress(ctx context.Context, app comm.ID, ch comm.Channel, address string) (removed bool, err error) {
	return c.UnsuppressErased(ctx, app, ch, address, nil)
}

// Suppressed implements store.Suppressions.
func (c *Cold) Suppressed(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error) {
	_, err := c.Suppression(ctx, app, ch, address)
	if comm.IsKind(err, comm.Missing) {
		return false, nil
	}
	return err == nil, err
}

// SuppressedOf implements store.Suppressions.
func (c *Cold) SuppressedOf(ctx context.Context, app comm.ID, ch comm.Channel, addresses []string) ([]string, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	var a args
	where := `app_id = ` + a.add(c.d.ID(app)) + ` AND channel = ` + a.add(int64(ch))
	places := make([]string, len(addresses))
	for i, address := range addresses {
		places[i] = a.add(address)
	}
	scan := func(r Row, address *string) error { return r.Scan(address) }
	return list(ctx, c.db, "look addresses up", scan, `SELECT address FROM suppressions WHERE `+where+` AND address IN (`+strings.Join(places, ", ")+`)`, a...)
}

// Suppression implements store.Suppressions.
func (c *Cold) Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error) {
	s := new(store.Suppression)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanSuppression(q.QueryRowContext(ctx, `SELECT `+suppressionColumns+` FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3`,
			c.d.ID(app), int64(ch), address), s)
	})
	return found(s, err, "read suppression")
}

// SuppressionList implements store.Suppressions.
func (c *Cold) SuppressionList(ctx context.Context, app comm.ID, f store.SuppressionFilter) ([]store.Suppression, error) {
	query, args := SuppressionListSQL(c.d, app, f)
	if query == "" {
		return nil, nil
	}
	return list(ctx, c.db, "list suppressions", scanSuppression, query, args...)
}

// SuppressionListSQL is the statement of a page and its parameters: a range of the
// index for each channel and reason, of which the first rows are merged. "" when no row
// can pass: there is no such channel or reason.
func SuppressionListSQL(d Dialect, app comm.ID, f store.SuppressionFilter) (query string, params []any) {
	span := SpanOf(store.Filter{CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore}, 0)
	var q args
	id, from, limit := q.add(d.ID(app)), q.add(int64(span.From)), q.add(int64(f.Limit))
	var parts []string
	for _, ch := range comm.Channels() {
		if f.Channel != 0 && f.Channel != ch {
			continue
		}
		to, address := pageEnd(f.Before, ch, span.To)
		channel, end, last := q.add(int64(ch)), q.add(int64(to)), q.add(address)
		for _, reason := range comm.SuppressionReasons() {
			if f.Reason != "" && f.Reason != reason.Code {
				continue
			}
			parts = append(parts, `SELECT * FROM (SELECT `+suppressionColumns+` FROM suppressions WHERE app_id = `+id+` AND channel = `+channel+` AND reason = `+q.add(reason.Code)+
				` AND reason <> '' AND created_at >= `+from+` AND (created_at, address) < (`+end+`, `+last+`) ORDER BY created_at DESC, address DESC LIMIT `+limit+`) x`)
		}
	}
	if len(parts) == 0 {
		return "", nil
	}
	return strings.Join(parts, ` UNION ALL `) + ` ORDER BY created_at DESC, channel DESC, address DESC LIMIT ` + limit, q
}

// pageEnd is where a page ends in the range of a channel: at what lies before it in
// the order of created_at, channel, address, all descending, and before to.
func pageEnd(before *store.Suppression, ch comm.Channel, to comm.Micros) (at comm.Micros, address string) {
	switch {
	case before == nil || before.CreatedAt >= to:
		return to, ""
	case ch == before.Channel:
		return before.CreatedAt, before.Address
	case ch < before.Channel && before.CreatedAt < math.MaxInt64:
		return before.CreatedAt + 1, "" // those of the same instant are still to come
	}
	return before.CreatedAt, ""
}

// SuppressionsAfterSQL is the statement of SuppressionsAfter.
const SuppressionsAfterSQL = `SELECT ` + suppressionColumns + ` FROM suppressions WHERE app_id = $1 AND (channel, address) > ($2, $3) ORDER BY channel, address LIMIT $4`

// SuppressionsAfter implements store.Suppressions.
func (c *Cold) SuppressionsAfter(ctx context.Context, app comm.ID, ch comm.Channel, address string, limit int) ([]store.Suppression, error) {
	return list(ctx, c.db, "read suppressions", scanSuppression, SuppressionsAfterSQL, c.d.ID(app), int64(ch), address, int64(limit))
}
