package cli

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/keyring"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// TestRotateKeysOpensEveryValue: a damaged value is named, with table, app and record, and exit
// code 1, whatever key it stands under and whether anything is changed; and a start whose ring
// lacks a key that is needed says so.
func TestRotateKeysOpensEveryValue(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	keys := map[string]string{}
	for _, id := range []string{"k1", "k2"} {
		text, err := seal.GenerateRing(id)
		if err != nil {
			t.Fatal(err)
		}
		keys[id] = text.Reveal()
	}
	env := func(ids ...string) []string {
		var ring []string
		for _, id := range ids {
			ring = append(ring, keys[id])
		}
		return []string{"COMMS_DATA_DIR=" + data, "COMMS_ADDR=localhost:0", "COMMS_ENCRYPTION_KEYS=" + strings.Join(ring, ",")}
	}
	damaged := fillSealed(t, env("k1"), keys["k1"])
	rotationAsJSON(t, env("k1"), damaged, 2, "k1")
	for _, c := range []struct {
		name string
		args []string
		env  []string
		code int
		want []string
	}{
		{"under the first key, dry", []string{"rotate-keys", "--dry-run"}, env("k1"), exitFailed, []string{"provider_configs.secrets: 0 would be sealed again, 2 under it already, 1 cannot be opened", damaged, "some values cannot be opened"}},
		{"under the first key", []string{"rotate-keys"}, env("k1"), exitFailed, []string{damaged, "some values cannot be opened"}},
		{"under an old key", []string{"rotate-keys"}, env("k2", "k1"), exitFailed, []string{"provider_configs.secrets: 2 sealed again", damaged, "some values are not under the first key"}},
		{"removed too early", []string{"serve"}, env("k2"), exitFailed, []string{`this key ring lacks key "k1"`, "COMMS_ENCRYPTION_KEYS"}},
		{"removed too early, dry", []string{"rotate-keys", "--dry-run"}, env("k2"), exitFailed, []string{`this key ring lacks key "k1"`}},
	} {
		got := run(t, c.env, nil, c.args...)
		for _, want := range c.want {
			if got.code != c.code || !strings.Contains(got.out+got.err, want) {
				t.Errorf("%s: exit code %d, without %q:\n%s%s", c.name, got.code, want, got.out, got.err)
			}
		}
	}
}

// rotationAsJSON holds the report for programs of a dry run against what the database has.
func rotationAsJSON(t *testing.T, env []string, damaged string, fresh int, first string) {
	t.Helper()
	got := run(t, env, nil, "rotate-keys", "--dry-run", "--json")
	var report rotation
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		t.Fatalf("%v in %q", err, got.out)
	}
	if got.code != exitFailed || !report.DryRun || !report.Complete || report.FirstKey != first || len(report.OldKeys) != 0 || report.ValuesByKey[first] < fresh {
		t.Errorf("%d %+v", got.code, report)
	}
	for _, c := range report.Columns {
		if c.Name != "provider_configs.secrets" {
			continue
		}
		if c.Fresh != fresh || c.Resealed != 0 || c.Unopened != 1 || len(c.Values) != 1 || !strings.Contains(damaged, "record "+c.Values[0].Record+", key") || c.Values[0].Key != first {
			t.Errorf("%+v, want %s", c, damaged)
		}
		return
	}
	t.Errorf("no column of secrets in %+v", report)
}

// fillSealed makes a database with three sealed values, one of which is damaged, and answers the line that names it.
func fillSealed(t *testing.T, env []string, key string) string {
	t.Helper()
	ctx := t.Context()
	cfg, err := config.Load(config.Source{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.OpenStore(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ring, err := seal.ParseRing(seal.Secret(key))
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Prove(ctx, s, ring, false); err != nil {
		t.Fatal(err)
	}
	col, damaged := store.ProviderSecrets(), ""
	for i := range 3 {
		now := comm.At(time.Now())
		c := &comm.ProviderConfig{App: comm.NewID(now), ID: comm.NewID(now), Type: "SMTP", Channel: comm.Email, Name: "x", Active: true, Version: 1, CreatedAt: now, UpdatedAt: now}
		v, err := ring.For(col.Purpose).Seal([]byte("secret"), col.Place(c.App, c.ID))
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			v.Box[len(v.Box)-1] ^= 1
			damaged = "cannot be opened: app " + c.App.String() + ", record " + c.ID.String() + `, key "k1"`
		}
		c.Secrets, c.KeyID = v.Box, v.KeyID
		if err := s.CreateProviderConfig(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	return damaged
}

// TestADryRunDropsNothing: a start without the old key is refused as long as its canary stands, so
// that a dry run must not say that the key can be removed, which the rotation itself then makes true.
func TestADryRunDropsNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t) // its first start seals under k1
	if got := run(t, []string{"COMMS_DATA_DIR=" + s.data}, nil, "rotate-keys"); got.code != exitFailed || !strings.Contains(got.err, "in use by another process") || !strings.Contains(got.err, "stop that server first") || strings.Contains(got.err, "run it again") {
		t.Errorf("beside the server: %+v", got)
	}
	s.stop()
	path := filepath.Join(s.data, "encryption-keys")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := seal.GenerateRing("k2")
	if err != nil {
		t.Fatal(err)
	}
	env := func(ring string) []string {
		return []string{"COMMS_DATA_DIR=" + s.data, "COMMS_ADDR=localhost:0", "COMMS_ENCRYPTION_KEYS=" + ring}
	}
	both := env(fresh.Reveal() + "," + strings.TrimSpace(string(old)))
	// Progress is for people: a line for each step would fill the log of a large rotation.
	if got := run(t, both, nil, "rotate-keys"); got.code != exitOK || !strings.Contains(got.out, "can be removed from COMMS_ENCRYPTION_KEYS") || strings.Contains(got.err, "sealed again") {
		t.Fatalf("%+v", got)
	}
	back := env(strings.TrimSpace(string(old)) + "," + fresh.Reveal())
	watched := func(s *Streams) { s.Terminal = &Terminal{Err: true} }
	if got := run(t, back, watched, "rotate-keys"); got.code != exitOK || !strings.Contains(got.err, "hash_keys.secret: 1 sealed again"+clearLine) { // k2 is the old one now, and nothing is under it
		t.Fatalf("%+v", got)
	}
	if got := run(t, both, nil, "rotate-keys", "--dry-run"); got.code != exitFailed || !strings.Contains(got.out, "Keep key k1") {
		t.Errorf("%+v", got)
	}
	if got := run(t, back, nil, "rotate-keys", "--dry-run"); got.code != exitOK || !strings.Contains(got.out, "run it without --dry-run, and the others can be removed") {
		t.Errorf("%+v", got)
	}
}
