package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Submissions of apps with a cap of SMS are decided here, between statements of one
// transaction: the day's rows are locked in the order of the apps, so that the cap is exact
// on any number of nodes.
const (
	lockUseSQL = `
INSERT INTO sms_use AS old (app_id, day, used, usual, alarm_at) SELECT a, 0, 0, 0, 0 FROM unnest($1::uuid[]) AS a ORDER BY a
ON CONFLICT (app_id) DO UPDATE SET day = old.day RETURNING app_id, day, used, usual, alarm_at, prefixes, ` + clock
	// keysThereSQL asks for one value of each row: an EXISTS would become a join, which a plan that was
	// made while the table was small does by reading the whole of it.
	keysThereSQL = `
SELECT x.ord FROM unnest($1::uuid[], $2::smallint[], $3::bytea[]) WITH ORDINALITY AS x (app, mode, hash, ord)
WHERE CASE WHEN x.hash IS NOT NULL THEN (SELECT true FROM idempotency k WHERE k.app_id = x.app AND k.mode = x.mode AND k.hash = x.hash) END`
	// countUseSQL writes rows that lockUseSQL has locked; it inserts nothing, and joins nothing either.
	countUseSQL = `
INSERT INTO sms_use (app_id, day, used, usual, alarm_at, prefixes)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
ON CONFLICT (app_id) DO UPDATE SET day = excluded.day, used = excluded.used, usual = excluded.usual, alarm_at = excluded.alarm_at, prefixes = excluded.prefixes`
)

// acceptMixed stores the submissions with a cap first and then the others as ever. If those
// with a cap are refused nothing is stored yet, and the caller takes the group apart as it does
// with any other, so that a row of theirs that cannot be locked costs nobody else's 202.
// Once they are stored the others fail one by one.
func (s *Store) acceptMixed(ctx context.Context, subs []store.Submission, group []int, done bool, out []store.Accepted) (again []int, err error) {
	var plain, capped []int
	for _, i := range group {
		if len(subs[i].Caps) > 0 {
			capped = append(capped, i)
		} else {
			plain = append(plain, i)
		}
	}
	again, err = s.unlessHeld(ctx, subs, capped, done, out, func(part []int, wait time.Duration) ([]int, error) {
		return s.acceptCapped(ctx, subs, part, wait, out)
	})
	if err != nil || len(plain) == 0 {
		return again, err
	}
	more, err := s.acceptPlain(ctx, subs, plain, !done, true, out)
	return append(again, more...), err
}

// acceptCapped is one transaction for submissions whose apps have caps.
func (s *Store) acceptCapped(ctx context.Context, subs []store.Submission, group []int, wait time.Duration, out []store.Accepted) (again []int, err error) {
	err = s.transactionOn(ctx, s.accepts, acceptSettings(), "store capped messages", func(tx pgx.Tx) error {
		again = again[:0]
		if wait > 0 {
			if _, err := tx.Exec(ctx, waitSQL, milliseconds(wait)); err != nil {
				return err
			}
		}
		used, now, err := lockUse(ctx, tx, subs, group)
		if err != nil {
			return err
		}
		known, err := keysThere(ctx, tx, subs, group)
		if err != nil {
			return err
		}
		fit := fitting(subs, group, known, used, now, out)
		if len(fit) == 0 {
			return nil
		}
		rows, err := tx.Query(ctx, acceptEach(), acceptArgs(subs, fit)...)
		if err := each(rows, err, func(r *reader) {
			i := fit[r.i64()-1]
			if !answer(&subs[i], r, &out[i]) {
				again = append(again, i)
			}
		}); err != nil {
			return err
		}
		for _, i := range fit {
			if out[i].Result == store.New && !slices.Contains(again, i) {
				out[i].Use, out[i].Alarms = used[subs[i].App].Add(subs[i].Caps, int64(subs[i].Segments), now)
			}
		}
		behindRate(subs, group, used, now, out)
		return countUse(ctx, tx, used, now)
	})
	if err != nil {
		return nil, err
	}
	return append(again, s.overRate(ctx, subs, group, out)...), nil
}

// fitting answers which of a group are within their caps if all of them are stored, or have
// keys that are known; the others are refused.
func fitting(subs []store.Submission, group []int, known []bool, used map[comm.ID]comm.SMSDays, now comm.Micros, out []store.Accepted) (fit []int) {
	draft := make(map[comm.ID]comm.SMSDays, len(used))
	for app, days := range used {
		draft[app] = maps.Clone(days)
	}
	for n, i := range group {
		sub := &subs[i]
		if !known[n] {
			days, segments := draft[sub.App], int64(sub.Segments)
			if over, use, exceeded := days.Over(sub.Caps, segments, now.Day()); exceeded {
				out[i] = store.Accepted{Result: store.QuotaExceeded, Cap: over, Use: use}
				continue
			}
			days.Add(sub.Caps, segments, now)
		}
		fit = append(fit, i)
	}
	return fit
}

// behindRate answers anew what fitting refused behind one that the rate then refused, which takes no place under
// a cap. From that one on the rate refuses all of the app, so that used is what counted when it was their turn.
// They do not count in the rate: it is used up without them.
func behindRate(subs []store.Submission, group []int, used map[comm.ID]comm.SMSDays, now comm.Micros, out []store.Accepted) {
	limited := map[comm.ID]store.Accepted{}
	for _, i := range group {
		sub := &subs[i]
		first, behind := limited[sub.App]
		switch {
		case !behind && out[i].Result == store.RateLimited:
			limited[sub.App] = out[i]
		case behind && out[i].Result == store.QuotaExceeded:
			over, use, exceeded := used[sub.App].Over(sub.Caps, int64(sub.Segments), now.Day())
			if out[i] = first; exceeded {
				out[i] = store.Accepted{Result: store.QuotaExceeded, Cap: over, Use: use}
			}
		}
	}
}

// lockUse locks the days of the group's apps. Now is the database's time.
func lockUse(ctx context.Context, tx pgx.Tx, subs []store.Submission, group []int) (used map[comm.ID]comm.SMSDays, now comm.Micros, err error) {
	apps := uuids(len(group))
	used = map[comm.ID]comm.SMSDays{}
	for _, i := range group {
		if app := subs[i].App; used[app] == nil {
			used[app] = comm.SMSDays{}
			apps.id(app)
		}
	}
	var bad error
	rows, err := tx.Query(ctx, lockUseSQL, apps)
	err = each(rows, err, func(r *reader) {
		days := used[r.id()]
		days[""] = comm.SMSUse{Day: r.i64(), Used: r.i64(), Usual: r.i64(), AlarmAt: r.micros()}
		bad = cmp.Or(bad, sqlstore.DecodePrefixDays(r.text(), days))
		now = r.micros()
	})
	return used, now, cmp.Or(err, bad)
}

// querier is a connection, or a transaction on it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// keysThere says of each of the group whether its idempotency key exists.
func keysThere(ctx context.Context, c querier, subs []store.Submission, group []int) ([]bool, error) {
	n := len(group)
	there := make([]bool, n)
	if !slices.ContainsFunc(group, func(i int) bool { return subs[i].HasKey }) {
		return there, nil
	}
	app, mode, hash := uuids(n), int2s(n), byteas(n)
	for _, i := range group {
		app.id(subs[i].App)
		mode.i16(int16(subs[i].Mode))
		if subs[i].HasKey {
			hash.bytes(subs[i].KeyHash[:])
		} else {
			hash.null()
		}
	}
	rows, err := c.Query(ctx, keysThereSQL, app, mode, hash)
	return there, each(rows, err, func(r *reader) { there[r.i64()-1] = true })
}

// countUse stores the days.
func countUse(ctx context.Context, tx pgx.Tx, used map[comm.ID]comm.SMSDays, now comm.Micros) error {
	n := len(used)
	app, day, count, usual, alarm, prefixes := uuids(n), int8s(n), int8s(n), int8s(n), int8s(n), texts(n)
	for id, days := range used {
		text, err := sqlstore.EncodePrefixDays(days, now.Day())
		if err != nil {
			return err
		}
		use := days[""]
		app.id(id)
		day.i64(use.Day)
		count.i64(use.Used)
		usual.i64(use.Usual)
		alarm.i64(int64(use.AlarmAt))
		prefixes.text(text)
	}
	_, err := tx.Exec(ctx, countUseSQL, app, day, count, usual, alarm, prefixes)
	return err
}
