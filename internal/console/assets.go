package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/commserver/commserver/internal/webui"
)

//go:embed assets
var assetFiles embed.FS

//go:embed pages
var pageFiles embed.FS

const assetsPath = Root + "/assets/"

// files are the assets, each served under a name with the hash of its content, so that browsers may keep it for ever.
type files struct {
	byName  map[string]string // console.css: its path
	byAsked map[string]*file  // by the last part of that path
}

type file struct {
	kind          string
	plain, zipped []byte // zipped is nil where it would not be smaller
}

// assetKinds are the assets that are served, by their extension.
var assetKinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// hashShown is how many bytes of the hash a name has.
const hashShown = 8

func readFiles() (*files, error) {
	out := &files{map[string]string{}, map[string]*file{}}
	err := fs.WalkDir(assetFiles, "assets", func(name string, entry fs.DirEntry, err error) error {
		kind, known := assetKinds[path.Ext(name)]
		if err != nil || entry.IsDir() || !known {
			return err
		}
		data, err := assetFiles.ReadFile(name)
		if err != nil {
			return err
		}
		return out.add(path.Base(name), kind, data)
	})
	// What all pages for people share.
	for name, text := range map[string]string{"tokens.css": webui.Tokens(), "mark.svg": webui.Mark()} {
		err = errors.Join(err, out.add(name, assetKinds[path.Ext(name)], []byte(text)))
	}
	if err != nil {
		return nil, fmt.Errorf("read the console's assets: %w", err)
	}
	return out, nil
}

// add makes a file known under its name and the hash of its content.
func (f *files) add(base, kind string, data []byte) error {
	zipped, err := compress(data)
	if err != nil {
		return err
	}
	if len(zipped) >= len(data) {
		zipped = nil
	}
	sum, ext := sha256.Sum256(data), path.Ext(base)
	asked := strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:hashShown]) + ext
	f.byName[base], f.byAsked[asked] = assetsPath+asked, &file{kind, data, zipped}
	return nil
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// path is where an asset is served.
func (f *files) path(name string) (string, error) {
	if at, ok := f.byName[name]; ok {
		return at, nil
	}
	return "", fmt.Errorf("there is no asset %q", name)
}

func (f *files) serve(w http.ResponseWriter, r *http.Request) {
	one, ok := f.byAsked[r.PathValue("name")]
	if !ok {
		http.Error(w, "No such file: a newer version of the console has others. Load the page again.", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", one.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := one.plain
	if one.zipped != nil && webui.TakesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = one.zipped
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body) // the browser is gone, if it fails
}
