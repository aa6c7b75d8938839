package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// TestTheFirstMinuteOnPostgreSQL: a shared database gets no app by itself
// (decision 0005). Every node with an API prints how to make one until there is
// one, and what is printed works when pasted.
func TestTheFirstMinuteOnPostgreSQL(t *testing.T) {
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	const provisioning = "COMMS_PROVISIONING_KEY=the-key-of-setup-jobs-0123456789"
	env := []string{"COMMS_DATABASE_URL=" + pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()}
	start := func(more ...string) *process { return serve(t, t.TempDir(), append(more, env...)...) }

	first := start()
	if out := first.output(); !strings.Contains(out, "Set COMMS_PROVISIONING_KEY") || strings.Contains(out, "cs_test_") {
		t.Errorf("without a provisioning key the first start prints:\n%s", out)
	}
	first.stop()
	if out := start("COMMS_ROLE=worker", provisioning).output(); out != "" {
		t.Errorf("a worker, which serves no API, prints:\n%s", out)
	}
	second := start(provisioning)
	curl := regexp.MustCompile(`(?m)^  curl (?:[^\n]*\\\n)*[^\n]*$`).FindString(second.output())
	var made struct {
		App    struct{ Slug string }
		APIKey string
	}
	runCurl(t, "export "+provisioning+"; "+curl+` -s -w '\n%{http_code}'`, "201", &made)
	if made.App.Slug != "my-app" || made.APIKey == "" {
		t.Errorf("%+v", made)
	}
	if out := start(provisioning).output(); out != "" {
		t.Errorf("with an app there, a start prints:\n%s", out)
	}
}

// TestAnotherKeyRingIsRefusedOnPostgreSQL (S49): a node whose keys are not those of the shared
// database does not start, also where another key has the same name, and says what is wrong.
func TestAnotherKeyRingIsRefusedOnPostgreSQL(t *testing.T) {
	url, mine, others := pgtest.Database(t), newKeys(t, "k1"), newKeys(t, "k1", "k2")
	env := func(ring string) []string {
		return []string{"COMMS_DATABASE_URL=" + url, "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ADDR=localhost:0", "COMMS_ENCRYPTION_KEYS=" + ring}
	}
	serve(t, t.TempDir(), env(mine["k1"])...).stop()
	for name, ring := range map[string]string{"the same name": others["k1"], "another name": others["k2"], "both": others["k2"] + "," + others["k1"]} {
		if out, code := commserver(t, t.TempDir(), env(ring), "serve"); code == 0 || !strings.Contains(out, "COMMS_ENCRYPTION_KEYS") {
			t.Errorf("%s: exit code %d: %s", name, code, out)
		}
	}
	serve(t, t.TempDir(), env(mine["k1"]+","+others["k2"])...).stop() // a further key may be there
}
