package sqlstore

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// DayOf is the UTC day of a time, in days since 1970-01-01.
func DayOf(at comm.Micros) int64 { return int64(at) / (24 * time.Hour).Microseconds() }

// CountDay is the statement that adds rows (app_id, provider_id, day, used) to
// provider_days. A configuration has one row: a later day takes the place of an
// earlier one, and nothing is added to a day that has passed.
func CountDay(rows string) string {
	return `INSERT INTO provider_days AS d (app_id, provider_id, day, used) ` + rows + `
ON CONFLICT (app_id, provider_id) DO UPDATE SET day = excluded.day, used = excluded.used + CASE WHEN d.day = excluded.day THEN d.used ELSE 0 END
WHERE excluded.day >= d.day`
}
