package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	goodKey  = "0123456789abcdef0123456789abcdef"
	otherKey = "fedcba9876543210fedcba9876543210"
	goodRing = "k1:q8Yw0bJm3l0tq1mC4u0pGdV9xkq3n8e7s5ZtRr1aB2c="
	postgres = "COMMS_DATABASE_URL=postgres://u:p4ssw0rd@db/comms"
)

func mustLoad(t *testing.T, env ...string) Config {
	t.Helper()
	c, err := Load(Source{Env: env})
	if err != nil {
		t.Fatalf("Load(%q): %v", env, err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := mustLoad(t)
	for _, check := range []struct {
		name string
		ok   bool
	}{
		{"address", c.Addr == "localhost:3008"},
		{"SQLite in the data folder", c.Database.Kind == SQLite && c.Database.Path == filepath.Join("data", "commserver.db")},
		{"no secrets", c.AdminKey == "" && c.ProvisioningKey == "" && c.EncryptionKeys == ""},
		{"every role", c.Role == RoleAll && c.Role.ServesAPI() && c.Role.Works()},
		{"lease and heartbeat", c.Lease == 10*time.Second && c.Heartbeat == 2*time.Second},
		{"drain", c.DrainTimeout == 25*time.Second},
		{"limits", c.MaxInFlight == 512 && c.MaxBytesInFlight == 128<<20 && c.CriticalReserve == 10 && c.AuthFailuresPerMinute == 20},
		{"retries", c.RetryHorizon == 24*time.Hour && slices.Equal(c.RetrySchedule, []time.Duration{
			5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour})},
		{"receipts", c.ReceiptTimeout == 72*time.Hour},
		{"retention", c.RetainContent == 30*24*time.Hour && c.RetainMessages == 400*24*time.Hour},
		{"fallback", c.LiveFallback == FallbackSandbox},
		{"logs", c.LogLevel == slog.LevelInfo && c.LogFormat == LogAuto},
		{"no warnings", len(c.Warnings()) == 0},
	} {
		if !check.ok {
			t.Errorf("default not as documented: %s: %+v", check.name, c)
		}
	}
}

func TestAcceptedValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		env  []string
		ok   func(Config) bool
	}{
		{"wildcard address", []string{"COMMS_ADDR=:0"}, func(c Config) bool { return c.Addr == ":0" }},
		{"public url loses its slash", []string{"COMMS_PUBLIC_URL=https://Comms.example.com/"},
			func(c Config) bool { return c.PublicURL == "https://comms.example.com" }},
		{"absolute SQLite path", []string{"COMMS_DATABASE_URL=sqlite:///var/lib/c.db"},
			func(c Config) bool { return c.Database.Kind == SQLite && c.Database.Path == "/var/lib/c.db" }},
		{"relative SQLite path", []string{"COMMS_DATABASE_URL=sqlite:c.db"},
			func(c Config) bool { return c.Database.Path == "c.db" }},
		{"PostgreSQL", []string{postgres, "COMMS_ADMIN_KEY=" + goodKey, "COMMS_ENCRYPTION_KEYS=" + goodRing, "COMMS_ROLE=worker"},
			func(c Config) bool {
				return c.Database.Kind == PostgreSQL && c.Database.Path == "" && c.Role == RoleWorker && !c.Role.ServesAPI() &&
					c.Database.URL.Reveal() == "postgres://u:p4ssw0rd@db/comms" && c.EncryptionKeys.Reveal() == goodRing
			}},
		{"PostgreSQL on a socket", []string{"COMMS_DATABASE_URL=postgres:///comms?host=/run/postgresql",
			"COMMS_ADMIN_KEY=" + goodKey, "COMMS_ENCRYPTION_KEYS=" + goodRing, "COMMS_DATABASE_DIRECT_URL=postgres://u@direct/comms"},
			func(c Config) bool { return c.Database.DirectURL.Reveal() == "postgres://u@direct/comms" }},
		{"ring of two keys", []string{"COMMS_ENCRYPTION_KEYS=" + goodRing + ",k0:rbzmp6wTb9T5Hn2gzxLr1hQdXy8m0aKc4uVjE3sPfWI="},
			func(c Config) bool { return strings.Contains(c.EncryptionKeys.Reveal(), ",k0:") }},
		{"region in lower case", []string{"COMMS_DEFAULT_REGION=gh"}, func(c Config) bool { return c.DefaultRegion == "GH" }},
		{"networks", []string{"COMMS_ALLOW_PRIVATE_TARGETS=10.1.2.3/8, ::1"},
			func(c Config) bool {
				return len(c.AllowPrivateTargets) == 2 && c.AllowPrivateTargets[0].String() == "10.0.0.0/8" && c.AllowPrivateTargets[1].String() == "::1/128"
			}},
		{"as short as a key is promised", []string{"COMMS_RETAIN_MESSAGES=30d"}, func(c Config) bool { return c.RetainMessages == 720*time.Hour }},
		{"days", []string{"COMMS_RETAIN_CONTENT=7d"}, func(c Config) bool { return c.RetainContent == 168*time.Hour }},
		{"schedule", []string{"COMMS_RETRY_SCHEDULE=1ms, 1d"},
			func(c Config) bool {
				return slices.Equal(c.RetrySchedule, []time.Duration{time.Millisecond, 24 * time.Hour})
			}},
		{"log", []string{"COMMS_LOG_LEVEL=debug", "COMMS_LOG_FORMAT=json"},
			func(c Config) bool { return c.LogLevel == slog.LevelDebug && c.LogFormat == LogJSON }},
		{"fallback", []string{"COMMS_LIVE_FALLBACK=fail"}, func(c Config) bool { return c.LiveFallback == FallbackFail }},
		{"heartbeat at exactly a third", []string{"COMMS_LEASE=3s", "COMMS_HEARTBEAT=1s"},
			func(c Config) bool { return c.Heartbeat == time.Second }},
		{"empty is not set", []string{"COMMS_LEASE=", "COMMS_ADMIN_KEY="},
			func(c Config) bool { return c.Lease == 10*time.Second && c.AdminKey == "" }},
		{"client and test variables", []string{"COMMS_URL=x", "COMMS_APP_ID=x", "COMMS_API_KEY=x", "COMMS_API_KEY_FILE=x", "COMMS_PROFILE=x", "COMMS_WEBHOOK_SECRET=x", "COMMS_TEST_DATABASE_URL=x"},
			func(c Config) bool { return c.Addr != "" }},
		{"Kubernetes service links", []string{"COMMS_SERVICE_HOST=10.0.0.1", "COMMS_SERVICE_PORT=3008", "COMMS_SERVICE_PORT_HTTP=3008",
			"COMMS_PORT=tcp://10.0.0.1:3008", "COMMS_PORT_3008_TCP=tcp://10.0.0.1:3008", "COMMS_PORT_3008_TCP_ADDR=10.0.0.1"},
			func(c Config) bool { return c.Addr != "" }},
		{"other programs' variables", []string{"PATH=/bin", "COMM_ADDR=x", "=weird"}, func(c Config) bool { return c.Addr != "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if c := mustLoad(t, tt.env...); !tt.ok(c) {
				t.Errorf("Load(%q) = %+v", tt.env, c)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	pg := []string{postgres, "COMMS_ADMIN_KEY=" + goodKey, "COMMS_ENCRYPTION_KEYS=" + goodRing}
	tests := []struct {
		name string
		env  []string
		want string // the variable
		text string // part of how to mend it
	}{
		{"unknown with a neighbour", []string{"COMMS_ADDRESS=x"}, "COMMS_ADDRESS", "did you mean COMMS_ADDR?"},
		{"unknown file form", []string{"COMMS_ADMINKEY_FILE=x"}, "COMMS_ADMINKEY_FILE", "did you mean COMMS_ADMIN_KEY_FILE?"},
		{"unknown", []string{"COMMS_COLOUR_OF_THE_SKY=x"}, "COMMS_COLOUR_OF_THE_SKY", "unset it"},
		{"a port that is not a link", []string{"COMMS_PORT=3008"}, "COMMS_PORT", "no such option"},
		{"alerts to a private network", []string{"COMMS_ALERT_WEBHOOK_URL=https://127.0.0.1/in"}, "COMMS_ALERT_WEBHOOK_URL", "COMMS_ALLOW_PRIVATE_TARGETS"},
		{"alerts to no URL", []string{"COMMS_ALERT_WEBHOOK_URL=nowhere"}, "COMMS_ALERT_WEBHOOK_URL", "https://alerts.example.com/in"},
		{"alerts in the clear", []string{"COMMS_ALERT_WEBHOOK_URL=http://alerts.example.com/in"}, "COMMS_ALERT_WEBHOOK_URL", "https://"},
		{"a secret that signs nothing", []string{"COMMS_ALERT_WEBHOOK_SECRET=" + goodKey}, "COMMS_ALERT_WEBHOOK_SECRET", "set both"},
		{"a short secret of alerts", []string{"COMMS_ALERT_WEBHOOK_SECRET=short", "COMMS_ALERT_WEBHOOK_URL=https://a.example.com/"}, "COMMS_ALERT_WEBHOOK_SECRET", "at least 16"},
		{"alerts to no address", []string{"COMMS_ALERT_EMAIL=on call"}, "COMMS_ALERT_EMAIL", "oncall@example.com"},
		{"impatient alerts", []string{"COMMS_ALERT_WAITING=1s"}, "COMMS_ALERT_WAITING", "10s"},
		{"no amount of space", []string{"COMMS_ALERT_FREE_SPACE=much"}, "COMMS_ALERT_FREE_SPACE", "MiB"},
		{"address without port", []string{"COMMS_ADDR=localhost"}, "COMMS_ADDR", "host:port"},
		{"port too large", []string{"COMMS_ADDR=localhost:70000"}, "COMMS_ADDR", "0 to 65535"},
		{"named port", []string{"COMMS_INTERNAL_ADDR=localhost:http"}, "COMMS_INTERNAL_ADDR", "0 to 65535"},
		{"public url without scheme", []string{"COMMS_PUBLIC_URL=comms.example.com"}, "COMMS_PUBLIC_URL", "https://"},
		{"public url with a path", []string{"COMMS_PUBLIC_URL=https://example.com/comms"}, "COMMS_PUBLIC_URL", "host of its own"},
		{"another database", []string{"COMMS_DATABASE_URL=mysql://u:p4ssw0rd@db/x"}, "COMMS_DATABASE_URL", "postgres://"},
		{"PostgreSQL without a database", []string{"COMMS_DATABASE_URL=postgres://u:p4ssw0rd@db"}, "COMMS_DATABASE_URL", "names no database"},
		{"unreadable PostgreSQL address", []string{"COMMS_DATABASE_URL=postgres://u:p4ssw0rd%zz@db/x"}, "COMMS_DATABASE_URL", "percent-encoded"},
		{"SQLite without a file", []string{"COMMS_DATABASE_URL=sqlite://"}, "COMMS_DATABASE_URL", "names no file"},
		{"SQLite with a host", []string{"COMMS_DATABASE_URL=sqlite://file.db"}, "COMMS_DATABASE_URL", "sqlite:relative/path"},
		{"SQLite with parameters", []string{"COMMS_DATABASE_URL=sqlite:x.db?mode=ro"}, "COMMS_DATABASE_URL", "without parameters"},
		{"direct url of another kind", []string{"COMMS_DATABASE_DIRECT_URL=sqlite:x.db"}, "COMMS_DATABASE_DIRECT_URL", "postgres://"},
		{"direct url with SQLite", []string{"COMMS_DATABASE_DIRECT_URL=postgres://u@db/x"}, "COMMS_DATABASE_DIRECT_URL", "only used with PostgreSQL"},
		{"PostgreSQL without admin key", slices.Delete(slices.Clone(pg), 1, 2), "COMMS_ADMIN_KEY", "openssl rand"},
		{"PostgreSQL without key ring", pg[:2], "COMMS_ENCRYPTION_KEYS", "openssl rand"},
		{"SQLite with a role", []string{"COMMS_ROLE=worker"}, "COMMS_ROLE", "COMMS_DATABASE_URL"},
		{"unknown role", []string{"COMMS_ROLE=Worker"}, "COMMS_ROLE", "all, api, worker"},
		{"short key", []string{"COMMS_ADMIN_KEY=s3cr3t"}, "COMMS_ADMIN_KEY", "at least 16"},
		{"key with a space", []string{"COMMS_PROVISIONING_KEY=s3cr3t with a space in it"}, "COMMS_PROVISIONING_KEY", "header"},
		{"one key for two doors", []string{"COMMS_ADMIN_KEY=" + goodKey, "COMMS_PROVISIONING_KEY=" + goodKey}, "COMMS_PROVISIONING_KEY", "of their own"},
		{"ring without id", []string{"COMMS_ENCRYPTION_KEYS=" + goodRing[3:]}, "COMMS_ENCRYPTION_KEYS", "entry 1: write it as id:base64"},
		{"ring with a strange id", []string{"COMMS_ENCRYPTION_KEYS=k 1:" + goodRing[3:]}, "COMMS_ENCRYPTION_KEYS", "letters"},
		{"ring with a short key", []string{"COMMS_ENCRYPTION_KEYS=" + goodRing + ",k2:c2hvcnQ="}, "COMMS_ENCRYPTION_KEYS", "entry 2"},
		{"ring with one id twice", []string{"COMMS_ENCRYPTION_KEYS=" + goodRing + "," + goodRing}, "COMMS_ENCRYPTION_KEYS", "used by an earlier entry"},
		{"ring that nobody drew", []string{"COMMS_ENCRYPTION_KEYS=k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, "COMMS_ENCRYPTION_KEYS", "openssl rand"},
		{"region", []string{"COMMS_DEFAULT_REGION=Ghana"}, "COMMS_DEFAULT_REGION", "two-letter"},
		{"network", []string{"COMMS_TRUSTED_PROXIES=10.0.0.0/8,proxy"}, "COMMS_TRUSTED_PROXIES", "CIDR"},
		{"empty network", []string{"COMMS_TRUSTED_PROXIES=10.0.0.0/8,"}, "COMMS_TRUSTED_PROXIES", "CIDR"},
		{"fallback", []string{"COMMS_LIVE_FALLBACK=drop"}, "COMMS_LIVE_FALLBACK", "sandbox, fail"},
		{"log level", []string{"COMMS_LOG_LEVEL=loud"}, "COMMS_LOG_LEVEL", "debug, info"},
		{"log format", []string{"COMMS_LOG_FORMAT=xml"}, "COMMS_LOG_FORMAT", "auto, text, json"},
		{"duration without unit", []string{"COMMS_LEASE=10"}, "COMMS_LEASE", "with a unit"},
		{"half a day", []string{"COMMS_RETAIN_CONTENT=1.5d"}, "COMMS_RETAIN_CONTENT", "with a unit"},
		{"negative drain", []string{"COMMS_DRAIN_TIMEOUT=-1s"}, "COMMS_DRAIN_TIMEOUT", "from 0s to 10m"},
		{"impatient with receipts", []string{"COMMS_RECEIPT_TIMEOUT=1s"}, "COMMS_RECEIPT_TIMEOUT", "from 1m to 365d"},
		{"endless horizon", []string{"COMMS_RETRY_HORIZON=31d"}, "COMMS_RETRY_HORIZON", "from 1s to 30d"},
		{"days that overflow", []string{"COMMS_RETAIN_MESSAGES=4000000000d"}, "COMMS_RETAIN_MESSAGES", "with a unit"},
		{"no memory for attempts", []string{"COMMS_MAX_BYTES_IN_FLIGHT=1KiB"}, "COMMS_MAX_BYTES_IN_FLIGHT", "from 16 MiB"},
		{"a size in words", []string{"COMMS_MAX_BYTES_IN_FLIGHT=lots"}, "COMMS_MAX_BYTES_IN_FLIGHT", "128MiB"},
		{"no attempts at all", []string{"COMMS_MAX_IN_FLIGHT=0"}, "COMMS_MAX_IN_FLIGHT", "from 1 to"},
		{"everything reserved", []string{"COMMS_CRITICAL_RESERVE=100"}, "COMMS_CRITICAL_RESERVE", "from 0 to 90"},
		{"half a number", []string{"COMMS_AUTH_FAILURES_PER_MINUTE=2.5"}, "COMMS_AUTH_FAILURES_PER_MINUTE", "whole number"},
		{"empty pause", []string{"COMMS_RETRY_SCHEDULE=5s,,1h"}, "COMMS_RETRY_SCHEDULE", "with a unit"},
		{"pause of nothing", []string{"COMMS_RETRY_SCHEDULE=0s"}, "COMMS_RETRY_SCHEDULE", "from 1ms"},
		{"too many pauses", []string{"COMMS_RETRY_SCHEDULE=1s" + strings.Repeat(",1s", 32)}, "COMMS_RETRY_SCHEDULE", "at most 32"},
		{"heartbeat against lease", []string{"COMMS_LEASE=3s", "COMMS_HEARTBEAT=1001ms"}, "COMMS_HEARTBEAT", "at most 1s"},
		{"a third that is not round", []string{"COMMS_LEASE=10s", "COMMS_HEARTBEAT=4s"}, "COMMS_HEARTBEAT", "at most 3.3s"},
		{"a third of a short lease", []string{"COMMS_LEASE=1s", "COMMS_HEARTBEAT=500ms"}, "COMMS_HEARTBEAT", "at most 333ms"},
		{"certificate alone", []string{"COMMS_TLS_CERT=c.pem"}, "COMMS_TLS_KEY", "together"},
		{"key alone", []string{"COMMS_TLS_KEY=k.pem"}, "COMMS_TLS_CERT", "together"},
		{"open to everyone", []string{"COMMS_INTERNAL_ADDR=:9000"}, "COMMS_INTERNAL_ADDR", "COMMS_INTERNAL_OPEN=yes"},
		{"public", []string{"COMMS_INTERNAL_ADDR=198.51.100.7:9000", "COMMS_INTERNAL_OPEN=no"}, "COMMS_INTERNAL_ADDR", "others may reach it"},
		{"a name", []string{"COMMS_INTERNAL_ADDR=metrics.example.com:9000"}, "COMMS_INTERNAL_ADDR", "others may reach it"},
		{"neither yes nor no", []string{"COMMS_INTERNAL_OPEN=true"}, "COMMS_INTERNAL_OPEN", "yes or no"},
		{"one address twice", []string{"COMMS_INTERNAL_ADDR=localhost:3008"}, "COMMS_INTERNAL_ADDR", "of its own"},
		{"content outlives messages", []string{"COMMS_RETAIN_CONTENT=60d", "COMMS_RETAIN_MESSAGES=59d"}, "COMMS_RETAIN_MESSAGES", "outlive"},
		{"keys that answer for less than is promised", []string{"COMMS_RETAIN_MESSAGES=29d"}, "COMMS_RETAIN_MESSAGES", "29d is less than 30d, for which an idempotency key is promised"},
		{"the same with contents that go at once", []string{"COMMS_RETAIN_CONTENT=1m", "COMMS_RETAIN_MESSAGES=719h"}, "COMMS_RETAIN_MESSAGES", "less than 30d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Source{Env: tt.env})
			var all Problems
			if !errors.As(err, &all) {
				t.Fatalf("Load(%q) = %v, want Problems", tt.env, err)
			}
			if len(all) != 1 || all[0].Name != tt.want || !strings.Contains(all[0].Text, tt.text) {
				t.Errorf("problems = %q\nwant one of %s with %q", all, tt.want, tt.text)
			}
			if strings.Contains(err.Error(), "p4ssw0rd") || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), goodKey) {
				t.Errorf("a secret stands in the error: %v", err)
			}
		})
	}
}

func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load(Source{Env: []string{"COMMS_LEASE=x", "COMMS_ADRR=y", "COMMS_ROLE=z"}})
	for _, name := range []string{"COMMS_LEASE", "COMMS_ADRR", "COMMS_ROLE"} {
		if err == nil || !strings.Contains(err.Error(), "\n  "+name+": ") {
			t.Errorf("error does not name %s: %v", name, err)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	secretFile := writeFile(t, goodKey+"\n")
	tests := []struct {
		name  string
		env   []string
		flags map[string]string
		want  string // "" = accepted
		ok    func(Config) bool
	}{
		{"flag wins over variable", []string{"COMMS_ADDR=:1"}, map[string]string{"addr": ":2"}, "",
			func(c Config) bool { return c.Addr == ":2" }},
		{"flag wins over file variable", []string{"COMMS_ADMIN_KEY=" + otherKey}, map[string]string{"admin-key-file": secretFile}, "",
			func(c Config) bool { return c.AdminKey.Reveal() == goodKey }},
		{"empty flag brings the default back", []string{"COMMS_LEASE=20s"}, map[string]string{"lease": ""}, "",
			func(c Config) bool { return c.Lease == 10*time.Second }},
		{"a secret has no flag", nil, map[string]string{"admin-key": goodKey}, "--admin-key", nil},
		{"a plain option has no file flag", nil, map[string]string{"addr-file": "x"}, "--addr-file", nil},
		{"unnamed flag", nil, map[string]string{"": "x"}, "--", nil},
		{"password in a flag", nil, map[string]string{"database-url": "postgres://u:p4ssw0rd@db/x"}, "COMMS_DATABASE_URL", nil},
		{"password parameter in a flag", nil, map[string]string{"database-url": "postgres://u@db/x?password=p4ssw0rd"}, "COMMS_DATABASE_URL", nil},
		{"address without password in a flag", nil, map[string]string{"database-url": "sqlite:x.db"}, "",
			func(c Config) bool { return c.Database.Path == "x.db" }},
		{"flag and file flag", nil, map[string]string{"database-url": "sqlite:x.db", "database-url-file": "y"}, "COMMS_DATABASE_URL", nil},
		{"malformed flag", nil, map[string]string{"lease": "soon"}, "COMMS_LEASE", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Load(Source{Env: tt.env, Flags: tt.flags})
			if tt.want == "" {
				if err != nil || !tt.ok(c) {
					t.Fatalf("Load = %+v, %v", c, err)
				}
				return
			}
			var all Problems
			if !errors.As(err, &all) || len(all) != 1 || all[0].Name != tt.want {
				t.Fatalf("err = %v, want one problem of %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "p4ssw0rd") {
				t.Errorf("a secret stands in the error: %v", err)
			}
		})
	}
}

func TestFileVariables(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name, file, text string
		extra            []string
	}{
		{name: "line break at the end", file: writeFile(t, goodKey+"\r\n")},
		{name: "missing", file: missing, text: "cannot be opened"},
		{name: "folder", file: t.TempDir(), text: "cannot be read"},
		{name: "empty", file: writeFile(t, "\n"), text: "is empty"},
		{name: "huge", file: writeFile(t, strings.Repeat("x", maxFile+1)), text: "larger than 64 KiB"},
		{name: "malformed", file: writeFile(t, "short"), text: "(from file "},
		{name: "both forms", file: missing, text: "COMMS_ADMIN_KEY_FILE is set as well", extra: []string{"COMMS_ADMIN_KEY=" + goodKey}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Load(Source{Env: append(tt.extra, "COMMS_ADMIN_KEY_FILE="+tt.file)})
			if tt.text == "" {
				if err != nil || c.AdminKey.Reveal() != goodKey {
					t.Fatalf("Load = %v, %v", c.AdminKey, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "COMMS_ADMIN_KEY: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("err = %v, want COMMS_ADMIN_KEY and %q", err, tt.text)
			}
		})
	}
}

// TestEveryOptionHasEveryForm sets each option in each of its forms, so that a row
// whose setter writes into another field, or whose flag clashes, cannot slip in.
func TestEveryOptionHasEveryForm(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"ADDR": ":4000", "PUBLIC_URL": "https://a.example", "TLS_CERT": "cert.pem", "TLS_KEY": "key.pem",
		"TRUSTED_PROXIES": "10.0.0.0/8", "CONNECTIONS_PER_ADDRESS": "5", "INTERNAL_ADDR": "localhost:9000", "INTERNAL_OPEN": "yes", "DATA_DIR": "/var/lib/c",
		"DATABASE_URL": "postgres://u@db/c", "DATABASE_DIRECT_URL": "postgres://u@direct/c", "ADMIN_KEY": goodKey,
		"PROVISIONING_KEY": otherKey, "ENCRYPTION_KEYS": goodRing, "AUTH_FAILURES_PER_MINUTE": "7", "ROLE": "api",
		"DEFAULT_REGION": "KE", "LIVE_FALLBACK": "fail", "ALLOW_PRIVATE_TARGETS": "192.168.0.0/16", "MAX_IN_FLIGHT": "3", "MAX_BYTES_IN_FLIGHT": "64MiB",
		"CRITICAL_RESERVE": "4", "RETRY_SCHEDULE": "1s,2s", "RETRY_HORIZON": "5h", "RECEIPT_TIMEOUT": "71h", "DRAIN_TIMEOUT": "6s", "LEASE": "30s",
		"HEARTBEAT": "9s", "RETAIN_CONTENT": "8d", "RETAIN_MESSAGES": "90d", "ALERT_WEBHOOK_URL": "https://alerts.example.com/in", "ALERT_WEBHOOK_SECRET": goodKey,
		"ALERT_EMAIL": "oncall@example.com", "ALERT_WAITING": "3m", "ALERT_PATIENCE": "4s", "ALERT_FREE_SPACE": "2GiB", "LOG_LEVEL": "warn", "LOG_FORMAT": "text",
	}
	var env, fileEnv []string
	flags := make(map[string]string)
	for _, o := range Options() {
		value, ok := values[o.Name]
		if !ok || value == o.Default {
			t.Fatalf("this test has no other value for %s: add one", o.Name)
		}
		env = append(env, o.Env()+"="+value)
		fileEnv = append(fileEnv, o.EnvFile()+"="+writeFile(t, value))
		if o.Flag() != "" {
			flags[o.Flag()] = value
		} else {
			flags[o.FileFlag()] = writeFile(t, value)
		}
	}
	want := mustLoad(t, env...)
	for name, src := range map[string]Source{"files": {Env: fileEnv}, "flags": {Flags: flags}} {
		got, err := Load(src)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, s := range got.Settings() {
			if s.Value != want.Settings()[i].Value || s.From == "default" {
				t.Errorf("%s: %s = %q from %s, want %q", name, s.Name, s.Value, s.From, want.Settings()[i].Value)
			}
		}
		got.settings = want.settings
		if !equal(got, want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
