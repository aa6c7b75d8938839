package bench

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sink is a mail server that takes everything and keeps nothing. It offers
// PIPELINING, as real ones do, and is cheap enough not to be what is measured, which
// the simulator's relay with its ledger is not (docs/decisions/0011).
type sink struct {
	addr  string
	taken atomic.Int64
	first atomic.Int64 // nanoseconds since the epoch: the first and the last message taken
	last  atomic.Int64
	// onRecipient, when set, sees each recipient's address as it arrives.
	onRecipient func(address []byte)

	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
	wg       sync.WaitGroup
}

func newSink(onRecipient func([]byte)) (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), listener: l, onRecipient: onRecipient, conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	return s, nil
}

func (s *sink) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = true
		s.wg.Go(func() {
			_ = s.session(c) // how a client leaves is its own affair
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
		s.mu.Unlock()
	}
}

func (s *sink) close() {
	s.mu.Lock()
	s.closed = true
	s.listener.Close()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *sink) session(c net.Conn) error {
	in, out := bufio.NewReaderSize(c, 16<<10), bufio.NewWriter(c)
	answer := func(text string) error {
		out.WriteString(text + "\r\n")
		if in.Buffered() > 0 { // the client pipelines: answer all of it at once
			return nil
		}
		return out.Flush()
	}
	if err := answer("220 sink.example.com ESMTP"); err != nil {
		return err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		verb, rest := line, []byte(nil)
		if len(line) > 4 {
			verb, rest = line[:4], line[4:]
		}
		text := "250 2.0.0 OK"
		switch {
		case bytes.EqualFold(verb, []byte("EHLO")):
			text = "250-sink.example.com\r\n250-PIPELINING\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"
		case bytes.EqualFold(verb, []byte("RCPT")):
			if open, end := bytes.IndexByte(rest, '<'), bytes.IndexByte(rest, '>'); s.onRecipient != nil && open >= 0 && end > open {
				s.onRecipient(rest[open+1 : end])
			}
		case bytes.EqualFold(verb, []byte("DATA")):
			if err := answer("354 go ahead"); err != nil {
				return err
			}
			if err := skipData(in); err != nil {
				return err
			}
			at := time.Now().UnixNano()
			s.first.CompareAndSwap(0, at)
			s.last.Store(at)
			s.taken.Add(1)
			text = "250 2.0.0 taken"
		case bytes.EqualFold(verb, []byte("QUIT")):
			return errors.Join(answer("221 2.0.0 bye"), out.Flush())
		}
		if err := answer(text); err != nil {
			return err
		}
	}
}

// skipData reads up to the line with the single dot.
func skipData(in *bufio.Reader) error {
	whole := true // the line before was read to its end
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if whole && (string(line) == ".\r\n" || string(line) == ".\n") {
			return nil
		}
		whole = err == nil
	}
}

// perSecond is the rate from the first to the last message taken.
func (s *sink) perSecond() float64 {
	n, took := s.taken.Load(), time.Duration(s.last.Load()-s.first.Load())
	if n < 2 || took <= 0 {
		return 0
	}
	return float64(n-1) / took.Seconds()
}
