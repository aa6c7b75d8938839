package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/test/pgtest"
)

// use is a table, the index that serves it and what the index is asked with.
type use struct{ table, index, columns string }

// hotStatement is a statement whose plan is asserted.
type hotStatement struct {
	name string
	sql  string
	args []any // of lists, which run with the settings of reads; nil: as many NULLs as it takes
	uses []use
}

func hotStatements() []hotStatement {
	statePK := use{"state", "state_pkey", "app_id id"}
	queue := use{"queue", "queue_pkey", "shard app_id channel lane due id"}
	content := use{"content", "content_pkey", "app_id id"}
	list := use{"state", "state_list", "status channel app_id id"}
	sending := use{"state", "state_sending", "shard app_id channel id"}
	captures := use{"state", "state_captures", "channel app_id id"}
	sizes, holding := sqlstore.MentionsSQL(sqlstore.PostgreSQL(), true)
	id := comm.NewID(comm.At(time.Now()))
	out := []hotStatement{
		{"accept", acceptSQL, nil, []use{{"suppressions", "suppressions_pkey", "app_id channel address"}}},
		{"accept one", acceptOneSQL, nil, []use{{"suppressions", "suppressions_pkey", "app_id channel address"}}},
		{"accept each", acceptEachSQL, nil, []use{{"idempotency", "idempotency_pkey", "app_id mode hash"}, {"suppressions", "suppressions_pkey", "app_id channel address"}, statePK}},
		{"known key", knownKeySQL, nil, []use{{"idempotency", "idempotency_pkey", "app_id mode hash"}, statePK}},
		{"content", contentSQL, nil, []use{content, {"files", "files_pkey", "app_id id"}}},
		{"fence", fenceSQL, nil, []use{{"shards", "shards_pkey", "shard"}}},
		{"start", startSQL(false), nil, []use{content, {"apps", "apps_pkey", "id"}, {"suppressions", "suppressions_pkey", "app_id channel address"}, statePK, queue}},
		{"start after failures", startSQL(true), nil, []use{content, {"apps", "apps_pkey", "id"}, {"suppressions", "suppressions_pkey", "app_id channel address"}, statePK, queue}},
		{"finish", finishSQL(false, false), nil, []use{statePK, queue}},
		{"finish and queue again", finishSQL(false, true), nil, []use{statePK, queue}},
		{"finish with alternatives", finishSQL(true, true), nil, []use{statePK, queue}},
		{"suppress what bounced", bounceSQL, nil, []use{statePK, content}},
		{"count the day", daySQL, nil, []use{statePK}},
		{"units", unitsSQL, nil, []use{{"queue", "queue_pkey", "shard"}, {"queue", "queue_pkey", "shard app_id channel lane"}}},
		{"windows", windowsSQL, nil, []use{queue}},
		{"apps", sqlstore.AppsByIDSQL(sqlstore.PostgreSQL()), nil, []use{{"apps", "apps_pkey", "id"}}},
		{"apps without a provider", sqlstore.UnprovidedSQL, nil, []use{{"apps", "apps_pkey", "id"}, {"provider_configs", "provider_configs_pkey", "app_id"}}},
		{"session", sqlstore.SessionSQL, nil, []use{{"sessions", "sessions_pkey", "hash"}}},
		{"keys", sqlstore.KeyPageSQL, nil, []use{{"api_keys", "api_keys_pkey", "app_id id"}}},
		{"audit chain", sqlstore.AuditChainSQL, nil, []use{{"audit", "audit_pkey", "sequence"}}},
		{"audit", sqlstore.AuditListSQL()[0], nil, []use{{"audit", "audit_pkey", "sequence"}}},
		{"audit of an app", sqlstore.AuditListSQL()[1], nil, []use{{"audit", "audit_app", "app_id sequence"}}},
		{"audit of a target", sqlstore.AuditListSQL()[2], nil, []use{{"audit", "audit_target", "target sequence"}}},
		{"walk", sqlstore.WalkSQL(sqlstore.PostgreSQL()), nil, []use{statePK, content}},
		{"what was set aside", sqlstore.LaterSQL, nil, []use{{"upkeep_later", "upkeep_later_pkey", "walk due"}}},
		{"purge", sqlstore.BumpSQL(sqlstore.PostgreSQL(), "", ""), nil, []use{statePK}},
		{"how large contents are", sizes, nil, []use{content}},
		{"look through contents", holding, nil, []use{content, statePK}},
		{"messages of a deleted app", sqlstore.RemovableSQL(sqlstore.PostgreSQL()), nil, []use{{"state", "state_pkey", "app_id"}, content}},
		{"events of a purge", sqlstore.AmongSQL(sqlstore.PostgreSQL())[0], nil, []use{{"events", "events_pkey", "app_id message_id"}}},
		{"contents of a purge", sqlstore.AmongSQL(sqlstore.PostgreSQL())[1], nil, []use{content}},
		{"terms of a purge", sqlstore.AmongSQL(sqlstore.PostgreSQL())[2], nil, []use{{"terms", "terms_pkey", "app_id kind value id"}}},
		{"keys of a purge", sqlstore.AmongSQL(sqlstore.PostgreSQL())[3], nil, []use{content}},
		{"open erasures", sqlstore.OpenErasuresSQL, nil, []use{{"erasures", "erasures_open", ""}}},
		{"open erasures of an app", sqlstore.OpenErasuresOfSQL, nil, []use{{"erasures", "erasures_open_of", "app_id"}}},
		{"any erasure", sqlstore.AnyErasureSQL, nil, []use{{"erasures", "erasures_by_id", "id"}}},
		{"recipient", sqlstore.RecipientSQL, nil, []use{statePK, content}},
		{"returned", sqlstore.ReturnedSQL, nil, []use{{"suppressions", "suppressions_returned", "returned_at"}}},
		{"deleted apps", sqlstore.DeletedAppsSQL, nil, []use{{"apps", "apps_deleted", "id"}}},
		{"what is attached", sqlstore.FileHeadsSQL, nil, []use{{"files", "files_pkey", "app_id id"}}},
		{"configurations", sqlstore.ProviderConfigsSQL(sqlstore.PostgreSQL()), nil, []use{{"provider_configs", "provider_configs_pkey", "app_id"}}},
		{"how calls of configurations go", sqlstore.StrainsSQL(sqlstore.PostgreSQL()), nil, []use{{"provider_strains", "provider_strains_pkey", "app_id"}, {"nodes", "nodes_pkey", "node"}}},
		// In the key's order, so that what is in front is answered without a sort of all.
		{"how calls of any configurations go", sqlstore.AllStrainsSQL(sqlstore.PostgreSQL()), nil, []use{{"provider_strains", "provider_strains_pkey", ""}, {"nodes", "nodes_pkey", "node"}}},
		{"template by key", sqlstore.TemplateByKeySQL, nil, []use{{"templates", "templates_app_id_key_key", "app_id key"}}},
		{"templates", sqlstore.TemplateListSQL(false, false), nil, []use{{"templates", "templates_pkey", "app_id id"}}},
		{"templates of a channel", sqlstore.TemplateListSQL(true, false), nil, []use{{"templates", "templates_pkey", "app_id id"}}},
		{"versions", sqlstore.TemplateVersionsSQL, nil, []use{{"template_versions", "template_versions_pkey", "app_id template_id"}}},
		{"version", sqlstore.TemplateVersionSQL, nil, []use{{"template_versions", "template_versions_pkey", "app_id template_id version"}}},
		{"sealed values", sqlstore.SealedAfterSQL(store.ProviderSecrets()), nil, []use{{"provider_configs", "provider_configs_pkey", "app_id id"}}},
		{"sealed values of endpoints", sqlstore.SealedAfterSQL(store.WebhookSecrets()), nil, []use{{"endpoints", "endpoints_pkey", "app_id id"}}},
		{"endpoints", sqlstore.EndpointsSQL, nil, []use{{"endpoints", "endpoints_app_id_name_key", "app_id"}}},
		// The index holds nothing but attempts under way: even the whole of it is little.
		{"orphans", orphansSQL, nil, []use{{"state", "state_sending", ""}}},
		{"overdue", overdueSQL, []any{shardList([]comm.Shard{1, 2}), 1, 10}, []use{{"state", "state_expiring", "shard expires_at"}, {"state", "state_retried", "shard round_since"}}},
		{"message", messageSQL, nil, []use{statePK, content}},
		{"events", eventsSQL, nil, []use{{"events", "events_pkey", "app_id message_id"}}},
		{"lock", lockSQL, nil, []use{statePK, content}},
		{"update", updateStateSQL, nil, []use{statePK}},
		{"take a queue row away", deleteQueueSQL, nil, []use{queue}},
	}
	out = append(out, receiptStatements()...)
	for _, f := range []struct {
		name   string
		filter store.Filter
		uses   []use
	}{
		{"all", store.Filter{}, []use{statePK}},
		{"of a status", store.Filter{Status: comm.Failed}, []use{statePK, list}},
		{"of a status and channel", store.Filter{Status: comm.Queued, Channel: comm.SMS}, []use{statePK, list}},
		{"under way", store.Filter{Status: comm.Sending}, []use{statePK, sending}},
		{"of a channel", store.Filter{Channel: comm.Email}, []use{statePK, list, sending}},
		{"of a time", store.Filter{Status: comm.Sent, CreatedAfter: 1, CreatedBefore: comm.At(time.Now())}, []use{statePK, list}},
	} {
		f.filter.Limit, f.filter.Before = 20, id
		sql, args := listSQL(id, f.filter)
		out = append(out, hotStatement{"list " + f.name, sql, args, append(f.uses, content)})
	}
	for name, f := range map[string]store.SuppressionFilter{"all": {}, "of a reason": {Reason: comm.SuppressComplaint, CreatedAfter: 1}, "of a channel": {Channel: comm.SMS}} {
		f.Limit, f.Before = 20, &store.Suppression{CreatedAt: comm.At(time.Now()), Channel: comm.Email, Address: "a@example.org"}
		sql, args := sqlstore.SuppressionListSQL(sqlstore.PostgreSQL(), id, f)
		out = append(out, hotStatement{"suppressions " + name, sql, args, []use{{"suppressions", "suppressions_list", "app_id channel reason created_at"}}})
	}
	out = append(out, hotStatement{"suppressions in order", sqlstore.SuppressionsAfterSQL, []any{sqlstore.UUID(id), 1, "a", 1000}, []use{{"suppressions", "suppressions_pkey", "app_id channel address"}}})
	byRecipient, terms := use{"content", "content_recipient", "app_id recipient id"}, use{"terms", "terms_pkey", "app_id kind value id"}
	f := store.Filter{Recipient: "user7@example.org", Terms: []store.Term{{Kind: store.TagTerm, Value: "all"}}, Status: comm.Failed, Channel: comm.Email, CreatedAfter: 1, Limit: 20, Captured: true}
	sources, _ := searchSources(id, f)
	for i, uses := range [][]use{{byRecipient}, {terms}, {list}} {
		out = append(out, hotStatement{fmt.Sprint("search source ", i), sources[i].sql, sources[i].args, uses})
	}
	found, foundArgs := foundSQL(id, f, []comm.ID{id}, 20)
	out = append(out, hotStatement{"search page", found, foundArgs, []use{statePK, content, terms}})
	inbox := store.Filter{Recipient: f.Recipient, Limit: 20, Captured: true, Whole: true}
	sources, _ = searchSources(id, inbox)
	found, foundArgs = foundSQL(id, inbox, []comm.ID{id}, 20)
	out = append(out, hotStatement{"captures of a recipient", sources[0].sql, sources[0].args, []use{byRecipient}}, hotStatement{"page of captures of a recipient", found, foundArgs, []use{statePK, content}})
	newest, toRecipient := use{"content", "content_newest", "id"}, use{"content", "content_recipient", "recipient"}
	ofAll := store.Filter{Status: comm.Failed, Channel: comm.Email, CreatedAfter: 1, Limit: 20}
	span := sqlstore.SpanOf(ofAll, idsAhead)
	low, high := sqlstore.UUID(span.Low), sqlstore.UUID(span.High)
	one := uuids(1)
	one.id(id)
	allPage, allArgs := allPageSQL(ofAll, span, []sqlstore.Ref{{App: id, ID: id}}, 20)
	out = append(out,
		hotStatement{"app of a message", appOfSQL, []any{sqlstore.UUID(id)}, []use{newest}},
		hotStatement{"newest of all", newestSQL, []any{low, high, 2000}, []use{newest}},
		hotStatement{"apps of a recipient", toHeadsSQL, []any{"user7@example.org", low, high, 10001}, []use{toRecipient, byRecipient, {"content", "content_recipient", "recipient app_id"}}},
		hotStatement{"who wrote to a person", writersSQL, []any{"user7@example.org", sqlstore.UUID(comm.ID{}), 200, sqlstore.UUID(id), 200}, []use{statePK, {"content", "content_recipient", "recipient app_id"}, {"apps", "apps_pkey", "id"}}},
		hotStatement{"newest of a recipient", toIDsSQL, []any{"user7@example.org", low, high, 200, one}, []use{byRecipient}},
		hotStatement{"page of all", allPage, allArgs, []use{statePK, content, {"apps", "apps_pkey", "id"}}},
		hotStatement{"whose list", sqlstore.SuppressedBySQL, []any{"a@example.org", 0, sqlstore.UUID(comm.ID{}), 127, 100}, []use{{"suppressions", "suppressions_address", "address channel app_id"}}},
		hotStatement{"units of all", unitsAfterSQL, nil, []use{{"queue", "queue_pkey", "shard app_id channel lane"}}},
		hotStatement{"units of an app", unitsOfSQL, nil, []use{{"queue", "queue_pkey", "shard app_id"}, {"queue", "queue_pkey", "shard app_id channel lane"}}},
		hotStatement{"depths", depthsSQL, nil, []use{{"queue", "queue_pkey", "shard app_id channel lane due"}, {"holds", "holds_pkey", "app_id channel lane shard"}, statePK}},
		hotStatement{"queue rows", queueRowsSQL, nil, []use{{"queue", "queue_pkey", ""}}},
		hotStatement{"queue by lanes", laneDepthsSQL, nil, []use{{"queue", "queue_pkey", ""}}},
		hotStatement{"queue by units", unitDepthsSQL, nil, []use{{"queue", "queue_pkey", ""}}},
		hotStatement{"under way", underWaySQL, nil, []use{{"state", "state_sending", ""}}}, // nothing but attempts under way
		hotStatement{"cancel", lockQueuedSQL, nil, []use{statePK}},
	)
	sql, args := capturesSQL(id, store.Filter{Limit: 20, Status: comm.Sent})
	return append(out, hotStatement{"captures", sql, args, []use{statePK, captures, content}})
}

// receiptStatements are those of what providers report.
func receiptStatements() []hotStatement {
	statePK, events := use{"state", "state_pkey", "app_id id"}, use{"events", "events_pkey", "app_id message_id"}
	refs := use{"refs", "refs_pkey", "provider_id ref"}
	return []hotStatement{
		{"keep what ids stand for", traceSQL, nil, []use{statePK}},
		{"stored requests", receivedSQL, nil, []use{{"receipts", "receipts_pkey", "id"}}},
		{"take requests", takeReceiptsSQL, nil, []use{{"receipts", "receipts_pkey", "id"}}},
		{"take parked reports", takeParkedSQL, nil, []use{{"parked", "parked_pkey", "id"}}},
		{"parked reports", parkedSQL, nil, []use{{"parked", "parked_due", "due"}}},
		{"what an id stands for", tracedSQL, nil, []use{refs}},
		{"who started an attempt", startedBySQL, nil, []use{events}},
		{"lock what is reported", lockStatesSQL, nil, []use{statePK}},
		{"logs of what is reported", toldLogsSQL, nil, []use{events}},
		{"change what is reported", changeStatesSQL, nil, []use{statePK}},
		{"suppress who is reported", suppressSQL, nil, []use{{"content", "content_pkey", "app_id id"}}},
		{"questions", questionsSQL, nil, []use{{"refs", "refs_ask", "ask_at"}, statePK}},
		{"ask later", askSQL, nil, []use{refs}},
		{"ids of removed messages", sqlstore.DropTracesSQL(sqlstore.PostgreSQL()), nil, []use{events, refs}},
		{"a callback's configuration", sqlstore.AnyProviderSQL, nil, []use{{"provider_configs", "provider_configs_by_id", "id"}, {"apps", "apps_pkey", "id"}}},
	}
}

// TestPlans asserts that every hot statement goes by exactly the index that is
// meant for it, in empty tables, in large ones that nobody has analyzed, in
// analyzed ones, and in tables that were vacuumed while they held little or nothing,
// which the planner takes for the truth: plans are kept while tables grow.
func TestPlans(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	plain, err := pgx.Connect(t.Context(), url) // without the store's time limits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close(context.WithoutCancel(t.Context())) })
	run := func(statements ...string) {
		t.Helper()
		for _, x := range statements {
			if _, err := plain.Exec(t.Context(), x); err != nil {
				t.Fatalf("%s: %v", x, err)
			}
		}
	}
	for _, table := range bigTables() {
		run(`ALTER TABLE ` + table + ` SET (autovacuum_enabled = off)`)
	}
	large := 60_000
	if os.Getenv("COMMS_TEST_FULL") != "" {
		large = 200_000
	}
	t.Run("empty", func(t *testing.T) { checkPlans(t, s) })
	run(slices.Concat(seed(1, large), seedCounts(1, large), seedFeed(1, large))...)
	t.Run("large, without statistics", func(t *testing.T) { checkPlans(t, s) })
	run(`ANALYZE`)
	t.Run("large, analyzed", func(t *testing.T) { checkPlans(t, s) })
	t.Run("pages of large and small apps", func(t *testing.T) { checkPages(t, plain) })
	t.Run("counts of what waits", func(t *testing.T) { checkCounts(t, plain) })
	run(`TRUNCATE `+strings.Join(bigTables(), ", "), `VACUUM ANALYZE`)
	t.Run("vacuumed while empty", func(t *testing.T) { checkPlans(t, s) })
	run(slices.Concat(seed(1, 1), seedCounts(1, 1), seedFeed(1, 1))...)
	run(`VACUUM ANALYZE`)
	t.Run("vacuumed with one message", func(t *testing.T) { checkPlans(t, s) })
	run(slices.Concat(seed(2, large/2), seedCounts(2, large/2), seedFeed(2, large/2))...)
	t.Run("grown since", func(t *testing.T) { checkPlans(t, s) })
}

// checkPages runs every list and counts what it reads: an index that is right and
// asked for too much reads whatever lies beside the range.
func checkPages(t *testing.T, c *pgx.Conn) {
	for _, x := range readSettings() {
		if _, err := c.Exec(t.Context(), "SET "+x.name+" = '"+x.value+"'"); err != nil {
			t.Fatal(err)
		}
	}
	const limit = 20
	var large, small, none comm.ID
	small[15], none[15] = 7, 200
	for name, app := range map[string]comm.ID{"large": large, "small": small, "none": none} {
		for _, status := range append([]comm.Status{comm.None}, comm.Statuses()...) {
			for _, ch := range []comm.Channel{0, comm.Email, comm.SMS} {
				f := store.Filter{Status: status, Channel: ch, Limit: limit}
				sql, args := listSQL(app, f)
				captured, capturedArgs := capturesSQL(app, f)
				reads := map[string]int64{"list": buffersOf(t, c, sql, args)}
				if status == comm.None { // the status of a capture is looked at, not looked up
					reads["captures"] = buffersOf(t, c, captured, capturedArgs)
				}
				for what, n := range reads {
					// A range costs some blocks to find, twice as many as rows to read; attempts under way one range for each shard.
					if n > 700 {
						t.Errorf("%s of %s %s of the %s app reads %d blocks", what, status, ch, name, n)
					}
				}
			}
		}
	}
}

// checkCounts sees to it that a look at what waits reads as much as it counts, and not as much as there is.
func checkCounts(t *testing.T, c *pgx.Conn) {
	for _, x := range readSettings() {
		if _, err := c.Exec(t.Context(), "SET "+x.name+" = '"+x.value+"'"); err != nil {
			t.Fatal(err)
		}
	}
	const most = 100
	shard, app, channel, lane := int2s(1), uuids(1), int2s(1), int2s(1)
	shard.i16(4)
	app.id(comm.ID{}) // the large one
	channel.i16(1)
	lane.i16(1)
	for what, x := range map[string]struct {
		sql  string
		args []any
		rows int64
	}{
		"a unit":    {depthsSQL, []any{shard, app, channel, lane, int64(1) << 40, fmt.Sprintf("{%d}", most+1)}, most},
		"all of it": {queueRowsSQL, []any{int64(most)}, most},
	} {
		// A block for each row at most, as the key's order is not the table's, and some to find the first.
		if n := buffersOf(t, c, x.sql, x.args); n < x.rows/10 || n > x.rows+x.rows/2 {
			t.Errorf("counting %d rows of %s reads %d blocks", x.rows, what, n)
		}
	}
}

func buffersOf(t *testing.T, c *pgx.Conn, sql string, args []any) int64 {
	t.Helper()
	plan := explained(t, c, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE", "force_generic_plan", hotStatement{sql: sql, args: args})
	hit, _ := plan["Shared Hit Blocks"].(float64)
	read, _ := plan["Shared Read Blocks"].(float64)
	return int64(hit + read)
}

func bigTables() []string {
	return append(slices.Concat(countTables(), feedTables()), "apps", "provider_configs", "suppressions", "content", "terms", "files", "state", "queue", "idempotency", "events", "templates", "template_versions", "refs", "receipts", "parked")
}

// seed fills the messages from first to last of 20 apps, one of which has nine tenths of them.
func seed(first, last int) []string {
	const app = `('00000000-0000-0000-0000-0000000000' || lpad(to_hex(CASE WHEN i % 10 > 0 THEN 0 ELSE i / 10 % 20 END), 2, '0'))::uuid`
	const id = `('00000000-0000-0000-0001-' || lpad(to_hex(i), 12, '0'))::uuid`
	series := fmt.Sprintf(`generate_series(%d, %d)`, first, last)
	from := ` FROM ` + series + ` i`
	const final = `CASE WHEN i % 50 = 0 THEN 5 WHEN i % 4 = 0 THEN 1 WHEN i % 997 = 0 THEN 2 ELSE 3 END`
	return []string{
		`INSERT INTO apps SELECT ('00000000-0000-0000-0000-0000000000' || lpad(to_hex(i), 2, '0'))::uuid, 'app' || i, 'App', 1, 1, 0, 600, 1, 0, '', 1, 1, 0, 0 FROM generate_series(0, 19) i ON CONFLICT DO NOTHING`,
		`INSERT INTO provider_configs SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(i / 2), 12, '0'))::uuid, ` + id + `, 'SMTP', 1, 'Mail', 100, 1, '{}', NULL, '', 0, 0, 0, 0, 1, i, i` + from + ` WHERE i <= 20000`,
		`INSERT INTO templates SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(i / 200), 12, '0'))::uuid, ` + id + `, 'key' || i, 1 + i % 2, 'T', 1, 's', 'b', '', i, i, i` + from + ` WHERE i <= 20000`,
		`INSERT INTO template_versions SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(i / 2000), 12, '0'))::uuid, ('00000000-0000-0000-0001-' || lpad(to_hex(i / 10), 12, '0'))::uuid, 1 + i % 10, 's', 'b', '', i` + from + ` WHERE i <= 50000`,
		`INSERT INTO suppressions SELECT ` + app + `, 1, 'gone' || i || '@example.org', 'manual', 1` + from,
		`INSERT INTO content SELECT ` + app + `, ` + id + `, 'user' || i || '@example.org', 'x', 0` + from,
		`INSERT INTO terms SELECT ` + app + `, 1, 'all', ` + id + from,
		`INSERT INTO state SELECT ` + app + `, ` + id + `, i % 64, 1 + i % 2, 1, 1, 0, ` + final + `, i, i, 0, i, 0, 1, 1, 0, i, 3, 1, 0, 'sandbox',
			'00000000-0000-0000-0000-000000000000', 'ref', '', '', CASE WHEN i % 3 = 0 THEN i ELSE 0 END, 0, 500` + from,
		`INSERT INTO queue SELECT i % 64, ` + app + `, 1 + i % 2, 1, i, ` + id + `, 500` + from + ` WHERE ` + final + ` < 3`,
		`INSERT INTO idempotency SELECT ` + app + `, 1, decode(md5(i::text), 'hex'), ` + id + `, 'f'` + from,
		`INSERT INTO refs SELECT '00000000-0000-0000-0000-000000000007', 'ref' || i, ` + app + `, ` + id + `, 1, i, CASE WHEN i % 5 = 0 THEN i ELSE 0 END, 0` + from,
		`INSERT INTO receipts SELECT ` + id + `, ` + app + `, '00000000-0000-0000-0000-000000000007', 'TWILIO', i, 'POST', '', '', 'body'` + from + ` WHERE i <= 20000`,
		`INSERT INTO parked SELECT ` + id + `, ` + app + `, '00000000-0000-0000-0000-000000000007', 'twilio', 'ref' || i, ` + id + `, 1, 3, 0, '', '', '', i, i` + from + ` WHERE i <= 20000`,
		`INSERT INTO events SELECT ` + app + `, ` + id + `, n, 1, 0, 1, i, 1, 0, 0, 'node', '', '', '00000000-0000-0000-0000-000000000000', '', '', '' FROM ` + series + ` i, generate_series(1, 3) n`,
	}
}

func checkPlans(t *testing.T, s *Store) {
	turns, err := s.turns.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer turns.Release()
	reads, err := s.reads.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Release()
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		for _, h := range slices.Concat(hotStatements(), countStatements(), feedStatements()) {
			if mode == "force_custom_plan" && h.args == nil {
				continue // NULLs make a custom plan of nothing; these run on kept plans
			}
			t.Run(h.name+" "+strings.TrimSuffix(strings.TrimPrefix(mode, "force_"), "_plan"), func(t *testing.T) {
				conn := turns
				if h.args != nil {
					conn = reads
				}
				plan := explain(t, conn.Conn(), mode, h)
				var got []use
				walkPlan(plan, func(n map[string]any) {
					got = append(got, checkNode(t, n)...)
					if kind, _ := n["Node Type"].(string); h.sql == sqlstore.AllStrainsSQL(sqlstore.PostgreSQL()) && strings.HasSuffix(kind, "Sort") {
						t.Errorf("a %s", kind)
					}
				})
				for _, want := range h.uses {
					if !slices.ContainsFunc(got, func(u use) bool {
						return u.table == want.table && u.index == want.index && asksAll(u.columns, want.columns)
					}) {
						t.Errorf("%s is not read by %s (%s): %+v", want.table, want.index, want.columns, got)
					}
				}
				for _, u := range got {
					if !slices.ContainsFunc(h.uses, func(want use) bool {
						return u.table == want.table && u.index == want.index && asksAll(u.columns, want.columns)
					}) {
						t.Errorf("%s is read by %s with %s", u.table, u.index, u.columns)
					}
				}
			})
		}
	}
}

// asksAll says whether a condition names every column.
func asksAll(condition, columns string) bool {
	words := strings.FieldsFunc(condition, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
	for c := range strings.FieldsSeq(columns) {
		if !slices.Contains(words, c) {
			return false
		}
	}
	return true
}

// checkNode refuses plan nodes whose cost follows the tables' sizes, and answers the use of an index.
func checkNode(t *testing.T, n map[string]any) []use {
	t.Helper()
	kind, _ := n["Node Type"].(string)
	table, _ := n["Relation Name"].(string)
	switch kind {
	case "Hash Join", "Merge Join", "Bitmap Heap Scan":
		t.Errorf("a %s", kind)
	case "Seq Scan":
		if slices.Contains(bigTables(), table) {
			t.Errorf("%s is read whole", table)
		}
	case "Index Scan", "Index Only Scan":
		index, _ := n["Index Name"].(string)
		condition, _ := n["Index Cond"].(string)
		return []use{{table, index, condition}}
	}
	return nil
}

func walkPlan(node map[string]any, visit func(map[string]any)) {
	visit(node)
	children, _ := node["Plans"].([]any)
	for _, c := range children {
		if m, ok := c.(map[string]any); ok {
			walkPlan(m, visit)
		}
	}
}

func explain(t *testing.T, c *pgx.Conn, mode string, h hotStatement) map[string]any {
	t.Helper()
	return explained(t, c, "EXPLAIN (FORMAT JSON) EXECUTE", mode, h)
}

// explained prepares a statement, explains it and answers its plan.
func explained(t *testing.T, c *pgx.Conn, how, mode string, h hotStatement) map[string]any {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	tx, err := c.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	sd, err := c.PgConn().Prepare(ctx, "plan_of_it", h.sql, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.PgConn().Deallocate(ctx, "plan_of_it") }()
	params := make([]string, len(sd.ParamOIDs))
	for i := range params {
		if params[i] = "NULL"; h.args != nil {
			params[i] = literal(h.args[i])
		}
	}
	call := how + " plan_of_it"
	if len(params) > 0 {
		call += "(" + strings.Join(params, ", ") + ")"
	}
	if _, err := c.Exec(ctx, "SET LOCAL plan_cache_mode = "+mode, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := c.QueryRow(ctx, call, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		t.Fatalf("%s: %v", call, err)
	}
	var plans []struct{ Plan map[string]any }
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) != 1 {
		t.Fatal(err, text)
	}
	return plans[0].Plan
}

// literal writes a parameter of a list statement as SQL.
func literal(v any) string {
	switch v := v.(type) {
	case *list:
		var b []string
		if v.oid == pgtype.UUIDOID {
			for i := range v.n {
				b = append(b, fmt.Sprintf("%x", v.body[20*i+4:20*i+20]))
			}
			return "'{" + strings.Join(b, ",") + "}'"
		}
		for i := range v.n {
			b = append(b, fmt.Sprint(int16(v.body[6*i+4])<<8|int16(v.body[6*i+5])))
		}
		return "'{" + strings.Join(b, ",") + "}'"
	default:
		return "'" + fmt.Sprint(v) + "'"
	}
}
