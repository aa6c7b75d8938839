package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/test/pgtest"
)

// besides are the pages with samples that no server shows: who runs them.
func besides() map[string]string {
	return map[string]string{
		"README.md":     "TestTheReadme",
		"sdk/README.md": "TestTheClientsReadme",
	}
}

// TestEveryPageHasSomebody looks for samples that nobody runs.
func TestEveryPageHasSomebody(t *testing.T) {
	t.Parallel()
	left := besides()
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "docs" || d.Name() == "node_modules" || name != "." && strings.HasPrefix(d.Name(), ".") || name == "dist" || name == "data" {
				return fs.SkipDir // docs is what a server shows
			}
			return nil
		}
		if !strings.HasSuffix(name, ".md") {
			return nil
		}
		page, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if name = filepath.ToSlash(name); len(samplesOf(string(page))) == 0 {
			return nil
		}
		if left[name] == "" {
			t.Errorf("nobody runs the samples of %s", name)
		}
		delete(left, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for page := range left {
		t.Errorf("%s has no samples", page)
	}
}

// repository reads a page that no server shows.
func repository(t *testing.T, page string) []sample {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	return samplesOf(string(text))
}

// TestTheReadme follows the repository's first page, up to the node on PostgreSQL.
func TestTheReadme(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.reader(t, "README.md")
	sim, port := r.simulator(t)
	r.values = []string{"http://localhost:3008", w.url, "COMMS_APP_ID=demo", "COMMS_APP_ID=" + r.slug, `"mail.example.com"`, `"127.0.0.1"`, "587", strconv.Itoa(port),
		"postgres://commserver:…@db.internal/commserver", pgtest.Database(t), "./commserver", "commserver", ":3008", "localhost:0"}
	r.follow(t, repository(t, r.page), stage{
		before: func(t *testing.T, r *reader, _ string) {
			t.Helper()
			var list struct{ Data []made }
			if r.must(t, "GET", "/api/v1/provider-configs", nil, &list); len(list.Data) > 0 {
				r.values = append(r.values, "<id>", list.Data[0].ID)
			}
		},
		end: func(t *testing.T, r *reader) {
			t.Helper()
			until(t, "the mail", func() bool { return len(sim.Copies(simulate.Filter{Recipient: "you@example.com"})) == 1 })
			r.must(t, "GET", "/api/admin/apps/"+r.slug+"-2", nil, nil)
		},
	})
}

// TestTheClientsReadme runs what the page of the clients' packages says in Python and PHP. Its TypeScript is that of guide/sdk.md, which is compiled
// and run; the steps in JSON are those that test/sdk gives to its drivers.
func TestTheClientsReadme(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.reader(t, "sdk/README.md")
	heads := map[string]struct{ program, head, client string }{
		"python": {"python3", "import os\n", "comms_client.py"},
		"php":    {"php", "<?php\n", "CommsClient.php"},
	}
	for _, s := range repository(t, r.page) {
		switch l := heads[s.kind]; s.kind {
		case "python", "php":
			if _, err := exec.LookPath(l.program); err != nil {
				t.Skip(l.program + " is not installed")
			}
			client, err := filepath.Abs("../../sdk")
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(s.text, "'"+l.client+"'", "'"+filepath.Join(client, l.client)+"'")
			before := r.newest(t)
			execute(t, l.program, nil, "sample", l.head+text, nil, "COMMS_URL="+r.url, "COMMS_APP_ID="+r.slug, "COMMS_API_KEY="+r.key, "PYTHONPATH="+client, "PYTHONDONTWRITEBYTECODE=1")
			if r.newest(t) == before {
				t.Errorf("line %d: nothing was sent", s.line)
			}
			delete(heads, s.kind)
		case "json":
			for line := range strings.Lines(s.text) {
				if !json.Valid([]byte(line)) {
					t.Errorf("line %d: %s", s.line, line)
				}
			}
		case "sh":
			if _, is := excepted(r.page, s.text); is {
				r.shell(t, &s, "-n")
				continue
			}
			t.Errorf("line %d: nobody runs %s", s.line, s.text)
		case "ts":
		default:
			t.Errorf("line %d: nobody knows how to check a sample of the sort %q", s.line, s.kind)
		}
	}
	if len(heads) > 0 {
		t.Errorf("no samples in %v", heads)
	}
}
