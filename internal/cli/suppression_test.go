package cli

import (
	"strings"
	"testing"
)

func TestSuppressionsOfARealServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	added := s.ok("suppression", "add", "Ama@Example.com", "--note", "asked us by telephone")
	if !strings.Contains(added, "Reason   manual\nNote     asked us by telephone\nSource   api\n") {
		t.Errorf("the entry reads %q", added)
	}
	s.fails(exitRefused, "must be one of manual, hard_bounce", "suppression", "add", "ama@example.com", "--reason", "asked us")
	s.ok("suppression", "add", "233241234567", "--reason", "unsubscribed")
	for want, args := range map[string][]string{
		"233241234567\n":    {"--reason", "unsubscribed"},
		"ama@example.com\n": {"--address", "AMA@example.com"},
		"":                  {"--before", "1h"},
	} {
		if got := s.ok(append([]string{"suppression", "list", "--quiet"}, args...)...); got != want {
			t.Errorf("%v lists %q", args, got)
		}
	}
	csv := s.ok("suppression", "export")
	if !strings.HasPrefix(csv, "channel,address,") || !strings.Contains(csv, "ama@example.com") {
		t.Errorf("the export reads %q", csv)
	}
	if got := s.ok("suppression", "export", "--format", "jsonl"); strings.Count(got, "\n") != 2 || fieldOf(t, got, "note") != "asked us by telephone" {
		t.Errorf("the export reads %q", got)
	}
	s.fails(exitUsage, "csv or jsonl", "suppression", "export", "--format", "xml")
	if got := s.ok("suppression", "import", writeFile(t, "back.csv", csv)); got != "Added          0\nThere already  2\nRefused        0\n" {
		t.Errorf("the import prints %q", got)
	}
	s.fails(exitUsage, "--yes", "suppression", "remove", "ama@example.com")
	s.ok("suppression", "remove", "ama@example.com", "--yes")
	s.fails(exitMissing, "not on the app's list", "suppression", "remove", "ama@example.com", "--yes")
}

// TestAnImportTellsItsRefusedLines: an address that was refused may still be written to, so that a
// script must not take the import for done.
func TestAnImportTellsItsRefusedLines(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	got := run(t, s.env(), nil, "suppression", "import", writeFile(t, "list.csv", "channel,address\nEMAIL,a@example.com\nEMAIL,nobody\nFAX,233241234567\n"))
	if got.code != exitRefused || got.out != "Added          1\nThere already  0\nRefused        2\n" || !strings.Contains(got.err, "2 lines were refused") {
		t.Errorf("%+v", got)
	}
	for _, line := range []string{"line 3: ", "address: ", "(invalid_address)\n", "line 4: channel must be EMAIL or SMS. (invalid_channel)\n"} {
		if !strings.Contains(got.err, line) {
			t.Errorf("without %q: %s", line, got.err)
		}
	}
	long := `{"channel":"EMAIL","address":"b@example.com"}` + "\n" + `{"channel":"EMAIL","address":"x"}` + "\n" + strings.Repeat("x", 20<<10) + "\n"
	got = run(t, s.env(), nil, "suppression", "import", writeFile(t, "long.jsonl", long), "--json")
	for _, says := range []string{"Line 3 is longer than 16 KiB.", "line 2: ", "Before it ended 1 were added, 0 were there already, 1 lines were refused.", "invalid_import"} {
		if got.code != exitRefused || !strings.Contains(got.err, says) || got.out != "" {
			t.Errorf("without %q: %+v", says, got)
		}
	}
	bare := run(t, s.env(), nil, "suppression", "import", writeFile(t, "bare.csv", "a@example.com\n"))
	if bare.code != exitRefused || !strings.HasPrefix(bare.err, "commserver: The first line must name the columns") {
		t.Errorf("%+v", bare)
	}
	s.fails(exitUsage, "no such file", "suppression", "import", "/no/such/file")
}
