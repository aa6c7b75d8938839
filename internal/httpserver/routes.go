package httpserver

import (
	"net/http"
	"path"
)

// Routes serves the patterns that register adds to a mux, but lets refuse
// answer what a mux itself would answer in plain text: an unknown path (404) and
// a known path with another method (405, the Allow header is set already).
// Paths that are not clean are unknown, not redirected.
func Routes(register func(*http.ServeMux), refuse func(w http.ResponseWriter, r *http.Request, status int)) http.Handler {
	known, mux := http.NewServeMux(), http.NewServeMux()
	register(known) // without the catch-all it still knows which methods a path has
	register(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = "" // no route of ours
		var probe refusal
		handler, _ := known.Handler(r)
		handler.ServeHTTP(&probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			w.Header()["Allow"] = probe.header["Allow"]
			refuse(w, r, http.StatusMethodNotAllowed)
			return
		}
		refuse(w, r, http.StatusNotFound)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !clean(r.URL.Path) {
			refuse(w, r, http.StatusNotFound)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func clean(p string) bool {
	return p == "/" || p != "" && p[0] == '/' && path.Clean(p) == p
}

// refusal keeps the status and headers of an answer and drops its body.
type refusal struct {
	header http.Header
	status int
}

func (f *refusal) Header() http.Header {
	if f.header == nil {
		f.header = http.Header{}
	}
	return f.header
}

func (f *refusal) Write(b []byte) (int, error) { return len(b), nil }

func (f *refusal) WriteHeader(status int) { f.status = status }
