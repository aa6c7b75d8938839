package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestABackupKnowsItsServer: --data-dir says where the key of the server of this machine lies, as the variable does.
func TestABackupKnowsItsServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	home := []string{"HOME=" + t.TempDir()}
	path := func() string { return filepath.Join(t.TempDir(), "x.backup") }
	if got := run(t, home, nil, "backup", "--data-dir", s.data, "--url", s.url, path()); got.code != exitOK {
		t.Errorf("%+v", got)
	}
	if got := run(t, append(home, "COMMS_DATA_DIR="+s.data), nil, "backup", "--url", s.url, path()); got.code != exitOK {
		t.Errorf("by the variable: %+v", got)
	}
	// The folder that the command line names goes before a key of somewhere else.
	if got := run(t, append(home, "COMMS_ADMIN_KEY=of-another-server", "COMMS_URL="+s.url), nil, "backup", "--data-dir", s.data, path()); got.code != exitOK {
		t.Errorf("beside another key: %+v", got)
	}
	// A server whose key is configured has none in its folder.
	if err := os.Rename(filepath.Join(s.data, "admin-key"), filepath.Join(s.data, "key-elsewhere")); err != nil {
		t.Fatal(err)
	}
	if got := run(t, home, nil, "backup", "--url", s.url, "--admin-key-file", filepath.Join(s.data, "key-elsewhere"), path()); got.code != exitOK {
		t.Errorf("with the key's file: %+v", got)
	}
	if got := run(t, home, nil, "backup", "--data-dir", s.data, "--url", s.url, path()); got.code != exitUsage || !strings.Contains(got.err, filepath.Join(s.data, "admin-key")) || !strings.Contains(got.err, "--admin-key-file") {
		t.Errorf("without a key: %+v", got)
	}
}

// TestABackupTakesNoIdleFlag: a flag that changes nothing is refused, and what does it is named.
func TestABackupTakesNoIdleFlag(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	key := writeFile(t, "admin-key", "the-key-of-the-admin-0123456789abc\n")
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--addr", "localhost:4911"}, []string{"--addr", "--direct", "--url"}},
		{[]string{"--admin-key-file", key, "--addr", "localhost:4911"}, []string{"--addr", "--url"}},
		{[]string{"--database-url", "sqlite:x.db"}, []string{"--database-url", "--direct"}},
		{[]string{"--database-url-file", key}, []string{"--database-url-file", "--direct"}},
		{[]string{"--log-level", "debug"}, []string{"--log-level", "--direct"}},
		{[]string{"--data-dir", data, "--url", "https://comms.example.com"}, []string{"--data-dir", "https://comms.example.com", "--admin-key-file"}},
		{[]string{"--data-dir", data, "--admin-key-file", key}, []string{"--data-dir", "--admin-key-file", "keep one"}},
		{[]string{"--direct", "--url", "https://comms.example.com"}, []string{"--url", "--direct"}},
		{[]string{"--direct", "--profile", "prod"}, []string{"--profile", "--direct"}},
		{[]string{"--direct", "--timeout", "1s"}, []string{"--timeout", "--direct"}},
	} {
		path := filepath.Join(t.TempDir(), "x.backup")
		got := run(t, []string{"HOME=" + data, "COMMS_DATA_DIR=" + data}, nil, append(append([]string{"backup"}, c.args...), path)...)
		if got.code != exitUsage {
			t.Errorf("%q: %+v", c.args, got)
		}
		for _, says := range c.says {
			if !strings.Contains(got.err, says) {
				t.Errorf("%q does not say %q: %s", c.args, says, got.err)
			}
		}
	}
}

// TestADirectBackupAsksNobody: it needs no server, and no profile that names one.
func TestADirectBackupAsksNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.stop()
	path := filepath.Join(t.TempDir(), "x.backup")
	if got := run(t, []string{"HOME=" + s.data, "COMMS_PROFILE=nobody"}, nil, "backup", "--direct", "--data-dir", s.data, path); got.code != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestABackupSaysWhatToDo: of a folder that is not there, and of a database that a server has.
func TestABackupSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	folder := filepath.Join(s.data, "nope")
	if got := run(t, nil, nil, "backup", "--data-dir", s.data, "--url", s.url, filepath.Join(folder, "b")); got.code != exitFailed || !strings.Contains(got.err, "the folder "+folder+" does not exist") || strings.Contains(got.err, ".part") {
		t.Errorf("%+v", got)
	}
	if got := run(t, nil, nil, "backup", "--direct", "--data-dir", s.data, filepath.Join(t.TempDir(), "b")); got.code != exitFailed || !strings.Contains(got.err, "stop that server first, or leave --direct out") {
		t.Errorf("%+v", got)
	}
}

// TestADamagedDatabaseIsNamed: with what to do, at whichever place it is found to be none.
func TestADamagedDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	if got := run(t, []string{"COMMS_DATA_DIR=" + whole}, nil, "migrate"); got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	content, err := os.ReadFile(filepath.Join(whole, "commserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"cut off": content[:8192], "garbage": []byte(strings.Repeat("no database ", 1000))} {
		data := t.TempDir()
		file := filepath.Join(data, "commserver.db")
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"migrate", "serve"} {
			got := run(t, []string{"COMMS_DATA_DIR=" + data, "COMMS_ADDR=localhost:0"}, nil, command)
			if got.code != exitFailed || !strings.Contains(got.err, file+" is damaged") || !strings.Contains(got.err, "commserver restore") {
				t.Errorf("%s, %s: %+v", name, command, got)
			}
		}
	}
}

// TestACertificateThatIsNotThere: the option is named, and nothing has been made.
func TestACertificateThatIsNotThere(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "no.pem", "no certificate")
	for _, c := range []struct{ cert, key, says string }{
		{"/nope", "/nope", "--tls-cert"},
		{file, "/nope", "--tls-key"},
		{file, file, "COMMS_TLS_CERT"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		got := run(t, []string{"COMMS_DATA_DIR=" + data, "COMMS_ADDR=localhost:0"}, nil, "serve", "--tls-cert", c.cert, "--tls-key", c.key)
		if got.code != exitFailed || !strings.Contains(got.err, c.says) {
			t.Errorf("%+v: %+v", c, got)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%+v: the data folder was made", c)
		}
	}
}
