package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/config"
)

// A command that names a file which is not there may make an empty one, and say that all is well.
func TestTheDatabaseIsNamedRightly(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	want, named := filepath.Base(cfg.Database.Path), 0
	err = filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") {
			return err
		}
		page, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`data/([a-z-]+\.db)\b`).FindAllSubmatch(page, -1) {
			if named++; string(m[1]) != want {
				t.Errorf("%s names the database %s; it is %s", path, m[1], want)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if named == 0 {
		t.Error("no page names it")
	}
}
