package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/httpserver"
)

// slowly answers exports, and the source of a captured mail, in longer than the listener gives an answer.
type slowly struct {
	fakeAPI
	page  string
	pause time.Duration
}

const slowPages = 4

func (s *slowly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/export") && !strings.HasSuffix(r.URL.Path, "/source") {
		s.fakeAPI.ServeHTTP(w, r)
		return
	}
	for range slowPages {
		time.Sleep(s.pause)
		_, _ = io.WriteString(w, s.page)
	}
}

// What is handed out as a file is whole however long it takes, as long as it is being taken.
func TestLongFilesAreWhole(t *testing.T) {
	t.Parallel()
	const answerTime = 400 * time.Millisecond
	api := &slowly{fakeAPI: fakeAPI{answers: full(), role: "ADMIN"}, pause: answerTime / 2, page: strings.Repeat("0123456789abcde\n", 16<<10)}
	c := open(t, &api.fakeAPI)
	c.inside = newInside(api)
	ctx, stop := context.WithCancel(context.Background())
	server, err := httpserver.Listen(ctx, httpserver.Config{Addr: "127.0.0.1:0", Handler: c.Handler(), AnswerTime: answerTime, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	defer func() { stop(); <-done }()
	for _, path := range []string{
		appsPath + "/shop/persons/export?channel=EMAIL&address=ama@example.com",
		suppressionsPath + "/shop/export",
		sandboxPath + "/shop/" + hookID + "/source",
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+server.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", cookie)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if want := int64(slowPages * len(api.page)); err != nil || n != want || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %d of %d bytes, %v", path, res.StatusCode, n, want, err)
		}
	}
}
