package httpserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2 is an HTTP/2 connection that is driven frame by frame.
type h2 struct {
	t    *testing.T
	conn *tls.Conn
	*http2.Framer
	head []byte // of a GET
	done chan struct{}
	away atomic.Uint32 // 1 + the code of a GOAWAY
	most atomic.Uint32 // SETTINGS_MAX_CONCURRENT_STREAMS
	refused,
	answered atomic.Int32
}

func dial2(t *testing.T, addr string) *h2 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a certificate of the test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &h2{t: t, conn: conn, Framer: http2.NewFramer(conn, conn), done: make(chan struct{})}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: "/"}} {
		if err := e.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	c.head = b.Bytes()
	go c.read()
	return c
}

// read counts what the server sends until the connection ends.
func (c *h2) read() {
	defer close(c.done)
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			c.away.Store(1 + uint32(f.ErrCode))
		case *http2.RSTStreamFrame:
			c.refused.Add(1)
		case *http2.HeadersFrame:
			c.answered.Add(1)
		case *http2.SettingsFrame:
			if n, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
				c.most.Store(n)
			}
		}
	}
}

func (c *h2) open(stream uint32, last bool) error {
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.head, EndStream: true, EndHeaders: last})
}

func secure(t *testing.T, handler http.Handler) string {
	t.Helper()
	cert, key := certificate(t)
	addr, _ := start(t, Config{TLSCert: cert, TLSKey: key, Handler: handler})
	return addr
}

// TestRapidReset (S26): a client that opens and resets streams as fast as it can has no
// more requests under way than the limit, is sent away, and others are served meanwhile.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	var now, peak, total atomic.Int64
	addr := secure(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		total.Add(1)
		for was := peak.Load(); n > was && !peak.CompareAndSwap(was, n); was = peak.Load() {
		}
		if r.Header.Get("Quick") != "" {
			return
		}
		time.Sleep(200 * time.Millisecond) // work that does not notice that its client has gone: all streams would take 20 s of it
	}))
	c := dial2(t, addr)
	const streams = 10_000
	sent := 0
	for ; sent < streams; sent++ {
		id := uint32(2*sent + 1)
		if c.open(id, true) != nil || c.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break // it has been sent away
		}
	}
	quick := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 5 * time.Second} //nolint:gosec // as above
	defer quick.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Quick", "1")
	began := time.Now()
	res, err := quick.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("another client waited %v", took)
	}
	_ = c.conn.Close()
	<-c.done
	if peak.Load() > maxStreams+1 || total.Load() >= streams {
		t.Errorf("%d requests at a time, %d of %d streams were run", peak.Load(), total.Load(), sent)
	}
	t.Logf("%d streams sent, %d run, at most %d at a time, GOAWAY %d", sent, total.Load(), peak.Load(), c.away.Load())
}

// TestManyStreams (S26): streams above the limit are refused one by one.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var now atomic.Int64
	addr := secure(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { now.Add(1); <-release }))
	c := dial2(t, addr)
	const streams = 1000
	for n := range streams {
		if err := c.open(uint32(2*n+1), true); err != nil {
			break
		}
	}
	for began := time.Now(); c.refused.Load() == 0 && c.away.Load() == 0 && time.Since(began) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
	}
	if c.most.Load() != maxStreams || now.Load() > maxStreams || c.refused.Load() == 0 && c.away.Load() == 0 {
		t.Errorf("said %d, runs %d, %d refused, GOAWAY %d", c.most.Load(), now.Load(), c.refused.Load(), c.away.Load())
	}
	close(release)
	_ = c.conn.Close()
	<-c.done
}

// TestContinuationFlood (S26): a head that never ends is cut off at the limit of heads.
func TestContinuationFlood(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	addr := secure(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran.Add(1) }))
	c := dial2(t, addr)
	if err := c.open(1, false); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for range 100 {
		if err := e.WriteField(hpack.HeaderField{Name: "x-a", Value: string(bytes.Repeat([]byte("b"), 100)), Sensitive: true}); err != nil {
			t.Fatal(err)
		}
	}
	const enough = 10_000 // 100 MB of heads
	frames := 0
	for ; frames < enough; frames++ {
		if err := c.WriteContinuation(1, false, b.Bytes()); err != nil {
			break
		}
		select {
		case <-c.done:
			frames += enough
		default:
		}
	}
	<-c.done
	if frames == enough || ran.Load() != 0 {
		t.Errorf("%d frames were taken, %d requests run", frames, ran.Load())
	}
}
