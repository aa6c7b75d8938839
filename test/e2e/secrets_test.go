package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/commserver/commserver/internal/seal"
)

// TestSecretsShowNowhere (S50): what is given by the environment or a file is on no command
// line, in no output, not in `commserver config`, and not in what a killed process prints.
func TestSecretsShowNowhere(t *testing.T) {
	dir := t.TempDir()
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(ring.Reveal(), ":")
	secrets := map[string]string{"ADMIN_KEY": "the-key-of-the-admin-0123456789abc", "PROVISIONING_KEY": "the-key-of-setup-jobs-0123456789", "ENCRYPTION_KEYS": key}
	file := filepath.Join(dir, "admin")
	if err := os.WriteFile(file, []byte(secrets["ADMIN_KEY"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"COMMS_ADMIN_KEY_FILE=" + file, "COMMS_PROVISIONING_KEY=" + secrets["PROVISIONING_KEY"], "COMMS_ENCRYPTION_KEYS=" + ring.Reveal(), "COMMS_LOG_LEVEL=debug", "COMMS_INTERNAL_ADDR=localhost:0"}
	holds := func(what, text string) {
		t.Helper()
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds COMMS_%s", what, name)
			}
		}
	}
	p := serve(t, dir, env...)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(line), "serve") {
		t.Fatalf("%q %v", line, err)
	}
	holds("the command line", string(line))
	for _, door := range []struct{ path, header, secret string }{{"/api/admin/apps", "X-Admin-Key", "ADMIN_KEY"}, {"/api/provision/apps", "X-Provisioning-Key", "PROVISIONING_KEY"}} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", p.url+door.path+"?key="+secrets["ADMIN_KEY"], nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(door.header, secrets[door.secret])
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	show := exec.Command(path, "config")
	show.Dir, show.Env = dir, append([]string{"HOME=" + dir}, env...)
	out, err := show.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "COMMS_ADMIN_KEY") {
		t.Fatalf("%v\n%s", err, out)
	}
	holds("commserver config", string(out))
	for _, flag := range []string{"--admin-key", "--provisioning-key", "--encryption-keys"} {
		cmd := exec.Command(path, "serve", flag+"="+secrets["ADMIN_KEY"])
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir}
		if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), secrets["ADMIN_KEY"]) {
			t.Errorf("%s takes a secret on the command line, or repeats it: %v\n%s", flag, err, out)
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the stacks of everything
	<-p.exited
	if !strings.Contains(p.errors(), "goroutine ") {
		t.Fatalf("no stacks were printed:\n%.500s", p.errors())
	}
	holds("what the process printed", p.output()+p.errors())
}
