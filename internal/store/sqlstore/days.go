package sqlstore

// CountDay is the statement that adds rows (app_id, provider_id, day, used) to
// provider_days. A configuration has one row: a later day takes the place of an
// earlier one, and nothing is added to a day that has passed.
func CountDay(rows string) string {
	return `INSERT INTO provider_days AS d (app_id, provider_id, day, used) ` + rows + `
ON CONFLICT (app_id, provider_id) DO UPDATE SET day = excluded.day, used = excluded.used + CASE WHEN d.day = excluded.day THEN d.used ELSE 0 END
WHERE excluded.day >= d.day`
}
