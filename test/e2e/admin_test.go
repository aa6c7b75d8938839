package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
)

// TestTheFirstStartsAdminKey: the key in the data folder opens the administrator's
// door of the running program, which tells afterwards what was done with it, and
// when a key was used, across a restart.
func TestTheFirstStartsAdminKey(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir)
	text, err := os.ReadFile(filepath.Join(dir, "data", "admin-key"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(url string) *client.Admin {
		t.Helper()
		admin, err := client.NewAdmin(client.Options{BaseURL: url, AdminKey: strings.TrimSpace(string(text))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(admin.Close)
		return admin
	}
	admin := open(p.url)
	ctx := t.Context()
	key, err := admin.CreateKey(ctx, "demo", client.NewKey{Name: "e2e"})
	if err != nil {
		t.Fatal(err)
	}
	app, err := client.New(client.Options{BaseURL: p.url, App: "demo", Key: key.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "x"}); err != nil {
		t.Fatal(err)
	}
	app.Close()
	admin.Close()
	p.stop() // what was gathered of the key's use is written on the way out

	admin = open(serve(t, dir).url)
	for k, err := range admin.Keys(ctx, "demo") {
		if err != nil {
			t.Fatal(err)
		}
		if k.ID == key.ID && k.LastUsedAt == nil {
			t.Error("the use of a key was lost in an orderly stop")
		}
	}
	var actions []string
	for e, err := range admin.Audit(ctx, client.AuditFilter{App: "demo"}) {
		if err != nil {
			t.Fatal(err)
		}
		actions = append(actions, e.Actor+":"+e.Action)
	}
	if got := strings.Join(actions, " "); got != "system:key_first_used admin:key_created system:key_created system:app_created" {
		t.Errorf("%s", got)
	}
	if v, err := admin.VerifyAudit(ctx, nil); err != nil || !v.OK {
		t.Errorf("%+v %v", v, err)
	}
	if err := admin.DeleteApp(ctx, "demo", "demo"); err != nil {
		t.Error(err)
	}
}
