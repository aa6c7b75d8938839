package webhooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/signature"
)

// posted is a request that an inbox got.
type posted struct {
	at   time.Time
	head http.Header
	body string
	told
}

// inbox takes what is posted, path by path, and answers 204 unless it is told otherwise.
type inbox struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	posts   map[string][]posted
	answers map[string]http.HandlerFunc
}

func newInbox(t *testing.T) *inbox {
	b := &inbox{t: t, posts: map[string][]posted{}, answers: map[string]http.HandlerFunc{}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(func() {
		b.CloseClientConnections() // some are never answered
		b.Close()
	})
	return b
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender ended
	}
	p := posted{at: time.Now(), head: r.Header.Clone(), body: string(body)}
	if err := json.Unmarshal(body, &p.told); err != nil || p.EventID == "" || p.head.Get("X-Comms-Event-Id") != p.EventID || p.head.Get("Webhook-Id") != p.EventID || p.head.Get("Content-Type") != "application/json" {
		b.t.Errorf("%s: %v %s %v", r.URL.Path, p.head, body, err)
	}
	b.mu.Lock()
	b.posts[r.URL.Path] = append(b.posts[r.URL.Path], p)
	answer := b.answers[r.URL.Path]
	b.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, r)
}

// answer makes a path answer so from now on.
func (b *inbox) answer(path string, how http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[path] = how
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hang answers nothing for as long as the sender waits.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func (b *inbox) got(path string) []posted {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.posts[path])
}

// until waits until a path has got so many posts, and answers them.
func (b *inbox) until(t *testing.T, path string, n int) (all []posted) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s got %d posts", path, n), func() bool { all = b.got(path); return len(all) >= n })
	return all
}

// signed wants a post to be signed by the first secret as the guide says, and by all of them, in this order, as Standard Webhooks does.
func (p *posted) signed(t *testing.T, secrets ...string) {
	t.Helper()
	stamp := p.head.Get("X-Comms-Timestamp")
	if want := signature.Guide(secrets[0], stamp, []byte(p.body)); p.head.Get("X-Comms-Signature") != want || p.head.Get("Webhook-Timestamp") != stamp {
		t.Errorf("%v is not signed as the guide says", p.head)
	}
	if want := signature.Standard(p.EventID, stamp, []byte(p.body), secrets...); p.head.Get("Webhook-Signature") != want || strings.Count(want, "v1,") != len(secrets) {
		t.Errorf("%v is not signed by %d secrets", p.head, len(secrets))
	}
}
