package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	slowClients = 1000
	enough      = 500 // requests beside them
	// noise is what a measured p99 is never taken to be below. Single answers of a calm server wait for a flush of
	// the disk or, beside other programs on the cores, for a slice of the scheduler, which are some milliseconds each:
	// twice one millisecond says nothing about the server.
	noise = 5 * time.Millisecond
)

// TestAThousandSlowClientsCostOthersNothing (S23, F50): a thousand clients whose heads drip, whose bodies drip, with a
// length and in chunks without end, do not double the p99 of those who behave. They come from several addresses, so
// that no limit per address keeps them away, with the key of an app of their own, and dial again when they are cut off.
func TestAThousandSlowClientsCostOthersNothing(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < slowClients+500 {
		t.Skipf("%d file descriptors are too few for %d connections on each side (%v): raise ulimit -n", limit.Cur, slowClients, err)
	}
	const key = "the-key-of-the-operator-0123456789abc"
	p := serve(t, t.TempDir(), "COMMS_ADDR=127.0.0.1:0", "COMMS_ADMIN_KEY="+key)
	honest, slow := appHeaders(t, p.url, key, "honest"), appHeaders(t, p.url, key, "slow")
	// A neighbour on the machine can spoil one comparison, of three it cannot spoil all. What the server itself does wrong shows in each.
	for try := 1; ; try++ {
		calm := post(t, p.url, honest, 3*time.Second, nil)
		besiegers := besiege(t, strings.TrimPrefix(p.url, "http://"), slow)
		crowded := func(n int) bool { return n >= enough && besiegers.cut.Load() >= slowClients/3 }
		beside := post(t, p.url, honest, 8*time.Second, crowded) // longer than a head may take: the cutting off and the dialling again are in it
		open, cut := besiegers.open.Load(), besiegers.cut.Load()
		besiegers.stop()
		calm = append(calm, post(t, p.url, honest, 3*time.Second, nil)...)
		was, is := p99(calm), p99(beside)
		t.Logf("p99 calm %v (%d requests), beside %d slow clients %v (%d requests); %d were cut off meanwhile", was, len(calm), open, is, len(beside), cut)
		if open < slowClients*9/10 || cut < slowClients/3 || len(beside) < enough {
			t.Fatalf("%d slow clients, %d of them cut off beside %d requests: that is no crowd", open, cut, len(beside))
		}
		if is <= 2*max(was, noise) {
			return
		}
		if try == 3 {
			t.Fatalf("beside %d slow clients the p99 is %v, calm it is %v: more than twice", open, is, was)
		}
	}
}

// appHeaders makes an app without a rate that could be reached and answers the head lines of its calls.
func appHeaders(t *testing.T, url, key, slug string) http.Header {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/admin/apps",
		strings.NewReader(fmt.Sprintf(`{"name":%q,"slug":%q,"scopes":["SEND","READ"],"ratePerMinute":1000000}`, slug, slug)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"X-Admin-Key": {key}, "Content-Type": {"application/json"}}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var made struct{ APIKey string }
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	return http.Header{"X-App-ID": {slug}, "X-API-Key": {made.APIKey}, "Content-Type": {"application/json"}}
}

// post has four clients send messages at an even pace, for so long and until it is enough, a minute at most, and answers how long each call took.
func post(t *testing.T, url string, head http.Header, during time.Duration, enough func(n int) bool) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	end, last := time.Now().Add(during), time.Now().Add(time.Minute)
	more := func() bool {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		return now.Before(end) || enough != nil && now.Before(last) && !enough(len(took))
	}
	for range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			for more() {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/messages", strings.NewReader(`{"channel":"SMS","to":"+233241234567","body":"hello"}`))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header = head.Clone()
				began := time.Now()
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				if resp.StatusCode != http.StatusAccepted {
					t.Errorf("status %d", resp.StatusCode)
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return took
}

func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// crowd is the slow clients.
type crowd struct {
	open, cut atomic.Int64
	stop      func()
}

// besiege starts the slow clients and waits until all are connected.
func besiege(t *testing.T, addr string, head http.Header) *crowd {
	t.Helper()
	var lines strings.Builder
	_ = head.Write(&lines)
	start := "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n" + lines.String()
	kinds := [...]struct{ first, drip string }{
		{start + "X-A: ", "a"},
		{start + "Content-Length: 100000\r\n\r\n{", " "},
		{start + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\n \r\n"},
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{}
	var wg sync.WaitGroup
	c.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(c.stop)
	for i := range slowClients {
		wg.Go(func() {
			// The whole of 127/8 is this machine on Linux.
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+i%8))}}
			kind := kinds[i%len(kinds)]
			for ctx.Err() == nil {
				conn, err := dialer.DialContext(ctx, "tcp", addr)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				c.open.Add(1)
				drip(ctx, conn, kind.first, kind.drip)
				c.open.Add(-1)
				if ctx.Err() == nil {
					c.cut.Add(1)
				}
			}
		})
	}
	for deadline := time.Now().Add(time.Minute); c.open.Load() < slowClients; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d slow clients are connected", c.open.Load())
		}
	}
	return c
}

// drip writes a little each second until the server ends the connection.
func drip(ctx context.Context, conn net.Conn, first, more string) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, first); err != nil {
		return
	}
	buf := make([]byte, 512)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := conn.Read(buf); n > 0 || err != nil && !isTimeout(err) {
			return // an answer: it refuses, and reads on no more
		}
		if _, err := io.WriteString(conn, more); err != nil {
			return
		}
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
