package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Submissions of apps with a cap of SMS are decided here, between statements of one
// transaction: the day's rows are locked in the order of the apps, so that the cap is exact
// on any number of nodes.
const (
	lockUseSQL = `
INSERT INTO sms_use AS old (app_id, day, used, usual, alarm_at) SELECT a, 0, 0, 0, 0 FROM unnest($1::uuid[]) AS a ORDER BY a
ON CONFLICT (app_id) DO UPDATE SET day = old.day RETURNING app_id, day, used, usual, alarm_at, ` + clock
	keysThereSQL = `
SELECT x.ord FROM unnest($1::uuid[], $2::smallint[], $3::bytea[]) WITH ORDINALITY AS x (app, mode, hash, ord)
WHERE x.hash IS NOT NULL AND EXISTS (SELECT FROM idempotency k WHERE k.app_id = x.app AND k.mode = x.mode AND k.hash = x.hash)`
	countUseSQL = `
UPDATE sms_use u SET day = x.day, used = x.used, usual = x.usual, alarm_at = x.alarm_at
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS x (app, day, used, usual, alarm_at) WHERE u.app_id = x.app`
)

// acceptMixed stores the submissions with a cap first and then the others as ever. If those
// with a cap are refused nothing is stored yet, and the caller takes the group apart as it does
// with any other, so that a row of theirs that cannot be locked costs nobody else's 202.
func (s *Store) acceptMixed(ctx context.Context, subs []store.Submission, group []int, fast bool, out []store.Accepted) (again []int, err error) {
	var plain, capped []int
	for _, i := range group {
		if subs[i].SMSPerDay > 0 {
			capped = append(capped, i)
		} else {
			plain = append(plain, i)
		}
	}
	if again, err = s.acceptCapped(ctx, subs, capped, out); err != nil || len(plain) == 0 {
		return again, err
	}
	more, err := s.acceptGroup(ctx, subs, plain, fast, out)
	if err != nil && !errors.Is(err, store.ErrUncertain) {
		return nil, fmt.Errorf("%w: %w", store.ErrUncertain, err) // those with a cap are stored already
	}
	return append(again, more...), err
}

// acceptCapped is one transaction for submissions whose apps have caps.
func (s *Store) acceptCapped(ctx context.Context, subs []store.Submission, group []int, out []store.Accepted) (again []int, err error) {
	err = s.transactionOn(ctx, s.accepts, "store capped messages", func(tx pgx.Tx) error {
		again = again[:0]
		used, now, err := lockUse(ctx, tx, subs, group)
		if err != nil {
			return err
		}
		known, err := keysThere(ctx, tx, subs, group)
		if err != nil {
			return err
		}
		held := map[comm.ID]int64{}
		var fit []int
		for n, i := range group {
			sub := &subs[i]
			use := used[sub.App]
			switch {
			case known[n]:
			case use.Fits(held[sub.App]+int64(sub.Segments), sub.SMSPerDay):
				held[sub.App] += int64(sub.Segments)
			default:
				out[i] = store.Accepted{Result: store.QuotaExceeded, Use: *use}
				continue
			}
			fit = append(fit, i)
		}
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
				use := used[subs[i].App]
				out[i].Alarm = use.Add(int64(subs[i].Segments), now)
				out[i].Use = *use
			}
		}
		return countUse(ctx, tx, used)
	})
	if err == nil {
		s.limited.note(subs, group, out)
	}
	return again, err
}

// lockUse locks the days of the group's apps and goes on to the database's day.
func lockUse(ctx context.Context, tx pgx.Tx, subs []store.Submission, group []int) (used map[comm.ID]*comm.SMSUse, now comm.Micros, err error) {
	apps := uuids(len(group))
	used = map[comm.ID]*comm.SMSUse{}
	for _, i := range group {
		if app := subs[i].App; used[app] == nil {
			used[app] = &comm.SMSUse{}
			apps.id(app)
		}
	}
	rows, err := tx.Query(ctx, lockUseSQL, apps)
	err = each(rows, err, func(r *reader) {
		use := used[r.id()]
		use.Day, use.Used, use.Usual, use.AlarmAt = r.i64(), r.i64(), r.i64(), r.micros()
		now = r.micros()
		use.Turn(now.Day())
	})
	return used, now, err
}

// keysThere says of each of the group whether its idempotency key exists.
func keysThere(ctx context.Context, tx pgx.Tx, subs []store.Submission, group []int) ([]bool, error) {
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
	rows, err := tx.Query(ctx, keysThereSQL, app, mode, hash)
	return there, each(rows, err, func(r *reader) { there[r.i64()-1] = true })
}

// countUse stores the days.
func countUse(ctx context.Context, tx pgx.Tx, used map[comm.ID]*comm.SMSUse) error {
	n := len(used)
	app, day, count, usual, alarm := uuids(n), int8s(n), int8s(n), int8s(n), int8s(n)
	for id, use := range used {
		app.id(id)
		day.i64(use.Day)
		count.i64(use.Used)
		usual.i64(use.Usual)
		alarm.i64(int64(use.AlarmAt))
	}
	_, err := tx.Exec(ctx, countUseSQL, app, day, count, usual, alarm)
	return err
}
