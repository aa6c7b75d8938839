// Package deploy holds the files of deploy/ against the product: they name options that exist, and are well-formed.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/commserver/commserver/internal/config"
)

const folder = "../../deploy/"

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(folder + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever option a file names, the table of options has.
func TestOptionsExist(t *testing.T) {
	t.Parallel()
	var known []string
	for _, o := range config.Options() {
		known = append(known, o.Env(), o.EnvFile())
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		for _, name := range regexp.MustCompile(`COMMS_[A-Z_]+`).FindAllString(text(t, f.Name()), -1) {
			if named++; !slices.Contains(known, name) {
				t.Errorf("%s names %s, which is no option", f.Name(), name)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d names were found", named)
	}
}

// The sample of the page of metrics sends the admin key over an encrypted connection only.
func TestTheKeyOfMetricsIsNotSentInClear(t *testing.T) {
	t.Parallel()
	page := text(t, "../docs/metrics.md")
	_, sample, _ := strings.Cut(page, "```yaml\n")
	sample, _, _ = strings.Cut(sample, "```")
	var c struct {
		Jobs []struct {
			Name          string `yaml:"job_name"`
			Scheme        string
			Authorization map[string]string
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(sample), &c); err != nil {
		t.Fatal(err)
	}
	keyed := 0
	for _, j := range c.Jobs {
		if len(j.Authorization) == 0 {
			continue
		}
		if keyed++; j.Scheme != "https" {
			t.Errorf("%s sends the key over %q", j.Name, j.Scheme)
		}
	}
	if keyed == 0 {
		t.Error("the page has no sample with the key")
	}
}

// compose is what is looked at of a compose file.
type compose struct {
	Services map[string]struct {
		Image       string
		Environment map[string]string
		Ports       []string
		Secrets     []string
		Volumes     []string
		Tmpfs       []string
		ReadOnly    bool                                  `yaml:"read_only"`
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Build       struct{ Context, Dockerfile string }
	}
	Secrets map[string]struct{ File string }
	Volumes map[string]any
}

func TestComposeFiles(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]int{"compose.yaml": 1, "compose.cluster.yaml": 3} {
		var c compose
		if err := yaml.Unmarshal([]byte(text(t, name)), &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found, ports := 0, map[string]bool{}
		for service, s := range c.Services {
			for _, secret := range s.Secrets {
				if c.Secrets[secret].File == "" {
					t.Errorf("%s: %s wants the secret %s, which is none", name, service, secret)
				}
			}
			for key, value := range s.Environment {
				if path, ok := strings.CutPrefix(value, "/run/secrets/"); ok && !slices.Contains(s.Secrets, path) {
					t.Errorf("%s: %s reads %s, and is not given it", name, service, value)
				}
				if strings.HasPrefix(key, "COMMS_") && (strings.HasSuffix(key, "_KEY") || strings.HasSuffix(key, "_KEYS")) {
					t.Errorf("%s: %s has the secret %s in the file", name, service, key)
				}
			}
			for on := range s.DependsOn {
				if _, ok := c.Services[on]; !ok {
					t.Errorf("%s: %s depends on %s, which is none", name, service, on)
				}
			}
			if s.Build.Dockerfile == "" {
				continue
			}
			found++
			if !s.ReadOnly || s.Build.Context != ".." {
				t.Errorf("%s: %s can be written to, or is built elsewhere", name, service)
			}
			if _, err := os.Stat(filepath.Join(folder, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Error(err)
			}
			if !slices.Contains(s.Tmpfs, "/tmp") { // restore --check makes a folder there
				t.Errorf("%s: %s has no place for temporary files", name, service)
			}
			for _, p := range s.Ports {
				if !strings.HasPrefix(p, "127.0.0.1:") || !strings.HasSuffix(p, ":3008") || ports[p] {
					t.Errorf("%s: %s has the port %s", name, service, p)
				}
				ports[p] = true
			}
		}
		if found != nodes {
			t.Errorf("%s has %d nodes, want %d", name, found, nodes)
		}
	}
}

// step is an instruction of a Dockerfile.
type step struct{ word, rest string }

// steps are those of each stage of the Dockerfile, by the stage's name; the last one's is "".
func steps(t *testing.T, whole string) map[string][]step {
	t.Helper()
	known := []string{"ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "ENV", "EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
	stage, out := "before", map[string][]step{}
	for line := range strings.Lines(whole) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if !slices.Contains(known, word) {
			t.Errorf("%q is no instruction", word)
		}
		if word == "FROM" {
			_, stage, _ = strings.Cut(rest, " AS ")
		}
		out[stage] = append(out[stage], step{word, rest})
	}
	return out
}

// The image has nothing but the program, does not run as root, and asks the program itself for its health.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	whole := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text(t, "Dockerfile"), "")
	stages := steps(t, whole)
	last := map[string]string{}
	for _, s := range stages[""] {
		last[s.word] = s.rest
		if s.word == "RUN" {
			t.Error("nothing can run in an empty image")
		}
	}
	for word, want := range map[string]string{"FROM": "scratch", "USER": "65532:65532", "HEALTHCHECK": `CMD ["/commserver", "health"]`, "ENTRYPOINT": `["/commserver"]`, "CMD": `["serve"]`, "STOPSIGNAL": "SIGTERM"} {
		if !strings.Contains(last[word], want) {
			t.Errorf("%s is %q, want %q", word, last[word], want)
		}
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if m := goVersion.FindSubmatch(mod); m == nil || !strings.Contains(whole, "FROM golang:"+string(m[1])+"-") {
		t.Errorf("the image is not built with the Go release of go.mod")
	}
}

// The image is made of the source, or in the archive of a release, which has none, of the program there: tools/release changes the one word.
// Either lays out everything that the last stage takes.
func TestTheImageIsMadeWithoutTheSource(t *testing.T) {
	t.Parallel()
	stages := steps(t, regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text(t, "Dockerfile"), ""))
	if got := stages["before"]; !slices.Equal(got, []step{{"ARG", "PROGRAM=source"}}) {
		t.Errorf("%q chooses the program", got)
	}
	if got := stages["program"]; !slices.Equal(got, []step{{"FROM", "${PROGRAM} AS program"}}) {
		t.Errorf("%q is what was chosen", got)
	}
	taken := 0
	for _, s := range stages[""] {
		from, ok := strings.CutPrefix(s.rest, "--from=program ")
		if s.word != "COPY" {
			continue
		}
		path := regexp.MustCompile(`/out/[a-z]+`).FindString(from)
		if taken++; !ok || path == "" && !strings.HasPrefix(from, "/etc/ssl/") {
			t.Errorf("COPY %s takes what no stage lays out", s.rest)
		}
		for _, of := range []string{"source", "archive"} {
			if path != "" && !slices.ContainsFunc(stages[of], func(s step) bool { return strings.Contains(s.rest, path) }) {
				t.Errorf("the stage %s makes no %s", of, path)
			}
		}
	}
	if taken != 4 {
		t.Errorf("%d things are in the image", taken)
	}
	copied := 0
	for _, s := range stages["archive"] {
		if s.word != "COPY" {
			continue
		}
		if copied++; s.rest != "--chmod=755 commserver /out/commserver" {
			t.Errorf("COPY %s: an archive has nothing but the program for it", s.rest)
		}
	}
	if copied != 1 {
		t.Errorf("%d things are taken from the archive", copied)
	}
}

// The unit is one that systemd takes, and it keeps the service from what it does not need.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := text(t, "commserver.service")
	for _, want := range []string{"DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes", "CapabilityBoundingSet=\n", "StateDirectory=commserver", "Restart=always\n", "ExecStart=/usr/local/bin/commserver serve"} {
		if !strings.Contains(unit, want) {
			t.Errorf("%s is missing", want)
		}
	}
	// However often it ends while its database is away: systemd counts starts by a setting of [Unit], and takes it nowhere else.
	if general, _, _ := strings.Cut(unit, "\n[Service]"); !strings.Contains(general, "\nStartLimitIntervalSec=0\n") {
		t.Error("systemd gives the service up after five starts")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // systemd itself is asked where it is there
	}
	path := filepath.Join(t.TempDir(), "commserver.service")
	if err := os.WriteFile(path, []byte(strings.Replace(unit, "ExecStart=/usr/local/bin/commserver", "ExecStart=/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", path).CombinedOutput(); err != nil || strings.Contains(string(out), "commserver.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=20", "--no-pager", path).CombinedOutput()
	if err != nil { // above 2.0 of 10
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
