package cli

import (
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/app"
)

func TestFirstWords(t *testing.T) {
	t.Parallel()
	const base = "http://localhost:3008"
	for _, c := range []struct {
		name      string
		first     app.First
		has, lack []string
	}{
		{"SQLite", app.First{BaseURL: base, AppID: "demo", APIKey: "cs_test_x", AdminKey: "adm", AdminKeyFile: "data/admin-key"},
			[]string{base + "/api/v1/messages", `"X-App-ID: demo"`, "cs_test_x", "data/admin-key", "adm\n", base + "/docs\n"}, []string{"provision"}},
		{"SQLite with an admin key of its own", app.First{BaseURL: base, AppID: "demo", APIKey: "cs_test_x"}, []string{"cs_test_x"}, []string{"admin key"}},
		{"PostgreSQL", app.First{BaseURL: base, Provisioning: true}, []string{"no app yet", base + "/console\n", "COMMS_ADMIN_KEY", "COMMS_URL=" + base + " commserver app create", base + "/api/provision/apps", "$COMMS_PROVISIONING_KEY"},
			[]string{"X-App-ID", "restart"}},
		{"PostgreSQL without a provisioning key", app.First{BaseURL: base}, []string{"no app yet", base + "/console\n", "COMMS_ADMIN_KEY", "COMMS_URL=" + base + " commserver app create", "Set COMMS_PROVISIONING_KEY"},
			[]string{"X-App-ID", "/api/provision/apps"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			printFirst(&b, c.first)
			for _, want := range c.has {
				if !strings.Contains(b.String(), want) {
					t.Errorf("does not say %q:\n%s", want, b.String())
				}
			}
			if at := strings.Index(b.String(), "PROVISIONING"); at >= 0 && at < strings.Index(b.String(), "app create") {
				t.Errorf("what takes a restart comes before what works at once:\n%s", b.String())
			}
			for _, not := range c.lack {
				if strings.Contains(b.String(), not) {
					t.Errorf("says %q:\n%s", not, b.String())
				}
			}
		})
	}
}
