package licence

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table again")

// phrases tell licences apart by words that all texts of one hold and no other does.
var phrases = []struct {
	spdx   string
	all    []string
	absent string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}, ""},
	{"BSD-3-Clause", []string{"Redistribution and use", "Neither the name"}, ""},
	{"BSD-2-Clause", []string{"Redistribution and use"}, "Neither the name"},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute"}, ""},
	{"ISC", []string{"Permission to use, copy, modify, and distribute"}, ""},
	{"MIT", []string{"Permission is hereby granted, free of charge"}, ""},
	{"blessing", []string{"SQLite", "ublic", "omain"}, ""},
	{"MPL-2.0", []string{"Mozilla Public License", "2.0"}, ""},
}

func spdxOf(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, p := range phrases {
		if !slices.ContainsFunc(p.all, func(s string) bool { return !strings.Contains(text, s) }) && (p.absent == "" || !strings.Contains(text, p.absent)) {
			return p.spdx
		}
	}
	return ""
}

// built lists the modules of others in the binaries of the systems that are supported, with their folders.
func built(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"std": runGo(t, "", "env", "GOROOT")}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for line := range strings.Lines(runGo(t, system, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "github.com/commserver/commserver/cmd/commserver")) {
			if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
				out[path] = dir
			}
		}
	}
	return out
}

func runGo(t *testing.T, system string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if system != "" {
		cmd.Env = append(cmd.Env, "GOOS="+system, "GOARCH=amd64")
	}
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %q: %v", args, err)
	}
	return strings.TrimSpace(string(b))
}

// TestDocsAreCurrent holds the table to what is built in, and to the texts of the licences.
func TestDocsAreCurrent(t *testing.T) {
	var lines []string
	for path, dir := range built(t) {
		texts, err := filepath.Glob(filepath.Join(dir, "LICEN[SC]E*"))
		texts = slices.DeleteFunc(texts, func(name string) bool {
			info, err := os.Stat(name)
			return err != nil || info.IsDir() || strings.HasSuffix(name, "-LOGO") // of a picture, which is not built in
		})
		if err != nil || len(texts) == 0 {
			t.Fatalf("%s has no licence in %s: %v", path, dir, err)
		}
		slices.Sort(texts)
		var kinds []string
		for _, name := range texts {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			kind := spdxOf(string(text))
			if kind == "" {
				t.Fatalf("%s: the licence in %s is not known here", path, name)
			}
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
		lines = append(lines, path+"\t"+strings.Join(kinds, " AND ")+"\n")
	}
	slices.Sort(lines)
	want := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile("modules.tsv", []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("modules.tsv is not what is built in; run make docs:\n%s", want)
	}
}

func TestLicencesAreToldApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Redistribution and\n use in source": "BSD-2-Clause", "Redistribution and use … Neither the name of": "BSD-3-Clause",
		"Permission is hereby granted,\nfree of charge": "MIT", "All rights reserved.": "",
	} {
		if got := spdxOf(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if all := Modules(); len(all) < 20 || slices.ContainsFunc(all, func(m Module) bool { return m.SPDX == "" }) {
		t.Errorf("%v", all)
	}
}
