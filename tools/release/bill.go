package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// licences reads the table of package licence, which a test holds to what is built in.
func licences(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		module, spdx, _ := strings.Cut(strings.TrimSpace(line), "\t")
		out[module] = spdx
	}
	return out, nil
}

// licenceTexts is what the licences of the modules want shown, from their folders.
func (r *release) licenceTexts(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	for _, module := range slices.Sorted(mapsKeys(r.spdx)) {
		args := []string{"list", "-m", "-f", "{{.Dir}}", module}
		if module == "std" {
			args = []string{"env", "GOROOT"}
		}
		dir, err := command(ctx, r.root, nil, "go", args...)
		if err != nil {
			return nil, err
		}
		names, err := filepath.Glob(filepath.Join(strings.TrimSpace(dir), "LICEN[SC]E*"))
		if err != nil {
			return nil, err
		}
		notices, err := filepath.Glob(filepath.Join(strings.TrimSpace(dir), "NOTICE*"))
		if err != nil {
			return nil, err
		}
		found := false
		for _, name := range append(names, notices...) {
			info, err := os.Stat(name)
			if err != nil || info.IsDir() {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			found = true
			fmt.Fprintf(&b, "==== %s (%s): %s\n\n%s\n\n", module, r.spdx[module], filepath.Base(name), bytes.TrimSpace(text))
		}
		if !found {
			return nil, fmt.Errorf("%s has no licence text", module)
		}
	}
	return b.Bytes(), nil
}

func mapsKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// The parts of a CycloneDX document (https://cyclonedx.org/docs/1.6/json/) that are written.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		PURL     string    `json:"purl,omitempty"`
		Hashes   []sum     `json:"hashes,omitempty"`
		Licences []licence `json:"licenses,omitempty"`
	}
	sum struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		Expression string `json:"expression"`
	}
	dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn,omitempty"`
	}
)

// bill says what a binary is made of, as the binary itself says. Its serial number follows from the binary.
func (r *release) bill(t target, binary []byte, info *debug.BuildInfo) ([]byte, error) {
	hash := sha256.Sum256(binary)
	ref := "commserver@" + r.version + "?" + t.system + "-" + t.machine
	id := hash[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of form 8: of one's own making
	doc := bom{Format: "CycloneDX", Spec: "1.6", Version: 1, Serial: fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])}
	full := sha256.Sum256(binary)
	doc.Metadata = metadata{r.at.Format(time.RFC3339), component{Type: "application", Ref: ref, Name: "commserver", Version: r.version,
		Hashes: []sum{{"SHA-256", hex.EncodeToString(full[:])}}, Licences: []licence{{"Apache-2.0"}}}}
	std := component{Type: "library", Ref: "pkg:golang/std@" + info.GoVersion, Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), Licences: []licence{{r.spdx["std"]}}}
	doc.Components = []component{std}
	on := []string{std.Ref}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return nil, fmt.Errorf("%s is replaced: a release is built of what go.mod names", m.Path)
		}
		spdx, known := r.spdx[m.Path]
		if !known {
			return nil, fmt.Errorf("%s has no licence in internal/licence/modules.tsv; run make docs", m.Path)
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		doc.Components = append(doc.Components, component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl, Licences: []licence{{spdx}}})
		on = append(on, purl)
	}
	doc.Dependencies = []dependency{{ref, on}}
	b, err := json.MarshalIndent(doc, "", " ")
	return append(b, '\n'), err
}
