package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/test/pgtest"
)

// feedStatements are those of the feed and of deliveries.
func feedStatements() []hotStatement {
	statePK, content := use{"state", "state_pkey", "app_id id"}, use{"content", "content_pkey", "app_id id"}
	delivery := use{"deliveries", "deliveries_pkey", "app_id endpoint_id id"}
	endpoint := use{"endpoints", "endpoints_app_id_name_key", "app_id"} // an app has few
	of := func(f store.DeliveryFilter) string {
		f.Limit = 100
		return sqlstore.DeliveriesSQL(sqlstore.PostgreSQL(), f)
	}
	page := []any{sqlstore.UUID(comm.ID{}), sqlstore.UUID(comm.ID{}), sqlstore.UUID(comm.NewID(comm.At(time.Now()))), 100}
	return []hotStatement{
		{"what is to be stamped", outboxRowsSQL, nil, []use{{"outbox", "outbox_xid", "xid"}}},
		{"who wrote events", writtenBySQL, nil, []use{{"events", "events_pkey", "app_id message_id sequence"}}},
		{"used up", usedUpSQL, nil, nil},  // by their places
		{"set aside", asideSQL, nil, nil}, // likewise
		{"erased since", erasedSQL, nil, []use{{"events", "events_pkey", "app_id message_id"}}},
		{"ends of feeds", headsSQL, nil, []use{{"feed", "feed_pkey", "app_id"}}},
		{"feed", feedRowsSQL, nil, []use{{"feed", "feed_pkey", "app_id last"}}},
		{"stories", storiesSQL, nil, []use{statePK, content}},
		{"logs", logsSQL, nil, []use{{"events", "events_pkey", "app_id message_id"}}},
		{"what happened last", latelySQL, nil, []use{{"feed", "feed_lately", "xid"}}},
		{"what happened last in an app", latelyOfSQL, nil, []use{{"feed", "feed_pkey", "app_id last"}}},
		{"glimpses", glimpsesSQL, nil, []use{{"events", "events_pkey", "app_id message_id sequence"}, statePK}},
		{"recipients", recipientsSQL, nil, []use{content}},
		{"endpoints with something due", sqlstore.DueEndpointsSQL, nil, []use{{"deliveries", "deliveries_due", "shard endpoint_id"}}},
		{"whose deliveries there are", sqlstore.NextEndpointSQL, nil, []use{{"deliveries", "deliveries_pkey", "app_id endpoint_id"}}},
		{"deliveries that are due", sqlstore.DueDeliveriesSQL, nil, []use{{"deliveries", "deliveries_due", "shard endpoint_id due"}}},
		{"record an attempt", sqlstore.RecordSQL, nil, []use{delivery}},
		{"deliveries of an erasure", sqlstore.ToldSQL(sqlstore.PostgreSQL()), nil, []use{{"deliveries", "deliveries_message", "message_id app_id"}, delivery}},
		{"deliveries of who is named", sqlstore.RetoldSQL(sqlstore.PostgreSQL()), nil, []use{{"deliveries", "deliveries_message", "message_id app_id"}}},
		{"deliveries of a message", of(store.DeliveryFilter{Message: comm.NewID(1)}), nil, []use{{"deliveries", "deliveries_message", "message_id app_id"}, endpoint}},
		{"deliveries of an endpoint", of(store.DeliveryFilter{Before: comm.NewID(1)}), nil, []use{delivery, endpoint}},
		{"deliveries that failed", of(store.DeliveryFilter{Before: comm.NewID(1), State: store.DeliveryExhausted}), page, []use{{"deliveries", "deliveries_open", "app_id endpoint_id state id"}, endpoint}},
		{"deliveries that wait", of(store.DeliveryFilter{Before: comm.NewID(1), State: store.DeliveryWaiting}), page, []use{{"deliveries", "deliveries_open", "app_id endpoint_id state id"}, endpoint}},
		{"deliveries that are done", of(store.DeliveryFilter{Before: comm.NewID(1), State: store.DeliveryDone}), page, []use{{"deliveries", "deliveries_done", "app_id endpoint_id id"}, endpoint}},
		{"a delivery of another endpoint", sqlstore.DropForeignSQL, nil, []use{delivery, endpoint, {"apps", "apps_pkey", "id"}}},
		{"old deliveries", sqlstore.OldDeliveriesSQL, nil, []use{{"deliveries", "deliveries_age", "created_at"}}},
	}
}

// feedTables are theirs, and seedFeed fills them.
func feedTables() []string { return []string{"outbox", "feed", "deliveries"} }

func seedFeed(first, last int) []string {
	from := fmt.Sprintf(` FROM generate_series(%d, %d) i`, first, last)
	const app = `('00000000-0000-0000-0000-0000000000' || lpad(to_hex(i % 20), 2, '0'))::uuid`
	const id = `('00000000-0000-0000-0001-' || lpad(to_hex(i), 12, '0'))::uuid`
	return []string{
		`INSERT INTO outbox SELECT i / 10, i % 64, i, 'x'` + from,
		`INSERT INTO feed SELECT ` + app + `, i, i, 'x'` + from,
		`INSERT INTO deliveries SELECT ` + app + `, ` + app + `, ` + id + `, i % 64, ` + id + `, 1, 3, i, CASE WHEN i % 50 = 0 THEN 1 ELSE 2 END, i, 1, 1, i, i, '', 'x'` + from,
	}
}

// TestListsOfDeliveriesSeekBehindAPooler: a pooler keeps no settings, and statistics say that an endpoint has one delivery, so that the planner has no reason
// against reading whatever it has, and sorting that.
func TestListsOfDeliveriesSeekBehindAPooler(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s, err := Open(t.Context(), Options{URL: url, Pooled: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	plain, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close(context.WithoutCancel(t.Context())) })
	for _, x := range slices.Concat([]string{`ALTER TABLE deliveries SET (autovacuum_enabled = off)`}, seedFeed(1, 20), []string{`VACUUM ANALYZE deliveries`}, seedFeed(21, 20000)) {
		if _, err := plain.Exec(t.Context(), x); err != nil {
			t.Fatalf("%s: %v", x, err)
		}
	}
	for state, index := range map[store.DeliveryState]string{0: "deliveries_pkey", store.DeliveryWaiting: "deliveries_open", store.DeliveryExhausted: "deliveries_open", store.DeliveryDone: "deliveries_done"} {
		id := sqlstore.UUID(comm.NewID(comm.At(time.Now())))
		text := sqlstore.DeliveriesSQL(sqlstore.PostgreSQL(), store.DeliveryFilter{State: state, Before: comm.NewID(1), Limit: 100})
		var plan string
		err := s.Shared().Read(t.Context(), func(q sqlstore.Querier) error {
			return q.QueryRowContext(t.Context(), `EXPLAIN (FORMAT JSON) `+text, id, id, id, 100).Scan(&plan)
		})
		if err != nil {
			t.Fatal(err)
		}
		var plans []struct{ Plan map[string]any }
		if err := json.Unmarshal([]byte(plan), &plans); err != nil || len(plans) != 1 {
			t.Fatal(err, plan)
		}
		var got []use
		walkPlan(plans[0].Plan, func(n map[string]any) {
			if n["Node Type"] == "Sort" {
				t.Errorf("deliveries of state %d are sorted", state)
			}
			for _, u := range checkNode(t, n) {
				if u.table != "endpoints" { // an app has few
					got = append(got, u)
				}
			}
		})
		if len(got) != 1 || got[0].index != index {
			t.Errorf("deliveries of state %d are read by %+v", state, got)
		}
	}
}
