package prove

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Sink is an SMTP provider that keeps a ledger of what it really took. How it
// treats a message is written in the recipient's address, so that any single
// message can be told what will happen to it:
//
//	n17+drop@…   takes the message, then cuts the connection instead of answering (the first copy only)
//	n17+busy@…   refuses the first two tries with 451
//	n17+slow@…   answers after 300 ms
//	n17+stall@…  answers after 4 s, longer than the lease of a run (the first two copies)
//	n17at5@…     must not come before the fifth millisecond of 1970; later names are of our time
//	n17+bad@…    refuses for good with 550 5.1.1
//	n17+here@…   the first sink refuses with 550 5.7.1, another one takes it
type Sink struct {
	Addr   string
	number int
	server *smtp.Server
	mu     sync.Mutex
	copies map[string]int // local part -> times taken
	tries  map[string]int
	total  int
	early  map[string]bool // taken before the time that the address names
}

func startSinks(n int) ([]*Sink, error) {
	var all []*Sink
	for i := range n {
		s, err := StartSink(i)
		if err != nil {
			closeSinks(all)
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func closeSinks(all []*Sink) {
	for _, s := range all {
		s.Close()
	}
}

// StartSink listens on a free loopback port. number is its place in the chain, from 0.
func StartSink(number int) (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{Addr: l.Addr().String(), number: number, copies: map[string]int{}, tries: map[string]int{}, early: map[string]bool{}}
	s.server = smtp.NewServer(s)
	s.server.Domain = "sink.example.com"
	s.server.MaxRecipients = 10
	s.server.MaxMessageBytes = 32 << 20
	s.server.ErrorLog = discard{}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

// Close ends every session.
func (s *Sink) Close() { _ = s.server.Close() }

// Copies is how many messages were taken in all.
func (s *Sink) Copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Ledger is how often each recipient's message was taken. The map is the caller's own.
func (s *Sink) Ledger() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.copies)
}

// NewSession implements smtp.Backend.
func (s *Sink) NewSession(c *smtp.Conn) (smtp.Session, error) { return &session{sink: s, conn: c}, nil }

type session struct {
	sink *Sink
	conn *smtp.Conn
	to   string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Reset()                               { s.to = "" }
func (s *session) Logout() error                        { return nil }

// Rcpt refuses as the address says.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to, _, _ = strings.Cut(to, "@")
	_, mood, _ := strings.Cut(s.to, "+")
	switch mood {
	case "bad":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	case "here":
		if s.sink.number == 0 {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "not through this relay"}
		}
	case "busy":
		s.sink.mu.Lock()
		s.sink.tries[s.to]++
		n := s.sink.tries[s.to]
		s.sink.mu.Unlock()
		if n <= 2 {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later"}
		}
	}
	return nil
}

// Data takes the message: from here on a copy exists.
func (s *session) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, bufio.NewReader(r)); err != nil {
		return err // cut off inside the data: nothing was taken
	}
	name, mood, _ := strings.Cut(s.to, "+")
	n := s.sink.take(s.to, name)
	switch {
	case mood == "slow":
		time.Sleep(300 * time.Millisecond)
	case mood == "stall" && n <= 2:
		time.Sleep(4 * time.Second)
	}
	if mood == "drop" && n == 1 {
		_ = s.conn.Conn().Close()
		return errors.New("cut")
	}
	return nil
}

// take enters a copy in the ledger and answers how many there are now.
func (s *Sink) take(to, name string) (n int) {
	_, at, _ := strings.Cut(name, "at")
	ms, err := strconv.ParseInt(at, 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && time.Now().UnixMilli() < ms {
		s.early[to] = true
	}
	s.copies[to]++
	s.total++
	return s.copies[to]
}

// Early lists what was taken before the time that its address names.
func (s *Sink) Early() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.early))
}
