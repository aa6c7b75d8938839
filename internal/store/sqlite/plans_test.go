package sqlite

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// plan is what SQLite would do for a statement. There are no statistics in the
// database (nobody runs ANALYZE), so that it does not depend on what is stored.
func plan(t *testing.T, s *Store, text string) string {
	t.Helper()
	var out strings.Builder
	err := s.readers.with(t.Context(), func(r *raw) error {
		q := &query{"EXPLAIN QUERY PLAN " + text}
		defer r.forget(q)
		return r.each(q, nil, func(v []value) error {
			fmt.Fprintln(&out, v[3])
			return nil
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out.String()
}

func TestEveryHotStatementSeeks(t *testing.T) {
	t.Parallel()
	s := opened(t)
	const primary = "USING PRIMARY KEY ("
	for _, c := range []struct {
		name string
		q    *query
		want []string
	}{
		{"key", qKeySelect, []string{"SEARCH i " + primary + "app_id=? AND mode=? AND hash=?)", "SEARCH s " + primary + "id=? AND app_id=?)"}},
		{"rate", qRateSelect, []string{"SEARCH rates " + primary + "app_id=?)"}},
		{"day of caps", qUseSelect, []string{"SEARCH sms_use " + primary + "app_id=?)"}},
		{"folded tallies", qTalliesGone, []string{"SEARCH tallies USING INTEGER PRIMARY KEY (rowid<?)"}},
		{"period", qStat, []string{"SEARCH stats " + primary + "app_id=? AND span=? AND start=?)"}},
		{"periods", qStatsOf, []string{"SEARCH stats " + primary + "app_id=? AND span=? AND start>?)"}},
		{"shares", qSharesOf, []string{"SEARCH stats_shares " + primary + "app_id=? AND span=? AND start>?)"}},
		{"old periods", qStatsOld, []string{"INDEX stats_age (span=? AND start<?)", "SEARCH s " + primary + "app_id=? AND span=? AND start=?)"}},
		{"state", qState, []string{"SEARCH s " + primary + "id=? AND app_id=?)"}},
		{"state update", qStateUpdate, []string{"SEARCH state " + primary + "id=? AND app_id=?)"}},
		{"started", qStarted, []string{"SEARCH state " + primary + "id=? AND app_id=?)", "SEARCH p " + primary + "app_id=? AND channel=? AND address=?)"}},
		{"sent", qSent, []string{"SEARCH state " + primary + "id=? AND app_id=?)"}},
		{"queue delete", qQueueDelete, []string{"SEARCH queue " + primary + "shard=? AND app_id=? AND channel=? AND lane=? AND due=? AND id=?)"}},
		{"unit", qUnit, []string{"SEARCH queue " + primary + "shard=? AND (app_id,channel,lane)>(?,?,?))"}},
		{"window", qWindow, []string{"SEARCH queue " + primary + "shard=? AND app_id=? AND channel=? AND lane=? AND (due,id)>(?,?))"}},
		{"content", qContent, []string{"SEARCH s " + primary + "id=? AND app_id=?)", "SEARCH c", "id=? AND app_id=?)"}},
		{"purged", qPurged, []string{"SEARCH content", "id=? AND app_id=?)"}},
		{"files", qFiles, []string{"SEARCH files USING INDEX", "id=? AND app_id=?)"}},
		{"suppressed", qSuppressed, []string{"SEARCH suppressions " + primary + "app_id=? AND channel=? AND address=?)"}},
		{"app", qAppMode, []string{"SEARCH apps " + primary + "id=?)"}},
		{"message", qMessage, []string{"SEARCH s " + primary + "id=? AND app_id=?)", "SEARCH c", "id=? AND app_id=?)"}},
		{"events", qEvents, []string{"SEARCH events USING INDEX sqlite_autoindex_events_1 (message_id=? AND sequence<?)"}},
		{"orphans", qOrphans, []string{"SCAN s USING INDEX state_sending"}}, // open attempts only
		{"expired", qExpired, []string{"SEARCH s USING INDEX state_expiring (shard=? AND expires_at>? AND expires_at<?)"}},
		{"exhausted", qExhausted, []string{"SEARCH s USING INDEX state_retried (shard=? AND round_since>? AND round_since<?)"}},
		{"hold", qHold, []string{"SEARCH holds " + primary + "app_id=? AND channel=? AND lane=? AND shard=?)"}},
		{"search by term", qByTerm, []string{"SEARCH terms " + primary + "kind=? AND value=? AND app_id=? AND id>? AND id<?)"}},
		{"search, state", qFits, []string{"SEARCH state " + primary + "id=? AND app_id=?)"}},
		{"search, term", qHasTerm, []string{"SEARCH terms " + primary + "kind=? AND value=? AND app_id=? AND id=?)"}},
		{"to be indexed", qUnindexed, []string{"SEARCH content USING INTEGER PRIMARY KEY (rowid>?)"}},
		{"app of a message", qAppOf, []string{"SEARCH state " + primary + "id=?)"}},
		{"newest of all", qNewest, []string{"SEARCH state " + primary + "id>? AND id<?)"}},
		{"next app of a word", qNextApp, []string{"SEARCH terms " + primary + "kind=? AND value=? AND app_id>?)"}},
		{"accepted lately", qLately, []string{"SEARCH content USING INTEGER PRIMARY KEY (rowid>?)"}},
		{"sent by", qSentBy, []string{"SEARCH state " + primary + "id=? AND app_id=?)"}},
		{"does it fit", qStateFits, []string{"SEARCH state " + primary + "id=? AND app_id=?)"}},
		{"is it deleted", qAlive, []string{"SEARCH apps " + primary + "id=?)"}},
		{"next unit of all", qNextUnit, []string{"SEARCH queue " + primary + "(shard,app_id,channel,lane)>(?,?,?,?))"}},
		{"next unit of an app", qUnitOf, []string{"SEARCH queue " + primary + "shard=? AND app_id=? AND (channel,lane)>(?,?))"}},
		{"what an id stands for", qTraced, []string{"SEARCH refs " + primary + "provider_id=? AND ref=?)"}},
		{"what an attempt is known by", qKnownBy, []string{"SEARCH events USING INDEX sqlite_autoindex_events_1 (message_id=?)"}},
		{"who started an attempt", qStartedBy, []string{"SEARCH events USING INDEX sqlite_autoindex_events_1 (message_id=?)"}},
		{"stored requests", qReceived, []string{"SEARCH receipts USING INDEX sqlite_autoindex_receipts_1 (id>?)"}},
		{"take a request", qReceiptDelete, []string{"SEARCH receipts USING INDEX sqlite_autoindex_receipts_1 (id=?)"}},
		{"parked reports", qParked, []string{"SEARCH parked USING INDEX parked_due (due<?)"}},
		{"take a parked report", qParkedDelete, []string{"SEARCH parked " + primary + "id=?)"}},
		{"questions", qQuestions, []string{"SEARCH r USING INDEX refs_ask (ask_at<?)", "SEARCH s " + primary + "id=? AND app_id=?)"}},
		{"ask later", qAsk, []string{"SEARCH refs " + primary + "provider_id=? AND ref=?)"}},
		{"row of the outbox", qOutboxRow, []string{"SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"}},
		{"end of a feed", qFeedHead, []string{"SEARCH feed USING COVERING INDEX sqlite_autoindex_feed_1 (app_id=?)"}},
		{"feed", qFeedRows, []string{"SEARCH feed USING INDEX sqlite_autoindex_feed_1 (app_id=? AND last>?)"}},
		{"what happened last", qFeedNewest, []string{"SEARCH feed USING INTEGER PRIMARY KEY (rowid>?)"}},
		{"the end of what happened", qFeedEnd, []string{"SEARCH feed"}},
		{"what happened last in an app", qFeedLast, []string{"SEARCH feed USING INDEX sqlite_autoindex_feed_1 (app_id=? AND last>?)"}},
		{"a glimpse of an event", qGlimpse, []string{"SEARCH events USING INDEX sqlite_autoindex_events_1 (message_id=? AND sequence=? AND app_id=?)"}},
		{"its message's channel", qKindOf, []string{"SEARCH state " + primary + "id=? AND app_id=?)"}},
		{"its recipient", qShown, []string{"SEARCH content", "id=? AND app_id=?)"}},
		{"endpoints with something due", &query{sqlstore.DueEndpointsSQL}, []string{"SEARCH deliveries USING INDEX deliveries_due ((shard,endpoint_id)>(?,?))"}},
		{"deliveries that are due", &query{sqlstore.DueDeliveriesSQL}, []string{"SEARCH deliveries USING INDEX deliveries_due (shard=? AND endpoint_id=? AND due<?)"}},
		{"record an attempt", &query{sqlstore.RecordSQL}, []string{"SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (app_id=? AND endpoint_id=? AND id=?)"}},
		{"old deliveries", &query{sqlstore.OldDeliveriesSQL}, []string{"SEARCH deliveries USING INDEX deliveries_age (created_at<?)"}},
		{"node", qNode, []string{"SEARCH nodes " + primary + "node=?)"}},
	} {
		got := plan(t, s, c.q.text)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: want %q in\n%s", c.name, want, got)
			}
		}
		if strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "SCAN") && c.q != qOrphans && c.q != qStatsOld { // a few rows that were sought first
			t.Errorf("%s:\n%s", c.name, got)
		}
	}
}

// The figures that reports of all apps read are cut by triggers, whose texts are constants.
func TestSharesHoldTheFiguresOfMessages(t *testing.T) {
	t.Parallel()
	s, cuts := opened(t), 0
	err := s.readers.with(t.Context(), func(r *raw) error {
		q := &query{`SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'stats' AND instr(sql, 'substr')`}
		defer r.forget(q)
		return r.each(q, nil, func(v []value) error {
			if cuts++; !strings.Contains(text(v[0]), fmt.Sprintf("substr(NEW.counts, 1, %d)", store.MessageBytes())) {
				t.Errorf("not the first %d bytes: %s", store.MessageBytes(), text(v[0]))
			}
			return nil
		})
	})
	if err != nil || cuts != 2 {
		t.Errorf("%d triggers cut, %v", cuts, err)
	}
}

// A page of an endpoint's deliveries is a range of an index in the order of the page; those of a message are sought by it.
func TestListsOfDeliveriesSeek(t *testing.T) {
	t.Parallel()
	s := opened(t)
	id := comm.NewID(1)
	for want, f := range map[string]store.DeliveryFilter{
		"sqlite_autoindex_deliveries_1 (app_id=? AND endpoint_id=?)":          {},
		"sqlite_autoindex_deliveries_1 (app_id=? AND endpoint_id=? AND id<?)": {Before: id},
		"deliveries_done (app_id=? AND endpoint_id=? AND id<?)":               {State: store.DeliveryDone, Before: id},
		"deliveries_open (app_id=? AND endpoint_id=? AND state=? AND id<?)":   {State: store.DeliveryExhausted, Before: id},
		"deliveries_message (message_id=? AND app_id=?)":                      {Message: id},
	} {
		f.Limit = 100
		got := plan(t, s, numbered.ReplaceAllString(sqlstore.DeliveriesSQL(sqlstore.SQLite(), f), "?"))
		if !strings.Contains(got, "SEARCH deliveries USING INDEX "+want) || strings.Contains(got, "TEMP B-TREE") && f.Message.IsZero() { // of a message there are few
			t.Errorf("%+v: want %q in\n%s", f, want, got)
		}
	}
	if got := plan(t, s, numbered.ReplaceAllString(sqlstore.NextEndpointSQL, "?")); !strings.Contains(got, "SEARCH deliveries USING COVERING INDEX sqlite_autoindex_deliveries_1 ((app_id,endpoint_id)>(?,?))") || strings.Contains(got, "TEMP B-TREE") {
		t.Error(got)
	}
}

// What counts reads a range of one unit, or no more than it is told to; attempts under way are an index of their own.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	s := opened(t)
	const unit = "SEARCH queue USING PRIMARY KEY (shard=? AND app_id=? AND channel=? AND lane=? AND due"
	for q, want := range map[*query]string{
		qDepthDue: unit + "<?)", qDepthLater: unit + ">?)", qQueueRows: "SCAN queue", qUnderWay: "SCAN state USING INDEX state_sending",
	} {
		if got := plan(t, s, q.text); !strings.Contains(got, want) || strings.Contains(got, "TEMP B-TREE") || q != qUnderWay && !strings.Contains(q.text, "LIMIT ?)") {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if got := plan(t, s, qLaneDepths.text); !strings.Contains(got, "SCAN queue") || !strings.Contains(qLaneDepths.text, "LIMIT ?)") { // six groups of so many rows
		t.Error(got)
	}
	if got := plan(t, s, qUnitDepths.text); !strings.Contains(got, "SCAN queue") || !strings.Contains(qUnitDepths.text, "LIMIT ?)") {
		t.Error(got)
	}
	got := plan(t, s, numbered.ReplaceAllString(sqlstore.SuppressedBySQL, "?"))
	if !strings.Contains(got, "SEARCH suppressions USING INDEX suppressions_address ((address,channel,app_id)>(?,?,?) AND address<?)") || strings.Contains(got, "TEMP B-TREE") {
		t.Error(got)
	}
}

// What is shared and hot for providers' reports.
func TestReportsSeek(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for text, want := range map[string][]string{
		sqlstore.AnyProviderSQL: {"SEARCH provider_configs USING INDEX provider_configs_by_id (id=?)", "SEARCH a USING PRIMARY KEY (id=?)"},
		sqlstore.DropTracesSQL(sqlstore.SQLite()): {"SEARCH refs USING PRIMARY KEY (provider_id=? AND ref=?)",
			"SEARCH e USING INDEX sqlite_autoindex_events_1 (message_id=?)"},
	} {
		got := plan(t, s, numbered.ReplaceAllString(text, "?"))
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("want %q in\n%s", part, got)
			}
		}
	}
}

// numbered are the parameters of shared SQL.
var numbered = regexp.MustCompile(`\$\d`)

// Many apps are sought one by one, never by looking through all of them.
func TestReadsOfManyAppsSeek(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for text, want := range map[string]string{
		sqlstore.AppsByIDSQL(sqlstore.SQLite()):        "SEARCH apps USING PRIMARY KEY (id=?)",
		sqlstore.AppSQL:                                "SEARCH u USING PRIMARY KEY (app_id=?)",
		sqlstore.ProviderConfigsSQL(sqlstore.SQLite()): "SEARCH provider_configs USING PRIMARY KEY (app_id=?)",
		sqlstore.EndpointsSQL:                          "SEARCH endpoints USING INDEX sqlite_autoindex_endpoints_2 (app_id=?)",
		sqlstore.EndpointsOfSQL(sqlstore.SQLite()):     "SEARCH e USING INDEX sqlite_autoindex_endpoints_2 (app_id=?)",
		sqlstore.FileHeadsSQL:                          "SEARCH f USING INDEX sqlite_autoindex_files_1 (id=? AND app_id=?)",
		sqlstore.TroublesSQL(sqlstore.SQLite()):        "SEARCH endpoint_troubles USING PRIMARY KEY (app_id=?)",
		sqlstore.StrainsSQL(sqlstore.SQLite()):         "SEARCH t USING PRIMARY KEY (app_id=?)",
		sqlstore.LeftSQL(1):                            "SEARCH d USING INDEX sqlite_autoindex_deliveries_1 (app_id=? AND endpoint_id=? AND id<?)",
		sqlstore.DropForeignSQL:                        "SEARCH d USING INDEX sqlite_autoindex_deliveries_1 (app_id=? AND endpoint_id=? AND id=?)",
		sqlstore.TemplateByKeySQL:                      "SEARCH templates USING INDEX sqlite_autoindex_templates_2 (app_id=? AND key=?)",
		sqlstore.TemplateListSQL(false, false):         "SEARCH templates USING INDEX sqlite_autoindex_templates_1 (app_id=? AND id<?)",
		sqlstore.TemplateListSQL(true, false):          "SEARCH templates USING INDEX sqlite_autoindex_templates_1 (app_id=? AND id<?)",
		sqlstore.TemplateListSQL(true, true):           "SEARCH templates USING INDEX sqlite_autoindex_templates_",
		sqlstore.TemplateVersionsSQL:                   "SEARCH template_versions USING INDEX sqlite_autoindex_template_versions_1 (app_id=? AND template_id=?)",
		sqlstore.TemplateVersionSQL:                    "SEARCH template_versions USING INDEX sqlite_autoindex_template_versions_1 (app_id=? AND template_id=? AND version=?)",
		sqlstore.SessionSQL:                            "SEARCH sessions USING PRIMARY KEY (hash=?)",
		sqlstore.TrimSessionsSQL()[0]:                  "INDEX sessions_seen (seen_at<?)",
		sqlstore.TrimSessionsSQL()[1]:                  "INDEX sessions_ending (expires_at<?)",
		sqlstore.KeyPageSQL:                            "SEARCH api_keys USING PRIMARY KEY (app_id=? AND id>?)",
		sqlstore.DeletedAppsSQL:                        "SEARCH apps USING INDEX apps_deleted (id>?)",
		sqlstore.AuditChainSQL:                         "SEARCH audit USING INTEGER PRIMARY KEY (rowid>?)",
		sqlstore.AuditListSQL()[0]:                     "SEARCH audit USING INTEGER PRIMARY KEY (rowid<?)",
		sqlstore.AuditListSQL()[1]:                     "SEARCH audit USING INDEX audit_app (app_id=? AND sequence<?)",
		sqlstore.AuditListSQL()[2]:                     "SEARCH audit USING INDEX audit_target (target=? AND sequence<?)",
	} {
		got := plan(t, s, numbered.ReplaceAllString(text, "?"))
		if !strings.Contains(got, want) || strings.Contains(got, "SCAN ") && !strings.Contains(got, "SCAN json_each") || strings.Contains(got, "TEMP B-TREE") && strings.Contains(text, "template_versions") {
			t.Errorf("%s: want %q in\n%s", text, want, got)
		}
	}
	// How calls of any configurations go is looked through in the key's order: the first ones are answered without a sort of all.
	strains := plan(t, s, numbered.ReplaceAllString(sqlstore.AllStrainsSQL(sqlstore.SQLite()), "?"))
	if !strings.HasPrefix(strains, "SCAN t\n") || !strings.Contains(strains, "SEARCH n EXISTS USING PRIMARY KEY (node=?)") || strings.Contains(strains, "TEMP B-TREE") {
		t.Errorf("how calls of any configurations go:\n%s", strains)
	}
	// A page of them begins where the last one ended.
	got := plan(t, s, numbered.ReplaceAllString(sqlstore.UnprovidedSQL, "?"))
	for _, want := range []string{"SEARCH a USING PRIMARY KEY (id>?)", "SEARCH p USING PRIMARY KEY (app_id=?)", "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"} {
		if !strings.Contains(got, want) || strings.Contains(got, "SCAN a") {
			t.Errorf("apps without a provider: want %q in\n%s", want, got)
		}
	}
}

// What upkeep reads and changes it seeks: a slice costs what it is about.
func TestUpkeepSeeks(t *testing.T) {
	t.Parallel()
	s := opened(t)
	d := sqlstore.SQLite()
	const message = "SEARCH c USING INDEX sqlite_autoindex_content_1 (id=? AND app_id=?)"
	const state = "SEARCH s USING PRIMARY KEY (id=? AND app_id=?)"
	sizes, holding := sqlstore.MentionsSQL(d, false)
	sizesOf, holdingOf := sqlstore.MentionsSQL(d, true)
	for text, want := range map[string][]string{
		sizes:                       {"SEARCH c USING INDEX sqlite_autoindex_content_1 (id>?)"},
		sizesOf:                     {"SEARCH c USING INDEX sqlite_autoindex_content_1 (id>?)"},
		holding:                     {"SEARCH c USING INDEX sqlite_autoindex_content_1 (id>?)", state},
		holdingOf:                   {"SEARCH c USING INDEX sqlite_autoindex_content_1 (id>?)", state},
		sqlstore.WalkSQL(d):         {"SEARCH s USING PRIMARY KEY (id>? AND id<?)", message},
		sqlstore.LaterSQL:           {"SEARCH l USING PRIMARY KEY (walk=? AND due<?)"},
		sqlstore.BumpSQL(d, "", ""): {"SEARCH state USING PRIMARY KEY (id=? AND app_id=?)"},
		sqlstore.RemovableSQL(d):    {"SEARCH s USING INDEX state_list (app_id=? AND status=?)", "SEARCH s USING INDEX state_captures (app_id=? AND status=?)", message},
		sqlstore.OpenSQL(d):         {"SEARCH s USING COVERING INDEX state_sending (app_id=?)", "SEARCH s USING INDEX state_list (app_id=? AND status=?)"},
		sqlstore.OpenErasuresSQL:    {"USING INDEX erasures_open (id>?)"},
		sqlstore.OpenErasuresOfSQL:  {"USING COVERING INDEX erasures_open_of (app_id=?)"},
		sqlstore.AnyErasureSQL:      {"SEARCH erasures USING INDEX erasures_by_id (id=?)"},
		sqlstore.ReturnedSQL:        {"SEARCH suppressions USING INDEX suppressions_returned (returned_at<?)"},
	} {
		got := plan(t, s, numbered.ReplaceAllString(text, "?"))
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: want %q in\n%s", text, part, got)
			}
		}
		if strings.Contains(got, "SCAN s") || strings.Contains(got, "SCAN c") || strings.Contains(got, "SCAN l") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s:\n%s", text, got)
		}
	}
}

// Sealed values are read in the order of their rows, from where the last page ended.
func TestSealedValuesSeek(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for _, c := range store.SealedColumns() {
		got := plan(t, s, strings.NewReplacer("$1", "?", "$2", "?", "$3", "?").Replace(sqlstore.SealedAfterSQL(c)))
		if !strings.Contains(got, "SEARCH "+c.Table+" USING PRIMARY KEY (") || strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s:\n%s", c.Name(), got)
		}
	}
}

// Each filter is answered by one range per index, status and channel, merged: what a
// page costs does not grow with what is stored.
func TestListsMergeRanges(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for _, status := range append([]comm.Status{comm.None}, comm.Statuses()...) {
		for _, ch := range append([]comm.Channel{0}, comm.Channels()...) {
			f := store.Filter{Status: status, Channel: ch}
			want := 1
			if status == comm.None {
				want = len(comm.Statuses())
			}
			if ch == 0 {
				want *= len(comm.Channels())
			}
			for _, timed := range []bool{false, true} {
				got := strings.ReplaceAll(plan(t, s, lists.of(f, timed).text), "COVERING ", "") // the time of creation is in the row
				sending := strings.Count(got, "SEARCH state USING INDEX state_sending (app_id=? AND channel=? AND id>? AND id<?)")
				listed := strings.Count(got, "SEARCH state USING INDEX state_list (app_id=? AND status=? AND channel=? AND id>? AND id<?)")
				taken := strings.Count(got, "SEARCH state USING INDEX state_captures (app_id=? AND status=? AND channel=? AND id>? AND id<?)")
				if sending+listed != want || taken != listed || strings.Count(got, "SEARCH") != sending+listed+taken || strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
					t.Errorf("%+v: %d, %d and %d ranges, want %d:\n%s", f, sending, listed, taken, want, got)
				}
				captures := plan(t, s, captureLists.of(f, timed).text)
				ranges := strings.Count(captures, "SEARCH state USING INDEX state_captures (app_id=? AND status=? AND channel=? AND id>? AND id<?)")
				if ranges != want || strings.Contains(captures, "SCAN") || strings.Contains(captures, "TEMP B-TREE") {
					t.Errorf("captures %+v: %d ranges, want %d:\n%s", f, ranges, want, captures)
				}
			}
		}
	}
}

// A page of suppressions is one range of a page at most per channel and reason, merged; an export is one range.
func TestSuppressionsMergeRanges(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for want, f := range map[int]store.SuppressionFilter{8: {}, 4: {Channel: comm.SMS}, 2: {Reason: comm.SuppressManual}, 1: {Channel: comm.Email, Reason: comm.SuppressComplaint}} {
		text, _ := sqlstore.SuppressionListSQL(sqlstore.SQLite(), comm.ID{}, f)
		got := plan(t, s, text)
		if n := strings.Count(got, "suppressions_list (app_id=? AND channel=? AND reason=? AND created_at>? AND (created_at,address)<(?,?))"); n != want || strings.Contains(got, "SCAN suppressions") {
			t.Errorf("%+v: %d ranges, want %d:\n%s", f, n, want, got)
		}
	}
	if got := plan(t, s, sqlstore.SuppressionsAfterSQL); !strings.Contains(got, "USING PRIMARY KEY (app_id=? AND (channel,address)>(?,?))") || strings.Contains(got, "TEMP B-TREE") {
		t.Error(got)
	}
}
