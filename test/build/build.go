// Package build makes the commserver binary for tests that drive it from
// outside, from the source that is being tested. It runs nothing.
package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Program is the binary with one set of build tags, built at most once, when it
// is first asked for. The zero value is the product. It is safe for concurrent
// use; call Remove when the tests of a package are over.
type Program struct {
	Tags string

	once sync.Once
	path string
	err  error
}

// Path answers where the binary is, built as `make build` does.
func (p *Program) Path() (string, error) {
	p.once.Do(func() { p.path, p.err = build(p.Tags) })
	return p.path, p.err
}

// Remove removes the binary and the folder that it stands in.
func (p *Program) Remove() {
	p.once.Do(func() {}) // nobody builds from now on
	if p.path != "" {
		_ = os.RemoveAll(filepath.Dir(p.path))
	}
}

func build(tags string) (string, error) {
	dir, err := os.MkdirTemp("", "commserver-program-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "commserver")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", tags, "-o", path, "github.com/commserver/commserver/cmd/commserver")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
