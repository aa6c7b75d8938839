package cli

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/config"
)

// TestConfigAsJSON: a document per option, the same values as in the table, secrets masked there too.
func TestConfigAsJSON(t *testing.T) {
	t.Parallel()
	const secret = "a-key-that-nobody-may-see-0123456789"
	data := t.TempDir()
	got := run(t, []string{"COMMS_DATA_DIR=" + data, "COMMS_ADMIN_KEY=" + secret}, nil, "config", "--json")
	if got.code != exitOK || strings.Contains(got.out, secret) {
		t.Fatalf("%+v", got)
	}
	values := map[string]string{}
	for line := range strings.Lines(got.out) {
		var row struct {
			Option, From string
			Value        *string
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Option == "" || row.From == "" {
			t.Fatalf("%q: %v", line, err)
		}
		values[row.Option] = "null"
		if row.Value != nil {
			values[row.Option] = *row.Value
		}
	}
	if values["COMMS_DATA_DIR"] != data || values["COMMS_ADMIN_KEY"] != "********" || values["COMMS_ENCRYPTION_KEYS"] != "null" || len(values) != len(config.Options()) {
		t.Errorf("%v", values)
	}
}

// TestMigrateAsJSON: a script sees that the database is there.
func TestMigrateAsJSON(t *testing.T) {
	t.Parallel()
	got := run(t, []string{"COMMS_DATA_DIR=" + t.TempDir()}, nil, "migrate", "--json")
	var answer struct{ State, Version string }
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || got.code != exitOK || answer.State != "current" || answer.Version == "" {
		t.Errorf("%+v: %v", got, err)
	}
}

// TestMigrateOfANewerDatabase: an older program does not call the database its own.
func TestMigrateOfANewerDatabase(t *testing.T) {
	t.Parallel()
	env := []string{"COMMS_DATA_DIR=" + t.TempDir()}
	if got := run(t, env, nil, "migrate"); got.code != exitOK || got.out != "The database is at this version.\n" {
		t.Fatalf("%+v", got)
	}
	db, err := sql.Open("sqlite", filepath.Join(strings.TrimPrefix(env[0], "COMMS_DATA_DIR="), "commserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `INSERT INTO schema_migrations (name, sum, applied_at) VALUES ('0099_future', 'x', 1)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	got := run(t, env, nil, "migrate")
	if got.code != exitOK || !strings.Contains(got.out, "newer version") || !strings.Contains(got.out, "0099_future") || !strings.Contains(got.err, "0099_future") {
		t.Errorf("%+v", got)
	}
	if got := run(t, env, nil, "migrate", "--json"); !strings.Contains(got.out, `"state":"newer"`) || !strings.Contains(got.out, `"unknownSteps":["0099_future"]`) {
		t.Errorf("%+v", got)
	}
}

// The keys that the first start made are used although nobody set them.
func TestConfigShowsWhatTheDataFolderHolds(t *testing.T) {
	t.Parallel()
	const secret = "a-key-that-nobody-may-see-0123456789"
	full, empty := t.TempDir(), t.TempDir()
	for _, name := range []string{"admin-key", "encryption-keys"} {
		if err := os.WriteFile(filepath.Join(full, name), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "admin-key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  []string
		line []string
	}{
		{"kept", []string{"COMMS_DATA_DIR=" + full},
			[]string{`COMMS_ADMIN_KEY +\*{8} +file ` + full + `/admin-key`, `COMMS_ENCRYPTION_KEYS +\*{8} +file ` + full + `/encryption-keys`}},
		{"given", []string{"COMMS_DATA_DIR=" + full, "COMMS_ADMIN_KEY=" + secret},
			[]string{`COMMS_ADMIN_KEY +\*{8} +COMMS_ADMIN_KEY`, `COMMS_ENCRYPTION_KEYS +\*{8} +file ` + full + `/encryption-keys`}},
		{"before the first start", []string{"COMMS_DATA_DIR=" + empty}, []string{`COMMS_ADMIN_KEY +- +file ` + empty + `/admin-key, which the first start makes`}},
		{"an empty file", []string{"COMMS_DATA_DIR=" + broken}, []string{`COMMS_ADMIN_KEY +- +file ` + broken + `/admin-key, which cannot be read`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			if code := Run(t.Context(), []string{"config"}, Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: c.env}); code != exitOK {
				t.Fatalf("exit code %d: %s", code, errs.String())
			}
			for _, line := range c.line {
				if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(out.String()) {
					t.Errorf("no line like %q in\n%s", line, out.String())
				}
			}
			if strings.Contains(out.String(), secret) {
				t.Error("a secret is printed")
			}
		})
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("looking made %v (%v)", entries, err)
	}
}
