package httpserver

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"
)

// told is a Meter that remembers.
type told struct {
	all    []string
	flight int
	most   int
}

func (m *told) InFlight(more int) { m.flight += more; m.most = max(m.most, m.flight) }
func (m *told) Request(route string, status int, took time.Duration) {
	if took < 0 {
		status = -1
	}
	m.all = append(m.all, route+" "+strconv.Itoa(status))
}

// Every answer is told to the meter once, also that of a handler that panics and one that is cut off.
func TestAnswersAreMeasured(t *testing.T) {
	t.Parallel()
	m := new(told)
	h := Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panics":
			panic("x")
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/refused":
			w.WriteHeader(http.StatusTeapot)
		default:
			_, _ = w.Write([]byte("ok"))
		}
	}), Options{Log: slog.New(slog.DiscardHandler), Meter: m, Route: func(r *http.Request) string { return r.URL.Path },
		Panicked: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }})
	for _, path := range []string{"/fine", "/refused", "/panics", "/cut"} {
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		}()
	}
	if want := []string{"/fine 200", "/refused 418", "/panics 500", "/cut 0"}; !slices.Equal(m.all, want) || m.flight != 0 || m.most != 1 {
		t.Errorf("%q, want %q; %d in flight, %d at most", m.all, want, m.flight, m.most)
	}
}
