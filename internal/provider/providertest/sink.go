package providertest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Sink is an SMTP server that accepts everything and keeps nothing: for load.
type Sink struct {
	Addr  string
	Mails atomic.Int64
	Conns atomic.Int64

	tls    *tls.Config
	l      net.Listener
	greets string
	mu     sync.Mutex
	open   map[net.Conn]bool
}

// NewSink starts a sink. ext are EHLO keywords that it announces, such as
// PIPELINING; with STARTTLS among them conf is used.
func NewSink(t testing.TB, conf *tls.Config, ext ...string) *Sink {
	l := listen(t)
	s := &Sink{Addr: l.Addr().String(), l: l, tls: conf, open: map[net.Conn]bool{}}
	for _, e := range ext {
		s.greets += "250-" + e + "\r\n"
	}
	s.greets = "250-sink.test\r\n" + s.greets + "250 ENHANCEDSTATUSCODES\r\n"
	go s.accept()
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.open {
			_ = c.Close()
		}
	})
	return s
}

// Dial opens a connection to the sink.
func (s *Sink) Dial() Dialer { return DialTo(s.Addr) }

func (s *Sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.Conns.Add(1)
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		go s.serve(c)
	}
}

func (s *Sink) serve(raw net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.open, raw)
		s.mu.Unlock()
		_ = raw.Close()
	}()
	c := raw
	in, out := bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 4<<10)
	say := func(text string) error {
		_, _ = out.WriteString(text)
		if in.Buffered() > 0 { // more commands wait: answer them together
			return nil
		}
		return out.Flush()
	}
	err := say("220 sink.test ESMTP\r\n")
	for err == nil {
		var line []byte
		if line, err = in.ReadSlice('\n'); err != nil {
			return
		}
		switch verb := strings.ToUpper(string(line[:min(4, len(line))])); verb {
		case "EHLO":
			err = say(s.greets)
		case "DATA":
			if err = say("354 go on\r\n"); err == nil {
				err = s.content(in)
				s.Mails.Add(1)
				_ = say("250 2.0.0 Ok: queued as 4711\r\n")
			}
		case "AUTH":
			err = say("235 2.7.0 ok\r\n")
		case "STAR":
			if err = say("220 go on\r\n"); err != nil {
				return
			}
			secured := tls.Server(raw, s.tls)
			c = secured
			in.Reset(secured)
			out.Reset(secured)
		case "QUIT":
			_ = say("221 bye\r\n")
			return
		default:
			err = say("250 2.0.0 ok\r\n")
		}
	}
	_ = c.Close()
}

func (s *Sink) content(in *bufio.Reader) error {
	start := true
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			start = false
			continue
		}
		if err != nil {
			return err
		}
		if start && len(line) == 3 && line[0] == '.' {
			return nil
		}
		start = true
	}
}
