package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// An archive says nothing of when, by whom and in which order it was packed.
func TestArchivesAreTheSameBytes(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	files := []file{{"b", []byte("two"), 0o644}, {"a", bytes.Repeat([]byte("one"), 1000), 0o755}}
	turned := slices.Clone(files)
	slices.Reverse(turned)
	for name, pack := range map[string]func(string, []file, time.Time) ([]byte, error){"tar": tarball, "zip": zipped} {
		one, err := pack("folder", files, at)
		if err != nil {
			t.Fatal(err)
		}
		two, err := pack("folder", turned, at.In(time.FixedZone("far", 5*3600)))
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s differs: %v", name, err)
		}
		if later, err := pack("folder", files, at.Add(time.Hour)); err != nil || bytes.Equal(one, later) {
			t.Errorf("%s does not have the time that it is given: %v", name, err)
		}
	}
}

// What lies beside the program is what a reader without the repository is told to use, and nothing that only lies about.
func TestWhatLiesBesideTheProgram(t *testing.T) {
	t.Parallel()
	files, err := companions(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		if f.name == dockerfile && (!bytes.Contains(f.data, []byte("\nARG PROGRAM=archive\n")) || bytes.Contains(f.data, []byte("ARG PROGRAM=source"))) {
			t.Errorf("the image is not made of the archive's program:\n%s", f.data)
		}
		if len(f.data) == 0 || f.mode != 0o644 {
			t.Errorf("%s: %d bytes, %v", f.name, len(f.data), f.mode)
		}
	}
	want := []string{"CHANGELOG.md", "LICENSE", "README.md", "deploy/Dockerfile", "deploy/commserver.env.example", "deploy/commserver.service", "deploy/compose.cluster.yaml", "deploy/compose.yaml", "deploy/grafana/commserver.json",
		"deploy/prometheus/alerts.yml", "sdk/CommsClient.php", "sdk/LICENSE", "sdk/README.md", "sdk/comms-client.ts", "sdk/comms_client.py", "sdk/package-lock.json", "sdk/package.json", "sdk/tsconfig.json"}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

func TestABillNamesEveryModuleWithItsLicence(t *testing.T) {
	t.Parallel()
	r := &release{version: "1.2.3", at: time.Unix(1_700_000_000, 0).UTC(), spdx: map[string]string{"std": "BSD-3-Clause", "example.com/a": "MIT"}}
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{{Path: "example.com/a", Version: "v1.0.0"}}}
	text, err := r.bill(target{"linux", "amd64"}, []byte("binary"), info)
	if err != nil {
		t.Fatal(err)
	}
	var doc bom
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Components) != 2 || doc.Components[1].PURL != "pkg:golang/example.com/a@v1.0.0" || doc.Components[1].Licences[0].Expression != "MIT" {
		t.Errorf("%s %v", text, err)
	}
	if again, err := r.bill(target{"linux", "amd64"}, []byte("binary"), info); err != nil || !bytes.Equal(text, again) {
		t.Errorf("another bill of the same binary: %v", err)
	}
	info.Deps = append(info.Deps, &debug.Module{Path: "example.com/new", Version: "v1.0.0"})
	if _, err := r.bill(target{"linux", "amd64"}, []byte("binary"), info); err == nil || !strings.Contains(err.Error(), "example.com/new") {
		t.Errorf("a module without a licence: %v", err)
	}
}

// Two builds in two folders with two caches are the same bytes. It builds everything twice, in minutes: nightly.
func TestTwoBuildsAreTheSameBytes(t *testing.T) {
	if os.Getenv("COMMS_TEST_FULL") == "" {
		t.Skip("builds the program twice from nothing, in minutes: make nightly")
	}
	var all [2][]byte
	for i := range all {
		dir := t.TempDir()
		clone := filepath.Join(dir, strings.Repeat("deeper/", i), "product")
		if out, err := exec.CommandContext(t.Context(), "git", "clone", "-q", "../..", clone).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		cmd := exec.CommandContext(t.Context(), "go", "run", "./release", "-root", clone, "-out", filepath.Join(dir, "out"), "-only", "linux/amd64")
		cmd.Dir, cmd.Env = filepath.Join(clone, "tools"), append(os.Environ(), "GOCACHE="+filepath.Join(dir, "cache"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var err error
		if all[i], err = os.ReadFile(filepath.Join(dir, "out", "SHA256SUMS")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Errorf("the sums differ:\n%s\n%s", all[0], all[1])
	}
}
