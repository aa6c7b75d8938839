package providertest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// SMTPScript is a server that plays one transcript per connection and reports
// every line of the client that differs. A transcript has one step per line:
//
//	S: 220 ready        send this line
//	S! 25               send this text without a line end; \r and \n are escapes
//	C: EHLO client.test expect exactly this line
//	C~ MAIL FROM:<a@b>  expect a line that begins so
//	<mail>              read the content up to the final dot and keep it
//	<read 100>          read that many octets and forget them
//	<tls>               become a TLS server, also as the first step
//	<drip 5ms>          from here on send one octet at a time, this far apart
//	<hang>              wait until the client goes away
//	<end>               expect that the client goes away without a word
//	<close> <reset>     end the connection with FIN or RST
//
// Empty lines and lines that begin with # mean nothing.
type SMTPScript struct {
	Dial Dialer
	Hung chan struct{} // closed when a script has reached <hang>

	t       testing.TB
	tls     *tls.Config
	scripts []string
	hang    sync.Once

	mu    sync.Mutex
	conns int
	mails [][]byte
}

// ServeSMTP starts the server; scripts[i] is for the i-th connection. conf may be nil if no step is <tls>.
func ServeSMTP(t testing.TB, conf *tls.Config, scripts ...string) *SMTPScript {
	s := &SMTPScript{Hung: make(chan struct{}), t: t, tls: conf, scripts: scripts}
	s.Dial = Peer(t, func(c net.Conn) {
		s.mu.Lock()
		n := s.conns
		s.conns++
		s.mu.Unlock()
		if n >= len(s.scripts) {
			t.Errorf("connection %d has no script", n+1)
			_ = c.Close()
			return
		}
		if err := s.play(c, s.scripts[n]); err != nil {
			t.Errorf("connection %d: %v", n+1, err)
		}
	})
	return s
}

// Conns is how many connections there were so far.
func (s *SMTPScript) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// Mails are the contents received so far, as sent, dots undone.
func (s *SMTPScript) Mails() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.mails...)
}

type player struct {
	conn net.Conn
	in   *bufio.Reader
	drip time.Duration
}

func (s *SMTPScript) play(c net.Conn, script string) error {
	p := &player{conn: c, in: bufio.NewReader(c)}
	defer func() { _ = p.conn.Close() }()
	for n, step := range strings.Split(script, "\n") {
		step = strings.TrimSpace(step)
		if step == "" || strings.HasPrefix(step, "#") {
			continue
		}
		if err := s.step(p, step); err != nil {
			return fmt.Errorf("step %d (%s): %w", n+1, step, err)
		}
	}
	return nil
}

func (s *SMTPScript) step(p *player, step string) error {
	word, rest, _ := strings.Cut(step, " ")
	switch word {
	case "S:":
		return p.send(rest + "\r\n")
	case "S!":
		return p.send(strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(rest))
	case "C:", "C~":
		line, err := p.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("got %q, %w", line, err)
		}
		if line = strings.TrimSuffix(line, "\r\n"); line != rest && (word == "C:" || !strings.HasPrefix(line, rest)) {
			return fmt.Errorf("the client said %q", line)
		}
		return nil
	case "<mail>":
		mail, err := readMail(p.in)
		s.mu.Lock()
		s.mails = append(s.mails, mail)
		s.mu.Unlock()
		return err
	case "<read":
		n, _ := strconv.Atoi(strings.TrimSuffix(rest, ">"))
		_, err := io.CopyN(io.Discard, p.in, int64(n))
		return err
	case "<drip":
		d, err := time.ParseDuration(strings.TrimSuffix(rest, ">"))
		p.drip = d
		return err
	}
	return s.act(p, word)
}

func (s *SMTPScript) act(p *player, word string) error {
	switch word {
	case "<tls>":
		secured := tls.Server(p.conn, s.tls)
		if err := secured.HandshakeContext(context.Background()); err != nil {
			return nil // what the client makes of it is for the test to see
		}
		p.conn, p.in = secured, bufio.NewReader(secured)
	case "<hang>":
		s.hang.Do(func() { close(s.Hung) })
		_, _ = io.Copy(io.Discard, p.in)
	case "<end>":
		if rest, err := io.ReadAll(p.in); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("the client went on: %q %w", rest, err)
		}
	case "<close>":
		return p.conn.Close()
	case "<reset>":
		if tcp, ok := p.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return p.conn.Close()
	default:
		return errors.New("unknown step")
	}
	return nil
}

func (p *player) send(text string) error {
	if p.drip == 0 {
		_, err := io.WriteString(p.conn, text)
		return err
	}
	for i := range len(text) {
		time.Sleep(p.drip)
		if _, err := io.WriteString(p.conn, text[i:i+1]); err != nil {
			return nil // the client was right to leave
		}
	}
	return nil
}

// readMail reads SMTP content, strictly: lines end with CRLF, the end is a lone dot.
func readMail(in *bufio.Reader) ([]byte, error) {
	var mail []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return mail, err
		}
		if n := len(line); n < 2 || line[n-2] != '\r' {
			return mail, fmt.Errorf("a bare line feed in %q", line)
		}
		if string(line) == ".\r\n" {
			return mail, nil
		}
		if line[0] == '.' {
			line = line[1:]
		}
		mail = append(mail, line...)
	}
}

// base64Core answers the part of base64(x + text + y) that depends on text
// alone when x has shift octets more than a multiple of three.
func base64Core(text string, shift int) string {
	skip := (3 - shift) % 3
	text = text[skip:]
	return base64.StdEncoding.EncodeToString([]byte(text[:len(text)/3*3]))
}
