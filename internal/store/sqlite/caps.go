package sqlite

import (
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	qUseSelect = &query{`SELECT day, used, usual, alarm_at, prefixes FROM sms_use WHERE app_id = ?`}
	qUseUpsert = &query{`INSERT INTO sms_use (app_id, day, used, usual, alarm_at, prefixes) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (app_id) DO UPDATE SET day = excluded.day, used = excluded.used, usual = excluded.usual, alarm_at = excluded.alarm_at, prefixes = excluded.prefixes`}
)

// days are what apps with caps have used of their days, as one run of an accept group
// reads and changes them. Nothing is remembered between two runs.
type days map[comm.ID]*capped

type capped struct {
	comm.SMSDays
	changed bool
}

// read reads an app's day, once in a run.
func (d *days) read(r *raw, app comm.ID) (*capped, error) {
	if x, ok := (*d)[app]; ok {
		return x, nil
	}
	row, err := r.one(qUseSelect, app[:])
	if err != nil {
		return nil, fmt.Errorf("read the day's SMS: %w", err)
	}
	x := &capped{SMSDays: comm.SMSDays{}}
	if row != nil {
		x.SMSDays[""] = comm.SMSUse{Day: num(row[0]), Used: num(row[1]), Usual: num(row[2]), AlarmAt: comm.Micros(num(row[3]))}
		if err := sqlstore.DecodePrefixDays(text(row[4]), x.SMSDays); err != nil {
			return nil, err
		}
	}
	if *d == nil {
		*d = days{}
	}
	(*d)[app] = x
	return x, nil
}

// over says whether the submission is over one of its caps: then out is the answer to it.
func (d *days) over(r *raw, sub *store.Submission, now comm.Micros) (out store.Accepted, exceeded bool, err error) {
	if len(sub.Caps) == 0 {
		return out, false, nil
	}
	x, err := d.read(r, sub.App)
	if err != nil {
		return out, false, err
	}
	out.Cap, out.Use, exceeded = x.Over(sub.Caps, int64(sub.Segments), now.Day())
	out.Result = store.QuotaExceeded
	return out, exceeded, nil
}

// count adds a submission with caps of which over was asked.
func (d *days) count(sub *store.Submission, out *store.Accepted, now comm.Micros) {
	x := (*d)[sub.App]
	x.changed = true
	out.Use, out.Alarms = x.Add(sub.Caps, int64(sub.Segments), now)
}

// write stores what was counted.
func (d *days) write(r *raw, now comm.Micros) error {
	for app, x := range *d {
		if !x.changed {
			continue
		}
		prefixes, err := sqlstore.EncodePrefixDays(x.SMSDays, now.Day())
		if err != nil {
			return err
		}
		whole := x.SMSDays[""]
		if _, err := r.run(qUseUpsert, app[:], whole.Day, whole.Used, whole.Usual, int64(whole.AlarmAt), prefixes); err != nil {
			return fmt.Errorf("count the day's SMS: %w", err)
		}
	}
	return nil
}
