package httpserver

import (
	"net/http"
	"net/http/pprof"
)

// Profiles serves the profiles of this process under /debug/pprof/, without
// asking for a key: it belongs on a private listener alone.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
