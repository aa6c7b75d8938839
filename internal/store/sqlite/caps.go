package sqlite

import (
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

var (
	qUseSelect = &query{`SELECT day, used, usual, alarm_at FROM sms_use WHERE app_id = ?`}
	qUseUpsert = &query{`INSERT INTO sms_use (app_id, day, used, usual, alarm_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (app_id) DO UPDATE SET day = excluded.day, used = excluded.used, usual = excluded.usual, alarm_at = excluded.alarm_at`}
)

// days are what apps with a cap have used of their days, as one run of an accept group
// reads and changes them. Nothing is remembered between two runs.
type days map[comm.ID]*capped

type capped struct {
	comm.SMSUse
	changed bool
}

// fits reads the app's day and says whether the submission stays within its cap.
func (d *days) fits(r *raw, sub *store.Submission, now comm.Micros) (bool, error) {
	x, ok := (*d)[sub.App]
	if !ok {
		row, err := r.one(qUseSelect, sub.App[:])
		if err != nil {
			return false, fmt.Errorf("read the day's SMS: %w", err)
		}
		x = &capped{}
		if row != nil {
			x.SMSUse = comm.SMSUse{Day: num(row[0]), Used: num(row[1]), Usual: num(row[2]), AlarmAt: comm.Micros(num(row[3]))}
		}
		x.Turn(now.Day())
		if *d == nil {
			*d = days{}
		}
		(*d)[sub.App] = x
	}
	return x.Fits(int64(sub.Segments), sub.SMSPerDay), nil
}

// count adds a submission of which fits was asked.
func (d *days) count(sub *store.Submission, now comm.Micros) (comm.SMSUse, bool) {
	x := (*d)[sub.App]
	x.changed = true
	alarm := x.Add(int64(sub.Segments), now)
	return x.SMSUse, alarm
}

// write stores what was counted.
func (d *days) write(r *raw) error {
	for app, x := range *d {
		if !x.changed {
			continue
		}
		if _, err := r.run(qUseUpsert, app[:], x.Day, x.Used, x.Usual, int64(x.AlarmAt)); err != nil {
			return fmt.Errorf("count the day's SMS: %w", err)
		}
	}
	return nil
}
