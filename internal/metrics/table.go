package metrics

import "slices"

// Kind is the type of a family, as Prometheus has it.
type Kind uint8

// The kinds.
const (
	Counter Kind = iota + 1
	Gauge
	Histogram
)

// String is the kind as it stands in an exposition.
func (k Kind) String() string {
	return [...]string{"untyped", "counter", "gauge", "histogram"}[min(k, Histogram)]
}

// Reporter says which nodes have a family.
type Reporter uint8

// The reporters.
const (
	EveryNode  Reporter = iota + 1
	APINodes            // roles api and all
	Workers             // roles worker and all
	OneNode             // the node that owns the first shard: of what is in the database, not in a node
	OnSQLite            // every node on SQLite
	OnPostgres          // every node on PostgreSQL
)

// String says it for the documentation.
func (r Reporter) String() string {
	return [...]string{"", "every node", "nodes with the API", "workers", "one worker for all nodes", "SQLite only", "PostgreSQL only"}[min(r, OnPostgres)]
}

// Family is a row of the table that everything else follows from: what is registered, docs/metrics.md, and what dashboards and rules may name.
type Family struct {
	Name    string
	Kind    Kind
	Labels  []string
	Group   string // heading in the documentation
	By      Reporter
	Help    string
	Buckets []float64 // of a histogram: upper bounds, without the infinite one
}

// Families lists every family but those of Go's runtime and the process, which client_golang brings. The slice is the caller's own.
func Families() []Family {
	return slices.Concat(flow(), queue(), providers(), hooks(), database(), process())
}

// Bounds of histograms. Few: each costs a series for each set of labels.
func quick() []float64 { // what takes milliseconds
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

func patient() []float64 { // what waits for others
	return []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

func lasting() []float64 { // what may wait for hours
	return []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600}
}

func sizes() []float64 { return []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512} }

func flow() []Family {
	const group = "Flow"
	return []Family{
		{"commserver_submissions_total", Counter, []string{"channel", "lane", "result"}, group, APINodes,
			"Requests to accept a message, those of batches each. `result` is accepted, replayed (same idempotency key), invalid, conflict, limited (rate or cap), unavailable, or failed; channel and lane are `none` where the request names none that there is.", nil},
		{"commserver_http_requests_total", Counter, []string{"route", "code"}, group, EveryNode,
			"Answers over HTTP, by class of route and of status (`2xx`). `page` is the docs, the contract and the address itself, `unknown` what is not there, or not with that method; a page of the console counts as what it asks of the API.", nil},
		{"commserver_http_request_duration_seconds", Histogram, []string{"route"}, group, EveryNode,
			"From the request's head to the end of its answer. Streams and waits are classes of their own.", quick()},
		{"commserver_http_requests_in_flight", Gauge, nil, group, EveryNode, "Requests that are being answered.", nil},
		{"commserver_message_changes_total", Counter, []string{"channel", "status", "cause"}, group, Workers,
			"Changes of messages' states that this worker stored, by the new status and its cause (docs/states.md). `cause=\"retry_unknown\"` and `\"outcome_unknown\"` are attempts of unknown outcome, `\"retry_transient\"` retries, `\"throttled\"` waits for a provider's rate, `\"suppressed\"` opt-outs. Changes by reports are counted in commserver_reports_total.", nil},
		{"commserver_message_latency_seconds", Histogram, []string{"channel", "lane"}, group, Workers,
			"From the moment when a message could be sent (accepted, or its scheduled time) until a provider had it and that was stored. Messages that were asked for again (RETRY) are left out.", lasting()},
	}
}

func queue() []Family {
	const group = "Queue and shards"
	return []Family{
		{"commserver_queue_messages", Gauge, []string{"channel", "lane", "due"}, group, OneNode,
			"Messages that wait or are being sent. `due=\"no\"` are those that are scheduled, or wait for their next attempt. Counted at most every 10 s, and more seldom while counting takes long; of more than 1,000,000 so many are counted, and commserver_queue_counted is 0.", nil},
		{"commserver_queue_oldest_due_seconds", Gauge, []string{"channel", "lane"}, group, OneNode,
			"For how long the message that has been due longest has been; 0 when none is. Messages of an app that is switched off, or whose queue is paused, are left out: they wait on purpose. Those of a queue that is being drained are not.", nil},
		{"commserver_queue_counted", Gauge, nil, group, OneNode, "1 when all of the queue was counted, 0 when it holds more.", nil},
		{"commserver_units_held", Gauge, []string{"reason"}, group, Workers,
			"Units (app, channel, lane) with messages that are due and cannot be sent now, by reason (the words of `waitingFor`).", nil},
		{"commserver_units", Gauge, nil, group, Workers, "Units that this worker knows.", nil},
		{"commserver_attempts_in_flight", Gauge, []string{"critical"}, group, Workers, "Calls of providers that are running or about to.", nil},
		{"commserver_large_messages_bytes", Gauge, nil, group, Workers, "Bytes of large messages under way (`COMMS_MAX_BYTES_IN_FLIGHT`).", nil},
		{"commserver_shards_owned", Gauge, nil, group, Workers, "Shards that this worker owns. All workers together own 64.", nil},
		{"commserver_shards_closed", Gauge, nil, group, Workers, "Owned shards that the database has kept from starting anything for 5 s.", nil},
		{"commserver_shards_taken_total", Counter, nil, group, Workers, "Shards that became this worker's, each under a new epoch.", nil},
		{"commserver_shards_lost_total", Counter, nil, group, Workers, "Shards whose epoch this worker lost: another one took them, or its lease had ended. What it handed over is not counted.", nil},
		{"commserver_workers", Gauge, nil, group, Workers, "Live workers, as this one sees it.", nil},
		{"commserver_worker_healthy", Gauge, nil, group, Workers, "1 while this worker can send: its lease holds, the database takes its writes, no shard is closed.", nil},
		{"commserver_changes_aside", Gauge, nil, group, Workers, "Changes of single messages that the database refuses; they are tried again.", nil},
		{"commserver_attempts_orphaned_total", Counter, nil, group, Workers, "Attempts without an outcome that were found at a take-over: unknown.", nil},
	}
}

func providers() []Family {
	const group = "Providers"
	return []Family{
		{"commserver_attempts_total", Counter, []string{"provider", "class"}, group, Workers,
			"Calls of providers by type (`sandbox` is the logger) and class of the answer: accepted, permanent-message, permanent-here, account, rate-limited, transient, ambiguous.", nil},
		{"commserver_attempt_duration_seconds", Histogram, []string{"provider"}, group, Workers, "How long calls of providers took.", patient()},
		{"commserver_failovers_total", Counter, []string{"provider"}, group, Workers, "Rounds that went on with another configuration after an answer of this type.", nil},
		{"commserver_provider_configurations", Gauge, []string{"provider", "state"}, group, Workers,
			"Configurations that this worker sends with, by type and state: works, throttled, trying (half open), down (breaker open), unusable (credentials).", nil},
		{"commserver_reports_total", Counter, []string{"result"}, group, EveryNode,
			"What providers reported: stored, forged, unreadable are requests; moved (a new status), logged (an event), known (nothing new), parked (finds no message yet, each time), dropped are the reports in them.", nil},
		{"commserver_report_questions_total", Counter, nil, group, EveryNode, "Questions to providers that only answer.", nil},
	}
}

func hooks() []Family {
	const group = "Webhooks and feed"
	return []Family{
		{"commserver_webhook_calls_total", Counter, []string{"result"}, group, Workers,
			"Calls of webhook endpoints: the class of the status, or why there was no answer.", nil},
		{"commserver_webhook_call_duration_seconds", Histogram, nil, group, Workers, "How long they took.", patient()},
		{"commserver_webhook_deliveries_total", Counter, []string{"result"}, group, Workers, "Deliveries that ended: taken, or given_up after all tries.", nil},
		{"commserver_webhook_endpoints_waiting", Gauge, []string{"due"}, group, Workers,
			"Endpoints with deliveries that wait; `due=\"no\"` are those of which every one waits for its next try.", nil},
		{"commserver_webhook_oldest_due_seconds", Gauge, nil, group, Workers, "For how long the delivery that has been due longest has been; 0 when none is.", nil},
		{"commserver_webhook_calls_in_flight", Gauge, nil, group, Workers, "Calls that are running.", nil},
		{"commserver_webhook_queue_bytes", Gauge, nil, group, Workers, "Bodies of deliveries in memory.", nil},
		{"commserver_feed_events_total", Counter, nil, group, Workers, "Events that got their places in their apps' feeds.", nil},
		{"commserver_feed_lag_seconds", Gauge, nil, group, Workers, "For how long the first event without a place has waited; 0 when none does.", nil},
	}
}

func database() []Family {
	const group = "Database and upkeep"
	return []Family{
		{"commserver_store_transaction_seconds", Histogram, []string{"kind"}, group, EveryNode,
			"How long the transactions of sending took, the wait for their turn included: accept (new messages), turn (starts and outcomes of attempts).", quick()},
		{"commserver_store_transaction_items", Histogram, []string{"kind"}, group, EveryNode, "Messages in one of them.", sizes()},
		{"commserver_store_transaction_failures_total", Counter, []string{"kind"}, group, EveryNode, "Those that failed.", nil},
		{"commserver_sqlite_file_bytes", Gauge, []string{"file"}, group, OnSQLite, "Sizes of the database and of its write-ahead log (`wal`).", nil},
		{"commserver_sqlite_free_bytes", Gauge, nil, group, OnSQLite, "Room on the disk of the database.", nil},
		{"commserver_postgres_connections", Gauge, []string{"pool", "state"}, group, OnPostgres, "Connections by pool: used, idle.", nil},
		{"commserver_postgres_connections_max", Gauge, []string{"pool"}, group, OnPostgres, "How many a pool may have.", nil},
		{"commserver_postgres_waits_total", Counter, []string{"pool"}, group, OnPostgres, "How often somebody waited for a connection.", nil},
		{"commserver_postgres_wait_seconds_total", Counter, []string{"pool"}, group, OnPostgres, "How long they waited, together.", nil},
		{"commserver_postgres_connections_opened_total", Counter, []string{"pool"}, group, OnPostgres, "Connections that were made.", nil},
		{"commserver_upkeep_done_total", Counter, []string{"task"}, group, OneNode, "What retention has removed, by task.", nil},
		{"commserver_upkeep_reached_timestamp_seconds", Gauge, []string{"task"}, group, OneNode, "Messages created before are done, but for those that are not final; 0 at first.", nil},
		{"commserver_upkeep_finished_timestamp_seconds", Gauge, []string{"task"}, group, OneNode, "When the task's last run ended; 0 while it has not.", nil},
		{"commserver_upkeep_failed", Gauge, []string{"task"}, group, OneNode, "1 when the last run ended early.", nil},
		{"commserver_audit_entries_total", Counter, nil, group, OneNode, "Entries of the audit log.", nil},
		{"commserver_alerts_open", Gauge, []string{"alert"}, group, OneNode, "Open alerts by kind (docs/alerts.md).", nil},
		{"commserver_observation_failures_total", Counter, nil, group, EveryNode, "Times that something in the database could not be read for this page; what was read before is shown then, for five minutes at most.", nil},
	}
}

func process() []Family {
	const group = "Process"
	return []Family{
		{"commserver_build_info", Gauge, []string{"version", "goversion", "role", "store"}, group, EveryNode, "Always 1.", nil},
		{"commserver_log_lines_total", Counter, []string{"level"}, group, EveryNode, "Lines written to the log.", nil},
	}
}
