package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// restored is the write-ahead log of another database that is put in the place of the server's.
const restored = "not the server's"

// A server whose database file is removed must not take anything for stored: it
// says so and ends, so that whatever supervises it notices.
func TestARemovedDatabaseEndsTheServer(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			if err := errors.Join(os.WriteFile(path+".new", nil, 0o600), os.WriteFile(path+"-wal.new", []byte(restored), 0o600)); err != nil {
				return err
			}
			return errors.Join(os.Rename(path+".new", path), os.Rename(path+"-wal.new", path+"-wal"))
		},
		"without its log": func(path string) error { return os.Remove(path + "-wal") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := serve(t, dir)
			var curl string
			for pattern := regexp.MustCompile(`(?m)^  curl (?:[^\n]*\\\n)*[^\n]*$`); curl == ""; time.Sleep(time.Millisecond) {
				curl = pattern.FindString(p.output())
			}
			if err := take(filepath.Join(dir, "data", "commserver.db")); err != nil {
				t.Fatal(err)
			}
			// Nothing is acknowledged from here on: not even the first request.
			out, err := exec.Command("bash", "-c", curl+` -s -o /dev/null -w '%{http_code}'`).CombinedOutput()
			if code := string(out); code != "503" && code != "000" { // 000: the server has gone already
				t.Errorf("a message is answered %s (%v)", code, err)
			}
			select {
			case <-p.exited:
			case <-time.After(time.Minute):
				t.Fatalf("the server goes on:\n%s", p.errors())
			}
			if code := p.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if log, err := os.ReadFile(filepath.Join(dir, "data", "commserver.db-wal")); name == "replaced" && (err != nil || string(log) != restored) {
				t.Errorf("the log of the file that was put there is gone: %v", err)
			}
			lines := strings.Split(strings.TrimSpace(p.errors()), "\n")
			told := 0
			for _, line := range lines {
				if strings.Contains(line, `"level":"ERROR","msg":"the store has stopped`) {
					told++
				}
			}
			if last := lines[len(lines)-1]; told != 1 || !strings.HasPrefix(last, "commserver: store: the database file was removed or replaced") {
				t.Errorf("the log tells it %d times and ends so: %s", told, last)
			}
		})
	}
}

// One process has the file, whatever name another one knows it by.
func TestASecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir)
	file := filepath.Join(dir, "data", "commserver.db")
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]func(at string) error{
		"the same path": nil,
		"a hard link":   func(at string) error { return os.Link(file, at) },
		"a symlink":     func(at string) error { return os.Symlink(file, at) },
		"no lock file":  func(string) error { return os.Remove(file + ".lock") },
	} {
		other, at := t.TempDir(), file
		if link != nil && name != "no lock file" {
			at = filepath.Join(other, "x.db")
		}
		if link != nil {
			if err := link(at); err != nil {
				t.Fatal(err)
			}
		}
		ring, err := os.ReadFile(filepath.Join(dir, "data", "encryption-keys"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "serve")
		cmd.Dir = other
		cmd.Env = []string{"COMMS_ADDR=localhost:0", "HOME=" + other, "COMMS_DATABASE_URL=sqlite://" + at, "COMMS_ENCRYPTION_KEYS=" + strings.TrimSpace(string(ring))}
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		guard := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		guard.Stop()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(out.String(), "in use by another process") {
			t.Errorf("%s: exit code %d\n%s", name, code, out.String())
		}
	}
	resp, err := http.Get(first.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the first server answers %d", resp.StatusCode)
	}
}
