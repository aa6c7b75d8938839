package postgres

import (
	"fmt"

	"github.com/commserver/commserver/internal/store/sqlstore"
)

// countStatements are those of what is counted: caps of SMS, and statistics.
func countStatements() []hotStatement {
	day := use{"sms_use", "sms_use_pkey", "app_id"}
	period := use{"stats", "stats_pkey", "app_id span start"}
	waiting := use{"tallies", "tallies_at", "at"}
	return []hotStatement{
		{"days of caps", lockUseSQL, nil, nil},        // it finds them as it inserts
		{"count days of caps", countUseSQL, nil, nil}, // likewise
		{"known keys", keysThereSQL, nil, []use{{"idempotency", "idempotency_pkey", "app_id mode hash"}}},
		{"app with its day", sqlstore.AppSQL, nil, []use{{"apps", "apps_pkey", "id"}, {"endpoints", "endpoints_app_id_name_key", "app_id name"}, day}},
		{"is the app there", aliveSQL, nil, []use{{"apps", "apps_pkey", "id"}}},
		{"any tally", anyTallySQL, nil, []use{waiting}},
		{"take tallies", takeTalliesSQL, nil, []use{waiting}},
		{"tallies", talliesSQL, nil, []use{waiting}},
		{"periods to add to", statsAtSQL, nil, []use{period}},
		{"periods", statsOfSQL, nil, []use{period}},
		{"shares", sharesOfSQL, nil, []use{period}},
		{"old periods", takeOldSQL, nil, []use{{"stats", "stats_age", "span start"}}},
	}
}

// countTables are theirs, and seedCounts fills them.
func countTables() []string { return []string{"sms_use", "rates", "tallies", "stats"} }

func seedCounts(first, last int) []string {
	from := fmt.Sprintf(` FROM generate_series(%d, %d) i`, first, last)
	const app = `('00000000-0000-0000-0000-' || lpad(to_hex(i), 12, '0'))::uuid`
	return []string{
		`INSERT INTO sms_use SELECT ` + app + `, 20000, 5, 7, 0, '{}'` + from + ` WHERE i <= 20000`,
		`INSERT INTO rates SELECT ` + app + `, 1, 1` + from + ` WHERE i <= 20000`,
		`INSERT INTO tallies SELECT i, 'x', NULL` + from,
		`INSERT INTO stats SELECT ` + app + `, 60000000, i, 'x', NULL` + from,
	}
}
