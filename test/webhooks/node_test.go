package webhooks

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// taken is a post as a receiver in another language is given it.
type taken struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// verdict is what the receivers make of it; Standard is nil when the package is not installed.
type verdict struct {
	Guide    bool
	Standard *bool
}

// judged runs the receivers of folder node.
func judged(t *testing.T, posts []taken) (out []verdict) {
	t.Helper()
	in, err := json.Marshal(posts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "check.mjs")
	cmd.Dir, cmd.Stdin = "node", bytes.NewReader(in)
	cmd.Env = append(os.Environ(), "COMMS_WEBHOOK_SECRET="+secret)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, errs.String())
	}
	if err := json.Unmarshal(raw, &out); err != nil || len(out) != len(posts) {
		t.Fatalf("%v: %s", err, raw)
	}
	return out
}

// install brings the package of Standard Webhooks, unless it is there, and says whether it is.
func install(t *testing.T) bool {
	t.Helper()
	if _, err := os.Stat("node/node_modules/standardwebhooks"); err == nil {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = "node"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("npm: %v\n%s", err, out)
	}
	return err == nil
}

// What the program posts is verified by the guide's snippet, word for word, and by the package of Standard Webhooks, and nothing that was changed on its way is.
func TestReceiversThatOthersWrote(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: sudo apt-get install nodejs npm")
	}
	standard := install(t)
	var mu sync.Mutex
	var posts []taken
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p := taken{Headers: map[string]string{}, Body: string(body)}
		for k := range r.Header {
			if k := strings.ToLower(k); strings.HasPrefix(k, "x-comms-") || strings.HasPrefix(k, "webhook-") || k == "content-type" {
				p.Headers[k] = r.Header.Get(k)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		posts = append(posts, p)
	}))
	defer hook.Close()
	s := newServer(t)
	a := s.app("flowbase", hook.URL)
	const n = 5
	for i := range n {
		a.send(i)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		got := len(posts)
		mu.Unlock()
		if got >= n {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d posts", got, n)
		}
	}
	mu.Lock()
	good := append([]taken(nil), posts[:n]...)
	mu.Unlock()
	for i, v := range judged(t, good) {
		if !v.Guide || standard && (v.Standard == nil || !*v.Standard) {
			t.Errorf("%+v is refused: %+v", good[i], v)
		}
	}
	change := func(head, value string, body func(string) string) taken {
		p := taken{Headers: map[string]string{}, Body: good[0].Body}
		maps.Copy(p.Headers, good[0].Headers)
		if head != "" {
			p.Headers["x-comms-"+head], p.Headers["webhook-"+head] = value, value
		}
		if body != nil {
			p.Body = body(p.Body)
		}
		return p
	}
	bad := []taken{
		change("", "", func(b string) string { return strings.Replace(b, "SENT", "FAILED", 1) }),
		change("", "", func(b string) string { return b + " " }),
		change("timestamp", good[0].Headers["x-comms-timestamp"]+"0", nil),
		change("signature", "", nil),
		change("signature", strings.Repeat("0", 64), nil),
	}
	for i, v := range judged(t, bad) {
		if v.Guide || v.Standard != nil && *v.Standard {
			t.Errorf("change %d is taken: %+v", i, v)
		}
	}
	if !standard {
		t.Skip("the guide's receiver verified everything; the package standardwebhooks could not be installed")
	}
}
