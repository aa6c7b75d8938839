package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream is a whole request that came to a peer that speaks HTTP/2 frame by frame.
type stream struct {
	*http2.Framer
	conn net.Conn
	id   uint32
	n    int64 // of all connections, from 1
}

// answer is an answer without a body.
func (s *stream) answer() {
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// frames serves HTTP/2 as serve says: once for each request of which the body is whole.
func frames(t testing.TB, conf *tls.Config, serve func(s *stream)) (providertest.Dialer, *atomic.Int64) {
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	var requests atomic.Int64
	return providertest.Peer(t, func(raw net.Conn) {
		conn := tls.Server(raw, conf)
		defer conn.Close()
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil {
			return
		}
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.DataFrame:
				if frame.StreamEnded() {
					serve(&stream{f, conn, frame.StreamID, requests.Add(1)})
				}
			}
		}
	}), &requests
}

func trusting(t testing.TB, certs *providertest.Certs, dial providertest.Dialer) *Client {
	c := client(t, "https://api.test", dial)
	c.transport.TLSClientConfig.RootCAs = certs.Pool
	return c
}

// TestTurnedAwayByHTTP2: what the peer vouches for not having processed was not sent (RFC 9113, 6.8 and 8.7); all else may have been.
func TestTurnedAwayByHTTP2(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	conf := certs.Server(t, "api.test", time.Now().Add(24*time.Hour))
	resets := func(code http2.ErrCode) func(*stream) {
		return func(s *stream) { _ = s.WriteRSTStream(s.id, code) }
	}
	leaves := func(last uint32, code http2.ErrCode, debug string) func(*stream) {
		return func(s *stream) {
			_ = s.WriteGoAway(last, code, []byte(debug))
			_ = s.conn.Close()
		}
	}
	const gone, open = "not_processed", "outcome_unknown"
	for name, tt := range map[string]struct {
		serve func(*stream)
		code  string
	}{
		"refuses the stream":                    {resets(http2.ErrCodeRefusedStream), gone},
		"leaves before the first":               {leaves(0, http2.ErrCodeNo, ""), gone},
		"leaves before the first with an error": {leaves(0, http2.ErrCodeEnhanceYourCalm, "calm"), gone},
		"leaves after the first":                {leaves(1, http2.ErrCodeNo, ""), open},
		"leaves after the first with an error":  {leaves(1, http2.ErrCodeInternal, "REFUSED_STREAM"), open},
		"leaves without a number":               {leaves(1<<31-1, http2.ErrCodeNo, "stream error: stream ID 1; REFUSED_STREAM"), open},
		"resets for an error":                   {resets(http2.ErrCodeInternal), open},
		"resets for a fault of ours":            {resets(http2.ErrCodeProtocol), open},
		"resets and cancels":                    {resets(http2.ErrCodeCancel), open},
		"resets without an error and an answer": {resets(http2.ErrCodeNo), open},
		"resets since it is too much":           {resets(http2.ErrCodeEnhanceYourCalm), open},
		"closes the connection without a word":  {func(s *stream) { _ = s.conn.Close() }, open},
		"ends what it says in the middle of it": {func(s *stream) { _, _ = s.conn.Write([]byte{0, 0, 9, 1}); _ = s.conn.Close() }, open},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial, requests := frames(t, conf, tt.serve)
			c := trusting(t, certs, dial)
			class := provider.Ambiguous
			if tt.code == gone {
				class = provider.Transient
			}
			_, fault := c.Do(within(t, time.Minute), post(300))
			wantFault(t, fault, class, tt.code)
			if requests.Load() != 1 {
				t.Errorf("%d requests: %v", requests.Load(), fault.Cause)
			}
		})
	}
	t.Run("leaves between two", func(t *testing.T) {
		t.Parallel()
		var first atomic.Pointer[stream]
		both := make(chan struct{})
		dial, requests := frames(t, conf, func(s *stream) {
			if first.CompareAndSwap(nil, s) {
				close(both)
				return
			}
			_ = s.WriteGoAway(first.Load().id, http2.ErrCodeNo, nil)
			first.Load().answer()
		})
		c := trusting(t, certs, dial)
		var all sync.WaitGroup
		all.Go(func() {
			if a, fault := c.Do(within(t, time.Minute), post(300)); fault != nil || a.Status != 200 {
				t.Errorf("the one that was looked at: %v", fault)
			}
		})
		<-both
		_, fault := c.Do(within(t, time.Minute), post(300))
		wantFault(t, fault, provider.Transient, gone)
		all.Wait()
		if requests.Load() != 2 {
			t.Errorf("%d requests", requests.Load())
		}
	})
}

// TestTooManyStreams: a server that takes one stream at a time meets eighty at once, on connection after connection. What is
// said not to have been sent its handler never saw; nothing is sent twice.
func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	var mu sync.Mutex
	seen := map[string]int{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		seen[string(body)]++
	}))
	s.TLS, s.EnableHTTP2 = certs.Server(t, "api.test", time.Now().Add(24*time.Hour)), true
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	var turned, taken, unknown atomic.Int64
	for round := range 4 {
		c := trusting(t, certs, providertest.DialTo(s.Listener.Addr().String()))
		var all sync.WaitGroup
		for i := range 80 {
			all.Go(func() {
				call := post(0)
				call.Body = fmt.Appendf(nil, "%d/%d", round, i)
				_, fault := c.Do(within(t, time.Minute), call)
				mu.Lock()
				defer mu.Unlock()
				n := seen[string(call.Body)]
				switch {
				case n > 1:
					t.Errorf("%s came %d times", call.Body, n)
				case fault == nil:
					taken.Add(1)
				case fault.Class == provider.Transient && n == 0:
					turned.Add(1)
				case fault.Class == provider.Ambiguous:
					unknown.Add(1)
				default:
					t.Errorf("%s came %d times: %v, %v", call.Body, n, fault, fault.Cause)
				}
			})
		}
		all.Wait()
	}
	t.Logf("taken %d, turned away %d, unknown %d", taken.Load(), turned.Load(), unknown.Load())
}

// TestUnprocessed: the transport's words for what was not processed, and for what only sounds so.
func TestUnprocessed(t *testing.T) {
	t.Parallel()
	const again = "http2: Transport: cannot retry err [%s] after Request.Body was written; define Request.GetBody to avoid this error"
	for text, want := range map[string]bool{
		fmt.Sprintf(again, "http2: Transport received Server's graceful shutdown GOAWAY"):                                            true,
		fmt.Sprintf(again, "stream error: stream ID 5; REFUSED_STREAM; received from peer"):                                          true,
		fmt.Sprintf(again, "stream error: stream ID 5; PROTOCOL_ERROR; received from peer"):                                          false,
		"http2: Transport received GOAWAY from server ErrCode:ENHANCE_YOUR_CALM":                                                     true,
		"stream error: stream ID 5; INTERNAL_ERROR; received from peer":                                                              false,
		"stream error: stream ID 5; REFUSED_STREAM; received from peer":                                                              false,
		`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug="stream ID 5; REFUSED_STREAM"`: false,
		`malformed HTTP response "http2: Transport: cannot retry err [stream error: stream ID 5; REFUSED_STREAM"`:                    false,
		"unexpected EOF": false,
	} {
		if got := unprocessed(errors.New(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// TestGoodbyeIsNoRequest: what encryption says on a connection is nothing of a request.
func TestGoodbyeIsNoRequest(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	conf := certs.Server(t, "api.test", time.Now().Add(24*time.Hour))
	conf.NextProtos = []string{"http/1.1"}
	got := make(chan string, 1)
	dial := providertest.Peer(t, func(raw net.Conn) {
		conn := tls.Server(raw, conf)
		text, err := io.ReadAll(conn)
		got <- fmt.Sprintf("%s|%v", text, err)
		_ = conn.Close()
	})
	c := trusting(t, certs, dial)
	open := func(write string) *flight {
		conn, err := c.transport.DialTLSContext(within(t, time.Minute), "tcp", "api.test:443")
		if err != nil {
			t.Fatal(err)
		}
		f := &flight{body: true}
		f.taken(httptrace.GotConnInfo{Conn: conn, Reused: true})
		_, _ = io.WriteString(conn, write)
		_ = conn.Close()
		if text := <-got; text != write+"|<nil>" { // the peer read the goodbye
			t.Errorf("the peer read %q", text)
		}
		return f
	}
	if f := open(""); f.sent() || !f.untouched() {
		t.Error("a goodbye counts as a request")
	}
	if f := open("POST"); !f.sent() || f.untouched() {
		t.Error("the beginning of a request does not count")
	}
}

// TestADeadEncryptedConnectionIsReplaced: as without encryption, and with one request on the wire.
func TestADeadEncryptedConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	var requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
	}))
	s.TLS = certs.Server(t, "api.test", time.Now().Add(24*time.Hour))
	s.StartTLS()
	defer s.Close()
	inner := providertest.DialTo(s.Listener.Addr().String())
	var conns []*flaky
	c := trusting(t, certs, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := inner(ctx, network, address)
		f := &flaky{Conn: conn}
		conns = append(conns, f)
		return f, err
	})
	for n := int64(1); n <= 3; n++ {
		if _, fault := c.Do(within(t, time.Minute), post(300)); fault != nil {
			t.Fatal(fault)
		}
		if requests.Load() != n || len(conns) != int(n) {
			t.Errorf("call %d: %d requests on %d connections", n, requests.Load(), len(conns))
		}
		conns[n-1].broken.Store(true)
	}
}
