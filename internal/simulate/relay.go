package simulate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Limits of mail.
const (
	maxMail     = 20 << 20
	maxHead     = 64 << 10
	hugeLine    = 64 << 10
	sessionTime = 10 * time.Minute
)

// mailServer speaks as a mail relay does (RFC 5321), without TLS: it is on loopback.
func (s *Server) mailServer() *smtp.Server {
	m := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		l, ok := c.Conn().(*link)
		if !ok {
			return nil, errors.New("no connection of ours")
		}
		return &session{s: s, link: l, port: l.door.port(), number: s.store.request()}, nil
	}))
	m.Domain = "relay.simulate.commserver.test"
	m.MaxRecipients, m.MaxMessageBytes, m.MaxLineLength = 100, maxMail, 4000
	m.AllowInsecureAuth, m.EnableSMTPUTF8, m.EnableDSN = true, true, true
	m.ReadTimeout, m.WriteTimeout = sessionTime, sessionTime
	m.ErrorLog = silent{}
	return m
}

// silent is a log of nothing: how clients leave is their own affair.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// session is one SMTP session; go-smtp calls it from one goroutine.
type session struct {
	s      *Server
	link   *link
	port   int
	number int64 // of the session
	nth    int   // of the first recipient's requests
	tries  int   // of stages before any recipient
	from   string
	tos    []string
	answer Rule // the first ordered one of the transaction's recipients
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.tos, s.answer = "", nil, Rule{} }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// replyOf is a refusal as go-smtp writes it.
func replyOf(r Refusal) *smtp.SMTPError {
	e := &smtp.SMTPError{Code: r.Status, Message: r.Text}
	if n, err := fmt.Sscanf(r.Code, "%d.%d.%d", &e.EnhancedCode[0], &e.EnhancedCode[1], &e.EnhancedCode[2]); n != 3 || err != nil {
		e.EnhancedCode = smtp.NoEnhancedCode
	}
	return e
}

// early asks the rules about a stage before any recipient.
func (s *session) early(stage string) error {
	s.tries++
	now := s.s.cfg.Now()
	v := s.s.rules.judge(meeting{kind: SMTP, port: s.port, relay: s.link.door.place, nth: int(s.number)*1000 + s.tries, now: now}, stage)
	if v.answer.Fault != Refuse {
		return nil
	}
	r, _ := refusal(SMTP, v.answer.Error)
	s.s.ledger.enter(Entry{Request: s.number, At: now, Kind: KindSend, Type: SMTP, Port: s.port, Sender: s.from, Outcome: Refused, Error: r.Name, Fault: Refuse, Rule: v.answer.ID,
		Status: r.Status})
	return s.leaveAfter(replyOf(r))
}

// leaveAfter ends the session behind a 421, as RFC 5321 section 3.8 has it.
func (s *session) leaveAfter(e *smtp.SMTPError) error {
	if e.Code == 421 {
		instead := func(p []byte) error {
			_, err := s.link.Conn.Write(p)
			return errors.Join(err, s.link.Close())
		}
		s.link.next.Store(&instead)
	}
	return e
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

// Auth implements smtp.AuthSession: every user name with a password is let in, unless ordered otherwise.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if err := s.early(stageAuth); err != nil {
			return err
		}
		if user == "" || password == "" {
			return replyOf(must(SMTP, "auth 535 5.7.8"))
		}
		return nil
	}
	if mechanism == sasl.Login {
		return &loginServer{check: check}, nil
	}
	if mechanism != sasl.Plain {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer asks for the two words of AUTH LOGIN.
type loginServer struct {
	check func(user, password string) error
	asked int
	user  string
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if l.asked == 0 && response != nil {
		l.asked++ // the user name came with the command
	}
	l.asked++
	switch l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return s.early(stageMail)
}

// Rcpt implements smtp.Session: what is refused for its recipient is refused here.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	now := s.s.cfg.Now()
	nth := s.s.store.try(SMTP, s.port, to)
	r := s.s.rules.judge(meeting{kind: SMTP, port: s.port, relay: s.link.door.place, to: to, nth: nth, now: now}, "").answer
	e := Entry{Request: s.number, At: now, Kind: KindSend, Type: SMTP, Port: s.port, Sender: s.from, Recipient: to, Fault: r.Fault, Rule: r.ID}
	var refused *smtp.SMTPError
	switch {
	case r.Fault == Down:
		e.Outcome = Reset
		s.s.ledger.enter(e)
		s.link.reset()
		return errors.New("reset")
	case r.Fault == Refuse:
		if known, _ := refusal(SMTP, r.Error); known.Stage == stageRcpt {
			e.Outcome, e.Error, refused = Refused, known.Name, replyOf(known)
		}
	case r.Fault == Throttle:
		e.Outcome, refused = Throttled, replyOf(must(SMTP, "rcpt 451 4.7.1"))
	case r.Fault == Unavailable && !r.Taken:
		e.Outcome, refused = Failed, replyOf(must(SMTP, "rcpt 421 4.3.2"))
	}
	if refused != nil {
		e.Status = refused.Code
		s.s.ledger.enter(e)
		return s.leaveAfter(refused)
	}
	if s.answer.Fault == "" {
		s.answer = r
	}
	if s.tos = append(s.tos, to); len(s.tos) == 1 {
		s.nth = nth
	}
	return nil
}

// letter is what is read of a mail.
type letter struct {
	sum   [32]byte
	bytes int64
	head  []byte // its first octets
}

func readLetter(r io.Reader) (letter, error) {
	h := sha256.New()
	var l letter
	var head bytes.Buffer
	in := io.TeeReader(r, h)
	n, err := io.Copy(&head, io.LimitReader(in, maxHead))
	if err != nil {
		return l, err
	}
	rest, err := io.Copy(io.Discard, in)
	l.sum, l.bytes, l.head = [32]byte(h.Sum(nil)), n+rest, head.Bytes()
	return l, err
}

// messageID is the mail's Message-ID, without its brackets; empty when it has none.
func (l letter) messageID() string {
	m, err := mail.ReadMessage(bufio.NewReader(bytes.NewReader(l.head)))
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimSpace(m.Header.Get("Message-Id")), "<>")
}

// Data implements smtp.Session: the mail is read whole, then decided about.
func (s *session) Data(in io.Reader) error {
	l, err := readLetter(in)
	r, now := s.answer, s.s.cfg.Now()
	if too, ok := errors.AsType[*smtp.SMTPError](err); ok { // larger than a relay takes
		s.enter(Entry{At: now, Kind: KindSend, Type: SMTP, Port: s.port, Sender: s.from}, Refused, too.Code)
		return too
	}
	if err != nil {
		return err // broken off inside the data: nothing was taken
	}
	entry := Entry{At: now, Kind: KindSend, Type: SMTP, Port: s.port, Sender: s.from, Token: l.messageID(), Fault: r.Fault, Rule: r.ID,
		BodySHA256: hex.EncodeToString(l.sum[:]), Bytes: l.bytes}
	if s.s.cfg.Content {
		entry.Content = strings.ToValidUTF8(string(l.head), "")
	}
	switch {
	case r.Fault == Hang && !r.Taken:
		s.enter(entry, Hung, 0)
		s.hang(time.Duration(r.Delay))
		return errors.New("hung")
	case r.Fault == Refuse: // of the stage data
		known, _ := refusal(SMTP, r.Error)
		entry.Error = known.Name
		s.enter(entry, Refused, known.Status)
		return s.leaveAfter(replyOf(known))
	}
	entry.AnswerLost = r.Fault == Lose || r.Fault == Hang || r.Fault == Malformed && r.Form == "empty"
	id := s.enter(entry, Accepted, 250)
	return s.finish(r, id)
}

// enter writes a line for each recipient, and answers the queue id of what was taken.
func (s *session) enter(e Entry, outcome string, status int) (id string) {
	e.Outcome, e.Status, e.Request = outcome, status, s.s.store.request()
	for i, to := range s.tos {
		e.Recipient = to
		if outcome == Accepted {
			if i == 0 {
				d := draw(s.s.cfg.Seed, "queue", itoa(s.link.door.place), plain(to), e.BodySHA256, itoa(s.nth))
				id = strings.ToUpper(hex.EncodeToString(d[:6]))
			}
			e.ProviderID = id
		}
		s.s.ledger.enter(e)
	}
	return id
}

// hang says nothing until the client is gone, the server stops or most is over.
func (s *session) hang(most time.Duration) {
	if most > 0 {
		_ = s.link.SetReadDeadline(time.Now().Add(most))
	} else {
		_ = s.link.SetReadDeadline(time.Time{})
	}
	stop := make(chan struct{})
	go func() {
		select {
		case <-s.s.ctx.Done():
			_ = s.link.SetReadDeadline(time.Now())
		case <-stop:
		}
	}()
	_, _ = io.Copy(io.Discard, s.link.Conn)
	close(stop)
	s.link.reset()
}

// finish gives the reply to the final dot, as ordered.
func (s *session) finish(r Rule, id string) error {
	taken := &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued as " + id}
	instead := func(p []byte) error { return nil }
	switch {
	case r.Fault == Lose:
		s.link.reset()
		return errors.New("lost")
	case r.Fault == Hang:
		s.hang(time.Duration(r.Delay))
		return errors.New("hung")
	case r.Fault == Unavailable:
		return s.leaveAfter(replyOf(must(SMTP, "rcpt 421 4.3.2")))
	case r.Fault == Slow:
		sleep(s.s.ctx, orElse(r.Delay, slowTime))
		return taken
	case r.Fault == Drip:
		instead = func(p []byte) error { return s.drip(p, orElse(r.Delay, dripTime)) }
	case r.Fault == Malformed:
		instead = func([]byte) error { return s.malformed(r.Form) }
	default:
		return taken
	}
	s.link.next.Store(&instead)
	return taken
}

func (s *session) drip(p []byte, pause time.Duration) error {
	for i := range p {
		if !sleep(s.s.ctx, pause) {
			return s.s.ctx.Err()
		}
		if _, err := s.link.Conn.Write(p[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) malformed(form string) error {
	say := func(text string) error {
		_, err := io.WriteString(s.link.Conn, text)
		return err
	}
	switch form {
	case "empty":
		return s.link.Close()
	case "html":
		return errors.Join(say(strings.ReplaceAll(htmlPage, "\n", "\r\n")), s.link.Close())
	case "unexpected":
		return say("354 go ahead\r\n")
	case "huge":
		line := "250-" + strings.Repeat("x", 500) + "\r\n"
		piece := strings.Repeat(line, hugeLine/len(line))
		for range hugeSize / len(piece) {
			if err := say(piece); err != nil {
				return err
			}
		}
		return say("250 2.0.0 Ok\r\n")
	}
	return say("2x0 ok?\r\n")
}
