package cli

import (
	"strings"
	"testing"
)

func TestPersonsOfARealServer(t *testing.T) {
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
	if got := run(t, admin, nil, "upkeep", "show"); got.code != exitOK || strings.Count(got.out, "\n") != 5 || !strings.Contains(got.out, "deleted_apps") {
		t.Errorf("the tasks read %+v", got)
	}
	if got := run(t, admin, nil, "person", "erase", "233241234567", "--all-apps", "--yes"); got.code != exitOK || !strings.Contains(got.out, "RUNNING") {
		t.Errorf("in all apps: %+v", got)
	}
}
