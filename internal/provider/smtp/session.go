package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/provider"
)

// session is one logged-in connection. One goroutine uses it at a time.
type session struct {
	*wire
	times     timeouts
	ext       extensions
	encrypted bool
	dirty     bool // an envelope may be open on the server: RSET before the next
	broken    bool // out of step or interrupted: never used again
	sent      int  // transactions begun
	idleSince time.Time
}

// extensions is what EHLO's answer offered.
type extensions struct {
	pipelining bool
	startTLS   bool
	sized      bool  // SIZE may be declared
	size       int64 // largest mail; 0 = not said
	auth       []string
}

// connect opens a session: TCP, TLS, greeting, EHLO, AUTH.
// It gives up when hurry ends; nil: never.
func (s *Sender) connect(ctx, hurry context.Context) (*session, *fault) {
	ses, f := s.begin(ctx, hurry)
	if f != nil && ses != nil {
		ses.drop()
		return nil, f
	}
	return ses, f
}

// begin is connect for a caller who looks at sessions that failed, too: the session
// is nil only if there was no connection, and the caller ends it.
func (s *Sender) begin(ctx, hurry context.Context) (*session, *fault) {
	short, cancel := context.WithTimeout(ctx, s.times.connect)
	defer cancel()
	if hurry != nil {
		stop := context.AfterFunc(hurry, cancel)
		defer stop()
	}
	conn, err := s.dial(short, "tcp", s.config.target())
	if err != nil {
		return nil, &fault{phase: connecting, err: fmt.Errorf("dial: %w", err)}
	}
	ses := &session{wire: newWire(conn), times: s.times}
	if s.config.secure {
		if err := s.encrypt(short, ses); err != nil {
			return ses, &fault{phase: startTLS, err: err}
		}
	}
	stop := ses.watch(ctx)
	ses.under(hurry)
	f := s.open(ctx, ses)
	if !stop() && f == nil {
		f = &fault{phase: hello, err: context.Cause(ctx)}
	}
	if !ses.unhurried() && f == nil {
		f = &fault{phase: hello, err: errSilent}
	}
	return ses, f
}

// patience is how long a step of opening a session may take.
func (s *Sender) patience(ctx context.Context) time.Duration {
	if _, limited := provider.ConnectLimit(ctx); limited {
		return min(s.times.command, s.times.brisk)
	}
	return s.times.command
}

// open speaks the dialogue up to AUTH.
func (s *Sender) open(ctx context.Context, ses *session) *fault {
	if err := ses.within(ctx, s.patience(ctx)); err != nil {
		return &fault{phase: greeting, err: err}
	}
	r, err := ses.reply()
	if err != nil || r.code != 220 {
		return newFault(greeting, r, err)
	}
	if f := s.hello(ctx, ses); f != nil {
		return f
	}
	if !ses.encrypted && ses.ext.startTLS {
		if f := s.upgrade(ctx, ses); f != nil {
			return f
		}
	}
	if s.config.username == "" {
		return nil
	}
	return s.login(ctx, ses)
}

// hello sends EHLO, or HELO to a server that does not know it.
func (s *Sender) hello(ctx context.Context, ses *session) *fault {
	if err := ses.within(ctx, s.patience(ctx)); err != nil {
		return &fault{phase: hello, err: err}
	}
	name := s.ownName(ses.conn)
	ses.ext = extensions{}
	r, err := ses.askLines(ses.ext.learn, "EHLO ", name)
	if err == nil && (r.code == 500 || r.code == 502) {
		ses.ext = extensions{}
		r, err = ses.ask("HELO ", name)
	}
	if err != nil || r.code != 250 {
		return newFault(hello, r, err)
	}
	return nil
}

// learn reads one line of EHLO's answer. The first line, the server's name, teaches nothing.
func (e *extensions) learn(line string) {
	word, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch word = strings.ToUpper(word); {
	case word == "PIPELINING":
		e.pipelining = true
	case word == "STARTTLS":
		e.startTLS = true
	case word == "SIZE":
		e.sized = true
		if n, err := strconv.ParseInt(strings.TrimSpace(args), 10, 64); err == nil && n > 0 {
			e.size = n
		}
	case word == "AUTH":
		e.auth = append(e.auth, strings.Fields(strings.ToUpper(args))...)
	case strings.HasPrefix(word, "AUTH="): // an old spelling, still in use
		e.auth = append(e.auth, word[len("AUTH="):])
		e.auth = append(e.auth, strings.Fields(strings.ToUpper(args))...)
	}
}

// ownName is what we call ourselves: the host's name, or our address on this connection.
func (s *Sender) ownName(conn net.Conn) string {
	if s.hostname != "" {
		return s.hostname
	}
	if a, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		if a.IP.To4() == nil {
			return "[IPv6:" + a.IP.String() + "]"
		}
		return "[" + a.IP.String() + "]"
	}
	return "localhost"
}

// upgrade sends STARTTLS and begins anew over TLS. Everything learnt in clear is forgotten.
func (s *Sender) upgrade(ctx context.Context, ses *session) *fault {
	if err := ses.within(ctx, s.patience(ctx)); err != nil {
		return &fault{phase: startTLS, err: err}
	}
	r, err := ses.ask("STARTTLS")
	if err != nil || r.code != 220 {
		return newFault(startTLS, r, err)
	}
	if smuggled, err := ses.arrived(atOnce); len(smuggled) > 0 {
		// Commands or replies smuggled in before the encryption (CVE-2011-0411 and its kin).
		return &fault{phase: startTLS, err: errInjected}
	} else if err != nil {
		return &fault{phase: startTLS, err: err}
	}
	short, cancel := context.WithTimeout(ctx, s.times.connect)
	defer cancel()
	if err := s.encrypt(short, ses); err != nil {
		return &fault{phase: startTLS, err: err}
	}
	return s.hello(ctx, ses)
}

var (
	errInjected = errors.New("data followed the answer to STARTTLS in clear")
	errNoTLS    = errors.New("the server offers no encryption")
)

// encrypt begins TLS on the session's connection.
func (s *Sender) encrypt(ctx context.Context, ses *session) error {
	if t, ok := ctx.Deadline(); ok {
		if err := ses.conn.SetDeadline(t); err != nil {
			return err
		}
	}
	secured := tls.Client(ses.conn, s.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	ses.over(secured)
	ses.encrypted = true
	return nil
}

// quit ends a session politely without waiting for the answer.
func (ses *session) quit() {
	_ = ses.conn.SetDeadline(time.Now().Add(time.Second))
	_ = ses.put("QUIT")
	_ = ses.out.Flush()
	_ = ses.conn.Close()
}

// drop ends a session without a word.
func (ses *session) drop() { _ = ses.conn.Close() }
