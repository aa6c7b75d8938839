package web

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

// TestHurry: a call of which not everything has left gives up when the provider answers nobody, whatever it waits for; one
// that may have been sent goes on. Without it these calls end by their own limits, with other codes.
func TestHurry(t *testing.T) {
	t.Parallel()
	const large = 32 << 20 // more than the buffers of two sockets hold
	waits := func(reached chan<- struct{}, read int64) providertest.Dialer {
		return providertest.Peer(t, func(c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, read)
			reached <- struct{}{}
			<-t.Context().Done()
			_ = c.Close()
		})
	}
	for name, tt := range map[string]struct {
		base string
		size int
		dial func(reached chan<- struct{}) providertest.Dialer
	}{
		"dial": {"https://api.test", 300, func(reached chan<- struct{}) providertest.Dialer {
			return func(ctx context.Context, _, _ string) (net.Conn, error) {
				reached <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}},
		"encryption":           {"https://api.test", 300, func(reached chan<- struct{}) providertest.Dialer { return waits(reached, 100) }},
		"not taken whole":      {"http://api.test", large, func(reached chan<- struct{}) providertest.Dialer { return waits(reached, 4<<10) }},
		"an empty body's dial": {"https://api.test", 0, func(reached chan<- struct{}) providertest.Dialer { return waits(reached, 100) }},
		"hurried from the start": {"https://api.test", 300, func(reached chan<- struct{}) providertest.Dialer {
			reached <- struct{}{}
			return waits(make(chan struct{}, 4), 100)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached := make(chan struct{}, 4)
			hurry, rush := context.WithCancel(context.Background())
			defer rush()
			call := post(tt.size)
			call.Hurry = hurry
			c := client(t, tt.base, tt.dial(reached))
			go func() { <-reached; rush() }()
			_, fault := c.Do(within(t, time.Minute), call)
			wantFault(t, fault, provider.Transient, "no_answer")
		})
	}
	t.Run("a free connection", func(t *testing.T) {
		t.Parallel()
		reached := make(chan struct{}, 4)
		hurry, rush := context.WithCancel(context.Background())
		defer rush()
		c := client(t, "http://api.test", waits(reached, 200))
		c.transport.MaxConnsPerHost = 1
		first, end := context.WithCancel(within(t, time.Minute))
		done := make(chan *provider.Error)
		go func() { _, fault := c.Do(first, post(300)); done <- fault }()
		<-reached // the only connection is in use
		call := post(300)
		call.Hurry = hurry
		time.AfterFunc(50*time.Millisecond, rush)
		_, fault := c.Do(within(t, time.Minute), call)
		wantFault(t, fault, provider.Transient, "no_answer")
		end()
		wantFault(t, <-done, provider.Ambiguous, "outcome_unknown")
	})
	t.Run("sent whole", func(t *testing.T) {
		t.Parallel()
		hurry, rush := context.WithCancel(context.Background())
		defer rush()
		dial, _ := ledger(t, func(_ int, c net.Conn, in *bufio.Reader) bool {
			take(in)
			rush()
			time.Sleep(50 * time.Millisecond) // for whoever would give up now
			_, _ = io.WriteString(c, ok)
			return true
		})
		call := post(300)
		call.Hurry = hurry
		if a, fault := client(t, "http://api.test", dial).Do(within(t, time.Minute), call); fault != nil || a.Status != 200 {
			t.Errorf("%v %+v", fault, a)
		}
	})
	t.Run("answered early", func(t *testing.T) {
		t.Parallel()
		hurry, rush := context.WithCancel(context.Background())
		defer rush()
		dial := providertest.Peer(t, func(c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 4<<10)
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
			time.Sleep(50 * time.Millisecond)
			rush()
			time.Sleep(50 * time.Millisecond)
			_, _ = io.WriteString(c, "no")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
		call := post(large)
		call.Hurry = hurry
		a, fault := client(t, "http://api.test", dial).Do(within(t, time.Minute), call)
		switch {
		case fault != nil && fault.Code == "no_answer": // rushed before the answer was seen: nothing was sent whole
		case fault != nil || a.Status != 413:
			t.Errorf("%v %+v", fault, a)
		}
	})
}

// TestEncryptionInAHurry: a handshake that hangs is given up sooner where another provider could carry the message.
func TestEncryptionInAHurry(t *testing.T) {
	t.Parallel()
	dial := providertest.Peer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
	ctx := provider.ConnectWithin(within(t, time.Minute), 50*time.Millisecond)
	began := time.Now()
	_, fault := client(t, "https://api.test", dial).Do(ctx, post(300))
	wantFault(t, fault, provider.Transient, "connect_timeout")
	if took := time.Since(began); took >= handshakeTime {
		t.Errorf("it took %v", took)
	}
}
