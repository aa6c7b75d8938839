package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
)

// door is a store and an intake that answer at once: what is left is the
// work of the door itself.
type door struct {
	app comm.App
	key comm.Key
}

func (d *door) KeyByHash(context.Context, [32]byte) (*comm.Key, error) { return &d.key, nil }

func (d *door) AppByID(context.Context, comm.ID) (*comm.App, error)  { return &d.app, nil }
func (d *door) AppBySlug(context.Context, string) (*comm.App, error) { return &d.app, nil }

func (d *door) Accept(_ context.Context, _ *comm.App, reqs []intake.Request) []intake.Result {
	return []intake.Result{{ID: d.app.ID, Status: comm.Queued, Segments: 1, Encoding: "GSM7", Rate: intake.Rate{Limit: 600, Remaining: 599, Reset: 60}}}[:len(reqs)]
}

// sink is a response writer that keeps nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

func (d *door) Recipient(comm.Channel, string) (string, error) { return "", nil }
func (d *door) Rate(app *comm.App) intake.Rate                 { return intake.Rate{Limit: 1, Reset: 1} }
func (*door) Preview(context.Context, *comm.App, *intake.Request) (*intake.Preview, error) {
	return nil, comm.E("internal")
}

func (d *door) Hindrance(context.Context, *comm.App, comm.Channel) (string, error) { return "", nil }

func (d *door) Bound(context.Context, *comm.App, *intake.Request) int64         { return 0 }
func (d *door) Sample(*comm.Template, intake.Variables) (*intake.Sample, error) { return nil, nil }

func newDoor() (http.Handler, func() *http.Request) {
	m := apikey.Mint(false)
	id := comm.NewID(1)
	d := &door{app: comm.App{ID: id, Slug: "one", Active: true, Sandbox: true}, key: comm.Key{App: id, Hash: m.Hash, Scopes: comm.AllScopes}}
	h := New(Config{Auth: auth.New(auth.Config{Keys: d, Apps: d}), Intake: d, Log: slog.New(slog.DiscardHandler)}).Handler()
	return h, func() *http.Request {
		r := httptest.NewRequest("POST", "/api/v1/messages", strings.NewReader(smsBody))
		r.Header.Set("X-App-ID", "one")
		r.Header.Set("X-API-Key", m.Text)
		r.Header.Set("Content-Type", "application/json")
		return r
	}
}

// maxAllocs is what one POST may allocate in the door, intake's own work apart
// (26 measured; the race detector adds some).
const maxAllocs = 34

func TestPostAllocations(t *testing.T) {
	h, request := newDoor()
	r := request()
	got := testing.AllocsPerRun(200, func() {
		r.Body = io.NopCloser(strings.NewReader(smsBody))
		s := &sink{header: http.Header{}}
		h.ServeHTTP(s, r)
		if s.status != 202 {
			t.Fatal(s.status)
		}
	})
	if got > maxAllocs {
		t.Errorf("%.0f allocations, at most %d", got, maxAllocs)
	}
}

func BenchmarkPost(b *testing.B) {
	h, request := newDoor()
	r := request()
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(smsBody))
		s := &sink{header: http.Header{}}
		h.ServeHTTP(s, r)
	}
}
