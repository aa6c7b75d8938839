package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestExitCodesOfACall(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, c := range []struct {
		name, answer string
		code         int
		says         []string
	}{
		{"refused", `400 {"error":"to is wrong.","details":{"code":"invalid_to","fields":{"to":"has no @","cc[0]":"is empty"}}}`, exitRefused, []string{"commserver: to is wrong.\n  cc[0]: is empty\n  to: has no @\n  (code invalid_to, status 400, request req-1)"}},
		{"conflict", `409 {"error":"Taken.","details":{"code":"already_exists"}}`, exitRefused, []string{"Taken.", "already_exists"}},
		{"missing values", `422 {"error":"Missing.","details":{"code":"missing_variables","missing":["a","b"]}}`, exitRefused, []string{"missing: a, b"}},
		{"no such thing", `404 {"error":"Not here.","details":{"code":"not_found"}}`, exitMissing, []string{"Not here."}},
		{"wrong key", `401 {"error":"No.","details":{"code":"unauthenticated"}}`, exitDenied, []string{"No."}},
		{"scope", `403 {"error":"Scope.","details":{"code":"insufficient_scope"}}`, exitDenied, []string{"insufficient_scope"}},
		{"a fault", `500 {"error":"Ours.","details":{"code":"internal"}}`, exitUnavailable, []string{"internal"}},
		{"a proxy", `502 <html>`, exitUnavailable, []string{"502"}},
		{"no JSON", `200 <html>`, exitFailed, []string{"is this a CommServer?"}},
		{"no object", `200 null`, exitFailed, []string{"is this a CommServer?"}},
		{"a list", `200 [{}]`, exitFailed, []string{"is this a CommServer?"}},
		{"a control character", "400 {\"error\":\"a\\u001b[31mb\",\"details\":{\"code\":\"x\"}}", exitRefused, []string{"a[31mb"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := startRecorder(t, map[string]string{"PATCH /api/v1/app": c.answer})
			got := run(t, []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=very-secret"}, nil, "app", "update", "--webhook-url", "https://x.example.com")
			if got.code != c.code || got.out != "" {
				t.Errorf("%+v", got)
			}
			for _, says := range c.says {
				if !strings.Contains(got.err, says) {
					t.Errorf("does not say %q: %s", says, got.err)
				}
			}
			if strings.Contains(got.err, "very-secret") || strings.Contains(got.err, "\x1b") {
				t.Errorf("says too much: %q", got.err)
			}
		})
	}
	got := run(t, []string{"COMMS_URL=" + gone.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}, nil, "app", "update", "--webhook-url", "")
	if got.code != exitUnavailable || !strings.Contains(got.err, "cannot be reached") {
		t.Errorf("%+v", got)
	}
}

// TestAnAnswerThatBreaksOff: of an export that is not whole the exit code says that the same command may work later.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "channel,address\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	got := run(t, []string{"COMMS_URL=" + s.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}, nil, "suppression", "export")
	if got.code != exitUnavailable || !strings.Contains(got.err, "broke off and is not whole") || strings.Contains(got.err, "Is it running") {
		t.Errorf("%+v", got)
	}
	disk := run(t, []string{"COMMS_URL=" + startRecorder(t, map[string]string{"GET /api/v1/suppressions/export": "200 x"}).URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"},
		func(s *Streams) { s.Out = brokenPipe{} }, "suppression", "export")
	if disk.code != exitFailed { // it is this machine that takes nothing
		t.Errorf("%+v", disk)
	}
}

// TestAListThatFailsPrintsNothing: a heading alone would be an empty list.
func TestAListThatFailsPrintsNothing(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{"GET /api/v1/messages": `401 {"error":"No.","details":{"code":"unauthenticated"}}`})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}
	for _, args := range [][]string{{"message", "list"}, {"message", "cancel", "c1", "c2"}, {"audit", "list"}} {
		if got := run(t, env, nil, args...); got.code == exitOK || got.out != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
	// What came before the failure is printed.
	r = startRecorder(t, map[string]string{"PATCH /api/v1/messages/c1": `200 {"id":"c1","status":"CANCELLED"}`})
	env[0] = "COMMS_URL=" + r.URL
	if got := run(t, env, nil, "message", "cancel", "c1", "c2"); got.code != exitMissing || !strings.Contains(got.out, "c1  CANCELLED") {
		t.Errorf("%+v", got)
	}
}

func TestWhoCalls(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "admin-key"), []byte("local-admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := writeFile(t, "key", "from-file\n")
	home := t.TempDir()
	in := func(s *Streams) { s.In = strings.NewReader("profile-key\n") }
	if got := run(t, []string{"HOME=" + home}, in, "profile", "add", "prod", "--url", "https://comms.example.com", "--app", "flow", "--api-key-file", "-"); got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want identity
	}{
		{"variables", []string{"COMMS_URL=http://h:1", "COMMS_APP_ID=a", "COMMS_API_KEY=k"}, nil, identity{"http://h:1", "a", "k", ""}},
		{"files", []string{"COMMS_APP_ID=a", "COMMS_API_KEY_FILE=" + key}, nil, identity{defaultURL, "a", "from-file", ""}},
		{"variables before the profile in use", []string{"HOME=" + home, "COMMS_API_KEY=k", "COMMS_APP_ID=a"}, nil, identity{defaultURL, "a", "k", ""}},
		{"the profile in use", []string{"HOME=" + home}, nil, identity{"https://comms.example.com", "flow", "profile-key", ""}},
		{"a named profile is whole", []string{"HOME=" + home, "COMMS_API_KEY=k", "COMMS_URL=http://other"}, []string{"--profile", "prod"}, identity{"https://comms.example.com", "flow", "profile-key", ""}},
		{"named by a variable", []string{"HOME=" + home, "COMMS_PROFILE=prod", "COMMS_API_KEY=k"}, nil, identity{"https://comms.example.com", "flow", "profile-key", ""}},
		{"the operator of this machine", []string{"COMMS_DATA_DIR=" + data}, []string{"--app", "a"}, identity{defaultURL, "a", "", "local-admin"}},
		{"the key of this machine stays on it", []string{"COMMS_DATA_DIR=" + data, "COMMS_URL=https://comms.example.com"}, nil, identity{"https://comms.example.com", "", "", ""}},
		{"the administrator acts for another app", []string{"COMMS_APP_ID=a", "COMMS_API_KEY=k", "COMMS_ADMIN_KEY=adm"}, []string{"--app", "b"}, identity{defaultURL, "b", "", "adm"}},
		{"flags", []string{"COMMS_APP_ID=a"}, []string{"--url", "http://h:2", "--api-key-file", key}, identity{"http://h:2", "a", "from-file", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := &cobra.Command{}
			bindClient(cmd)
			if err := cmd.ParseFlags(c.args); err != nil {
				t.Fatal(err)
			}
			got, err := findIdentity(Streams{Env: c.env, In: strings.NewReader("")}, cmd)
			if err != nil || got != c.want {
				t.Errorf("%+v, want %+v (%v)", got, c.want, err)
			}
		})
	}
	for name, c := range map[string]struct {
		env  []string
		args []string
		says string
	}{
		"no key":         {nil, []string{"app", "show"}, "commserver profile add"},
		"no admin key":   {[]string{"COMMS_APP_ID=a", "COMMS_API_KEY=k"}, []string{"app", "list"}, "COMMS_ADMIN_KEY"},
		"no app":         {[]string{"COMMS_ADMIN_KEY=adm"}, []string{"app", "show"}, "--app"},
		"no profile":     {[]string{"HOME=" + home}, []string{"app", "show", "--profile", "nope"}, "nope"},
		"both forms":     {[]string{"COMMS_API_KEY=k", "COMMS_API_KEY_FILE=" + key}, []string{"app", "show"}, "unset one"},
		"empty file":     {[]string{"COMMS_API_KEY_FILE=" + writeFile(t, "empty", "\n")}, []string{"app", "show"}, "empty"},
		"a wrong server": {[]string{"COMMS_URL=localhost:3008", "COMMS_API_KEY=k"}, []string{"app", "show"}, "http://localhost:3008"},
	} {
		if got := run(t, c.env, nil, c.args...); got.code != exitUsage || !strings.Contains(got.err, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	env := []string{"HOME=" + home}
	key := writeFile(t, "key", "app-secret\n")
	must := func(args ...string) string {
		t.Helper()
		got := run(t, env, nil, args...)
		if got.code != exitOK || strings.Contains(got.out+got.err, "app-secret") {
			t.Fatalf("%v: %+v", args, got)
		}
		return got.out
	}
	must("profile", "add", "local", "--app", "demo", "--api-key-file", key)
	if got := run(t, env, nil, "profile", "add", "ops", "--url", "https://comms.example.com", "--admin-key-file", key); got.code != exitOK || !strings.Contains(got.err, "in use is local") {
		t.Errorf("it is not said which profile is in use: %+v", got)
	}
	path := filepath.Join(home, ".config", "commserver", "profiles.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	want := "NAME   USED  URL                        APP   KEYS\nlocal  *     http://localhost:3008      demo  app\nops          https://comms.example.com        admin\n"
	if got := must("profile", "list"); got != want {
		t.Errorf("the list reads\n%s\nwant\n%s", got, want)
	}
	must("profile", "use", "ops")
	if got := must("profile", "list", "--json"); !strings.Contains(got, `{"app":"","current":true,"keys":["admin"],"name":"ops","url":"https://comms.example.com"}`) {
		t.Errorf("the list reads %s", got)
	}
	if got := run(t, env, nil, "profile", "remove", "ops"); got.code != exitUsage || !strings.Contains(got.err, "--yes") {
		t.Errorf("%+v", got)
	}
	must("profile", "remove", "ops", "--yes")
	// On a terminal the key is asked for, and so is a removal.
	person := func(answer string) func(*Streams) {
		return func(s *Streams) {
			s.In, s.Terminal = strings.NewReader(answer), &Terminal{In: true, Out: true, Err: true, Width: 80}
		}
	}
	if got := run(t, env, person("typed-key\n"), "profile", "add", "typed", "--app", "x"); got.code != exitOK || !strings.Contains(got.err, "API key: ") {
		t.Errorf("%+v", got)
	}
	if got := run(t, env, person("n\n"), "profile", "remove", "typed"); got.code != exitFailed || !strings.Contains(got.err, "nothing was changed") {
		t.Errorf("%+v", got)
	}
	if got := run(t, env, person("y\n"), "profile", "remove", "typed"); got.code != exitOK {
		t.Errorf("%+v", got)
	}
	for name, args := range map[string][]string{"a bad name": {"a b", "--app", "x"}, "no app": {"x"}, "a bad URL": {"x", "--url", "comms", "--app", "x"}, "a password": {"x", "--url", "http://u:p@h", "--app", "x"}} {
		if got := run(t, env, nil, append([]string{"profile", "add", "--api-key-file", key}, args...)...); got.code != exitUsage {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := run(t, env, nil, "profile", "list"); got.code != exitUsage || !strings.Contains(got.err, "chmod 600") {
		t.Errorf("%+v", got)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := run(t, nil, nil, "completion", shell); got.code != exitOK || !strings.Contains(got.out, "commserver") {
			t.Errorf("%s: exit code %d", shell, got.code)
		}
	}
	r := startRecorder(t, map[string]string{
		"GET /api/v1/provider-configs": `200 {"data":[{"id":"c1","name":"Main"},{"id":"c2","name":"Spare"}],"nextCursor":null}`,
		"GET /api/admin/apps":          `200 {"data":[{"slug":"flow","name":"Flow"}],"nextCursor":null}`,
	})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k", "COMMS_ADMIN_KEY=adm"}
	for want, args := range map[string][]string{
		"c1\tMain\nc2\tSpare\n:4\n": {"provider", "get", ""},
		"flow\tFlow\n:4\n":          {"app", "show", ""},
		"SMTP\n":                    {"provider", "add", ""},
		"EMAIL\nSMS\n:4\n":          {"message", "send", "--channel", ""},
		":4\n":                      {"template", "get", ""}, // the server has no templates to offer
	} {
		if got := run(t, env, nil, append([]string{"__complete"}, args...)...); !strings.Contains(got.out, want) {
			t.Errorf("%v offers %q", args, got.out)
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	answer := `200 {"data":[{"id":"c1","createdAt":"2026-07-03T10:00:00.000Z","status":"FAILED","channel":"EMAIL","toAddress":"ama@example.com","subject":"A very long subject that nobody wants to read to its end, with a bell \u0007 and \u001b[2J","attempts":3,"errorMessage":"Every attempt failed until the time for retries was over."}],"nextCursor":null}`
	r := startRecorder(t, map[string]string{"GET /api/v1/messages": answer})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}
	terminal := func(s *Streams) { s.Terminal = &Terminal{In: true, Out: true, Err: true, Width: 120} }
	narrow := run(t, env, terminal, "message", "list", "--utc")
	for line := range strings.Lines(narrow.out) {
		text := strings.NewReplacer("\x1b[1m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(strings.TrimSuffix(line, "\n"))
		if n := len([]rune(text)); n > 120 || strings.ContainsAny(text, "\x1b\a") {
			t.Errorf("%d columns: %q", n, text)
		}
	}
	if !strings.Contains(narrow.out, "\x1b[31mFAILED\x1b[0m") || !strings.Contains(narrow.out, "…") || !strings.Contains(narrow.out, "c1") {
		t.Errorf("the table reads %q", narrow.out)
	}
	for _, plain := range []ran{run(t, append(env, "NO_COLOR=1"), terminal, "message", "list"), run(t, env, nil, "message", "list")} {
		if strings.Contains(plain.out, "\x1b") || plain.err != "" {
			t.Errorf("colours: %+v", plain)
		}
	}
	if piped := run(t, env, nil, "message", "list"); !strings.Contains(piped.out, "read to its end, with a bell") || strings.Contains(piped.out, "…") {
		t.Errorf("a pipe gets a cut table: %q", piped.out)
	}
}

func TestListsFollowCursors(t *testing.T) {
	t.Parallel()
	r := startRecorder(t, map[string]string{"GET /api/v1/messages": `200 {"data":[{"id":"c1"},{"id":"c2"}],"nextCursor":"next"}`})
	env := []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}
	got := run(t, env, nil, "message", "list", "--limit", "5", "--quiet", "--status", "FAILED", "--template", "t", "--after", "2026-07-03T10:00:00+02:00")
	if got.code != exitOK || got.out != "c1\nc2\nc1\nc2\nc1\n" {
		t.Errorf("%+v", got)
	}
	if q := r.last(t).query; q != "createdAfter=2026-07-03T08%3A00%3A00Z&cursor=next&limit=1&status=FAILED&templateKey=t" {
		t.Errorf("asked %s", q)
	}
	if got := run(t, env, func(s *Streams) { s.Now = fixed }, "message", "list", "--limit", "1", "--after", "7d"); got.code != exitOK || r.last(t).query != "createdAfter=2026-06-26T10%3A00%3A00Z&limit=1" {
		t.Errorf("%+v asked %s", got, r.last(t).query)
	}
	for _, wrong := range [][]string{{"--limit", "0"}, {"--limit", "x"}, {"--all", "--limit", "3"}, {"--after", "yesterday"}} {
		if got := run(t, env, nil, append([]string{"message", "list"}, wrong...)...); got.code == exitOK {
			t.Errorf("%v: %+v", wrong, got)
		}
	}
}

// TestALongReplayGoesOn: each call begins where the one before ended.
func TestALongReplayGoesOn(t *testing.T) {
	t.Parallel()
	var cursors []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Cursor string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		cursors = append(cursors, body.Cursor)
		answer := map[string]any{"replayed": 10000, "more": true, "nextCursor": "place-" + strconv.Itoa(len(cursors))}
		if len(cursors) == 3 {
			answer = map[string]any{"replayed": 7, "more": false, "nextCursor": nil}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	got := run(t, []string{"COMMS_URL=" + s.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}, nil, "webhook", "replay", "cmr0123456789abcdefghijkl", "--after", "6h", "--state", "delivered", "--yes")
	if got.code != exitOK || !strings.Contains(got.out, "20007") || strings.Join(cursors, " ") != " place-1 place-2" {
		t.Errorf("%+v, asked with %q", got, cursors)
	}
}
