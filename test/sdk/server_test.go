package sdk

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/test/build"
)

// product is the binary that the clients talk to.
var product build.Program

const provisioningKey = "the-key-of-provisioning-0123456789"

// server is a running `commserver serve` on SQLite, and a receiver of webhooks beside it.
type server struct {
	url  string
	hook *httptest.Server

	mu    sync.Mutex
	posts map[string][]map[string]any // by the path that they were posted to
}

var readyURL = regexp.MustCompile(`"msg":"ready","url":"([^"]+)"`)

// shared is the one server of this package's tests; stop ends it when they are over.
var (
	shared = sync.OnceValues(serve)
	stop   = func() error { return nil }
)

// running is the server, started by whoever needs it first.
func running(t *testing.T) *server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve() (*server, error) {
	path, err := product.Path()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "commserver-sdk-")
	if err != nil {
		return nil, err
	}
	s := &server{posts: map[string][]map[string]any{}}
	s.hook = httptest.NewServer(http.HandlerFunc(s.receive))
	cmd := exec.CommandContext(context.Background(), path, "serve")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "COMMS_ADDR=localhost:0", "COMMS_PROVISIONING_KEY=" + provisioningKey, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8"}
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready, ended := make(chan string, 1), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if m := readyURL.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m[1]
			}
		}
	}()
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		err := cmd.Wait()
		s.hook.Close()
		return errors.Join(err, os.RemoveAll(dir))
	}
	select {
	case s.url = <-ready:
		return s, nil
	case <-ended:
		return nil, errors.New("the server ended: " + log.String())
	case <-time.After(2 * time.Minute):
		return nil, errors.New("the server is not ready")
	}
}

func (s *server) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	headers := map[string]any{}
	for name := range r.Header {
		headers[name] = r.Header.Get(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts[r.URL.Path] = append(s.posts[r.URL.Path], map[string]any{"headers": headers, "body": string(body)})
}

// posted waits for a post to a path and answers the first.
func (s *server) posted(ctx context.Context, path string) (map[string]any, bool) {
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		posts := s.posts[path]
		s.mu.Unlock()
		if len(posts) > 0 {
			return posts[0], true
		}
	}
	return nil, false
}

// patience is how long something may take that happens by itself.
const patience = time.Minute

// app makes an app of every scope, for one client to be tried with.
func (s *server) app(t *testing.T, slug string) (key string) {
	t.Helper()
	c, err := client.New(client.Options{BaseURL: s.url, ProvisioningKey: provisioningKey})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	made, err := c.Provision(t.Context(), client.NewApp{Name: slug, Slug: slug, RatePerMinute: 100_000, Scopes: []string{"SEND", "READ", "TEMPLATES", "PROVIDERS", "SUPPRESSIONS"}})
	if err != nil {
		t.Fatal(err)
	}
	return made.APIKey
}
