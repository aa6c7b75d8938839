package load_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/bench/load"
)

func request(b []byte, n uint64) []byte {
	body := fmt.Sprintf("message %d", n)
	return fmt.Appendf(b, "POST /messages HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestRunSendsEachRequestOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got[string(b)]++
		mu.Unlock()
		if strings.HasSuffix(string(b), "7") {
			w.Header().Set("Content-Length", "12000") // larger than the reader's first buffer
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, strings.Repeat("no ", 4000))
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	res, err := load.Run(t.Context(), load.Target{Addr: srv.Listener.Addr().String(), Request: request}, load.Options{Connections: 4, Count: 100})
	if err != nil {
		t.Fatal(err)
	}
	if res.Answered != 90 || res.Refused != 10 || res.FirstOdd != http.StatusTooManyRequests || res.Latencies.Count() != 90 {
		t.Errorf("answered %d, refused %d (first %d), %d latencies; want 90, 10 (429), 90", res.Answered, res.Refused, res.FirstOdd, res.Latencies.Count())
	}
	if len(got) != 100 {
		t.Errorf("the server saw %d different requests, want 100", len(got))
	}
	for body, n := range got {
		if n != 1 {
			t.Errorf("%q came %d times", body, n)
		}
	}
}

func TestRunEndsByTime(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	res, err := load.Run(t.Context(), load.Target{Addr: srv.Listener.Addr().String(), Request: request}, load.Options{Connections: 2, Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if res.Answered == 0 || res.PerSecond() <= 0 || res.Elapsed < 50*time.Millisecond {
		t.Errorf("%d answers in %v", res.Answered, res.Elapsed)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer srv.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := load.Run(ctx, load.Target{Addr: srv.Listener.Addr().String(), Request: request}, load.Options{Connections: 3, Count: 10}); err == nil {
		t.Error("a run that was interrupted reports no error")
	}
}

// TestAnswers feeds answers as they may be cut by the network.
func TestAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		chunks []string
		ok     bool
	}{
		{"whole", []string{"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"}, true},
		{"other case", []string{"HTTP/1.1 202 Accepted\r\ncontent-length:2\r\n\r\n{}"}, true},
		{"cut in the head", []string{"HTTP/1.1 202 Acc", "epted\r\nContent-Le", "ngth: 2\r\n\r", "\n{}"}, true},
		{"cut in the body", []string{"HTTP/1.1 202 Accepted\r\nContent-Length: 6000\r\n\r\n" + strings.Repeat("x", 3000), strings.Repeat("x", 3000)}, true},
		{"no body", []string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, true},
		{"no length", []string{"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"}, false},
		{"not HTTP", []string{"220 mail.example.com ESMTP\r\n\r\n"}, false},
		{"cut off", []string{"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				for _, s := range tt.chunks {
					_, _ = io.WriteString(c, s)
					time.Sleep(time.Millisecond) // separate packets
				}
			}()
			res, err := load.Run(t.Context(), load.Target{Addr: l.Addr().String(), Request: func(b []byte, _ uint64) []byte {
				return append(b, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"...)
			}}, load.Options{Connections: 1, Count: 1})
			if (err == nil) != tt.ok || tt.ok && res.Answered != 1 {
				t.Errorf("error %v, want success %v", err, tt.ok)
			}
		})
	}
}
