package docsite

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/commserver/commserver/sdk"
)

// filesPrefix is where the clients are handed out, for who has nothing but the program.
const filesPrefix = Prefix + "/files/"

// fileAddress is where a file of the repository's folder sdk is handed out; "" for any other.
func fileAddress(inRepository string) string {
	name, ok := strings.CutPrefix(inRepository, "sdk/")
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return filesPrefix + name
}

// addFiles takes in the clients, in the version that the program has. Their paths stay, so browsers ask each time.
func (s *Site) addFiles() error {
	return fs.WalkDir(sdk.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(sdk.Files(), name)
		if err != nil {
			return fmt.Errorf("read a client: %w", err)
		}
		// As text: to be looked at, and never run by the browser. Deno, which imports the address itself, then goes by the name's end.
		kind := "text/plain; charset=utf-8"
		if path.Ext(name) == ".md" {
			kind = "text/markdown; charset=utf-8"
		}
		s.assets[fileAddress("sdk/"+name)] = &asset{keep(kind, raw), fresh}
		return nil
	})
}
