// Command release makes what a release is made of: a static binary for each system in an archive of
// its own, an SBOM of each (CycloneDX), and the sums of all of it.
//
// It promises the same bytes for the same commit, Go release and set of modules, whatever the machine, the folder and the time: binaries are
// built with -trimpath and without a build id, archives hold their files in one order, by one owner and at the time of the commit.
// It signs nothing and uploads nothing.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is a system that binaries are made for.
type target struct{ system, machine string }

func targets() []target {
	return []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}}
}

func main() {
	root := flag.String("root", "..", "folder of the product")
	out := flag.String("out", "", "folder to write to, which must be empty or absent")
	only := flag.String("only", "", "one target alone, such as linux/amd64")
	flag.Parse()
	if err := run(context.Background(), *root, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is what is the same for every target.
type release struct {
	root, out string
	version   string
	at        time.Time // of the commit
	texts     []byte    // of the licences
	beside    []file    // what lies in every archive beside the program
	spdx      map[string]string
}

func run(ctx context.Context, root, out, only string) error {
	if out == "" {
		return fmt.Errorf("-out is needed: the folder to write to")
	}
	r, err := prepare(ctx, root, out)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range targets() {
		if only != "" && only != t.system+"/"+t.machine {
			continue
		}
		made, err := r.make(ctx, t)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", t.system, t.machine, err)
		}
		names = append(names, made...)
	}
	if len(names) == 0 {
		return fmt.Errorf("%q is no target", only)
	}
	return sums(out, names)
}

func prepare(ctx context.Context, root, out string) (*release, error) {
	if left, err := os.ReadDir(out); err == nil && len(left) > 0 {
		return nil, fmt.Errorf("%s is not empty", out)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	r := &release{root: root, out: out}
	described, err := command(ctx, root, nil, "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return nil, err
	}
	r.version = strings.TrimPrefix(strings.TrimSpace(described), "v")
	stamp, err := command(ctx, root, nil, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(stamp), 10, 64)
	if err != nil {
		return nil, err
	}
	r.at = time.Unix(seconds, 0).UTC()
	if r.spdx, err = licences(filepath.Join(root, "internal", "licence", "modules.tsv")); err != nil {
		return nil, err
	}
	if r.texts, err = r.licenceTexts(ctx); err != nil {
		return nil, err
	}
	r.beside, err = companions(ctx, root)
	return r, err
}

// companions are the files of the commit that are of use without the repository: what to read, the clients with what
// `npm pack` needs, and what a service, containers and a monitoring are set up from.
func companions(ctx context.Context, root string) (files []file, err error) {
	listed, err := command(ctx, root, nil, "git", "ls-files", "-z", "--", "LICENSE", "README.md", "CHANGELOG.md", "sdk", "deploy", ":!sdk/*.go", ":!sdk/vectors", ":!deploy/prometheus/*_test.yml")
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(listed, "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		if name == dockerfile {
			if text, err = ofArchive(text); err != nil {
				return nil, err
			}
		}
		files = append(files, file{name, text, 0o644})
	}
	return files, nil
}

// dockerfile says what an image is made of.
const dockerfile = "deploy/Dockerfile"

// ofArchive lets a Dockerfile take the program that lies in the archive, where there is no source.
func ofArchive(text []byte) ([]byte, error) {
	source, archive := []byte("\nARG PROGRAM=source\n"), []byte("\nARG PROGRAM=archive\n")
	if bytes.Count(text, source) != 1 {
		return nil, fmt.Errorf("%s does not say once where the program is from", dockerfile)
	}
	return bytes.Replace(text, source, archive, 1), nil
}

// make builds a target, and answers the names of the files that it wrote.
func (r *release) make(ctx context.Context, t target) ([]string, error) {
	name := "commserver-" + r.version + "-" + t.system + "-" + t.machine
	program := "commserver"
	if t.system == "windows" {
		program += ".exe"
	}
	dir, err := os.MkdirTemp("", "commserver-release-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, program)
	env := []string{"CGO_ENABLED=0", "GOOS=" + t.system, "GOARCH=" + t.machine, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off"}
	if _, err := command(ctx, r.root, env, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags", "-s -w -buildid=", "-o", path, "./cmd/commserver"); err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, err
	}
	if err := stamped(info); err != nil {
		return nil, err
	}
	bom, err := r.bill(t, binary, info)
	if err != nil {
		return nil, err
	}
	files := []file{{program, binary, 0o755}, {"THIRD-PARTY.txt", r.texts, 0o644}, {"sbom.cdx.json", bom, 0o644}}
	files = append(files, r.beside...)
	archive, pack := name+".tar.gz", tarball
	if t.system == "windows" {
		archive, pack = name+".zip", zipped
	}
	packed, err := pack(name, files, r.at)
	if err != nil {
		return nil, err
	}
	for n, b := range map[string][]byte{archive: packed, name + ".cdx.json": bom} {
		if err := os.WriteFile(filepath.Join(r.out, n), b, 0o644); err != nil {
			return nil, err
		}
	}
	return []string{archive, name + ".cdx.json"}, nil
}

// stamped refuses a binary that does not name its commit: Go stamps none in a second working tree (git worktree).
func stamped(info *debug.BuildInfo) error {
	named := false
	for _, s := range info.Settings {
		named = named || s.Key == "vcs.revision" && s.Value != ""
		if s.Key == "vcs.modified" && s.Value != "false" {
			return fmt.Errorf("the tree has changes that no commit has")
		}
	}
	if !named {
		return fmt.Errorf("the binary does not name its commit: build in a clone, not in a second working tree")
	}
	return nil
}

// sums writes SHA256SUMS as sha256sum -c reads it.
func sums(out string, names []string) error {
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join(out, n))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(sum[:]), n)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(b.String()), 0o644)
}

func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return string(b), nil
}
