package scale

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is a mail server that takes everything and notes when. It is plain, so
// that what is measured is the program and not the other end.
type sink struct {
	addr string
	// hold is how long a message's answer takes; nil = at once. Both are fixed before the first connection.
	hold func(local string) time.Duration
	// keep says which recipients are noted one by one; nil = all. Others are only counted.
	keep func(local string) bool

	mu    sync.Mutex
	got   map[string]receipt
	total int
	conns map[net.Conn]struct{}
}

// receipt is what the sink knows of a recipient.
type receipt struct {
	first time.Time // when its message had arrived whole for the first time
	n     int
}

func newSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), got: map[string]receipt{}, conns: map[net.Conn]struct{}{}}
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			go func() {
				s.serve(c)
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
		}
	}()
	return s
}

// sessions is how many are open.
func (s *sink) sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// serve speaks as much SMTP as a client with PIPELINING needs.
func (s *sink) serve(c net.Conn) {
	in, out := bufio.NewReaderSize(c, 8<<10), bufio.NewWriter(c)
	say := func(line string) { _, _ = out.WriteString(line + "\r\n") }
	say("220 sink.example.com ESMTP")
	local := ""
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		verb := strings.ToUpper(string(line[:min(4, len(line))]))
		switch verb {
		case "EHLO":
			say("250-sink.example.com")
			say("250-PIPELINING")
			say("250 8BITMIME")
		case "RCPT":
			_, rest, _ := bytes.Cut(line, []byte("<"))
			name, _, _ := bytes.Cut(rest, []byte("@"))
			local = string(name)
			say("250 2.1.5 ok")
		case "DATA":
			say("354 go ahead")
			if out.Flush() != nil || skipMail(in) != nil {
				return
			}
			s.take(local)
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 bye")
			_ = out.Flush()
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// skipMail reads to the final dot.
func skipMail(in *bufio.Reader) error {
	for whole := true; ; {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if whole && string(line) == ".\r\n" {
			return nil
		}
		whole = err == nil
	}
}

func (s *sink) take(local string) {
	now := time.Now()
	if s.hold != nil {
		if d := s.hold(local); d > 0 {
			time.Sleep(d)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if s.keep != nil && !s.keep(local) {
		return
	}
	r := s.got[local]
	if r.n++; r.n == 1 {
		r.first = now
	}
	s.got[local] = r
}

// copies is how many messages were taken in all.
func (s *sink) copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// noted is how many recipients were noted.
func (s *sink) noted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func (s *sink) receipt(local string) receipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[local]
}

// ledger is how often each noted recipient's message was taken.
func (s *sink) ledger() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.got))
	for name, r := range s.got {
		out[name] = r.n
	}
	return out
}

// until waits for the condition, which is asked often, or for the limit.
func until(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return done()
		}
	}
	return true
}
