package cli

import (
	"strings"
	"testing"
)

func TestPersonsOfARealServer(t *testing.T) {
	if testing.Short() {
		t.Skip("erasures wait for what is under way, 40 s in all: make test runs it")
	}
	t.Parallel()
	s := startServer(t)
	id := someID.FindString(s.ok("message", "send", "--to", "233241234567", "--body", "Your code is 482913", "--wait"))
	for !strings.Contains(s.ok("message", "list", "--to", "233241234567"), id) { // found by search a moment later
	}
	if out := s.ok("person", "export", "+233241234567"); strings.Count(out, "\n") != 2 || !strings.Contains(out, id) || !strings.Contains(out, "482913") || !strings.HasSuffix(out, `{"kind":"end","messages":1}`+"\n") {
		t.Errorf("the export reads %q", out)
	}
	s.fails(exitUsage, "--yes", "person", "erase", "233241234567")
	s.fails(exitRefused, "invalid_address", "person", "erase", "nobody", "--yes")
	watched := run(t, s.env(), func(s *Streams) { s.Terminal = &Terminal{Err: true} }, "person", "erase", "233249999999", "--yes", "--wait", "--json")
	if watched.code != exitOK || !strings.Contains(watched.err, "0 erased") || !strings.HasSuffix(watched.err, clearLine) {
		t.Errorf("%+v", watched)
	}
	done := run(t, s.env(), nil, "person", "erase", "233241234567", "--yes", "--wait", "--json")
	if done.code != exitOK || fieldOf(t, done.out, "status") != "DONE" || fieldOf(t, done.out, "erased") != "1" || done.err != "" {
		t.Fatalf("%+v", done)
	}
	if got := s.ok("message", "get", id, "--json"); fieldOf(t, got, "body") != "" || fieldOf(t, got, "contentRemoved") != "erased" || fieldOf(t, got, "toAddress") != "23324***4567" {
		t.Errorf("the message reads %s", got)
	}
	if got := s.ok("person", "erasure", fieldOf(t, done.out, "id")); !strings.Contains(got, "DONE") {
		t.Errorf("the erasure reads %q", got)
	}
	s.fails(exitUsage, "COMMS_ADMIN_KEY", "upkeep", "show")
	admin := []string{"COMMS_URL=" + s.url, "COMMS_DATA_DIR=" + s.data}
	if got := run(t, admin, nil, "upkeep", "show"); got.code != exitOK || strings.Count(got.out, "\n") != 8 || !strings.Contains(got.out, "deleted_apps") {
		t.Errorf("the tasks read %+v", got)
	}
	if got := run(t, admin, nil, "person", "erase", "233241234567", "--all-apps", "--yes"); got.code != exitOK || !strings.Contains(got.out, "RUNNING") {
		t.Errorf("in all apps: %+v", got)
	}
}

// TestAnswersOfStrangers: what another server answers is no success, and is not waited for.
func TestAnswersOfStrangers(t *testing.T) {
	t.Parallel()
	const line = `{"kind":"message"}` + "\n"
	for name, c := range map[string]struct {
		call, answer string
		args         []string
		code         int
	}{
		"a message without an id":    {"POST /api/v1/messages", `202 {"status":"QUEUED"}`, []string{"message", "send", "--to", "233241234567", "--body", "x"}, exitFailed},
		"an erasure without a state": {"POST /api/v1/erasures", `202 {"id":"c1"}`, []string{"person", "erase", "233241234567", "--yes", "--wait"}, exitFailed},
		"an erasure without an id":   {"POST /api/v1/erasures", `202 {"status":"RUNNING"}`, []string{"person", "erase", "233241234567", "--yes", "--wait"}, exitFailed},
		"an export without its end":  {"GET /api/v1/persons/export", "200 " + line, []string{"person", "export", "233241234567"}, exitFailed},
		"an export that breaks off":  {"GET /api/v1/persons/export", `200 {"kind":"end","mess`, []string{"person", "export", "233241234567"}, exitFailed},
		"an empty export":            {"GET /api/v1/persons/export", "200 ", []string{"person", "export", "233241234567"}, exitFailed},
		"a whole export":             {"GET /api/v1/persons/export", "200 " + strings.Repeat(line, 9) + `{"kind":"end","messages":9}` + "\n", []string{"person", "export", "233241234567"}, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRecorder(t, map[string]string{c.call: c.answer})
			if got := run(t, []string{"COMMS_URL=" + r.URL, "COMMS_APP_ID=demo", "COMMS_API_KEY=k"}, nil, c.args...); got.code != c.code || (got.code == exitOK) != (got.err == "") {
				t.Errorf("%+v", got)
			}
		})
	}
}
