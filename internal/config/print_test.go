package config

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite generated files instead of comparing them")

func equal(a, b Config) bool { return reflect.DeepEqual(a, b) }

func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	const path = "../../docs/config.md"
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Reference() {
		t.Errorf("docs/config.md is not what the option table says; run: make docs")
	}
	const example = "../../deploy/commserver.env.example"
	if *update {
		if err := os.WriteFile(example, []byte(EnvExample()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(example); err != nil || string(text) != EnvExample() {
		t.Errorf("%s is not what the option table says; run: make docs (%v)", example, err)
	}
	for _, o := range Options() {
		if !strings.Contains(string(got), "`"+o.Env()+"`") {
			t.Errorf("docs/config.md does not mention %s", o.Env())
		}
	}
}

func TestTableIsWellFormed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, o := range Options() {
		for _, name := range []string{o.Env(), o.EnvFile(), o.Flag(), o.FileFlag()} {
			if name != "" && seen[name] {
				t.Errorf("%s stands twice in the table", name)
			}
			seen[name] = true
		}
		if o.Group == "" || o.Type == "" || !strings.HasSuffix(o.Help, ".") || strings.Contains(o.Help, "|") {
			t.Errorf("%s: group, type or help is not complete: %+v", o.Name, o)
		}
		if !strings.Contains(o.Usage(), "[$"+o.Env()+"]") {
			t.Errorf("%s: usage does not name the variable: %s", o.Name, o.Usage())
		}
	}
}

func TestPrintMasks(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "COMMS_DATABASE_URL=postgres://u:p4ssw0rd@db/comms?sslmode=require&sslpassword=p4ssw0rd",
		"COMMS_ADMIN_KEY="+goodKey, "COMMS_ENCRYPTION_KEYS="+goodRing)
	var b strings.Builder
	if err := Print(&b, c); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"p4ssw0rd", goodKey, goodRing[3:]} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("printed: %q in\n%s", secret, b.String())
		}
	}
	for _, line := range []string{
		`COMMS_ADMIN_KEY +\*{8} +COMMS_ADMIN_KEY`, `COMMS_LEASE +10s +default`, `COMMS_PROVISIONING_KEY +- +default`,
		`COMMS_DATABASE_URL +postgres://u:\*{8}@db/comms\?sslmode=require&sslpassword=\*{8} +COMMS_DATABASE_URL`,
	} {
		if !matchesLine(b.String(), line) {
			t.Errorf("no line like %q in\n%s", line, b.String())
		}
	}
	if err := Print(failingWriter{}, c); err == nil {
		t.Error("Print hides that its writer failed")
	}
}

// What the server derives is in force as much as what was set.
func TestPrintShowsWhatIsDerived(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		env   []string
		kept  []Setting
		lines []string
	}{
		{"nothing set", nil, nil, []string{`COMMS_PUBLIC_URL +http://localhost:3008 +COMMS_ADDR$`, `COMMS_DATABASE_URL +sqlite:data/commserver.db +COMMS_DATA_DIR$`,
			`COMMS_ADMIN_KEY +- +default`}},
		{"a data folder", []string{"COMMS_DATA_DIR=/srv/c"}, nil, []string{`COMMS_DATABASE_URL +sqlite:///srv/c/commserver.db +COMMS_DATA_DIR$`}},
		{"a free port", []string{"COMMS_ADDR=localhost:0"}, nil, []string{`COMMS_PUBLIC_URL +- +the port that the start picks$`}},
		{"given", []string{"COMMS_PUBLIC_URL=https://comms.example", "COMMS_DATABASE_URL=sqlite:here.db", "COMMS_ADMIN_KEY=" + goodKey},
			[]Setting{{Name: "COMMS_ADMIN_KEY", Value: "kept", From: "file k"}},
			[]string{`COMMS_PUBLIC_URL +https://comms.example +COMMS_PUBLIC_URL$`, `COMMS_DATABASE_URL +sqlite:here.db +COMMS_DATABASE_URL$`, `COMMS_ADMIN_KEY +\*{8} +COMMS_ADMIN_KEY$`}},
		{"kept", nil, []Setting{{Name: "COMMS_ADMIN_KEY", Value: "********", From: "file data/admin-key"}}, []string{`COMMS_ADMIN_KEY +\*{8} +file data/admin-key$`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := Print(&b, mustLoad(t, c.env...), c.kept...); err != nil {
				t.Fatal(err)
			}
			for _, line := range c.lines {
				if !matchesLine(b.String(), line) {
					t.Errorf("no line like %q in\n%s", line, b.String())
				}
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		env  []string
		want []string
	}{
		{"loopback", []string{"COMMS_ADDR=127.0.0.1:3008", "COMMS_INTERNAL_ADDR=[::1]:9000"}, nil},
		{"every interface", []string{"COMMS_ADDR=:3008"}, []string{"plain HTTP"}},
		{"behind a proxy", []string{"COMMS_ADDR=:3008", "COMMS_PUBLIC_URL=https://a.example"}, nil},
		{"own certificate", []string{"COMMS_ADDR=:3008", "COMMS_TLS_CERT=c", "COMMS_TLS_KEY=k"}, nil},
		{"short keys", []string{"COMMS_ADMIN_KEY=0123456789abcdef", "COMMS_PROVISIONING_KEY=fedcba9876543210"},
			[]string{"COMMS_ADMIN_KEY has only 16", "COMMS_PROVISIONING_KEY has only 16"}},
		{"profiles for everyone", []string{"COMMS_INTERNAL_ADDR=0.0.0.0:9000", "COMMS_INTERNAL_OPEN=yes"}, []string{"COMMS_INTERNAL_ADDR"}},
		{"profiles for a private network", []string{"COMMS_INTERNAL_ADDR=10.0.0.5:9000"}, []string{"COMMS_INTERNAL_ADDR"}},
		{"whole internet allowed", []string{"COMMS_ALLOW_PRIVATE_TARGETS=::/0,0.0.0.0/0"}, []string{"every address"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := mustLoad(t, tt.env...).Warnings()
			if !slices.EqualFunc(got, tt.want, strings.Contains) {
				t.Errorf("warnings = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, listening, want string
		env                   []string
	}{
		{"default", "127.0.0.1:3008", "http://localhost:3008", nil},
		{"free port", "127.0.0.1:41234", "http://127.0.0.1:41234", []string{"COMMS_ADDR=127.0.0.1:0"}},
		{"every interface", "[::]:3008", "http://localhost:3008", []string{"COMMS_ADDR=:3008"}},
		{"wildcard written out", "[::]:3008", "http://localhost:3008", []string{"COMMS_ADDR=0.0.0.0:3008"}},
		{"IPv6", "[::1]:3008", "http://[::1]:3008", []string{"COMMS_ADDR=[::1]:3008"}},
		{"IPv6 on the usual port", "[::1]:80", "http://[::1]", []string{"COMMS_ADDR=[::1]:80"}},
		{"own certificate", "10.0.0.1:443", "https://comms.example", []string{"COMMS_ADDR=comms.example:443", "COMMS_TLS_CERT=c", "COMMS_TLS_KEY=k"}},
		{"given", "[::]:3008", "https://comms.example", []string{"COMMS_PUBLIC_URL=https://comms.example"}},
		{"not host and port", "/run/comms.sock", "http:///run/comms.sock", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := mustLoad(t, tt.env...).BaseURL(tt.listening); got != tt.want {
				t.Errorf("BaseURL(%q) = %q, want %q", tt.listening, got, tt.want)
			}
		})
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func matchesLine(text, pattern string) bool {
	return regexp.MustCompile(`(?m)^` + pattern).MatchString(text)
}

func FuzzLoad(f *testing.F) {
	for _, o := range Options() {
		f.Add(o.Name, o.Default)
	}
	f.Add("DATABASE_URL", "postgres://u:s3cr3t@h1:1,h2:2/db")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := Load(Source{Env: []string{Prefix + name + "=" + value}})
		if err == nil && (c.Addr == "" || len(c.RetrySchedule) == 0 || c.Heartbeat*3 > c.Lease) {
			t.Errorf("%s=%q gives an unusable configuration: %+v", name, value, c)
		}
	})
}
