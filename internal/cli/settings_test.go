package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestProvidersOfARealServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	secret := writeFile(t, "password", "correct horse\n")
	if got := s.ok("provider", "types", "smtp"); !strings.Contains(got, "host") || !strings.Contains(got, "Name of the mail server") {
		t.Errorf("the fields read %q", got)
	}
	if got := s.ok("provider", "types", "--quiet"); !strings.Contains(got, "SMTP\n") {
		t.Errorf("the types read %q", got)
	}
	for says, args := range map[string][]string{
		"--secret-file password=FILE": {"add", "SMTP", "--set", "host=mail.example.com", "--set", "password=visible"},
		"has no field":                {"add", "SMTP", "--set", "hots=x"},
		"there is no provider type":   {"add", "FAX"},
		"no such file":                {"add", "SMTP", "--secret-file", "password=/no/such/file"},
	} {
		s.fails(exitUsage, says, append([]string{"provider"}, args...)...)
	}
	s.fails(exitRefused, "config.port", "provider", "add", "SMTP", "--set", "host=mail.example.com", "--set", "port=many")
	added := s.ok("provider", "add", "smtp", "--name", "Company", "--set", "host=mail.example.com", "--set", "port=587", "--set", "username=u", "--secret-file", "password="+secret,
		"--set", "from=a@example.com", "--priority", "1", "--rate-per-second", "5")
	if got := golden(added); got != providerGolden {
		t.Errorf("the configuration reads\n%s\nwant\n%s", got, providerGolden)
	}
	id := someID.FindString(added)
	if got := golden(s.ok("provider", "list")); got != "ID                         TYPE  CHANNEL  NAME     PRIORITY  ACTIVE  PINNED  STATE  SINCE  THROTTLED UNTIL  WARNINGS\ncIDIDIDIDIDIDIDIDIDIDIDID  SMTP  EMAIL    Company  1         yes     no      WORKS\n" {
		t.Errorf("the list reads %q", got)
	}
	changed := s.ok("provider", "update", id, "--active=false", "--set", "port=465", "--set", "secure=true", "--unset", "from", "--rate-per-second", "0", "--json")
	for field, want := range map[string]string{"isActive": "false", "config.port": "465", "config.secure": "true", "config.from": "", "config.password": "********", "ratePerSecond": ""} {
		if got := fieldOf(t, changed, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if got := s.ok("provider", "get", id, "--quiet"); got != id+"\n" {
		t.Errorf("--quiet prints %q", got)
	}
	s.fails(exitUsage, "nothing to change", "provider", "update", id)
	s.fails(exitUsage, "--yes", "provider", "remove", id)
	if got := s.ok("provider", "remove", id, "--yes"); got != "" {
		t.Errorf("remove prints %q", got)
	}
	s.fails(exitMissing, "not_found", "provider", "get", id)
	// On a terminal the secret is asked for and never shown.
	asked := run(t, s.env(), func(s *Streams) {
		s.In, s.Terminal = strings.NewReader("typed secret\n"), &Terminal{In: true, Out: true, Err: true, Width: 80}
	}, "provider", "add", "SMTP", "--set", "host=mail.example.com", "--set", "username=u", "--set", "from=a@example.com")
	if asked.code != exitOK || !strings.Contains(asked.err, "Password (password, empty for none): ") || strings.Contains(asked.out+asked.err, "typed secret") {
		t.Errorf("%+v", asked)
	}
}

const providerGolden = `ID               cIDIDIDIDIDIDIDIDIDIDIDID
Type             SMTP
Channel          EMAIL
Name             Company
Priority         1
Active           yes
Pinned           no
Rate per second  5
Created          2026-07-03 10:00:00Z
Updated          2026-07-03 10:00:00Z
from             a@example.com
host             mail.example.com
password         ********
port             587
username         u
`

func TestTheAppOfARealServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	if got := golden(s.ok("app", "show")); !strings.HasPrefix(got, "ID               cIDIDIDIDIDIDIDIDIDIDIDID\nSlug             demo\n") || !strings.Contains(got, "Sandbox          yes\n") {
		t.Errorf("the app reads %q", got)
	}
	live := run(t, s.env(), nil, "app", "update", "--sandbox=false", "--on-unknown-outcome", "FAIL", "--json")
	if live.code != exitOK || fieldOf(t, live.out, "sandboxMode") != "false" || fieldOf(t, live.out, "onUnknownOutcome") != "FAIL" || !strings.Contains(live.err, "Warning: ") {
		t.Errorf("%+v", live)
	}
	if got := s.ok("app", "update", "--webhook-url", "https://example.com/hook"); !strings.Contains(got, "Webhook secret   whsec_") {
		t.Errorf("the new secret is not shown: %q", got)
	}
	if got := s.ok("app", "update", "--webhook-url", "", "--json"); fieldOf(t, got, "webhookUrl") != "" {
		t.Errorf("the webhook is still there: %q", got)
	}
	s.fails(exitUsage, "nothing to change", "app", "update")
	s.fails(exitUsage, "such as 1876=50", "app", "update", "--sms-per-day-to", "1876")
	s.fails(exitRefused, "ratePerMinute", "app", "update", "--rate-per-minute", "5")
	s.fails(exitDenied, "unauthenticated", "app", "show", "--api-key-file", writeFile(t, "key", "cs_test_wrong"))
}

// The commands of the administrator, and of endpoints that a server may not have yet, ask by the contract.
func TestWhatIsAsked(t *testing.T) {
	t.Parallel()
	const app, key = `200 {"id":"c1","slug":"flow","name":"Flow"}`, "/api/admin/apps/flow/keys"
	issued := `201 {"id":"c9","name":"Dash","scopes":["READ"],"apiKey":"cs_test_new"}`
	file := writeFile(t, "list.csv", "channel,address\nEMAIL,a@example.com\n")
	for _, c := range []struct {
		words, want, answer, out string
	}{
		{"app list --search fl --limit 1", "GET /api/admin/apps?limit=1&search=fl ", `200 {"data":[{"id":"c1","slug":"flow"}],"nextCursor":"n"}`, "flow"},
		{"app create Flow --slug flow --scope SEND --scope READ --rate-per-minute 5 --allowed-sender a@example.com", `POST /api/admin/apps {"allowedSenders":["a@example.com"],"name":"Flow","ratePerMinute":5,"scopes":["SEND","READ"],"slug":"flow"}`, `201 {"app":{"id":"c1","slug":"flow"},"apiKey":"cs_test_new"}`, "cs_test_new"},
		{"app show flow", "GET /api/admin/apps/flow ", app, "Flow"},
		{"app update flow --name Flow2", `PATCH /api/admin/apps/flow {"name":"Flow2"}`, app, "Flow"},
		{"app update flow --sms-per-day 500 --sms-per-day-to 1876=20,44=0 --sms-per-day-to 233=400", `PATCH /api/admin/apps/flow {"smsPerDay":500,"smsPerDayByPrefix":{"1876":20,"233":400,"44":0}}`,
			`200 {"id":"c1","smsPerDayByPrefix":{"1876":20,"233":400},"smsTodayByPrefix":{"1876":3,"233":0}}`, "1876=20 233=400"},
		{"app update flow --sms-per-day-to=", `PATCH /api/admin/apps/flow {"smsPerDayByPrefix":{}}`, app, "Flow"},
		{"app pause flow --yes", `PATCH /api/admin/apps/flow {"isActive":false}`, app, "Flow"},
		{"app resume flow", `PATCH /api/admin/apps/flow {"isActive":true}`, app, "Flow"},
		{"key list flow", "GET " + key + " ", `200 {"data":[{"id":"c9","prefix":"cs_test_ab"}],"nextCursor":null}`, "cs_test_ab"},
		{"key create flow --name Dash --scope READ --expires 2027-01-01T00:00:00Z", "POST " + key + ` {"expiresAt":"2027-01-01T00:00:00Z","name":"Dash","scopes":["READ"]}`, issued, "cs_test_new"},
		{"key create flow --quiet", "POST " + key + " {}", issued, "cs_test_new\n"},
		{"key rotate flow c9 --overlap 1h", "POST " + key + `/c9/rotate {"overlapSeconds":3600}`, issued, "cs_test_new"},
		{"key revoke flow c9 --yes", "DELETE " + key + "/c9 ", "204 ", ""},
		{"provider list --server", "GET /api/admin/provider-configs ", `200 {"data":[{"id":"c5"}],"nextCursor":null}`, "c5"},
		{"provider get c5 --server --utc", "GET /api/admin/provider-configs/c5 ", `200 {"id":"c5","health":{"state":"DOWN","since":"2026-07-01T02:13:00Z","code":"535","answer":"wrong password","nextTryAt":"2026-07-01T02:18:40Z","throttledUntil":"2026-07-01T03:12:00Z","lately":{"calls":40,"failed":12},
			"carried":[{"id":"c6","name":"spare","messages":312}],"nodes":[{"node":"node-1","state":"DOWN"}],
			"outages":[{"since":"2026-07-01T02:13:00Z","endedAt":null,"code":"535","answer":"wrong password","carried":[{"name":"spare","messages":310}]}]}}`,
			"Throttled until  2026-07-01 03:12:00Z\nFailed lately    12 of 40 calls\nOthers took      spare 312\n\nWhat its nodes say\nNODE    STATE  SINCE  CODE  LAST ANSWER  NEXT TRY\nnode-1  DOWN\n\nOutages\nFROM                  TO  CODE  LAST ANSWER     OTHERS TOOK\n2026-07-01 02:13:00Z      535   wrong password  spare 310\n"},
		{"provider remove c5 --server --yes", "DELETE /api/admin/provider-configs/c5 ", "204 ", ""},
		{"provider verify c5 --app flow", "POST /api/v1/provider-configs/c5/verify ", `200 {"ok":true,"checks":[{"name":"login","ok":true,"detail":"fine"}]}`, "login  yes  fine"},
		{"provider test c5 --app flow --to a@example.com --yes", `POST /api/v1/provider-configs/c5/test {"to":"a@example.com"}`, `200 {"ok":true,"class":"accepted"}`, "accepted"},
		{"template list --app flow --key k", "GET /api/v1/templates?key=k&limit=20 ", `200 {"data":[{"id":"c7","key":"k"}],"nextCursor":null}`, "c7"},
		{"template create k --app flow --channel SMS --body Hi", `POST /api/v1/templates {"body":"Hi","channel":"SMS","key":"k"}`, `201 {"id":"c7","version":1}`, "c7"},
		{"template get cmr0123456789abcdefghijkl --app flow", "GET /api/v1/templates/cmr0123456789abcdefghijkl ", `200 {"id":"c7","body":"Hi"}`, "Hi"},
		{"template update cmr0123456789abcdefghijkl --app flow --body Ho", `PATCH /api/v1/templates/cmr0123456789abcdefghijkl {"body":"Ho"}`, `200 {"id":"c7"}`, "c7"},
		{"template versions cmr0123456789abcdefghijkl --app flow", "GET /api/v1/templates/cmr0123456789abcdefghijkl/versions ", `200 {"data":[{"version":2}],"nextCursor":null}`, "2"},
		{"template rollback cmr0123456789abcdefghijkl --app flow --version 1", `POST /api/v1/templates/cmr0123456789abcdefghijkl/rollback {"version":1}`, `200 {"id":"c7"}`, "c7"},
		{"template preview cmr0123456789abcdefghijkl --app flow --var a=b", `POST /api/v1/templates/cmr0123456789abcdefghijkl/preview {"variables":{"a":"b"}}`, `200 {"version":1,"body":"Hi b"}`, "Hi b"},
		{"template delete cmr0123456789abcdefghijkl --app flow --yes", "DELETE /api/v1/templates/cmr0123456789abcdefghijkl ", "204 ", ""},
		{"suppression add a@example.com --app flow --reason complaint --note Called", `POST /api/v1/suppressions {"address":"a@example.com","channel":"EMAIL","note":"Called","reason":"complaint"}`, `201 {"address":"a@example.com","note":"Called"}`, "Called"},
		{"suppression list --app flow --channel SMS", "GET /api/v1/suppressions?channel=SMS&limit=20 ", `200 {"data":[{"channel":"SMS","address":"233241234567"}],"nextCursor":null}`, "233241234567"},
		{"suppression list --app flow --reason hard_bounce --address a@example.com --after 2026-07-03T10:00:00Z --before 2026-07-04T10:00:00Z",
			"GET /api/v1/suppressions?address=a%40example.com&createdAfter=2026-07-03T10%3A00%3A00Z&createdBefore=2026-07-04T10%3A00%3A00Z&limit=20&reason=hard_bounce ",
			`200 {"data":[{"address":"a@example.com","note":"Mailbox gone","source":"provider"}],"nextCursor":null}`, "Mailbox gone  provider"},
		{"suppression remove 233241234567 --app flow --yes", "DELETE /api/v1/suppressions?address=233241234567&channel=SMS ", "204 ", ""},
		{"suppression import " + file + " --app flow", "POST /api/v1/suppressions/import channel,address\nEMAIL,a@example.com\n", `200 {"added":1,"present":2,"refused":0,"errors":[],"errorsOmitted":0}`, "Added          1\nThere already  2\n"},
		{"suppression export --app flow", "GET /api/v1/suppressions/export ", "200 channel,address\n", "channel,address\n"},
		{"suppression export --app flow --format jsonl", "GET /api/v1/suppressions/export?format=jsonl ", "200 {}\n", "{}\n"},
		{"queue show --app flow --lane BULK", "GET /api/admin/queue?app=flow&lane=BULK&limit=20 ", `200 {"data":[{"app":{"slug":"flow"},"queueState":"RUNNING","due":3,"atLeast":true}],"nextCursor":null}`, "flow  RUNNING                 3                    yes"},
		{"queue pause flow", `POST /api/admin/queue {"action":"PAUSE","app":"flow"}`, `200 {"app":{"slug":"flow"},"queueState":"PAUSED","remaining":3,"atLeast":false}`, "PAUSED"},
		{"queue drain flow --quiet", `POST /api/admin/queue {"action":"DRAIN","app":"flow"}`, `200 {"app":{"slug":"flow"},"queueState":"DRAINING","remaining":3,"atLeast":false}`, "flow\n"},
		{"queue resume flow", `POST /api/admin/queue {"action":"RESUME","app":"flow"}`, `200 {"app":{"slug":"flow"},"queueState":"RUNNING","remaining":3,"atLeast":false}`, "RUNNING"},
		{"message list --all-apps --to a@example.com", "GET /api/admin/messages?limit=20&to=a%40example.com ", `200 {"data":[{"id":"c9","app":{"slug":"flow"}}],"nextCursor":null}`, "c9  flow"},
		{"message get c9", "GET /api/admin/messages/c9 ", `200 {"id":"c9","app":{"slug":"flow"},"status":"SENT"}`, "App     flow"},
		{"message cancel c9", `PATCH /api/admin/messages/c9 {"action":"CANCEL"}`, `200 {"id":"c9","status":"CANCELLED"}`, "CANCELLED"},
		{"suppression find a@example.com --channel EMAIL", "GET /api/admin/suppressions?address=a%40example.com&channel=EMAIL&limit=20 ", `200 {"data":[{"app":{"slug":"flow"},"address":"a@example.com"}],"nextCursor":null}`, "flow"},
		{"message preview --app flow --to 233241234567 --body Hi", `POST /api/v1/messages/preview {"body":"Hi","channel":"SMS","to":"233241234567"}`, `200 {"channel":"SMS","sandbox":true,"body":"Hi","chain":{"level":"APP","tried":[{"place":1,"id":"c5","providerType":"TWILIO"}]}}`, "Body     Hi\n\nPLACE"},
		{"audit list --app flow --after 2026-07-03T10:00:00Z", "GET /api/admin/audit?after=2026-07-03T10%3A00%3A00Z&app=flow&limit=20 ", `200 {"data":[{"sequence":4,"action":"app_updated","target":"c1","detail":{"name":{"from":"Flow","to":"Flow 2"},"secrets":{"changed":true},"sandboxMode":{"from":true},"scopes":{"to":"SEND"},"channel":"SMS"}}],"nextCursor":null}`,
			"app_updated       c1      channel=SMS name=Flow->Flow 2 sandboxMode=true-> scopes=SEND secrets\n"},
		{"stats --admin --app flow --window 7d", "GET /api/admin/stats?app=flow&window=7d ",
			`200 {"counts":{"accepted":12,"sent":0},"latency":{"due":{"p50Ms":34}},"channels":[{"channel":"SMS","counts":{"accepted":12}}],"providers":[{"provider":"smtp","attempts":56}],"apps":[]}`, "smtp"},
		{"audit verify", "GET /api/admin/audit/verify ", `200 {"ok":true,"checked":7,"nextAfter":null,"last":{"sequence":7,"hash":"ab12"},"broken":null}`, "Entries     7\nLast entry  7\nIts hash    ab12\n"},
	} {
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			method, rest, _ := strings.Cut(c.want, " ")
			target, body, _ := strings.Cut(rest, " ")
			path, query, _ := strings.Cut(target, "?")
			r := startRecorder(t, map[string]string{method + " " + path: c.answer})
			got := run(t, []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=the-admin-key"}, nil, strings.Fields(c.words)...)
			if got.code != exitOK || !strings.Contains(got.out, c.out) || strings.Contains(got.out+got.err, "the-admin-key") {
				t.Errorf("%+v", got)
			}
			asked := r.last(t)
			admin := strings.HasPrefix(path, "/api/admin/")
			if asked.method != method || asked.path != path || asked.query != query || strings.TrimSpace(asked.body) != strings.TrimSpace(body) || asked.admin != "the-admin-key" || asked.key != "" || (asked.app == "flow") == admin {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

// A template is named by its key, as in a message, or by its id.
func TestTemplatesByKey(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	id := s.ok("template", "create", "welcome", "--channel", "SMS", "--body", "Hi {{name}}", "--quiet")
	if got := s.ok("template", "get", "welcome", "--quiet"); got != id {
		t.Errorf("%q, want %q", got, id)
	}
	if got := s.ok("template", "update", "welcome", "--body", "Hello {{name}}", "--json"); fieldOf(t, got, "version") != "2" {
		t.Errorf("%s", got)
	}
	if got := s.ok("template", "preview", "welcome", "--var", "name=Ama"); !strings.Contains(got, "Hello Ama") {
		t.Errorf("%s", got)
	}
	s.fails(exitRefused, "missing: name", "template", "preview", strings.TrimSpace(id))
	if got := s.ok("template", "versions", "welcome", "--quiet"); got != "2\n1\n" {
		t.Errorf("%q", got)
	}
	s.ok("template", "rollback", "welcome", "--version", "1")
	s.fails(exitMissing, "no version 9", "template", "rollback", "welcome", "--version", "9")
	for _, name := range []string{"welcom", "not a key", "cmr0123456789abcdefghijkl"} {
		s.fails(exitMissing, "commserver:", "template", "get", name)
	}
	s.fails(exitMissing, "there is no template \"welcom\"", "template", "delete", "welcom", "--yes")
	s.ok("template", "delete", "welcome", "--yes")
}

func TestKeysGoToFiles(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{
		"POST /api/admin/apps":                     `201 {"app":{"id":"c1","slug":"flow"},"apiKey":"cs_test_new","webhookSecret":null}`,
		"GET /api/admin/apps/flow":                 `200 {"id":"c1","slug":"flow"}`,
		"DELETE /api/admin/apps/flow":              "204 ",
		"GET /api/admin/apps/flow/keys":            `200 {"data":[{"id":"c8","revokedAt":"2020-01-01T00:00:00.000Z"},{"id":"c9","revokedAt":null,"expiresAt":null}],"nextCursor":null}`,
		"POST /api/admin/apps/flow/keys/c9/rotate": `201 {"id":"c10","apiKey":"cs_test_newer"}`,
		"GET /api/admin/apps/two/keys":             `200 {"data":[{"id":"c8"},{"id":"c9"}],"nextCursor":null}`,
	})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=adm"}
	path := filepath.Join(t.TempDir(), "key")
	got := run(t, env, nil, "app", "create", "Flow", "--slug", "flow", "--key-file", path, "--json")
	kept, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if got.code != exitOK || strings.Contains(got.out, "cs_test_new") || err != nil || string(kept) != "cs_test_new\n" || statErr != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%+v %q %v %v", got, kept, err, info)
	}
	if got := run(t, env, nil, "app", "create", "Flow", "--slug", "flow", "--key-file", path); got.code != exitUsage {
		t.Errorf("an old key is written over: %+v", got)
	}
	other := filepath.Join(t.TempDir(), "key")
	if got := run(t, env, nil, "key", "create", "none", "--key-file", other); got.code != exitMissing {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a refusal leaves an empty file")
	}
	if got := run(t, env, nil, "app", "rotate-key", "flow", "--yes", "--quiet"); got.code != exitOK || got.out != "cs_test_newer\n" {
		t.Errorf("%+v", got)
	}
	if got := run(t, env, nil, "app", "rotate-key", "two", "--yes"); got.code != exitUsage || !strings.Contains(got.err, "2 keys") {
		t.Errorf("%+v", got)
	}
	if got := run(t, env, nil, "app", "delete", "flow", "--yes"); got.code != exitOK || r.last(t).query != "confirm=flow" {
		t.Errorf("%+v %+v", got, r.last(t))
	}
	for _, args := range [][]string{{"app", "delete", "flow"}, {"app", "pause", "flow"}, {"key", "revoke", "flow", "c9"}, {"key", "rotate", "flow", "c9"}} {
		if got := run(t, env, nil, args...); got.code != exitUsage || !strings.Contains(got.err, "--yes") {
			t.Errorf("%v did not ask: %+v", args, got)
		}
	}
}

// brokenPipe is an output that takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestAKeyInAFileOutlivesABrokenPipe: the key was issued and stands in the file alone; that the
// rest of the answer cannot be shown must not remove it.
func TestAKeyInAFileOutlivesABrokenPipe(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{"POST /api/admin/apps/flow/keys/c9/rotate": `201 {"id":"c10","apiKey":"cs_test_newer"}`})
	path := filepath.Join(t.TempDir(), "key")
	got := run(t, []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=adm"}, func(s *Streams) { s.Out = brokenPipe{} }, "key", "rotate", "flow", "c9", "--yes", "--key-file", path)
	kept, err := os.ReadFile(path)
	if got.code != exitFailed || !strings.Contains(got.err, "the key is in "+path) || err != nil || string(kept) != "cs_test_newer\n" {
		t.Errorf("%+v, the file holds %q %v", got, kept, err)
	}
}

// TestAShortOverlapIsRefused: half a second would reach the server as none, and end the old key unasked.
func TestAShortOverlapIsRefused(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{
		"POST /api/admin/apps/flow/keys/c9/rotate": `201 {"id":"c10","apiKey":"cs_test_newer"}`,
		"GET /api/admin/apps/bare/keys":            `200 {"data":[],"nextCursor":null}`,
	})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=adm"}
	for _, overlap := range []string{"500ms", "1500ms", "-1s"} {
		if got := run(t, env, nil, "key", "rotate", "flow", "c9", "--overlap="+overlap); got.code != exitUsage || !strings.Contains(got.err, "whole seconds") {
			t.Errorf("%s: %+v", overlap, got)
		}
	}
	if r.count() != 0 {
		t.Errorf("asked %+v", r.last(t))
	}
	if got := run(t, env, nil, "app", "rotate-key", "bare", "--yes"); got.code != exitUsage || !strings.Contains(got.err, "commserver key create bare") {
		t.Errorf("an app without a key: %+v", got)
	}
}

func TestChecksThatSayNo(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{
		"POST /api/v1/provider-configs/c5/verify": `200 {"ok":false,"checks":[{"name":"login","ok":false,"detail":"refused"}]}`,
		"POST /api/v1/provider-configs/c5/test":   `200 {"ok":false,"class":"rejected","text":"no"}`,
		"GET /api/admin/audit/verify":             `200 {"ok":false,"checked":3,"nextAfter":null,"broken":{"sequence":3,"reason":"the hash does not fit"}}`,
	})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_ADMIN_KEY=adm", "COMMS_APP_ID=flow"}
	for says, args := range map[string][]string{
		"does not work":              {"provider", "verify", "c5"},
		"did not take":               {"provider", "test", "c5", "--to", "a@example.com", "--yes"},
		"the audit log is not whole": {"audit", "verify"},
	} {
		if got := run(t, env, nil, args...); got.code != exitBadEnd || !strings.Contains(got.err, says) || got.out == "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
	for says, flag := range map[string]string{"Broken at  3\nBecause    the hash does not fit\n": "--utc", `{"ok":false,"checked":3,"last":null,"broken":{"sequence":3,"reason":"the hash does not fit"}}`: "--json"} {
		if got := run(t, env, nil, "audit", "verify", flag); got.code != exitBadEnd || !strings.Contains(got.out, says) {
			t.Errorf("%s: %+v", flag, got)
		}
	}
}
