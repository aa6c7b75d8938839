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
		{"PostgreSQL", app.First{BaseURL: base, Provisioning: true}, []string{base + "/api/provision/apps", "no app yet", "$COMMS_PROVISIONING_KEY"}, []string{"X-App-ID", "restart"}},
		{"PostgreSQL without a provisioning key", app.First{BaseURL: base}, []string{"/api/provision/apps", "Set COMMS_PROVISIONING_KEY", "restart"}, []string{"X-App-ID"}},
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
			for _, not := range c.lack {
				if strings.Contains(b.String(), not) {
					t.Errorf("says %q:\n%s", not, b.String())
				}
			}
		})
	}
}
